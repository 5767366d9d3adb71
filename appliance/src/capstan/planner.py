"""From settings and facts to the plan of a host: the one place where "auto" becomes numbers.

Pure: the controller plans with it before a host is touched, and the supervisor at every start, and both come to the
same result. A host on which the plan was carried out gets the same plan again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from capstan.config import CaptureConfig
from capstan.host_plan import WITHOUT_NETDEV, Decided, HostPlan, PlannedPort
from capstan.links import Network
from capstan.machine import Machine
from capstan.plan_problems import Problems
from capstan.plan_text import table
from capstan.planner_cpus import Demand, Placement, count_queues, divide, isolates, place
from capstan.planner_kernel import kernel_arguments
from capstan.planner_memory import plan_memory
from capstan.planner_nic import (
    KERNEL_METHODS,
    check_virtual_functions,
    driver_to_bind,
    interrupts,
    one_socket_a_queue,
    polling,
    tuning,
)
from capstan.planner_ports import Found, check_queues, find_all
from capstan.planner_rings import NO_RINGS, port_ring_bytes, receive_rings
from capstan.sight import limits
from capstan.topology import cpu_list


def plan_host(
    config: CaptureConfig, machine: Machine, network: Network, held: int = 0, decided: Decided | None = None
) -> HostPlan:
    """Decide everything that the settings leave to the host, but for the method: see `capstan.advise`.

    Args:
        config: the settings of the host.
        machine: what it is made of.
        network: the interfaces of the network namespace that the settings name.
        held: bytes of memory in use now that a running engine gives back before it is started again.
        decided: what `auto` came to; needed where the settings say so somewhere.

    Raises:
        PlanError: with a sentence for everything that the host does not have.

    """
    problems = Problems(config.host)
    decided = decided or Decided(tuple(config.method_of(interface) for interface in config.interfaces))
    found = find_all(config, machine, network, problems, decided.methods)
    check_queues(config, found, problems)
    check_virtual_functions(config, found, problems)
    near = frozenset(entry.node for entry in found if entry.node is not None)
    pool = divide(config, machine, near, problems)
    problems.refuse()
    demands = [_demand(config, entry) for entry in found]
    queues = count_queues(machine, pool, demands)
    placement = place(config, machine, pool, demands, queues)
    ports = tuple(
        _port(config, entry, count, workers)
        for entry, count, workers in zip(found, queues, placement.ports, strict=True)
    )
    receive = sum((receive_rings(entry, port.nic) for entry, port in zip(found, ports, strict=True)), start=NO_RINGS)
    memory = plan_memory(config, machine, ports, problems, held, receive)
    arguments = kernel_arguments(config, machine, placement, ports, memory.pages, problems)
    problems.refuse()
    plan = HostPlan(
        host=config.host,
        ports=ports,
        workers=placement.workers,
        writers=placement.writers,
        housekeeping=placement.housekeeping,
        isolated=placement.isolated,
        hugepages=memory.pages,
        hugepages_mounts=memory.mounts,
        kernel_arguments=arguments,
        memory=memory.budget,
        records=machine.records,
        systemd=machine.systemd,
        notes=tuple(_notes(config, machine, found, ports, placement)),
        auto=decided.told,
        choices=decided.choices,
        choices_due=decided.due,
    )
    return replace(plan, text=table(plan, machine))


def _demand(config: CaptureConfig, entry: Found) -> Demand:
    node, streams = entry.node, entry.interface.streams
    asked, most = entry.queues_asked, entry.queues_reached
    if entry.method == "dag" and streams is not None:
        return Demand(node, len(streams), len(streams))
    if asked is not None:
        return Demand(node, asked, asked)
    if entry.through in {"pcap", "dag", "replay"} or (entry.device is not None and entry.name is None):
        return Demand(node, 1, 1)
    link = entry.link
    if entry.through == "af_xdp" and link is not None and (link.kind == "veth" or link.channels is None):
        # Every queue needs its socket. A veth with fewer queues than its peer sends on loses native XDP (ENOSPC), and
        # other drivers cannot have fewer.
        return Demand(node, entry.queues_now, entry.queues_now)
    if entry.virtual_functions and one_socket_a_queue(config, entry):
        return Demand(node, entry.queues_now, entry.queues_now)
    if entry.nic is None:
        return Demand(node, None, entry.queues_now)
    native = _queues_native(config, entry)
    return Demand(node, None, max(1, min(bound for bound in (most or 1, native) if bound is not None)))


def _queues_native(config: CaptureConfig, entry: Found) -> int | None:
    """Queues with which the port's driver takes a native XDP program, where that is wanted of it and it has a bound."""
    wanted = entry.through == "af_xdp" and (entry.method != "af_xdp" or config.af_xdp.mode != "skb")
    return entry.queues_native if wanted else None


def _port(config: CaptureConfig, entry: Found, queues: int, workers: tuple[int, ...]) -> PlannedPort:
    wanted, nic = entry.interface, entry.nic
    tuned = tuning(config, entry, queues)
    return PlannedPort(
        interface=entry.name,
        pci=nic.pci if nic is not None else None,
        method=entry.method,
        queues=queues,
        workers=workers,
        mac=wanted.mac,
        expected_name=wanted.name if entry.method not in WITHOUT_NETDEV else None,
        driver=driver_to_bind(config, entry),
        node=entry.node,
        netns=config.netns if entry.method not in WITHOUT_NETDEV and entry.name is not None else None,
        irq=interrupts(config, entry, tuned.channels, workers),
        nic=tuned,
        busy_poll=polling(config, entry),
        rings=port_ring_bytes(config, entry, tuned.mtu, queues),
        chosen=config.method_of(wanted) == "auto",
        vdev=entry.device.name if entry.device is not None else None,
    )


def _notes(
    config: CaptureConfig, machine: Machine, found: Sequence[Found], ports: Sequence[PlannedPort], placement: Placement
) -> Iterator[str]:
    """What is less than asked for, or worth knowing. Nothing that changes when the plan is carried out."""
    node_of = {cpu.number: cpu.node for cpu in machine.cpus}
    usable = [cpu.number for cpu in machine.cpus if cpu.usable]
    for entry, port in zip(found, ports, strict=True):
        far = [cpu for cpu in port.workers if port.node is not None and node_of[cpu] != port.node]
        if far:
            yield f"{port.label} is on NUMA node {port.node} and has workers elsewhere: CPU {cpu_list(far)}."
        if port.queues > len(port.workers):
            yield f"{port.label} has more queues ({port.queues}) than CPUs ({len(port.workers)}): some take turns."
        if entry.virtual_functions and entry.through in KERNEL_METHODS:
            yield (
                f"{port.label} has {entry.virtual_functions} virtual functions in use: its queues, ring, MTU and "
                "private flags stay as they are, because to change them interrupts their link."
            )
        yield from limits(port.label, entry.nic, entry.link, machine)
        reached = entry.queues_reached
        if reached is not None and reached != entry.queues_most and port.queues > reached:
            yield (
                f"{port.label} has {port.queues} queues, and this model spreads packets over {reached} at most: its "
                f"other queues stay empty; write queues: {reached}, or auto."
            )
        native = _queues_native(config, entry)
        if native is not None and port.queues > native:
            yield (
                f"{port.label} has {port.queues} queues, and its driver takes a native XDP program with {native} at "
                "most: packets come by the slower generic way"
                + (f"; write queues: {native}, or auto." if native else ".")
            )
        if entry.interface.queues == "auto" and entry.nic is not None and entry.queues_most is None:
            yield (
                f"{port.label} was bound to {entry.nic.driver} by somebody else, so that its receive queues are not "
                "known: one is planned; write queues for more."
            )
        if entry.interface.mac is not None and entry.mac is None:
            yield f"{port.label} has no network device to compare the MAC address {entry.interface.mac} with."
        if port.method == "dpdk" and port.driver is None and port.vdev is None:
            yield f"{port.label} stays on its kernel driver, which shares the NIC with DPDK."
    if len(usable) == 1:
        yield "This machine has one CPU: workers, writer and system take turns."
        if isolates(config):
            yield "No CPU is isolated, because there is one alone."
    elif placement.isolated and not machine.isolated_by_us and config.cores == "auto" and _isolated_before(machine):
        yield f"CPU {cpu_list(placement.isolated)} were isolated before Capstan came; the workers are there."


def _isolated_before(machine: Machine) -> bool:
    return any(cpu.isolated for cpu in machine.cpus)
