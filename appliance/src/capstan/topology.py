"""CPUs of this host: which may be used, which stand near a NIC, and who runs where."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Above this many CPUs one writer core no longer keeps up with the workers; one more for each so many.
_CPUS_PER_WRITER = 8


@dataclass(frozen=True, slots=True)
class Cpus:
    """CPUs that the appliance may use."""

    allowed: tuple[int, ...]
    """May be used at all."""
    isolated: tuple[int, ...] = ()
    """Kept free of other work by the kernel command line; meant for the workers."""
    node_of: tuple[tuple[int, int], ...] = ()
    """(CPU, NUMA node) for each CPU whose node is known."""


@dataclass(frozen=True, slots=True)
class Placement:
    """CPUs of the capture workers and of the writer. An empty list leaves the choice to the kernel."""

    workers: tuple[int, ...]
    writers: tuple[int, ...]


def read_cpus(sysfs: Path = Path("/sys")) -> Cpus:
    """Read what this process may use; isolated CPUs count although the affinity mask leaves them out."""
    isolated = parse_cpu_list(_text(sysfs / "devices/system/cpu/isolated"))
    online = parse_cpu_list(_text(sysfs / "devices/system/cpu/online"))
    mine = os.sched_getaffinity(0)
    nodes = [
        (cpu, int(node.name.removeprefix("node")))
        for node in sorted((sysfs / "devices/system/node").glob("node[0-9]*"))
        for cpu in parse_cpu_list(_text(node / "cpulist"))
    ]
    isolated = tuple(cpu for cpu in isolated if cpu in online)
    return Cpus(tuple(sorted({*mine, *isolated})), isolated, tuple(nodes))


def numa_node(pci: str, sysfs: Path = Path("/sys")) -> int | None:
    """NUMA node of a PCI device; None where the machine has none."""
    text = _text(sysfs / "bus/pci/devices" / pci / "numa_node")
    return int(text) if text and int(text) >= 0 else None


def place(cpus: Cpus, wanted: Sequence[int] | None = None, near: Iterable[int] = ()) -> Placement:
    """Choose CPUs for workers and writer.

    Args:
        cpus: what may be used.
        wanted: the operator's choice for the workers; None chooses.
        near: NUMA nodes of the NICs; their CPUs are preferred, as far as there are any.

    """
    if wanted is not None:
        return Placement(tuple(wanted), tuple(cpu for cpu in cpus.allowed if cpu not in wanted))
    nodes, node_of = set(near), dict(cpus.node_of)
    if cpus.isolated:
        workers, rest = cpus.isolated, tuple(cpu for cpu in cpus.allowed if cpu not in cpus.isolated)
    elif len(cpus.allowed) == 1:
        return Placement(cpus.allowed, ())
    else:
        # The first CPUs take most interrupts and the rest of the system: writing fits there, capturing does not.
        writers = 1 + len(cpus.allowed) // _CPUS_PER_WRITER
        rest, workers = cpus.allowed[:writers], cpus.allowed[writers:]
    local = tuple(cpu for cpu in workers if node_of.get(cpu) in nodes)
    return Placement(local or workers, rest)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Read the kernel's list format: "0-3,8" -> (0, 1, 2, 3, 8)."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:  # a kernel without NUMA or CPU isolation has no such file
        return ""
