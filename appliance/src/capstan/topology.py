"""Small questions about the shape of a machine."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from capstan.machine import Machine

_LOCAL = 10  # a node's distance to itself, as ACPI defines it
_REMOTE = 20  # its usual one to another


def distance(machine: Machine, node: int, other: int) -> int:
    """Distance between two NUMA nodes, in the kernel's units: 10 is none at all."""
    if node == other:
        return _LOCAL
    numbers = [known.number for known in machine.nodes]
    distances = next((known.distances for known in machine.nodes if known.number == node), ())
    if other in numbers and len(distances) == len(numbers):
        return distances[numbers.index(other)]
    return _REMOTE


def cpu_list(cpus: Iterable[int]) -> str:
    """Write CPUs as the kernel's command line takes them: (0, 1, 2, 3, 8) -> "0-3,8"."""
    # Of a run of successive numbers, all have the same difference to their place.
    runs = [
        [cpu for _, cpu in run] for _, run in groupby(enumerate(sorted(set(cpus))), key=lambda pair: pair[1] - pair[0])
    ]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
