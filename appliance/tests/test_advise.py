"""The field's rule of thumb on machines that everybody knows, and what is told of each method."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import advice_document
from capstan import means_read
from capstan.advise import METHODS, PortAdvice, advise, decide, plan
from capstan.advise_rates import PRIORS, estimate, line_rate
from capstan.advise_report import report
from capstan.config import BUILT_METHODS, CaptureConfig, ConfigError, from_inventory
from capstan.ethtool import Channels
from capstan.links import Link, Network
from capstan.machine import Card, Hugepages, Machine, Nic
from capstan.means import IN_THE_ENGINE, Choice, Means, Measured
from capstan.plan_problems import PlanError
from machines import MIB, machine, nic

ICE = {"driver": "ice", "model": "8086:1592", "speed": 100_000}
IXGBE = {"driver": "ixgbe", "model": "8086:10fb", "speed": 10_000}
IGB = {"driver": "igb", "model": "8086:1521", "speed": 1_000}
VMXNET3 = {"driver": "vmxnet3", "model": "15ad:07b0", "speed": 10_000}
MLX5 = {"driver": "mlx5_core", "model": "15b3:1017", "speed": 100_000}
REALTEK = {"driver": "r8169", "model": "10ec:8168", "speed": 2_500}
DISTRIBUTION = Means(distribution="debian-12", packages=frozenset({"dpdk"}))
MEASURED = Measured(
    host="h",
    kernel="6.1.0-30-amd64",
    engine="0.1.0",
    date="2026-01-01T00:00:00Z",
    processor="a core",
    pipeline=20_000_000,
    output=5_000_000,
    output_bytes=500_000_000,
    directory="/srv",
    lab={"af_packet": 1_500_000},
)


def host(
    *kinds: dict[str, Any], cores: int = 16, iommu: bool = True, vfio: bool = True, **more: Any
) -> tuple[Machine, Network]:
    """A machine with these NICs, each with queues for all of its cores."""
    nics: list[Nic] = []
    for at, kind in enumerate(kinds):
        full = {"kernel_driver": kind["driver"], "iommu_group": at if iommu else None, **kind}
        nics.append(nic(at, most=64, **full))
    made = machine(cores, nics=nics, **more)
    made = replace(made, iommu_on=iommu, user_space_drivers=("vfio-pci",) if vfio else ())
    queues = Channels(0, 0, 8, 0, 0, 64)
    links = (Link(str(it.interface), 2 + at, pci=it.pci, speed=it.speed, channels=queues) for at, it in enumerate(nics))
    return made, Network(tuple(links))


def config(*names: str, **settings: Any) -> CaptureConfig:
    interfaces = [{"name": name} for name in names or ("ens0f0",)]
    return CaptureConfig.model_validate({"host": "h", "method": "auto", "interfaces": interfaces, **settings})


def first(
    kind: dict[str, Any], settings: CaptureConfig | None = None, means: Means = DISTRIBUTION, **more: Any
) -> PortAdvice:
    """The advice for the one port of a machine."""
    (advice,) = advise(settings or config(), *host(kind, **more), means)
    return advice


@pytest.mark.parametrize(
    ("kind", "settings", "more", "chosen"),
    [
        # A gigabit of the smallest packets is within what packet sockets take.
        (IGB, {}, {}, "af_packet"),
        # So is any link of which less is expected; by the host, or by the port.
        (ICE, {"expected_pps": 1_000_000}, {}, "af_packet"),
        (ICE, {"expected_pps": 90_000_000, "interfaces": [{"name": "ens0f0", "expected_pps": 500_000}]}, {}, "af_packet"),
        # 10 Gbit/s: the driver has native XDP and zero-copy.
        (IXGBE, {}, {}, "af_xdp"),
        # 100 Gbit/s in small packets: DPDK, where the IOMMU is on.
        (ICE, {}, {"cores": 64}, "dpdk"),
        # Without it, what needs no reboot.
        (ICE, {}, {"cores": 64, "iommu": False}, "af_xdp"),
        # DPDK, too, where XDP is missing.
        (VMXNET3, {}, {}, "dpdk"),
        (VMXNET3, {}, {"iommu": False}, "af_packet"),
        # Its driver shares the NIC with DPDK: no IOMMU, nothing to bind.
        (MLX5, {}, {"cores": 64, "iommu": False, "vfio": False}, "dpdk"),
        # Nobody has a driver: packet sockets, though they fall short.
        (REALTEK, {}, {}, "af_packet"),
        # What the settings forbid.
        (VMXNET3, {"netns": "n"}, {}, "af_packet"),
        (IXGBE, {"af_xdp": {"mode": "skb"}}, {}, "dpdk"),
        (IXGBE, {"dpdk": {"driver": "uio_pci_generic"}, "expected_pps": 100_000_000}, {}, "af_xdp"),
    ],
)  # fmt: skip
def test_auto_follows_the_rule_of_thumb(
    kind: dict[str, Any], settings: dict[str, Any], more: dict[str, Any], chosen: str
) -> None:
    advice = first(kind, config(**settings), **more)
    assert advice.chosen == chosen, [(c.method, c.verdict, c.reason, c.needs) for c in advice.candidates]


@pytest.mark.parametrize(
    ("means", "chosen"),
    [
        (replace(DISTRIBUTION, packages=frozenset()), "af_xdp"),
        (replace(DISTRIBUTION, packages=frozenset(), installed=IN_THE_ENGINE | {"dpdk"}), "dpdk"),
        (replace(DISTRIBUTION, packages=None), "dpdk"),
        (replace(DISTRIBUTION, prepares=False), "af_xdp"),
        (replace(DISTRIBUTION, packages=frozenset(), refused={"af_xdp": "no"}), "af_packet"),
    ],
    ids=["not built", "installed", "nobody looked", "supervisor", "no sockets"],
)
def test_auto_takes_what_can_be_installed(means: Means, chosen: str) -> None:
    assert first(ICE, means=means, cores=64).chosen == chosen


@pytest.mark.parametrize(
    ("kind", "more", "what", "instead"),
    [
        ({**ICE, "iommu_neighbours": ("0000:00:1f.2",)}, {}, "it shares one with 0000:00:1f.2", "af_xdp"),
        ({**ICE, "virtual_functions": 4}, {}, "no virtual functions on 0000:19:00.0, which has 4", "af_packet"),
        (ICE, {"vfio": False}, "a kernel that has vfio-pci", "af_xdp"),
    ],
    ids=["group", "virtual functions", "kernel"],
)
def test_a_nic_that_only_a_person_can_free_is_not_bound(
    kind: dict[str, Any], more: dict[str, Any], what: str, instead: str
) -> None:
    advice = first(kind, cores=64, **more)
    dpdk = advice.candidates[0]
    assert (dpdk.method, dpdk.needs, advice.chosen) == ("dpdk", "hand", instead)
    assert any(what in change.sentence for change in dpdk.changes)


def test_all_methods_are_ranked_with_rate_reason_and_changes() -> None:
    advice = first(ICE, cores=64, iommu=False)
    assert {candidate.method for candidate in advice.candidates} == set(METHODS)
    dpdk, xdp, packet, pcap, *others = advice.candidates
    assert [c.method for c in (dpdk, xdp, packet, pcap)] == ["dpdk", "af_xdp", "af_packet", "pcap"]
    assert all(candidate.verdict == "impossible" and candidate.reason for candidate in others)
    assert (dpdk.needs, dpdk.rate and dpdk.rate.evidence) == ("reboot", "prior")
    told = {change.what: change for change in dpdk.changes}
    assert told["kernel"].sentence == "intel_iommu=on iommu=pt on the kernel's command line"
    assert told["driver"].sentence == "vfio-pci in place of ice (ens0f0 disappears)"
    assert told["package"].sentence == "capstan-engine-dpdk"
    assert "hugepages of 2 MiB on node 0" in told["hugepages"].sentence
    assert {change.by for what, change in told.items() if what != "kernel"} == {"deployment"}
    assert xdp.reason.startswith("ice has native XDP and zero-copy (by the drivers' histories)")
    assert (xdp.mode, xdp.needs, xdp.verdict) == ("zero-copy", "nothing", "short")


def test_what_the_host_has_already_is_no_change() -> None:
    kind = {**ICE, "driver": "vfio-pci", "kernel_driver": "ice", "remembered": True}
    made, _ = host(kind, cores=64, pages=[Hugepages(2 * MIB, 20_000)])
    made = replace(made, nics=(replace(made.nics[0], interfaces=()),))
    means = replace(DISTRIBUTION, installed=IN_THE_ENGINE | {"dpdk"})
    (advice,) = advise(config(), made, Network(()), means)
    dpdk = advice.candidates[0]
    assert (dpdk.method, dpdk.changes, advice.chosen) == ("dpdk", (), "dpdk")
    back = advice.candidate("af_packet")
    assert back is not None
    assert [change.sentence for change in back.changes] == ["ice in place of vfio-pci"]


def test_one_of_several_ports_at_a_pci_address_is_not_given_to_dpdk() -> None:
    made, _ = host(ICE)
    card = replace(made.nics[0], interfaces=("ens0f0", "ens0f0d1"))
    queues = Channels(0, 0, 8, 0, 0, 64)
    links = (
        Link(name, 2 + at, pci=card.pci, speed=100_000, channels=queues) for at, name in enumerate(card.interfaces)
    )
    here, network = replace(made, nics=(card,)), Network(tuple(links))
    assert first(ICE).chosen == "dpdk"
    (advice,) = advise(config("ens0f0d1"), here, network, DISTRIBUTION)
    dpdk = advice.candidate("dpdk")
    assert dpdk is not None
    assert (dpdk.verdict, dpdk.reason) == (
        "impossible",
        "0000:19:00.0 has several ports (ens0f0, ens0f0d1), of which dpdk takes the first whichever is meant",
    )
    assert advice.chosen == "af_xdp"
    assert plan(config("ens0f0d1"), here, network, DISTRIBUTION).ports[0].method == "af_xdp"


def test_kernels_before_and_after_the_driver_got_xdp() -> None:
    advice = advise(config(), *host(VMXNET3), DISTRIBUTION)[0]
    xdp = advice.candidate("af_xdp")
    assert xdp is not None
    assert "vmxnet3 has no native XDP with XDP_REDIRECT here, which got it in Linux 6.6" in xdp.reason
    made, network = host(VMXNET3)
    later = advise(config(), replace(made, kernel_release="6.12.0"), network, DISTRIBUTION)[0]
    assert later.candidate("af_xdp").mode == "copy"  # type: ignore[union-attr]
    told = advise(config(), *host({**VMXNET3, "xdp": 0x3}), DISTRIBUTION)[0].candidate("af_xdp")
    assert told is not None
    assert told.reason.startswith("vmxnet3 has native XDP, without zero-copy (the kernel says)")


def test_an_mtu_that_native_xdp_does_not_take_is_told() -> None:
    made, network = host(IXGBE)
    large = Network((replace(network.links[0], mtu=9000),))
    xdp = advise(config(), made, large, DISTRIBUTION)[0].candidate("af_xdp")
    assert xdp is not None
    assert (xdp.mode, "write capture_nic.mtu: 1500" in xdp.reason) == ("generic", True)


def test_a_virtual_interface_is_judged_by_its_kind() -> None:
    made, _ = host()
    veth = Link("cap0", 2, kind="veth", mtu=9000, speed=10_000, rx_queues=4, channels=Channels(0, 0, 4, 0, 0, 4))
    advice = advise(config("cap0"), made, Network((veth,)), DISTRIBUTION)[0]
    xdp = advice.candidate("af_xdp")
    assert xdp is not None
    assert (advice.chosen, xdp.mode, advice.subject.nature) == ("af_xdp", "copy", "veth")
    assert advice.candidate("dpdk").reason == "it is not on the PCI bus"  # type: ignore[union-attr]


def test_the_plan_says_what_auto_took_and_what_would_be_better() -> None:
    made, network = host(ICE, IGB, cores=64, iommu=False)
    planned = plan(config("ens0f0", "ens1f0"), made, network, DISTRIBUTION)
    assert [(port.method, port.chosen) for port in planned.ports] == [("af_xdp", True), ("af_packet", True)]
    assert planned.auto == (
        "ens0f0: af_xdp (zero-copy), about 59.5 M/s (prior) for 149 M/s (line rate at 64 bytes)",
        "ens0f0: better is dpdk, about 149 M/s (prior), which needs intel_iommu=on iommu=pt on the kernel's command line",
        "ens1f0: af_packet, about 1.49 M/s (prior) for 1.49 M/s (line rate at 64 bytes)",
    )
    assert any(line.startswith("auto") and "ens0f0: af_xdp" in line for line in planned.text)


def test_a_method_that_auto_chose_asks_for_nothing_that_comes_with_a_boot() -> None:
    made, network = host(VMXNET3)
    planned = plan(config(), made, network, DISTRIBUTION)
    assert (planned.methods, planned.kernel_arguments, planned.isolated) == (("dpdk",), (), ())
    assert planned.hugepages
    explicit = plan(config(method="dpdk"), made, network, DISTRIBUTION)
    assert [entry.argument.split("=")[0] for entry in explicit.kernel_arguments][:1] == ["isolcpus"]
    # What the kernel runs with stays: without it the NIC could not be bound after the next boot.
    booted = replace(made, command_line=("quiet", "intel_iommu=on", "iommu=pt"))
    kept = plan(config(), booted, network, DISTRIBUTION)
    assert [entry.argument for entry in kept.kernel_arguments] == ["intel_iommu=on", "iommu=pt"]


def test_a_boot_that_another_port_waits_for_is_no_reason_against_a_method() -> None:
    interfaces = [{"name": "ens0f0", "method": "dpdk"}, {"name": "ens1f0"}, {"name": "ens2f0"}]
    planned = plan(config(interfaces=interfaces), *host(ICE, IXGBE, VMXNET3, iommu=False), DISTRIBUTION)
    assert any(entry.essential for entry in planned.kernel_arguments)
    # It waits for the same boot: until then it could not be bound.
    assert [port.method for port in planned.ports] == ["dpdk", "af_xdp", "af_packet"]


def test_single_ports_may_say_auto() -> None:
    interfaces = [{"name": "ens0f0", "method": "auto"}, {"name": "ens1f0"}]
    settings = config(method="af_xdp", interfaces=interfaces)
    planned = plan(settings, *host(IGB, IXGBE), DISTRIBUTION)
    assert [(port.method, port.chosen) for port in planned.ports] == [("af_packet", True), ("af_xdp", False)]
    assert set(planned.choices) == {"ens0f0"}


def test_a_choice_is_made_anew_when_settings_or_card_change() -> None:
    made, network = host(IXGBE)
    decided = decide(config(), made, network, DISTRIBUTION)
    assert decided.due
    choice = Choice(**{**decided.choices["ens0f0"], "method": "af_packet"})
    known = replace(DISTRIBUTION, choices={"ens0f0": choice})
    kept = decide(config(), made, network, known)
    assert (kept.methods, kept.due) == (("af_packet",), False)
    assert kept.told[1] == (
        "ens0f0: af_xdp (zero-copy), about 14.9 M/s (prior) would be better and can be had now: "
        "write method: af_xdp, or deploy with -e capture_choose_again=true"
    )
    assert decide(config(expected_pps=14_000_000), made, network, known).methods == ("af_xdp",)
    assert decide(config(), made, network, replace(known, again=True)).methods == ("af_xdp",)
    other = replace(made, nics=(replace(made.nics[0], model="8086:1592", kernel_driver="ice"),))
    assert decide(config(), other, network, known).methods == ("af_xdp",)


def test_a_choice_that_cannot_be_had_any_more_is_made_anew_by_the_deployment_alone() -> None:
    made, network = host(VMXNET3)
    choice = Choice(**decide(config(), made, network, DISTRIBUTION).choices["ens0f0"])
    assert choice.method == "dpdk"
    off, _ = host(VMXNET3, iommu=False)
    known = replace(DISTRIBUTION, choices={"ens0f0": choice})
    assert decide(config(), off, network, known).methods == ("af_packet",)
    # The supervisor does not capture by something else in silence.
    assert decide(config(), off, network, replace(known, prepares=False)).methods == ("dpdk",)


def test_a_nic_that_the_host_needs_is_refused() -> None:
    made, network = host(ICE)
    needed = replace(network, default_routes=frozenset({2}))
    with pytest.raises(PlanError) as caught:
        plan(config(), made, needed, DISTRIBUTION)
    assert caught.value.problems == (
        (
            "interfaces[0]",
            "ens0f0 carries the default route, without which the host is cut off; name another interface",
        ),
    )


def test_a_problem_of_the_host_is_told_as_without_auto() -> None:
    made, network = host(ICE)
    wrong = config("ens7f0")
    with pytest.raises(PlanError) as auto:
        plan(wrong, made, network, DISTRIBUTION)
    with pytest.raises(PlanError) as explicit:
        plan(wrong.model_copy(update={"method": "af_packet"}), made, network, DISTRIBUTION)
    assert auto.value.problems == explicit.value.problems


def test_where_there_is_nothing_each_method_says_why() -> None:
    refused = {"af_packet": "Operation not permitted", "af_xdp": "Operation not permitted"}
    made, network = host(REALTEK)
    with pytest.raises(PlanError) as caught:
        plan(config(), made, network, replace(DISTRIBUTION, refused=refused))
    ((key, sentence),) = caught.value.problems
    assert key == "method"
    assert sentence.startswith(
        "is auto, and none can be had on ens0f0 as it is (af_packet: the kernel refuses its sock"
    )
    assert "dpdk: none of DPDK's packaged drivers knows 10ec:8168" in sentence


def of_pf_ring(kind: dict[str, Any], means: Means = DISTRIBUTION, **settings: Any) -> tuple[str, str]:
    """What is said of pf_ring: why it cannot be had, or what has to be done for it and by whom."""
    (found,) = [c for c in first(kind, config(**settings), means).candidates if c.method == "pf_ring"]
    changes = ", ".join(change.sentence for change in found.changes)
    return found.needs, found.reason if found.verdict == "impossible" else changes


def test_pf_ring_can_be_had_where_it_was_bought() -> None:
    bought = replace(DISTRIBUTION, pf_ring_module="9.2.0", packages=frozenset({"pf_ring"}))
    given = {"packages": ["/srv/pfring.deb"]}
    assert "neither on this host nor in capture_pf_ring.packages" in of_pf_ring(ICE)[1]
    assert of_pf_ring(ICE, bought) == ("deployment", "capstan-engine-pf-ring")
    assert of_pf_ring(ICE, replace(bought, packages=frozenset()))[0] == "hand"
    unloaded = replace(bought, pf_ring_module=None)
    needs, told = of_pf_ring(ICE, unloaded, pf_ring=given)
    assert (needs, told) == ("deployment", "capstan-engine-pf-ring, the vendor's kernel module and library")
    loaded = replace(bought, installed=IN_THE_ENGINE | {"pf_ring"})
    assert of_pf_ring(ICE, loaded) == ("nothing", "")
    assert "in the host's own" in of_pf_ring(ICE, loaded, netns="n")[1]
    zero_copy = {"zc": True, "licence": "/srv/licence"}
    assert "ice is not the vendor's zero-copy driver" in of_pf_ring(ICE, loaded, pf_ring=zero_copy)[1]
    runs = {**ICE, "driver": "ice_zc"}
    assert of_pf_ring(runs, loaded, pf_ring=zero_copy)[0] == "nothing"
    needs, told = of_pf_ring(runs, loaded, pf_ring={"zc": True})
    assert (needs, told.startswith("a licence of PF_RING ZC for 3c:fd:fe:00:00:00")) == ("hand", True)
    licensed = replace(loaded, licences=frozenset({"3c:fd:fe:00:00:00"}))
    assert of_pf_ring(runs, licensed, pf_ring={"zc": True})[0] == "nothing"


def test_module_and_licences_of_pf_ring_are_read_as_the_vendor_names_them(tmp_path: Path) -> None:
    assert means_read._pf_ring(tmp_path) == {"module": None, "licences": []}
    for name, text in {
        "proc/net/pf_ring/info": "PF_RING Version          : 9.2.0 (unknown)\n",
        "etc/pf_ring/3CFDFE000000": "licence",
        "etc/pf_ring/pf_ring.conf": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert means_read._pf_ring(tmp_path) == {"module": "9.2.0", "licences": ["3c:fd:fe:00:00:00"]}


def test_the_tables_in_the_documentation_are_what_is_computed() -> None:
    assert advice_document.written() == advice_document.tables(), "run python tests/advice_document.py --write"


def test_every_method_of_this_version_has_a_prior() -> None:
    assert {method for method, _ in PRIORS} >= set(BUILT_METHODS) - {"replay"}


def test_measured_figures_stand_in_for_priors() -> None:
    prior = estimate("dpdk", "", 2, None)
    assert (prior.core, prior.total, prior.evidence) == (14_285_714, 28_571_428, "prior")
    part = estimate("dpdk", "", 2, MEASURED)
    assert (part.core, part.evidence) == (round(1e9 / (40 + 50)), "pipeline")
    whole = estimate("af_packet", "", 4, MEASURED)
    assert (whole.core, whole.total, whole.evidence) == (1_500_000, 6_000_000, "measured")


def test_the_rule_of_thumb_bounds_what_was_not_measured_and_the_link_bounds_everything() -> None:
    for figures in (None, replace(MEASURED, lab={})):
        assert estimate("af_packet", "", 16, figures, 100_000).total == 2_976_190
    assert estimate("af_packet", "", 16, MEASURED, 100_000).total == 16 * 1_500_000
    assert estimate("af_packet", "", 16, MEASURED, 10_000).total == line_rate(10_000)
    assert estimate("dpdk", "", 2, None, 10_000).total == line_rate(10_000)
    assert estimate("dpdk", "", 2, None, None).total == 28_571_428


def test_a_method_that_was_measured_to_be_enough_is_chosen_over_the_rule_of_thumb() -> None:
    wanted = config(expected_pps=4_000_000)
    measured = replace(DISTRIBUTION, measured=MEASURED)
    before, after = (first(IXGBE, wanted, means).candidate("af_packet") for means in (DISTRIBUTION, measured))
    assert before is not None
    assert after is not None
    assert before.rate is not None
    assert after.rate is not None
    assert (before.verdict, before.rate.evidence) == ("short", "prior")
    assert (after.verdict, after.rate.evidence) == ("enough", "measured")
    assert after.rate.total == min(1_500_000 * after.rate.workers, line_rate(10_000))
    assert first(IXGBE, wanted, measured).chosen == "af_packet"


def test_figures_of_another_kernel_or_engine_do_not_count() -> None:
    assert MEASURED.of_another_time("6.1.0-30-amd64", "0.1.0") is None
    assert MEASURED.of_another_time("6.1.0-30-amd64", None) is None
    assert "and 6.12.0 runs" in str(MEASURED.of_another_time("6.12.0", "0.1.0"))
    assert "and 0.2.0 is installed" in str(MEASURED.of_another_time("6.1.0-30-amd64", "0.2.0"))
    advice = first(ICE, means=replace(DISTRIBUTION, measured=replace(MEASURED, kernel="5.10.0")))
    assert {c.rate.evidence for c in advice.candidates if c.rate} == {"prior"}
    assert {
        c.rate.evidence for c in first(ICE, means=replace(DISTRIBUTION, measured=MEASURED)).candidates if c.rate
    } == {
        "pipeline",
        "measured",
    }


def test_what_takes_all_that_a_link_carries_is_enough_whatever_is_expected() -> None:
    advice = first(IXGBE, config(expected_pps=20_000_000))
    assert [(c.method, c.verdict) for c in advice.candidates[:3]] == [
        ("af_xdp", "enough"),
        ("dpdk", "enough"),
        ("af_packet", "short"),
    ]


@pytest.mark.parametrize(("speed", "pps"), [(1_000, 1_488_095), (10_000, 14_880_952), (100_000, 148_809_523)])
def test_the_line_rate_is_that_of_the_smallest_frames(speed: int, pps: int) -> None:
    assert line_rate(speed) == pps


def test_a_speed_that_nobody_tells_is_assumed_and_said() -> None:
    advice = first({**ICE, "speed": None})
    assert (advice.expected.pps, "of 10 Gbit/s assumed" in advice.expected.source) == (14_880_952, True)


def test_packets_are_expected_in_the_inventory() -> None:
    read = from_inventory("h", {"capture_interfaces": [{"name": "eth1", "expected_pps": 5}], "capture_expected_pps": 7})
    assert (read.expected_pps, read.interfaces[0].expected_pps) == (7, 5)
    with pytest.raises(ConfigError, match="capture_expected_pps: is -1; write packets a second"):
        from_inventory("h", {"capture_interfaces": [{"name": "eth1"}], "capture_expected_pps": -1})


def test_what_resets_a_nic_with_virtual_functions_is_not_chosen() -> None:
    without_dpdk = Means(distribution="debian-12", packages=frozenset())
    free, shared = (first({**ICE, "virtual_functions": count}, means=without_dpdk) for count in (0, 2))
    assert (free.chosen, shared.chosen) == ("af_xdp", "af_packet")


def test_a_dag_card_is_captured_by_dag_and_nothing_else() -> None:
    made, network = host(ICE, cards=[Card("dag0")])
    settings = config("/dev/dag0", "ens0f0")
    means = replace(DISTRIBUTION, packages=frozenset({"dag", "dpdk"}))
    card, port = advise(settings, made, network, means)
    assert (card.chosen, card.subject.nature) == ("dag", "DAG card")
    assert [found.method for found in card.candidates if found.verdict != "impossible"] == ["dag"]
    (change,) = [change for change in card.candidates[0].changes if change.what == "package"]
    assert (change.by, change.sentence) == ("deployment", "capstan-engine-dag")
    found = port.candidate("dag")
    assert found is not None
    assert (found.verdict, found.reason) == ("impossible", "this is no DAG card")
    assert plan(settings, made, network, means).ports[0].method == "dag"
    whole = report(settings, made, network, means, whole=True)
    assert [(port["port"], port["driver"], port["chosen"]) for port in whole["ports"]] == [
        ("ens0f0", "ice", "dpdk"),
        ("dag0", "dag", "dag"),
    ]


@pytest.mark.parametrize(
    ("driver", "told", "kernel", "mode"),
    [
        ("hv_netvsc", None, "6.1.0-40-amd64", "copy"),
        ("hv_netvsc", None, "5.15.0-100-generic", "generic"),
        ("virtio_net", 0x3, "6.8.0-60-generic", "copy"),
        ("virtio_net", 0x7F, "6.12.0-1-amd64", "zero-copy"),
        ("r8152", 0, "6.12.0-1-amd64", "generic"),
    ],
)
def test_a_nic_on_another_bus_than_pci_is_judged_by_what_its_network_device_tells(
    driver: str, told: int | None, kernel: str, mode: str
) -> None:
    link = Link("ens0f0", 2, driver=driver, xdp=told, speed=10_000, channels=Channels(0, 0, 4, 0, 0, 8))
    made = replace(machine(8), kernel_release=kernel)
    (advice,) = advise(config(), made, Network((link,)), DISTRIBUTION)
    assert (advice.subject.driver, advice.subject.nature) == (driver, driver)
    xdp = advice.candidate("af_xdp")
    assert xdp is not None
    assert xdp.mode == mode
    (port,) = report(config(), made, Network((link,)), DISTRIBUTION, whole=True)["ports"]
    assert port["driver"] == driver


@pytest.mark.parametrize(
    ("queues", "most", "mode"), [("auto", 8, "copy"), (4, 8, "copy"), (6, 8, "generic"), ("auto", 1, "generic")]
)
def test_a_driver_that_wants_half_of_its_queues_for_sending_is_judged_by_what_is_left(
    queues: int | str, most: int, mode: str
) -> None:
    ena = nic(0, most=most, driver="ena", kernel_driver="ena", model="1d0f:ec20", speed=10_000, xdp=0)
    link = Link("ens0f0", 2, pci=ena.pci, driver="ena", speed=10_000, channels=Channels(0, 0, most, 0, 0, most))
    made = replace(machine(16, nics=[ena]), kernel_release="6.12.0-1-amd64")
    settings = config(interfaces=[{"name": "ens0f0", "queues": queues}])
    (advice,) = advise(settings, made, Network((link,)), DISTRIBUTION)
    xdp = advice.candidate("af_xdp")
    assert xdp is not None
    assert xdp.mode == mode
    if xdp.rate is not None and mode == "copy":
        assert xdp.rate.workers == 4
