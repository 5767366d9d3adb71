"""Which CPU does what: workers near their NIC, a writer beside them, and the rest of the system out of their way.

The rules, in their order:
- The physical core of CPU 0 is the system's: most of the kernel's own work cannot be kept off it.
- From eight cores on, one core in eight (four at most) is kept for the writer, on the node of a NIC.
- A worker gets a physical core of its own on the node of its NIC. The core's other threads stay idle, because whatever
  ran there would take turns with the worker; where more queues than cores are asked for, they become workers too.
- CPUs that the operator isolated, or named in `cores`, are the workers', and no others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from capstan.config import CaptureConfig
from capstan.machine import Cpu, Machine
from capstan.plan_problems import Problems
from capstan.topology import cpu_list, distance

# The engine has one writer thread: a core of its own pays from so many cores on, and a few more let the kernel's disk
# work run beside it.
_CORES_PER_WRITER = 8
_MOST_WRITER_CORES = 4
_MOST_WRITER_CPUS = 8


@dataclass(frozen=True, slots=True)
class Pool:
    """CPUs that workers may take, and those that they may not."""

    workers: tuple[int, ...]
    """In order of preference among equals: first threads of cores before second ones."""
    system: frozenset[int]
    """The core that the system cannot do without."""
    writers: frozenset[int]
    """Cores kept for the writer; none where it shares the system's."""
    isolated: tuple[int, ...] = ()
    """What the operator isolated."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Who runs where; see HostPlan for the meaning of each."""

    ports: tuple[tuple[int, ...], ...]
    workers: tuple[int, ...]
    writers: tuple[int, ...]
    housekeeping: tuple[int, ...]
    isolated: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Demand:
    """What one port wants of the CPUs."""

    node: int | None
    queues: int | None
    """None: as many as there are cores for."""
    most: int
    """Queues that its NIC has."""


def isolates(config: CaptureConfig) -> bool:
    """Whether the settings ask for the workers' CPUs to be isolated."""
    return config.kernel.isolate_cpus == "on" or (config.kernel.isolate_cpus == "auto" and config.dpdk_has_nics)


def divide(config: CaptureConfig, machine: Machine, near: frozenset[int], problems: Problems) -> Pool:
    """Divide the CPUs between workers and system.

    Args:
        config: the settings.
        machine: the facts.
        near: NUMA nodes of the NICs.
        problems: takes a sentence for each core that cannot be had.

    """
    usable = {cpu.number: cpu for cpu in machine.cpus if cpu.usable}
    if len(usable) == 1 and config.kernel.isolate_cpus == "on":
        problems.add("kernel.isolate_cpus", "is on, and this machine has one CPU, which runs everything; write off")
    isolated = tuple(cpu for cpu in usable if usable[cpu].isolated and not machine.isolated_by_us)
    if config.cores != "auto":
        _check_cores(config.cores, machine, problems, isolate=isolates(config))
        wanted = tuple(cpu for cpu in config.cores if cpu in usable) or (min(usable),)
        return Pool(wanted, _system(usable, wanted), frozenset(), isolated)
    if isolated and len(isolated) < len(usable):
        workers = tuple(sorted(isolated, key=lambda cpu: (_thread(usable, isolated, cpu), cpu)))
        return Pool(workers, _system(usable, isolated), frozenset(), isolated)
    return _divide(usable, machine, near)


def _check_cores(cores: Sequence[int], machine: Machine, problems: Problems, *, isolate: bool) -> None:
    known = {cpu.number: cpu for cpu in machine.cpus}
    usable = [cpu.number for cpu in machine.cpus if cpu.usable]
    needed = usable[0] if isolate and len(usable) > 1 else None
    free = cpu_list(cpu for cpu in usable if cpu != needed)
    reasons: dict[str, list[int]] = {}
    for number in cores:
        cpu = known.get(number)
        if cpu is None:
            reasons.setdefault("does not exist", []).append(number)
        elif not cpu.online:
            reasons.setdefault("is offline", []).append(number)
        elif not cpu.usable:
            reasons.setdefault("is kept from this system's processes", []).append(number)
        elif number == needed:
            reasons.setdefault("is the one that the kernel itself needs, and cores are isolated here", []).append(
                number
            )
    for reason, wrong in reasons.items():
        problems.add("cores", f"CPU {cpu_list(wrong)} {reason}; write CPUs out of {free}, or auto")
    if needed is None and len(usable) > 1 and set(usable) <= set(cores):
        problems.add(
            "cores",
            f"takes all CPUs ({cpu_list(usable)}), and the system needs one; leave out CPU {usable[0]}, or write auto",
        )


def _divide(usable: Mapping[int, Cpu], machine: Machine, near: frozenset[int]) -> Pool:
    """Cores for the system and for the writer, and all others for workers."""
    system, *rest = _cores(usable)
    if not rest:
        # All CPUs are threads of one core: one of them is the system's.
        return Pool(system[1:] or system, frozenset(system[:1]), frozenset())
    wanted = min((1 + len(rest)) // _CORES_PER_WRITER, _MOST_WRITER_CORES)
    left = Counter(usable[core[0]].node for core in rest)
    kept: set[tuple[int, ...]] = set()
    for core in sorted(rest, key=lambda core: (_distance(machine, near, usable[core[0]].node), core)):
        node = usable[core[0]].node
        # The last core of a NIC's node is better a worker's.
        if len(kept) < wanted and (left[node] > 1 or node not in near):
            kept.add(core)
            left[node] -= 1
    free = [core for core in rest if core not in kept]
    threads = max(map(len, free))
    workers = tuple(core[thread] for thread in range(threads) for core in free if thread < len(core))
    return Pool(workers, frozenset(system), frozenset(cpu for core in kept for cpu in core))


def _cores(usable: Mapping[int, Cpu]) -> list[tuple[int, ...]]:
    """The usable CPUs of each physical core, in the order of their first."""
    return sorted({tuple(cpu for cpu in sorted(usable[number].siblings) if cpu in usable) for number in usable})


def _thread(usable: Mapping[int, Cpu], chosen: Sequence[int], number: int) -> int:
    """Which of the chosen threads of its core it is: 0 for the first."""
    return sum(1 for cpu in usable[number].siblings if cpu in chosen and cpu < number)


def _system(usable: Mapping[int, Cpu], taken: Iterable[int]) -> frozenset[int]:
    """Of the CPUs that are not taken, those of the first one's core."""
    free = [cpu for cpu in usable if cpu not in set(taken)] or list(usable)
    return frozenset(cpu for cpu in usable[free[0]].siblings if cpu in free)


def _distance(machine: Machine, near: Iterable[int], node: int) -> int:
    """To the nearest of those nodes; 0 where there is none to be near to."""
    return min((distance(machine, other, node) for other in near), default=0)


def count_queues(machine: Machine, pool: Pool, demands: Sequence[Demand]) -> list[int]:
    """Queues of each port: as asked, or one for each physical core that the port can have to itself on its node.

    Ports whose queues are asked for take theirs first, from nodes farther off when their own has no CPU left. The other
    cores of a node are dealt out one at a time, to every port that asks for as many as there are.
    """
    node_of = {cpu.number: cpu.node for cpu in machine.cpus}
    firsts = _first_threads(machine, pool.workers)
    left = Counter(node_of[cpu] for cpu in firsts)
    homes = [_home(machine, demand.node, left) for demand in demands]

    def take(home: int | None) -> bool:
        """Take a core of the port's own node, or of any where its node is not known."""
        node = home if home is not None else next((node for node in sorted(left) if left[node] > 0), None)
        if node is None or left[node] <= 0:
            return False
        left[node] -= 1
        return True

    cpus = Counter(node_of[cpu] for cpu in pool.workers)
    counts = [0] * len(demands)
    for index, demand in enumerate(demands):
        counts[index] = asked = demand.queues or 0
        for node in sorted(cpus, key=lambda node: _far(machine, demand.node, node)):
            here = min(asked, cpus[node])
            left[node] -= min(here, left[node])
            cpus[node] -= here
            asked -= here
    hungry = [index for index, demand in enumerate(demands) if demand.queues is None]
    while hungry:
        for index in list(hungry):
            # Every port has one queue, if it has to share a core.
            if counts[index] < demands[index].most and (take(homes[index]) or counts[index] == 0):
                counts[index] += 1
            else:
                hungry.remove(index)
    return counts


def _first_threads(machine: Machine, workers: Sequence[int]) -> list[int]:
    """Of each core among the workers' CPUs, the one that comes first."""
    siblings = {cpu.number: cpu.siblings for cpu in machine.cpus}
    taken: set[int] = set()
    firsts = []
    for cpu in workers:
        if cpu not in taken:
            firsts.append(cpu)
        taken.update(siblings[cpu])
    return firsts


def _home(machine: Machine, node: int | None, cores: Mapping[int, int]) -> int | None:
    """The node with workers' cores that is nearest to the NIC; None where the NIC's node is not known."""
    if node is None or not cores:
        return None
    return min(cores, key=lambda other: (distance(machine, node, other), other))


def _far(machine: Machine, node: int | None, other: int) -> tuple[int, int]:
    """Orders nodes by their distance to a NIC's, those at the same by number; all are alike where it is not known."""
    return (distance(machine, node, other), other) if node is not None else (0, 0)


def _order(demands: Sequence[Demand], queues: Sequence[int]) -> list[int]:
    """Ports in the order in which they choose: first those that were given cores, on their own node or on any."""

    def key(index: int) -> tuple[bool, bool, bool]:
        return demands[index].queues is not None, queues[index] == 1, demands[index].node is None

    return sorted(range(len(demands)), key=key)


def place(
    config: CaptureConfig, machine: Machine, pool: Pool, demands: Sequence[Demand], queues: Sequence[int]
) -> Placement:
    """Give every queue a CPU, and divide what is left."""
    cpus = {cpu.number: cpu for cpu in machine.cpus}
    usable = [cpu.number for cpu in machine.cpus if cpu.usable]
    load: Counter[int] = Counter()
    ports: dict[int, tuple[int, ...]] = {}
    for index in _order(demands, queues):
        demand, count = demands[index], queues[index]
        far = {cpu: _far(machine, demand.node, cpus[cpu].node) for cpu in pool.workers}
        # Few queues on it, near the NIC, early in the pool: what makes a CPU the better worker.
        chosen = tuple(sorted(pool.workers, key=lambda cpu: (load[cpu], far[cpu]))[:count])
        load.update(chosen[queue % len(chosen)] for queue in range(count))
        ports[index] = chosen
    workers = {cpu for cpu in load if load[cpu]}
    # What the operator set aside is not the system's either, used or not.
    aside = {*workers, *pool.isolated, *(pool.workers if config.cores != "auto" else ())}
    siblings = {other for cpu in aside for other in cpus[cpu].siblings if other in usable}
    idle = siblings - aside - pool.system
    housekeeping = tuple(cpu for cpu in usable if cpu not in aside | idle) or (usable[0],)
    near = frozenset(demand.node for demand in demands if demand.node is not None)
    isolated: set[int] = set()
    if isolates(config) and len(usable) > 1:
        # The operator's own isolation stays as it is: its CPUs would not be found again by a wider one.
        isolated = set(pool.isolated) if pool.isolated and config.cores == "auto" else aside | idle
    return Placement(
        ports=tuple(ports[index] for index in range(len(demands))),
        workers=tuple(sorted(workers)),
        writers=_writers(machine, pool, near, [cpu for cpu in housekeeping if cpu not in workers]),
        housekeeping=housekeeping,
        isolated=tuple(sorted(isolated)),
    )


def _writers(machine: Machine, pool: Pool, near: frozenset[int], free: Sequence[int]) -> tuple[int, ...]:
    """CPUs for the writer: those kept for it, else what is near the NICs; the system's only where there is no other."""
    node_of = {cpu.number: cpu.node for cpu in machine.cpus}
    if pool.writers:
        return tuple(sorted(pool.writers.intersection(free)))
    far = {cpu: _distance(machine, near, node_of[cpu]) for cpu in free}
    candidates = [cpu for cpu in free if cpu not in pool.system] or list(free)
    nearest = [cpu for cpu in candidates if far[cpu] == min(far[other] for other in candidates)]
    return tuple(nearest[:_MOST_WRITER_CPUS])
