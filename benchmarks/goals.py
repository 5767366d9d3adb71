"""What Capstan is to reach, and whether a run shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import ge, le

from benchmarks import disk
from benchmarks.engine import BLOCKS_MIB
from benchmarks.records import MEASURED, Measurement, Run

REACHED, MISSED, UNJUDGED = "reached", "not reached", "not judged"
_TEN_GIGABIT = 14.88
"""Million packets of 64 bytes with their check sequence and gaps in 10 Gbit/s."""
_LIBTRACE_XDP = 730.0
"""CPU ns a packet of libtrace's xdp:, built from its source on a machine of this kind: Debian builds it without."""


_HICCUP = 0.001
"""Of all packets: the veth holds 256 frames, less than a millisecond's, and a host that takes the core for as long
loses some of them, whoever captures."""
_BLOCK_BYTES = 32
"""Of pcapng's around each packet in a file."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal beside what a run came to."""

    words: str
    wanted: str
    found: str
    state: str


class _Results:
    """The records of a run, by what they are about."""

    def __init__(self, run: Run) -> None:
        self._records = [record for record in run.measurements if record.state == MEASURED]

    def one(self, case: str, tool: str, size: str, targets: int | None = None) -> Measurement | None:
        """The record of one tool."""
        wanted = (case, tool, size, targets)
        found = (r for r in self._records if (r.case, r.tool, r.packet_size, r.targets) == wanted)
        return next(found, None)

    def peers(self, case: str, size: str) -> list[Measurement]:
        """Of the peers that take everything."""
        alike = (r for r in self._records if r.case == case and r.packet_size == size and r.targets is None)
        return [record for record in alike if not record.tool.startswith("capstan")]


def _cpu(record: Measurement) -> float:
    return record.cpu_ns_per_packet or 0.0


def _whole(record: Measurement) -> float:
    """With its start, spread over its packets."""
    return _cpu(record) + (record.start_seconds or 0.0) * 1e9 / (record.packets or 1)


def _lost(*records: Measurement | None) -> int:
    """Packets of those that lost more than the wire itself does, in most of their repeats."""
    return sum(record.lost or 0 for record in records if record is not None and _loses(record))


def _loses(record: Measurement) -> bool:
    often = record.lossy_repeats * 2 > record.repeats
    return often and (record.lost or 0) > (record.packets or 0) * _HICCUP


def _share(value: float, of: float) -> float | None:
    return value / of if of else None


def judge(run: Run) -> Iterator[Verdict]:
    """Every goal; one whose measurements are not in the run is not judged."""
    results = _Results(run)
    yield from _memory(results)
    yield from _files(results)
    yield from _live(results)


def _verdict(
    words: str,
    value: float | None,
    wanted: float,
    unit: str,
    holds: Callable[[float, float], bool] = ge,
    lost: int = 0,
) -> Verdict:
    """`lost`: of the packets that it is about; who loses some has reached nothing, however cheaply."""
    sign = "at least" if holds is ge else "at most"
    goal = f"{sign} {wanted:g}{unit}"
    if lost:
        return Verdict(words, goal, f"{lost} packets lost", MISSED)
    if value is None:
        return Verdict(words, goal, "-", UNJUDGED)
    return Verdict(words, goal, f"{value:.3g}{unit}", REACHED if holds(value, wanted) else MISSED)


def _memory(results: _Results) -> Iterator[Verdict]:
    own = "capstan replay"
    small = results.one("memory-null", own, "64", 100_000)
    rate = small.packets_per_second if small else None
    words = "from memory to null, 64 bytes, 100 000 targets, 1 % hits"
    yield _verdict(words, rate / 1e6 if rate else None, _TEN_GIGABIT, " M packets/s")
    large = results.one("memory-null", own, "1514")
    yield _verdict("from memory to null, 1514 bytes", large.gbit_per_second if large else None, 20, " Gbit/s")
    ours, device = results.one("memory-disk", own, "1514"), results.one("memory-disk", disk.TOOL, str(disk.CHUNK))
    share = _share(ours.gbit_per_second or 0, device.gbit_per_second or 0) if ours and device else None
    yield _verdict("onto the disk, 1514 bytes, of its own O_DIRECT bandwidth", share, 0.9, "x")


def _files(results: _Results) -> Iterator[Verdict]:
    own = "capstan replay"
    for case, wanted in (("file-null", 3.0), ("file-tmpfs", 1.7)):
        peer, ours = results.one(case, "tcpdump", "64"), results.one(case, own, "64")
        ratio = _share(_cpu(peer), _cpu(ours)) if peer and ours else None
        yield _verdict(f"{case}, less CPU time than tcpdump", ratio, wanted, "x")
    for hosts, wanted in ((100, 20.0), (1000, 400.0)):
        peer, ours = (results.one("file-hosts", tool, "64", hosts) for tool in ("tcpdump", own))
        ratio = _share(_whole(peer), _whole(ours)) if peer and ours else None
        yield _verdict(f"{hosts} hosts in a file, less than tcpdump, starts included", ratio, wanted, "x")
    few, many = (results.one("file-hosts", own, "64", targets) for targets in (1, 100_000))
    beyond = many.peak_mib - BLOCKS_MIB if many and many.peak_mib else None
    yield _verdict("memory beyond its blocks, 100 000 targets", beyond, 64, " MiB", le)
    growth = _share(_cpu(many), _cpu(few)) if few and many else None
    yield _verdict("CPU time a packet from 1 to 100 000 targets", growth, 2.0, "x", le)


def _pages(results: _Results, size: str, best: float) -> str:
    """What writing a packet's part of a pcapng file into memory costs by itself, beside the best peer's CPU time."""
    alone = results.one("memory-tmpfs", disk.TOOL, str(disk.CHUNK))
    if alone is None or not best:
        return ""
    return f"; writing the file alone is {_cpu(alone) / disk.CHUNK * (int(size) + _BLOCK_BYTES) / best:.2f}x"


def _live(results: _Results) -> Iterator[Verdict]:
    own, xdp = "capstan af_packet", "capstan af_xdp copy"
    for size in ("64", "1514"):
        ours = results.one("live-cpu", own, size)
        best = min((_cpu(peer) for peer in results.peers("live-cpu", size) if not _lost(peer)), default=0.0)
        ratio = _share(_cpu(ours), best) if ours else None
        words = f"live, af_packet, {size} bytes, of the best peer's CPU time"
        verdict = _verdict(words, ratio, 0.65, "x", le, _lost(ours))
        yield replace(verdict, found=verdict.found + _pages(results, size, best))
    ours = results.one("live-lossless", own, "1514")
    rates = [peer.packets_per_second or 0.0 for peer in results.peers("live-lossless", "1514")]
    ratio = _share(ours.packets_per_second or 0.0, max(rates)) if ours and rates else None
    yield _verdict("live, af_packet, 1514 bytes, of the best peer's highest lossless rate", ratio, 1.3, "x")
    ours, theirs_xdp = results.one("live-cpu", xdp, "64"), results.one("live-cpu", "libtrace xdp:", "64")
    words, theirs = "live, af_xdp, 64 bytes, of the CPU time of libtrace's xdp:", _LIBTRACE_XDP
    if theirs_xdp:
        theirs = _cpu(theirs_xdp)
    else:
        words += f" ({_LIBTRACE_XDP:.0f} ns on another such machine)"
    yield _verdict(words, _share(_cpu(ours), theirs) if ours else None, 0.5, "x", le, _lost(ours))
    for tool in (own, xdp):
        everything, chosen = results.one("live-cpu", tool, "64"), results.one("live-cpu", tool, "64", 1000)
        ratio = _share(_cpu(everything), _cpu(chosen)) if everything and chosen else None
        words = f"live, {tool.removeprefix('capstan ')}, 1 % hits, less CPU time than everything"
        yield _verdict(words, ratio, 10, "x", lost=_lost(everything, chosen))
