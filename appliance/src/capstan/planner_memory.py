"""Where the memory of a capture comes from: hugepages on the NIC's node, rings, blocks, and whether it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from capstan.config import CaptureConfig
from capstan.host_plan import MemoryBudget, PlannedMount, PlannedPages, PlannedPort
from capstan.machine import Machine, Node
from capstan.plan_problems import Problems
from capstan.planner_rings import NO_RINGS, RingMemory
from capstan.quantities import GIB, MIB, format_size

MEMORY_SHARE = 0.9
"""Of the memory available; the rest stays for the page cache and for everyone else."""

# As native/drivers/dpdk/options.c sizes the pool of a queue: its ring, the bursts under way, what two threads' caches
# of 256 hold back until they are half as full again; a power of two less one.
_DPDK_BURSTS = 4 * 64
_DPDK_CACHES = 2 * 256 * 3 // 2
# A frame buffer: 2048 of room, 128 of headroom, 128 of rte_mbuf, 64 of the pool's own, and what spreads them over the
# channels of the memory.
_DPDK_BUFFER_BYTES = 2560
# Without hugepages EAL's memory is fixed before the ports are known: native/drivers/dpdk/eal_arguments.c takes each
# buffer for one that holds a jumbo frame's place in a packet socket's ring, and its head.
_DPDK_LARGEST_BUFFER_BYTES = 16_384 + 512
# EAL's own on each node: the devices' rings, hash tables, and the rounding of many small wants to whole pages.
_DPDK_OWN_BYTES = 64 * MIB
# From here on the page tables of 2 MiB pages cost more cache than a boot is worth (the settings' documentation).
_LARGE_PAGES_FROM = 4 * GIB
_SIZES = {"2MiB": 2 * MIB, "1GiB": GIB}
# The engine's blocks are mapped with pages of the kernel's default size.
_BLOCK_PAGE = 2 * MIB
_SYSTEM_SHARE = 10  # one in so many bytes of a node is never for hugepages,
_SYSTEM_LEAST = 256 * MIB  # and so much at least
_MOUNTS = {2 * MIB: "/dev/hugepages", GIB: "/dev/hugepages1G"}


def pool_bytes(config: CaptureConfig, queues: int) -> int:
    """Memory of the blocks of so many queues, and of what brings them into targets' files."""
    return sum(_mappings(config)) * queues


def _mappings(config: CaptureConfig) -> tuple[int, ...]:
    """Bytes that the engine maps for a queue, each piece by itself."""
    buffers = config.buffers
    streams = (buffers.stream_size,) if config.output.by_target else ()
    return (buffers.block_size * buffers.blocks_per_queue, *streams)


def dpdk_buffers(descriptors: int) -> int:
    """Frame buffers in the pool of one queue."""
    need = descriptors + _DPDK_BURSTS + _DPDK_CACHES
    return int(2 ** need.bit_length()) - 1


def dpdk_bytes(config: CaptureConfig, queues: int) -> int:
    """Memory of the frame buffers of a port."""
    return queues * dpdk_buffers(config.dpdk.descriptors) * _DPDK_BUFFER_BYTES


def dpdk_ordinary_bytes(descriptors: int, queues: int) -> int:
    """Memory that DPDK sets aside for so many queues where it takes no hugepages: whole mebibytes."""
    frames = queues * dpdk_buffers(descriptors) * _DPDK_LARGEST_BUFFER_BYTES
    return frames // MIB * MIB + _DPDK_OWN_BYTES if queues else 0


def blocks_in_hugepages(config: CaptureConfig, ports: Sequence[PlannedPort]) -> bool:
    """Whether hugepages are to be reserved for the blocks: where asked for, and where dpdk needs some anyway."""
    dpdk = config.dpdk.huge and any(port.method == "dpdk" for port in ports)
    return config.buffers.hugepages == "on" or (config.buffers.hugepages == "auto" and dpdk)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Hugepages, their mounts, and the account of all memory."""

    pages: tuple[PlannedPages, ...]
    mounts: tuple[PlannedMount, ...]
    budget: MemoryBudget


def plan_memory(
    config: CaptureConfig,
    machine: Machine,
    ports: Sequence[PlannedPort],
    problems: Problems,
    held: int = 0,
    receive: RingMemory = NO_RINGS,
) -> MemoryPlan:
    """Derive hugepages and see whether everything fits.

    Args:
        config: the settings.
        machine: the facts.
        ports: with their queues and workers.
        problems: takes a sentence for what does not fit.
        held: bytes in use now that a running engine gives back before it is started again.
        receive: the receive rings of all NICs that the kernel drives.

    """
    frames, blocks = _needs(config, machine, ports)
    size = _page_size(config, machine, frames, problems)
    pages = _pages(frames, size) + _pages(blocks, _BLOCK_PAGE)
    own = config.hugepages.per_node
    if own != "auto":
        # Blocks find ordinary memory, unless hugepages are asked for.
        least = _pages(frames, size) + (_pages(blocks, size) if config.buffers.hugepages == "on" else Counter())
        _check_own(own, machine, least, size, problems)
        pages = Counter({key: count for key, count in pages.items() if key[1] != size})
        pages.update({(node, size): count for node, count in own.items()})
    planned = tuple(PlannedPages(size, node, count) for (node, size), count in sorted(pages.items()) if count)
    _check_default_size(machine, planned, problems)
    fits = _check_nodes(config, machine, planned, problems)
    in_blocks = sum(frames.values()) if size == _BLOCK_PAGE else 0
    budget = _budget(config, machine, ports, planned, in_blocks, receive)
    budget = replace(budget, available=budget.available + held, left=budget.left + held)
    had = receive.present + sum(
        _present(node, entry) for node in machine.nodes for entry in planned if entry.node == node.number
    )
    needed = budget.available - budget.left - had
    if fits and needed > MEMORY_SHARE * (budget.available - had):
        problems.add(
            "buffers",
            f"{format_size(budget.rings)} for rings and {format_size(budget.blocks)} for blocks of "
            f"{sum(port.queues for port in ports)} queues "
            + (f"and {format_size(budget.hugepages)} of hugepages " if budget.hugepages else "")
            + (f"and {format_size(budget.frames)} of DPDK's frames " if budget.frames else "")
            + (f"and {format_size(budget.receive_rings)} of the NICs' receive rings " if budget.receive_rings else "")
            + f"do not fit into the {format_size(budget.available)} of memory available; "
            f"write fewer queues, smaller rings{' (nic.rx_ring, too)' if budget.receive_rings else ''} or fewer "
            "blocks_per_queue",
        )
    sizes = sorted({entry.size for entry in planned})
    return MemoryPlan(planned, tuple(PlannedMount(size, _MOUNTS[size]) for size in sizes), budget)


def _pages(needs: Mapping[int, int], size: int) -> Counter[tuple[int, int]]:
    """Pages by (node, size)."""
    return Counter({(node, size): -(-need // size) for node, need in needs.items()})


def _needs(config: CaptureConfig, machine: Machine, ports: Sequence[PlannedPort]) -> tuple[Counter[int], Counter[int]]:
    """Bytes in hugepages that each node needs for frame buffers, and for blocks."""
    node_of = {cpu.number: cpu.node for cpu in machine.cpus}
    frames: Counter[int] = Counter()
    blocks: Counter[int] = Counter()
    in_huge = blocks_in_hugepages(config, ports)
    for port in ports:
        node = port.node if port.node is not None else node_of[port.workers[0]]
        if port.method == "dpdk" and config.dpdk.huge:
            frames[node] += dpdk_bytes(config, port.queues) + (0 if node in frames else _DPDK_OWN_BYTES)
        if in_huge:
            blocks[node] += port.queues * sum(-(-size // _BLOCK_PAGE) * _BLOCK_PAGE for size in _mappings(config))
    return frames, blocks


def _page_size(config: CaptureConfig, machine: Machine, frames: Mapping[int, int], problems: Problems) -> int:
    """Bytes of the pages for frame buffers; those of blocks are always 2 MiB."""
    large = all(node.pages(GIB) is not None for node in machine.nodes if node.cpus)
    if config.hugepages.size == "auto":
        own = config.hugepages.per_node != "auto"  # written for pages of 2 MiB, where no size is written
        return GIB if large and not own and max(frames.values(), default=0) >= _LARGE_PAGES_FROM else 2 * MIB
    size = _SIZES[config.hugepages.size]
    if size == GIB and not large:
        problems.add("hugepages.size", "is 1GiB, and this machine has no pages of that size; write 2MiB, or auto")
    return size


def _check_own(
    own: Mapping[int, int], machine: Machine, least: Mapping[tuple[int, int], int], size: int, problems: Problems
) -> None:
    """Compare what the operator reserves with what is needed."""
    nodes = [node.number for node in machine.nodes]
    absent = sorted(set(own).difference(nodes))
    if absent:
        problems.add(
            "hugepages.per_node",
            f"names NUMA node {', '.join(map(str, absent))}, and this machine has {', '.join(map(str, nodes))}; "
            "write pages of those, or auto",
        )
    for (node, _), count in sorted(least.items()):
        if own.get(node, 0) < count:
            problems.add(
                "hugepages.per_node",
                f"gives node {node} {own.get(node, 0)} pages of {format_size(size)}, and {count} "
                f"({format_size(count * size)}) are needed there; write {{{node}: {count}}}, or auto",
            )


def _check_default_size(machine: Machine, planned: Sequence[PlannedPages], problems: Problems) -> None:
    """Refuse a kernel whose default pages are others: it maps those for blocks, and mounts them on /dev/hugepages."""
    words = [word for word in machine.command_line if word.startswith("default_hugepagesz=")]
    other = words and words[-1].partition("=")[2].upper() not in {"2M", "2048K"}
    if other and any(pages.size == _BLOCK_PAGE for pages in planned):
        problems.add(
            "hugepages",
            f"derives pages of {format_size(_BLOCK_PAGE)}, and the kernel's command line has {words[-1]}, so that the "
            "kernel takes others for the blocks; remove that from the boot loader's settings (/etc/default/grub) and "
            "reboot; frame buffers are had in large pages by hugepages.size: 1GiB",
        )


def _check_nodes(config: CaptureConfig, machine: Machine, planned: Sequence[PlannedPages], problems: Problems) -> bool:
    """Refuse more hugepages than a node has memory for; tells whether every node has enough."""
    fits = True
    for node in machine.nodes:
        mine = [pages for pages in planned if pages.node == node.number]
        asked = sum(pages.bytes for pages in mine)
        if not asked:
            continue
        told = " and ".join(f"{pages.pages} pages of {format_size(pages.size)}" for pages in mine)
        wish = f"{_verb(config)} {told} ({format_size(asked)}) on node {node.number}"
        total = _total(machine, node)
        most = total - max(total // _SYSTEM_SHARE, _SYSTEM_LEAST)
        # Pages of 1 GiB come with a boot, when memory is empty.
        new = sum(pages.bytes - _present(node, pages) for pages in mine if pages.size != GIB)
        available = _available(machine, node)
        if asked > most:
            why = f"which has {format_size(total)} of memory, {format_size(total - most)} of it for the system"
        elif new > MEMORY_SHARE * available:
            most = asked - new + int(MEMORY_SHARE * available)
            why = (
                f"which has {format_size(available)} of memory available, and {format_size(asked - new)} of those pages"
            )
        else:
            continue
        problems.add("hugepages.per_node", f"{wish}, {why}; {_remedy(config, node.number, most, mine[-1].size)}")
        fits = False
    return fits


def _verb(config: CaptureConfig) -> str:
    return "is auto and derives" if config.hugepages.per_node == "auto" else "asks for"


def _remedy(config: CaptureConfig, node: int, most: int, size: int) -> str:
    if config.hugepages.per_node == "auto":
        # With dpdk, "auto" takes hugepages for blocks as well.
        other = "off" if config.dpdk.huge and "dpdk" in config.methods else "auto"
        return f"write fewer queues, dpdk.descriptors or buffers.blocks_per_queue, or buffers.hugepages: {other}"
    return f"write at most {{{node}: {max(0, most) // size}}}"


def _total(machine: Machine, node: Node) -> int:
    """Memory of a node. A single node has all there is, also where the kernel has not initialised it all yet."""
    return max(node.memory_total, machine.memory_total) if len(machine.nodes) == 1 else node.memory_total


def _available(machine: Machine, node: Node) -> int:
    return max(node.memory_available, machine.memory_available) if len(machine.nodes) == 1 else node.memory_available


def _present(node: Node, pages: PlannedPages) -> int:
    """Of the planned pages, the bytes that are reserved already."""
    known = node.pages(pages.size)
    return min(pages.pages, known.total if known else 0) * pages.size


def _budget(
    config: CaptureConfig,
    machine: Machine,
    ports: Sequence[PlannedPort],
    planned: Sequence[PlannedPages],
    frames: int,
    receive: RingMemory,
) -> MemoryBudget:
    """The account; `frames` is what DPDK's buffers take of the pages that blocks would use."""
    nodes = {node.number: node for node in machine.nodes}
    present = sum(_present(nodes[pages.node], pages) for pages in planned if pages.node in nodes)
    huge = sum(pages.bytes for pages in planned)
    rings = sum(port.rings for port in ports)
    blocks = pool_bytes(config, sum(port.queues for port in ports))
    usable = sum(pages.bytes for pages in planned if pages.size == _BLOCK_PAGE) - frames
    free = sum(known.free * known.size for node in machine.nodes if (known := node.pages(_BLOCK_PAGE)) is not None)
    in_huge = config.buffers.hugepages != "off" and max(usable, free - frames) >= blocks
    available = machine.memory_available + present + receive.present
    ordinary = 0 if in_huge else blocks
    ours = 0 if config.dpdk.huge else dpdk_ordinary_bytes(config.dpdk.descriptors, _dpdk_queues(ports))
    left = available - huge - rings - receive.planned - ours - ordinary
    return MemoryBudget(available, huge, rings, receive.planned, frames=ours, blocks=ordinary, left=left)


def _dpdk_queues(ports: Sequence[PlannedPort]) -> int:
    return sum(port.queues for port in ports if port.method == "dpdk")
