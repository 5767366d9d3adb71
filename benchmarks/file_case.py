"""Case (b): one file read, filtered and written by every tool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.engine import Job, run_to_end
from benchmarks.errors import BenchmarkError
from benchmarks.interleave import Contestant
from benchmarks.options import Options
from benchmarks.peers import Peer, filled
from benchmarks.place import Place
from benchmarks.process import Spent, run
from benchmarks.records import Sample
from benchmarks.targets import hits, hitting, write_filter, write_targets
from benchmarks.traffic import FLOWS, Generator

SIZES = ("64", "1514")
"""The larger one into memory alone: there the copy into the file is most of what anybody pays."""
TOOL = "capstan replay"
HOSTS = (1, 100, 1000)
"""As many as a filter expression may hold."""
TARGETS = (1, 100, 1000, 100_000)
_COMPILES_LONG = 1000
"""Of so many hosts a filter takes a minute to compile: one repeat."""
_SECONDS = 900.0
_PCAP_HEADER = 24


@dataclass(frozen=True, slots=True)
class Reading:
    """The file, and the same without packets; made when it is read first."""

    place: Place
    size: str
    packets: int

    def _source(self, packets: bool) -> Path:
        whole = self.place.memory / f"in-{self.size}.pcap"
        empty = self.place.memory / f"none-{self.size}.pcap"
        if not empty.exists():
            Generator(self.place.generator, self.place.sender_core).write(whole, self.packets, self.size)
            empty.write_bytes(_head(whole))
        return whole if packets else empty

    def by_peer(self, peer: Peer, on_null: bool, packets: bool, filter_file: Path | None = None) -> Spent:
        """One run of a peer; the packets that it wrote are counted where it writes any."""
        source = self._source(packets)
        with self.place.output() as folder:
            output = Path("/dev/null") if on_null else folder / "out.pcap"
            command = filled(peer.hosts if filter_file else peer.file, input=source, output=output, filter=filter_file)
            spent = run(command, [self.place.receiver_core], _SECONDS)
            if packets and not on_null and filter_file is None:
                self._verify(list(folder.iterdir()))
        return spent

    def by_engine(self, on_null: bool, packets: bool, targets: Path | None = None, count: int = 0) -> Spent:
        """One run of the engine, on the one core that the peers have, too; its ledger must hold every packet."""
        source = self._source(packets)
        port = {"interface": "file", "method": "replay", "options": {"file": str(source)}}
        with self.place.output() as folder:
            job = Job(port, (self.place.receiver_core,), None if on_null else folder, targets=targets)
            done = run_to_end(self.place.engine, job, folder)
            wanted = self.packets if targets is None else hits(count, self.packets)
            if packets and (done.balance.wire, done.balance.delivered) != (self.packets, wanted):
                raise BenchmarkError(f"{wanted} of {self.packets} packets were wanted, the ledger says {done.balance}")
            if packets and not on_null and targets is None:
                self._verify(list(folder.glob("*.pcapng")))
        return done.spent

    def _verify(self, files: list[Path]) -> None:
        found = Generator(self.place.generator, self.place.sender_core).check(files, self.packets)
        if found.frames != self.packets:
            raise BenchmarkError(f"of {self.packets} packets {found.frames} are in its output")

    def sample(self, spent: Spent) -> Sample:
        """A run as a repeat."""
        return Sample(
            self.packets,
            spent.seconds,
            spent.cpu_seconds,
            bytes=self.packets * int(self.size),
            peak_bytes=spent.peak_bytes,
        )


def contestants(place: Place, options: Options, peers: tuple[Peer, ...]) -> Iterator[Contestant]:
    """Everything to null and to memory, and the hosts to null."""
    small, large = (Reading(place, size, options.packets_of_file(float(size))) for size in SIZES)
    for case, reading in (("file-null", small), ("file-tmpfs", small), ("file-tmpfs", large)):
        on_null = case == "file-null"
        yield _engine(reading, case, on_null, None, None)
        for peer in peers:
            if peer.file and not (on_null and peer.tool == "cp"):
                yield _peer(reading, peer, case, on_null)
    for count in TARGETS:
        told = options.few(count)
        yield _engine(small, "file-hosts", True, write_targets(place.memory / f"targets-{count}.json", told), told)
    for peer in peers:
        for count in HOSTS if peer.hosts else ():
            if not (options.quick and count >= _COMPILES_LONG):
                yield _with_hosts(small, peer, count, write_filter(place.memory / f"filter-{count}", count))


def _head(path: Path) -> bytes:
    """A pcap file without its packets."""
    with path.open("rb") as file:
        return file.read(_PCAP_HEADER)


def _engine(reading: Reading, case: str, on_null: bool, targets: Path | None, count: int | None) -> Contestant:
    read = partial(reading.by_engine, on_null, targets=targets, count=count or 0)
    once, start = _both(reading, read)
    note = "" if count is None else f"{hitting(count)} of the traffic's {FLOWS} sources"
    return Contestant(case, TOOL, reading.size, once, start, count, note=note)


def _peer(reading: Reading, peer: Peer, case: str, on_null: bool) -> Contestant:
    once, start = _both(reading, partial(reading.by_peer, peer, on_null))
    return Contestant(case, peer.tool, reading.size, once if peer.installed else None, start, note=peer.notes)


def _with_hosts(reading: Reading, peer: Peer, count: int, filter_file: Path) -> Contestant:
    once, start = _both(reading, partial(reading.by_peer, peer, True, filter_file=filter_file))
    here = once if peer.installed else None
    if count >= _COMPILES_LONG:
        note = "one repeat, its start not taken off: most of it is the compiling of the filter"
        return Contestant("file-hosts", peer.tool, reading.size, here, None, count, 1, note)
    return Contestant("file-hosts", peer.tool, reading.size, here, start, count)


def _both(reading: Reading, read: Callable[[bool], Spent]) -> tuple[Callable[[], Sample], Callable[[], Spent]]:
    return lambda: reading.sample(read(True)), lambda: read(False)
