"""What holds of the choice of a method on any machine: it is total, steady, careful, and takes no less for more."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import assume, event, given
from hypothesis import strategies as st

from capstan.advise import PortAdvice, advise, decide, plan
from capstan.advise_rates import line_rate
from capstan.config import BUILT_METHODS, CaptureConfig
from capstan.ethtool import Channels
from capstan.host_plan import HostPlan
from capstan.links import Link, Network
from capstan.machine import Machine, Nic
from capstan.means import Choice, Means
from capstan.plan_problems import PlanError
from test_planner_properties import PLENTY, SCARCE, Host, carried_out, hosts, lasting, some_machines

# (driver, PCI vendor and device, XDP bits where a kernel tells, Mbit/s)
KINDS = [
    ("ice", "8086:1592", 0x7F, 100_000),
    ("ixgbe", "8086:10fb", 0xF, 10_000),
    ("igb", "8086:1521", 0x3, 1_000),
    ("e1000e", "8086:10d3", 0x0, 1_000),
    ("mlx5_core", "15b3:1017", 0x2F, 100_000),
    ("virtio-pci", "1af4:1041", 0x2B, None),
    ("r8169", "10ec:8168", 0x0, 2_500),
]
RATES = st.floats(4, 8.3).map(lambda power: round(10**power))  # packets a second, evenly over the powers
KERNELS = ["4.19.0-27-amd64", "6.1.0-40-amd64", "6.12.48+deb13-amd64"]
MANAGEMENT = "management"


@dataclass(frozen=True)
class Fleet:
    """A host whose ports say auto, what else it has, and which of its NICs the host itself needs."""

    host: Host
    means: Means
    management: frozenset[str]

    @property
    def network(self) -> Network:
        """The links, those of management with an address, a default route, or a route to the controller."""
        links, default, controller = [], set(), set()
        for at, nic in enumerate(self.host.machine.nics):
            if not nic.interfaces:
                continue
            queues = Channels(0, 0, nic.rx_queues or 1, 0, 0, nic.rx_queues_max or 1)
            link = Link(str(nic.interface), 2 + at, pci=nic.pci, speed=nic.speed, channels=queues)
            if nic.pci in self.management:
                default |= {link.index} if at % 3 == 0 else set()
                controller |= {link.index} if at % 3 == 1 else set()
                link = replace(link, addresses=("192.0.2.9/24",)) if at % 3 == 2 else link
            links.append(link)
        return Network(tuple(links), frozenset(default), frozenset(controller))

    def plan(self) -> HostPlan:
        """The plan, with what auto came to."""
        return plan(self.host.config, self.host.machine, self.network, self.means)

    def advices(self) -> tuple[PortAdvice, ...]:
        """All methods for every port."""
        return advise(self.host.config, self.host.machine, self.network, self.means)

    def after(self, planned: HostPlan, *, recorded: bool) -> "Fleet":
        """The host when the plan was carried out, with or without the record of the choice."""
        choices = {port: Choice(**json.loads(json.dumps(choice))) for port, choice in planned.choices.items()}
        return replace(
            self,
            host=carried_out(self.host, planned),
            means=replace(
                self.means,
                choices=choices if recorded else {},
                installed=self.means.installed | set(planned.methods),
            ),
        )


@st.composite
def nics_of(draw: st.DrawFn, machine: Machine) -> Machine:
    """The machine with NICs of many kinds, some in a group with others, some with parts given away."""
    kernel = draw(st.sampled_from(KERNELS))
    tells = kernel.startswith("6.12")
    iommu = draw(st.sampled_from([True, True, False]))
    nics: list[Nic] = []
    for at, nic in enumerate(machine.nics):
        driver, model, xdp, speed = draw(st.sampled_from(KINDS))
        crowded = draw(st.integers(0, 7)) == 7
        nics.append(
            replace(
                nic,
                driver=driver,
                kernel_driver=driver,
                model=model,
                speed=speed,
                xdp=xdp if tells else None,
                iommu_group=at if iommu else None,
                iommu_neighbours=("0000:00:1f.3",) if crowded else (),
                virtual_functions=draw(st.sampled_from([0, 0, 0, 0, 4])),
            )
        )
    drivers = draw(st.sampled_from([("vfio-pci",), ("uio_pci_generic", "vfio-pci"), ()]))
    return replace(
        machine,
        nics=tuple(nics),
        kernel_release=kernel,
        iommu_on=iommu,
        user_space_drivers=drivers,
        iommu_table=draw(st.sampled_from([None, "DMAR", "IVRS"])),
    )


@st.composite
def fleets(draw: st.DrawFn, memory: st.SearchStrategy[int], guarded: bool = True) -> Fleet:
    """Hosts in which most ports say auto, and the first one does."""
    host = draw(hosts(memory))
    machine = draw(nics_of(host.machine))
    rates = st.one_of(st.none(), RATES)
    own = [
        entry.method if at and draw(st.integers(0, 3)) == 3 else "auto"
        for at, entry in enumerate(host.config.interfaces)
    ]
    interfaces = [
        entry.model_copy(update={"method": method, "expected_pps": draw(rates)})
        for entry, method in zip(host.config.interfaces, own, strict=True)
    ]
    config = host.config.model_copy(update={"interfaces": tuple(interfaces), "expected_pps": draw(rates)})
    management = frozenset(nic.pci for nic in machine.nics if guarded and draw(st.integers(0, 4)) == 0)
    means = Means(
        distribution=draw(st.sampled_from(["debian-12", "debian-13", ""])),
        # What a port asks for by name can be installed, or there is no deployment.
        packages=frozenset({"dpdk"})
        if "dpdk" in own
        else draw(st.sampled_from([None, frozenset(), frozenset({"dpdk"})])),
        refused=draw(st.sampled_from([{}, {}, {"af_xdp": "Address family not supported by protocol"}])),
        pf_ring_module=draw(st.sampled_from([None, None, "9.2.0"])),
    )
    return Fleet(Host(machine, config), means, management)


def planned_or_refused(fleet: Fleet) -> HostPlan | PlanError:
    try:
        return fleet.plan()
    except PlanError as error:
        return error


def needs_of(fleet: Fleet, planned: HostPlan) -> Iterator[tuple[PortAdvice, str]]:
    for advice in fleet.advices():
        if advice.asked != "auto":
            continue
        chosen = advice.candidate(advice.chosen)
        assert chosen is not None
        assert planned.ports[advice.subject.index].method == chosen.method
        yield advice, chosen.needs


@some_machines
@given(fleets(st.one_of(PLENTY, SCARCE)))
def test_there_is_always_an_answer_or_a_sentence(fleet: Fleet) -> None:
    planned = planned_or_refused(fleet)
    if isinstance(planned, PlanError):
        event("refused")
        # What is wrong; and what to do about it.
        assert all(key and ";" in sentence for key, sentence in planned.problems)
        assert planned.problems
        return
    event("planned")
    assert all(port.method in BUILT_METHODS for port in planned.ports)
    chosen = [port for port in planned.ports if port.chosen]
    assert all(any(f"{port.label}: {port.method}" in line for line in planned.auto) for port in chosen)


@some_machines
@given(fleets(PLENTY))
def test_a_nic_that_the_host_needs_is_never_taken(fleet: Fleet) -> None:
    for advice in fleet.advices():
        nic = advice.subject.nic
        assert nic is not None
        if nic.pci in fleet.management:
            assert (advice.chosen, advice.candidates) == (None, ())
            assert advice.refusals
        else:
            assert not advice.refusals
    asked = {str(entry.pci) for entry in fleet.host.config.interfaces if entry.method == "auto"}
    if fleet.management & asked:
        event("with management")
        refused = planned_or_refused(fleet)
        assert isinstance(refused, PlanError)
        assert any("name another" in sentence for _, sentence in refused.problems)


@some_machines
@given(fleets(st.one_of(PLENTY, SCARCE), guarded=False))
def test_what_auto_takes_needs_no_reboot_and_no_person(fleet: Fleet) -> None:
    try:
        planned = fleet.plan()
    except PlanError:
        assume(False)
        return
    for advice, needs in needs_of(fleet, planned):
        event(f"{advice.chosen} needs {needs}")
        assert needs in {"nothing", "deployment"}
        assert advice.chosen != "pcap"
        # Nothing that comes first is to be had as easily.
        for better in advice.candidates[: [c.method for c in advice.candidates].index(str(advice.chosen))]:
            assert better.needs in {"reboot", "hand"}
    if fleet.host.config.kernel.isolate_cpus != "on" and "dpdk" not in fleet.host.config.methods:
        assert planned.kernel_arguments == ()
    nics = {nic.pci: nic for nic in fleet.host.machine.nics}
    for port in planned.ports:
        if port.chosen and port.driver is not None:
            nic = nics[port.pci]
            assert (nic.iommu_neighbours, nic.virtual_functions) == ((), 0)
            assert nic.iommu_group is not None
            assert port.driver in fleet.host.machine.user_space_drivers


@some_machines
@given(fleets(PLENTY, guarded=False), st.booleans())
def test_what_a_deployment_makes_of_a_host_changes_no_choice(fleet: Fleet, recorded: bool) -> None:
    """Also without the record: a NIC is judged by what it is."""
    try:
        planned = fleet.plan()
    except PlanError:
        assume(False)
        return
    event("+".join(sorted({port.method for port in planned.ports})))
    assert fleet.plan() == planned
    once = fleet.after(planned, recorded=recorded)
    again = once.plan()
    assert [port.method for port in again.ports] == [port.method for port in planned.ports]
    assert (again.choices, again.choices_due) == (planned.choices, not recorded)
    before, after = lasting_choice(planned), lasting_choice(again)
    if any(entry.essential for entry in planned.kernel_arguments):
        # A boot that another port waited for: what would be better is told in other words after it.
        before["auto"] = after["auto"] = None
    assert {key: value for key, value in after.items() if value != before[key]} == {}
    assert once.after(again, recorded=True).plan().choices == planned.choices


def lasting_choice(planned: HostPlan) -> dict[str, Any]:
    """But for whether it is on record."""
    return {**lasting(planned), "choices_due": None}


@some_machines
@given(fleets(PLENTY, guarded=False), st.data())
def test_a_choice_that_can_be_had_is_kept_and_a_better_one_is_told(fleet: Fleet, data: st.DataObject) -> None:
    """An earlier choice, of whatever reason: with other figures, other drivers, before a package was there."""
    try:
        planned = fleet.plan()
    except PlanError:
        assume(False)
        return
    index = data.draw(st.sampled_from([at for at, port in enumerate(planned.ports) if port.chosen]))
    advice = fleet.advices()[index]
    fit = [c.method for c in advice.candidates if c.needs in {"nothing", "deployment"} and c.method != "pcap"]
    earlier = data.draw(st.sampled_from(fit))
    pci = str(planned.ports[index].pci)
    choice = Choice(**{**planned.choices[pci], "method": earlier})
    kept = replace(fleet, means=replace(fleet.means, choices={pci: choice})).plan()
    assert kept.ports[index].method == earlier
    told = [line for line in kept.auto if f"write method: {advice.chosen}" in line]
    assert bool(told) == (earlier != advice.chosen)
    anew = replace(fleet, means=replace(fleet.means, choices={pci: choice}, again=True)).plan()
    assert anew.ports[index].method == advice.chosen


@some_machines
@given(fleets(PLENTY, guarded=False), RATES, RATES)
def test_more_packets_never_get_a_method_that_takes_fewer(fleet: Fleet, one: int, other: int) -> None:
    takes = []
    for pps in sorted((one, other)):
        first = fleet.host.config.interfaces[0].model_copy(update={"expected_pps": pps})
        config = fleet.host.config.model_copy(update={"interfaces": (first,)})
        advice = replace(fleet, host=replace(fleet.host, config=config)).advices()[0]
        chosen = advice.candidate(advice.chosen)
        if chosen is None:
            assume(False)
            return
        assert chosen.rate is not None
        takes.append(chosen.rate.total)
        best = advice.candidates[0]
        if best.verdict == "enough":
            assert best.rate is not None
            speed = advice.subject.speed
            assert best.rate.total >= (pps if speed is None else min(pps, line_rate(speed)))
    event("another method" if takes[0] != takes[1] else "the same method")
    assert takes[0] <= takes[1]


@some_machines
@given(fleets(PLENTY, guarded=False))
def test_a_supervisor_follows_what_the_deployment_decided(fleet: Fleet) -> None:
    """Without the deployment's hands: what it would have to change first it does not take, but what is on record."""
    try:
        planned = fleet.plan()
    except PlanError:
        assume(False)
        return
    methods = [port.method for port in planned.ports]
    once = fleet.after(planned, recorded=True)
    here = replace(once, means=replace(once.means, prepares=False))
    assert [port.method for port in here.plan().ports] == methods
    alone = replace(fleet, means=replace(fleet.means, prepares=False))
    try:
        decided = decide(alone.host.config, alone.host.machine, alone.network, alone.means)
    except PlanError:
        return
    bound = [
        method
        for method, port in zip(decided.methods, planned.ports, strict=True)
        if port.chosen and port.driver is not None
    ]
    assert "dpdk" not in bound


def test_the_settings_own_methods_stay_as_they_are() -> None:
    from machines import machine, nic  # noqa: PLC0415

    host = machine(8, nics=[nic()])
    config = CaptureConfig.model_validate({"host": "h", "method": "af_packet", "interfaces": [{"name": "ens0f0"}]})
    network = Network((Link("ens0f0", 2, pci=host.nics[0].pci),))
    means = Means(choices={"ens0f0": Choice("dpdk", "8086:1592")})
    planned = plan(config, host, network, means)
    assert (planned.methods, planned.choices, planned.choices_due) == (("af_packet",), {}, True)
