"""What holds of the plan on any machine: up to 8 nodes and 512 CPUs, threads, gaps, isolated CPUs, several NICs."""

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from capstan.config import CaptureConfig
from capstan.host_plan import HostPlan
from capstan.links import Link, Network
from capstan.machine import Cpu, Hugepages, Machine, Nic, Node
from capstan.plan_problems import PlanError
from capstan.planner import plan_host
from machines import GIB, MIB

RING_BUFFER = 4096  # behind each descriptor
METHODS = ("af_packet", "af_xdp", "dpdk", "pcap")
MOST_CPUS = 512
# Machines of 512 CPUs take their time to be made: each is looked at from all sides.
some_machines = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Host:
    machine: Machine
    config: CaptureConfig

    @property
    def network(self) -> Network:
        return network_of(self.machine)

    def plan(self) -> HostPlan:
        return plan_host(self.config, self.machine, self.network)


def network_of(machine: Machine) -> Network:
    return Network(
        tuple(
            Link(str(nic.interface), 2 + at, pci=nic.pci, rx_queues=nic.rx_queues or 1)
            for at, nic in enumerate(machine.nics)
            if nic.interfaces
        )
    )


@st.composite
def machines(draw: st.DrawFn, memory: st.SearchStrategy[int]) -> Machine:
    nodes = draw(st.integers(1, 8))
    threads = draw(st.sampled_from([1, 2, 4]))
    cores = draw(st.integers(1, MOST_CPUS // (nodes * threads)))  # of each node
    adjacent = draw(st.booleans())  # siblings numbered one after the other, or all first threads before the second ones
    total = nodes * cores * threads

    def core_of(number: int) -> int:
        return number // threads if adjacent else number % (nodes * cores)

    fraction = draw(st.sampled_from([0, 0, 0, 0.05, 0.5]))
    random = draw(st.randoms(use_true_random=False))
    offline = {number for number in range(1, total) if random.random() < fraction}
    members: dict[int, list[int]] = {}
    for number in sorted(set(range(total)) - offline):
        members.setdefault(core_of(number), []).append(number)
    online = sorted(set(range(total)) - offline)
    apart = draw(st.sampled_from([0, 0, 0.2, 0.7]))
    isolated = {number for number in online[1:] if random.random() < apart}
    cpus = tuple(
        Cpu(
            number=number,
            node=core_of(number) // cores,
            package=core_of(number) // cores // 2,
            core=core_of(number),
            siblings=tuple(members[core_of(number)]) if number not in offline else (number,),
            online=number not in offline,
            usable=number not in offline,
            isolated=number in isolated,
        )
        for number in range(total)
    )
    sizes = (Hugepages(2 * MIB), Hugepages(GIB)) if draw(st.booleans()) else (Hugepages(2 * MIB),)
    memories = [draw(memory) for _ in range(nodes)]
    distance = draw(st.permutations(range(11, 19)))
    return Machine(
        cpus=cpus,
        nodes=tuple(
            Node(
                number=node,
                cpus=tuple(cpu.number for cpu in cpus if cpu.node == node and cpu.online),
                memory_total=memories[node],
                memory_free=memories[node] // 2,
                memory_available=memories[node] * 9 // 10,
                hugepages=sizes,
                distances=tuple(10 if other == node else distance[abs(other - node)] for other in range(nodes)),
            )
            for node in range(nodes)
        ),
        nics=tuple(
            Nic(
                pci=f"0000:{0x19 + index:02x}:00.0",
                interface=f"ens{index}",
                interfaces=(f"ens{index}",),
                driver="ice",
                kernel_driver="ice",
                node=draw(st.one_of(st.none(), st.integers(0, nodes - 1))),
                rx_queues=1,
                rx_queues_max=draw(st.integers(1, 64)),
                rx_ring=512,
                rx_ring_max=draw(st.sampled_from([None, 512, 4096, 8160])),
            )
            for index in range(draw(st.integers(1, 4)))
        ),
        iommu_table=draw(st.sampled_from(["DMAR", "IVRS"])),
        memory_total=sum(memories),
        memory_available=sum(memories) * 9 // 10,
    )


PLENTY = st.just(1024 * GIB)
SCARCE = st.integers(512 * MIB, 8 * GIB)


@st.composite
def hosts(draw: st.DrawFn, memory: st.SearchStrategy[int]) -> Host:
    """A machine, and settings that it can have as far as memory does."""
    machine = draw(machines(memory))
    usable = [cpu.number for cpu in machine.cpus if cpu.usable]
    cores: Any = "auto"
    if len(usable) > 1 and draw(st.integers(0, 4)) == 0:
        cores = draw(st.lists(st.sampled_from(usable[1:]), min_size=1, max_size=min(16, len(usable) - 1), unique=True))
    methods = [draw(st.sampled_from(METHODS)) for _ in machine.nics]
    most = 4 * len(cores) // len(machine.nics) if cores != "auto" else 64
    interfaces: list[dict[str, Any]] = []
    for nic, method in zip(machine.nics, methods, strict=True):
        fixed = method == "pcap" or draw(st.booleans()) or most < 1
        limit = max(1, min(nic.rx_queues_max or 1, most))
        queues = "auto" if fixed else draw(st.integers(1, limit))
        interfaces.append({"pci": nic.pci, "method": method, "queues": queues})
    raw = {
        "host": "any",
        "interfaces": interfaces,
        "cores": cores,
        "buffers": {"hugepages": draw(st.sampled_from(["auto", "on", "off"])), "blocks_per_queue": 32},
        "af_packet": {"ring_size": "2MiB"},
        "af_xdp": {"frames": 1024},
        "pcap": {"buffer_size": "1MiB"},
        "dpdk": {"descriptors": draw(st.sampled_from([64, 1024, 32_768]))},
        "kernel": {
            "isolate_cpus": draw(st.sampled_from(["auto", "on", "off"]) if len(usable) > 1 else st.just("auto"))
        },
        "hugepages": {"size": draw(st.sampled_from(["auto", "2MiB"]))},
    }
    return Host(machine, CaptureConfig.model_validate(raw))


def carried_out(host: Host, plan: HostPlan) -> Host:
    """The host after its preparation and a boot: what was planned is so."""
    machine = host.machine
    by_operator = any(cpu.isolated for cpu in machine.cpus) and not machine.isolated_by_us
    wanted = {(pages.node, pages.size): pages.pages for pages in plan.hugepages}
    nodes = []
    for node in machine.nodes:
        pages = tuple(
            replace(own, total=max(own.total, wanted.get((node.number, own.size), 0))) for own in node.hugepages
        )
        new = sum(after.total * after.size for after in pages) - sum(own.total * own.size for own in node.hugepages)
        nodes.append(replace(node, hugepages=pages, memory_available=node.memory_available - new))
    bound = {port.pci: port for port in plan.ports if port.driver}
    channels = {port.pci: port.nic.channels for port in plan.ports}
    rings = {nic.pci: nic.rx_ring_max or 512 for nic in machine.nics}
    gone = sum(node.memory_available for node in machine.nodes) - sum(node.memory_available for node in nodes)
    for nic in machine.nics:
        now = rings[nic.pci] * (channels[nic.pci] or 0)
        gone += max(0, now - (nic.rx_ring or 0) * (nic.rx_queues or 1)) * RING_BUFFER if nic.pci not in bound else 0
    line = tuple(entry.argument for entry in plan.kernel_arguments)
    after = replace(
        machine,
        cpus=tuple(
            replace(cpu, isolated=cpu.number in plan.isolated or (by_operator and cpu.isolated)) for cpu in machine.cpus
        ),
        nodes=tuple(nodes),
        nics=tuple(
            replace(nic, driver="vfio-pci", interfaces=(), rx_queues=None, remembered=True, iommu_group=at)
            if nic.pci in bound
            else replace(nic, rx_queues=channels.get(nic.pci) or nic.rx_queues, rx_ring=rings[nic.pci])
            for at, nic in enumerate(machine.nics)
        ),
        command_line=line,
        iommu_on=machine.iommu_on or bool(bound),
        memory_available=machine.memory_available - gone,
        own_arguments=tuple(word for word in line if not (by_operator and word.startswith("isolcpus="))),
    )
    return Host(after, host.config)


def lasting(plan: HostPlan) -> dict[str, Any]:
    """The plan without what tells of the moment: memory free just now, and whether a boot is due."""
    plain = plan.as_json()
    arguments = [(entry["argument"], entry["reason"]) for entry in plain["kernel_arguments"]]
    return {**plain, "kernel_arguments": arguments, "memory": None, "text": None}


@some_machines
@given(hosts(PLENTY))
def test_who_runs_where(host: Host) -> None:
    plan = host.plan()
    cpus_are_divided(host, plan)
    choice_of_the_operator_holds(host, plan)
    workers_are_isolated_where_asked(host, plan)
    workers_are_near_their_nic(host, plan)
    workers_have_cores_to_themselves(host, plan)
    queues_are_within_limits(host, plan)
    table_is_complete(host, plan)


def cpus_are_divided(host: Host, plan: HostPlan) -> None:
    usable = {cpu.number for cpu in host.machine.cpus if cpu.usable}
    workers, writers, housekeeping = set(plan.workers), set(plan.writers), set(plan.housekeeping)
    assert workers
    assert housekeeping
    assert workers | writers | housekeeping | set(plan.isolated) <= usable
    assert writers <= housekeeping
    assert workers == {cpu for port in plan.ports for cpu in port.workers}
    if len(usable) > 1:
        assert not workers & housekeeping
        assert writers
        assert not set(plan.isolated) & housekeeping


def choice_of_the_operator_holds(host: Host, plan: HostPlan) -> None:
    usable = [cpu for cpu in host.machine.cpus if cpu.usable]
    isolated = [cpu.number for cpu in usable if cpu.isolated]
    chosen = isolated if host.config.cores == "auto" else host.config.cores
    event("cores chosen" if chosen else "cores derived")
    if chosen:
        assert set(plan.workers) <= set(chosen)
        assert not set(plan.housekeeping) & set(chosen)
    elif len(usable) > 1:
        assert usable[0].number in plan.housekeeping


def workers_are_isolated_where_asked(host: Host, plan: HostPlan) -> None:
    wish = host.config.kernel.isolate_cpus
    asked = wish == "on" or (wish == "auto" and "dpdk" in host.config.methods)
    if asked and sum(cpu.usable for cpu in host.machine.cpus) > 1:
        assert set(plan.workers) <= set(plan.isolated)
        assert any(entry.argument.startswith("isolcpus=managed_irq,domain,") for entry in plan.kernel_arguments)
    else:
        assert plan.isolated == ()


def workers_are_near_their_nic(host: Host, plan: HostPlan) -> None:
    cpus = {cpu.number: cpu for cpu in host.machine.cpus if cpu.usable}
    if host.config.cores != "auto" or any(cpu.isolated for cpu in cpus.values()):
        return
    taken = {*plan.workers, *plan.writers, *cpus[min(cpus)].siblings}
    for port in plan.ports:
        if port.node is not None and any(cpus[worker].node != port.node for worker in port.workers):
            event("a worker on another node")
            assert not [cpu for cpu in cpus if cpus[cpu].node == port.node and cpu not in taken]


def workers_have_cores_to_themselves(host: Host, plan: HostPlan) -> None:
    siblings = {cpu.number: cpu.siblings for cpu in host.machine.cpus}
    for port, entry in zip(plan.ports, host.config.interfaces, strict=True):
        if entry.queues == "auto" and host.config.cores == "auto":
            cores = [siblings[worker] for worker in port.workers]
            assert len(set(cores)) == len(cores)


def queues_are_within_limits(host: Host, plan: HostPlan) -> None:
    for port, nic, entry in zip(plan.ports, host.machine.nics, host.config.interfaces, strict=True):
        assert 1 <= port.queues <= (nic.rx_queues_max or 1)
        assert 1 <= len(port.workers) <= port.queues
        assert len(set(port.workers)) == len(port.workers)
        assert entry.queues in {"auto", port.queues}
        if port.method == "dpdk":
            assert (port.irq, port.nic.channels) == (None, None)
        else:
            assert port.nic.channels == port.queues
            assert port.irq == tuple((port.workers[queue % len(port.workers)],) for queue in range(port.queues))


def table_is_complete(host: Host, plan: HostPlan) -> None:
    text = "\n".join(plan.text)
    assert all(f"{port.pci} {port.interface}" in text for port in plan.ports)
    assert all(note in text for note in plan.notes)
    assert Machine.from_json(host.machine.to_json()) == host.machine


@some_machines
@given(hosts(PLENTY))
def test_a_host_that_was_prepared_gets_the_same_plan(host: Host) -> None:
    plan = host.plan()
    assert host.plan() == plan
    once = carried_out(host, plan)
    again = once.plan()
    assert lasting(again) == lasting(plan)
    assert not any(entry.essential for entry in again.kernel_arguments)
    assert lasting(carried_out(once, again).plan()) == lasting(plan)


@some_machines
@given(hosts(SCARCE))
def test_memory_is_within_the_budget_or_the_plan_is_refused_with_figures(host: Host) -> None:
    try:
        plan = host.plan()
    except PlanError as error:
        event("refused")
        for key, sentence in error.problems:
            assert key in {"buffers", "hugepages.per_node"}
            assert "MiB" in sentence or "GiB" in sentence
            assert "; write" in sentence
        return
    event("planned")
    for node in host.machine.nodes:
        asked = sum(pages.bytes for pages in plan.hugepages if pages.node == node.number)
        assert asked <= node.memory_total * 9 // 10
    assert plan.memory.left >= 0
    for port in plan.ports:
        if port.method == "dpdk" and port.node is not None:
            assert any(pages.node == port.node for pages in plan.hugepages)
    assert lasting(carried_out(host, plan).plan()) == lasting(plan)
