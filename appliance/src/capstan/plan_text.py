"""The plan of a host as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from capstan.host_plan import WITHOUT_NETDEV, HostPlan, PlannedPort
from capstan.machine import Machine
from capstan.quantities import format_size
from capstan.topology import cpu_list

_GAP = "  "
_HEAD = ("port", "method", "driver", "node", "queues", "workers", "interrupts")


def table(plan: HostPlan, machine: Machine) -> tuple[str, ...]:
    """The plan, a line each."""
    return tuple(line.rstrip() for line in _lines(plan, machine))


def _lines(plan: HostPlan, machine: Machine) -> Iterator[str]:
    yield f"{plan.host}: {describe_machine(machine)}"
    yield ""
    yield from columns([_HEAD, *(_port(port) for port in plan.ports)])
    yield ""
    yield from columns(
        [
            ("workers", _cpus(plan.workers)),
            ("writer", _cpus(plan.writers) if plan.writers else "any CPU"),
            ("housekeeping", _cpus(plan.housekeeping)),
            ("isolated", _cpus(plan.isolated)),
            *(("hugepages" if first else "", text) for first, text in _numbered(_hugepages(plan))),
            ("memory", _memory(plan)),
            *(("kernel" if first else "", text) for first, text in _numbered(_kernel(plan))),
            *(("auto" if first else "", text) for first, text in _numbered(plan.auto)),
            *(("note" if first else "", text) for first, text in _numbered(plan.notes)),
        ]
    )


def describe_machine(machine: Machine) -> str:
    """What a machine is made of, in a few words."""
    online = [cpu for cpu in machine.cpus if cpu.online]
    threads = max((len(cpu.siblings) for cpu in online), default=1)
    cores = len({min(cpu.siblings or (cpu.number,)) for cpu in online})
    parts = [
        _some(len({cpu.package for cpu in online}), "socket"),
        _some(len(machine.nodes), "NUMA node"),
        _some(cores, "core"),
        *([f"{threads} threads each"] if threads > 1 else []),
        f"{format_size(machine.memory_total)} of memory",
    ]
    return ", ".join(parts)


def _some(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _port(port: PlannedPort) -> tuple[str, ...]:
    name = " ".join(part for part in (port.vdev, port.pci, port.interface) if part)
    has_driver = port.through_netdev or (port.vdev is None and port.method not in WITHOUT_NETDEV)
    interrupts = "as they are" if port.irq is None else " ".join(cpu_list(cpus) for cpus in port.irq)
    return (
        name,
        port.method,
        port.driver or "kernel" if has_driver else "-",
        "-" if port.node is None else str(port.node),
        str(port.queues),
        _cpus(port.workers),
        interrupts if port.through_netdev else "none",
    )


def _cpus(cpus: Iterable[int]) -> str:
    return cpu_list(cpus) or "none"


def _hugepages(plan: HostPlan) -> list[str]:
    return [
        f"node {pages.node}: {pages.pages} of {format_size(pages.size)} ({format_size(pages.bytes)})"
        for pages in plan.hugepages
    ] or ["none"]


def _memory(plan: HostPlan) -> str:
    memory = plan.memory
    return (
        f"{format_size(memory.hugepages)} in hugepages, {format_size(memory.rings)} in rings, "
        + (f"{format_size(memory.receive_rings)} in the NICs' receive rings, " if memory.receive_rings else "")
        + (f"{format_size(memory.frames)} in DPDK's buffers, " if memory.frames else "")
        + f"{format_size(memory.blocks)} in blocks; {format_size(memory.left)} of {format_size(memory.available)} left"
    )


def _kernel(plan: HostPlan) -> list[str]:
    return [
        f"{entry.argument}{_GAP}({entry.reason}{', nothing works without it' if entry.essential else ''})"
        for entry in plan.kernel_arguments
    ] or ["as it is"]


def _numbered(texts: Sequence[str]) -> Iterator[tuple[bool, str]]:
    return ((index == 0, text) for index, text in enumerate(texts))


def columns(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> Iterator[str]:
    """Lines of columns as wide as their widest cell, those in `right` aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        yield _GAP.join(cell.rjust(width) if at in right else cell.ljust(width) for at, (cell, width) in cells)
