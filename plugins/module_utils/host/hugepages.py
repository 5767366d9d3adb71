"""Hugepages of a NUMA node: how many there are, how many there must be, and getting them from the kernel.

The rule: pages that others use, or have reserved for themselves, when Capstan first comes to a host are theirs, and
ours come on top; pages that are free then count for us. A node never gets fewer than it had, and never fewer than are
in use. What was found is in the record, so that a second run comes to the same number.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host import kernel_arguments
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    below,
    read_text,
    write_text,
)

KEY = "capture_hugepages.per_node"
MIB = 1 << 20
GIB = 1 << 30
_GLOBAL = "/sys/kernel/mm/hugepages"
_NODES = "/sys/devices/system/node"
_COMPACT = "/proc/sys/vm/compact_memory"
_DROP_CACHES = "/proc/sys/vm/drop_caches"
_PAGE_CACHE = "1"  # drop_caches: clean page cache alone
# Of a node's memory so much is not for hugepages: one part in so many, and so much at least.
_RESERVE_SHARE = 32
_RESERVE_LEAST = 256 * MIB
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.5  # between attempts, for the kernel to write back and free
_UNITS = {"K": 1 << 10, "M": MIB, "G": GIB}


@dataclass(frozen=True)
class Pages:
    """The hugepages of one size on one node, as the kernel tells them."""

    size: int
    node: int
    directory: str
    count: int  # without surplus pages, which come and go by themselves
    used: int  # in use, or reserved by a process; at most `count`

    @property
    def key(self) -> str:
        """Its name in the record."""
        return f"{self.size} bytes on node {self.node}"


@dataclass(frozen=True)
class Change:
    """One node's pages, and how many there are to be."""

    pages: Pages
    target: int
    ours: int

    @property
    def more(self) -> int:
        """Pages to be added; less than 0 to be given back."""
        return self.target - self.pages.count


def spelt(size: int) -> str:
    """Bytes, as people write them."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}".replace(".0 ", " ")
    return f"{size // 1024} KiB"


def parse_size(text: str) -> int:
    """Bytes of a size as in `pagesize=2M` or `hugepagesz=1G`."""
    unit = _UNITS.get(text[-1:].upper())
    return int(text[:-1]) * unit if unit else int(text)


def nodes(root: Path) -> list[int]:
    """Numbers of the NUMA nodes; none where the kernel knows none."""
    return sorted(int(path.name[4:]) for path in below(root, _NODES).glob("node[0-9]*"))


def _check_node(root: Path, node: int) -> None:
    there = nodes(root) or [0]
    if node not in there:
        raise HostError(
            f"{KEY}: NUMA node {node} is not on this host, which has {', '.join(map(str, there))}; write pages of those"
        )


def read_pages(root: Path, size: int, node: int) -> Pages | None:
    """The pages of that size on that node; None where the kernel has none such."""
    name = f"hugepages-{size // 1024}kB"
    directory = f"{_NODES}/node{node}/hugepages/{name}" if nodes(root) else f"{_GLOBAL}/{name}"
    if not below(root, directory).is_dir():
        return None
    total, free, surplus = (_number(root, f"{directory}/{what}_hugepages") for what in ("nr", "free", "surplus"))
    # Not told by node: wherever such a page may come to lie, it is not for us.
    reserved = _number(root, f"{_GLOBAL}/{name}/resv_hugepages")
    count = total - surplus
    return Pages(size, node, directory, count, min(count, total - free + min(reserved, free)))


def _number(root: Path, path: str) -> int:
    text = read_text(path, root)
    return int(text) if text else 0


def plan(root: Path, wanted: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> list[Change]:
    """What each node is to have: those wanted, and those of an earlier run as they were found.

    Raises:
        HostError: node or size are not on this host.

    """
    changes: dict[str, Change] = {}
    for entry in wanted:
        size, node, ours = int(entry["size"]), int(entry["node"]), int(entry["pages"])
        _check_node(root, node)
        if size >= GIB:
            continue
        pages = read_pages(root, size, node)
        if pages is None:
            raise HostError(
                f"capture_hugepages.size: this kernel has no pages of {spelt(size)}; write another size, or auto"
            )
        if pages.key in changes:
            raise HostError(f"{KEY}: pages of {spelt(size)} on node {node} are wanted twice; write them once")
        known = record.get(pages.key, original(pages))
        changes[pages.key] = Change(pages, max(known["count"], known["others"] + ours, pages.used), ours)
    for key, known in record.items():
        if key not in changes and isinstance(known, dict) and "others" in known:
            pages = read_pages(root, known["size"], known["node"])
            if pages is not None:
                changes[key] = Change(pages, max(known["count"], pages.used), 0)
    return list(changes.values())


def original(pages: Pages) -> dict[str, int]:
    """What is remembered of a node before anything is changed."""
    return {"size": pages.size, "node": pages.node, "count": pages.count, "others": pages.used}


def check_memory(root: Path, changes: Sequence[Change]) -> None:
    """Refuse to take more than a node can give.

    Raises:
        HostError: with figures.

    """
    host = _meminfo(root, "/proc/meminfo")
    for node in sorted({change.pages.node for change in changes}):
        mine = [change for change in changes if change.pages.node == node and change.more > 0]
        asked = sum(change.more * change.pages.size for change in mine)
        total, available = host.get("MemTotal", 0), host.get("MemAvailable", 0)
        if len(nodes(root)) > 1:
            memory = _meminfo(root, f"{_NODES}/node{node}/meminfo")
            caches = sum(memory.get(name, 0) for name in ("Active(file)", "Inactive(file)", "SReclaimable"))
            total, available = memory.get("MemTotal", 0), min(memory.get("MemFree", 0) + caches, available)
        reserve = max(total // _RESERVE_SHARE, _RESERVE_LEAST)
        if asked > available - reserve:
            size = mine[-1].pages.size
            most = max(0, mine[-1].ours - -(-(asked - max(0, available - reserve)) // size))
            raise HostError(
                f"{KEY}: {' and '.join(_shown(change) for change in mine)} on node {node} take {spelt(asked)} more, "
                f"and of its {spelt(total)} of memory {spelt(available)} are available, {spelt(reserve)} of which "
                f"stay for the system; write at most {{{node}: {most}}}, or add memory"
            )


def _shown(change: Change) -> str:
    return f"{change.ours} pages of {spelt(change.pages.size)}"


def _meminfo(root: Path, path: str) -> dict[str, int]:
    """Bytes by name."""
    found = {}
    for line in (read_text(path, root) or "").splitlines():
        name, _, value = line.rpartition(":")
        words = value.split()
        if name and words[1:] == ["kB"]:
            found[name.split()[-1]] = int(words[0]) * 1024
    return found


def apply(root: Path, changes: Sequence[Change]) -> list[str]:
    """Give pages back, then get the new ones; what is worth knowing of it.

    Raises:
        HostError: the kernel has not given all; every node is as it was before.

    """
    notes: list[str] = []
    done: list[Change] = []
    try:
        for change in sorted(changes, key=lambda change: change.more):
            if change.more:
                done.append(change)
                notes += _set(root, change)
    except HostError as error:
        raise HostError(". ".join([str(error), *undo(root, done)]), error.errno) from error
    return notes


def undo(root: Path, changes: Sequence[Change]) -> list[str]:
    """Each node as it was before these changes; tells what could not be."""
    left = []
    for change in reversed(changes):
        try:
            got = _write(root, change.pages, max(change.pages.count, _used(root, change.pages)))
        except HostError as error:
            left.append(f"this could not be undone: {error}")
            continue
        if got != change.pages.count:
            left.append(f"node {change.pages.node} keeps {got} pages of {spelt(change.pages.size)}")
    return left


def _used(root: Path, pages: Pages) -> int:
    now = read_pages(root, pages.size, pages.node)
    return now.used if now else 0


def _set(root: Path, change: Change) -> list[str]:
    notes = []
    got = _write(root, change.pages, change.target)
    for attempt in range(_ATTEMPTS):
        if got >= change.target or change.more < 0:
            break
        if attempt == 1:
            write_text(_DROP_CACHES, _PAGE_CACHE, root, read_back=False)
            notes.append(
                f"memory of node {change.pages.node} was in pieces: the page cache was dropped to get the hugepages"
            )
        write_text(_COMPACT, "1", root, read_back=False)
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        got = _write(root, change.pages, change.target)
    if got < change.target:
        raise HostError(
            f"{KEY}: node {change.pages.node} got {got - change.pages.count} of {change.more} more pages of "
            f"{spelt(change.pages.size)} ({got} of {change.target} in all), because its memory is in pieces or used by "
            "others; nothing was kept. Deploy again after a reboot, or write fewer pages"
        )
    if got > change.target:
        raise HostError(
            f"{change.pages.directory}/nr_hugepages holds {got} after {change.target} was written; "
            "see what else sets hugepages on this host"
        )
    return notes


def _write(root: Path, pages: Pages, target: int) -> int:
    """How many there are after so many were asked for."""
    write_text(f"{pages.directory}/nr_hugepages", str(target), root, read_back=False)
    now = read_pages(root, pages.size, pages.node)
    return now.count if now else 0


def large(root: Path, wanted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Why a reboot is due for pages that only a boot brings.

    Raises:
        HostError: the kernel was booted for them and has not got them.

    """
    reasons = []
    for entry in wanted:
        size, node, ours = int(entry["size"]), int(entry["node"]), int(entry["pages"])
        if size < GIB:
            continue
        pages = read_pages(root, size, node)
        there = pages.count if pages else 0
        if there >= ours:
            continue
        if _asked_at_boot(root, size, node) >= ours:
            raise HostError(
                f"{KEY}: node {node} has {there} pages of {spelt(size)}, and the kernel was asked for {ours} when it "
                "booted; it had not the memory, or the CPU not that size. Write fewer, or capture_hugepages.size: 2MiB"
            )
        reasons.append(
            {
                "reason": f"node {node} has {there} of {ours} pages of {spelt(size)} ({KEY}), which come with a boot",
                "essential": True,
            }
        )
    return reasons


def _asked_at_boot(root: Path, size: int, node: int) -> int:
    """Pages that the running kernel's command line asks for on that node; a number for all counts for each."""
    line = kernel_arguments.read(kernel_arguments.split(read_text("/proc/cmdline", root) or ""))
    asked = 0
    for argument in line:
        words = argument.text.split()
        if len(words) == 2 and parse_size(words[0].partition("=")[2]) == size:  # noqa: PLR2004 - size and number
            value = words[1].partition("=")[2]
            nodes = dict(part.split(":", 1) for part in value.split(",") if ":" in part)
            asked = int(nodes.get(str(node), 0)) if nodes else int(value)
    return asked
