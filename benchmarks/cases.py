"""The cases that there are, and how those that were chosen are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks import file_case, instructions, live_case, live_measure, memory_case
from benchmarks.interleave import Contestant, Tell, interleave
from benchmarks.lab import wire
from benchmarks.options import Options
from benchmarks.peers import Peer
from benchmarks.place import Place
from benchmarks.records import Measurement

TITLES = {
    "memory-null": "packets from memory through the whole pipeline, thrown away at its end",
    "memory-tmpfs": "packets from memory into files in memory",
    "memory-disk": "packets from memory onto the disk, O_DIRECT",
    "file-null": "a file of packets read and written to nowhere",
    "file-tmpfs": "a file of packets read and written into memory",
    "file-hosts": "the packets of some hosts read from a file and written to nowhere",
    "live-cpu": "CPU time on a wire, at a rate that everybody should take",
    "live-lossless": "highest rate on a wire at which no packet is lost",
    "live-half-percent": "highest rate on a wire at which 0.5 % is lost at most",
    instructions.CASE: "instructions a packet under callgrind, by stage",
}

Contestants = Callable[[], Iterator[Contestant]]


@dataclass(frozen=True, slots=True)
class Session:
    """What the cases of one run share."""

    place: Place
    options: Options
    peers: tuple[Peer, ...]
    tell: Tell
    tools: tuple[str, ...] = ()
    """Beginnings of the names of those that are measured; empty: all are."""

    def measure(self, chosen: Sequence[str]) -> Iterator[Measurement]:
        """The records of the cases, kind by kind."""
        yield from self._side_by_side(chosen, "memory-", lambda: memory_case.contestants(self.place, self.options))
        yield from self._side_by_side(
            chosen, "file-", lambda: file_case.contestants(self.place, self.options, self.peers)
        )
        if instructions.CASE in chosen:
            yield from instructions.records(instructions.measure(self.place, self.tell))
        if not any(case.startswith("live-") for case in chosen):
            return
        everybody = live_case.receivers(self.place, self.options, self.peers)
        receivers = [receiver for receiver in everybody if self._is_asked_for(receiver.tool)]
        with wire(self.place.receiver_core) as lab:
            yield from self._side_by_side(
                chosen,
                "live-cpu",
                lambda: live_measure.cpu_contestants(self.place, lab, self.options, receivers),
            )
            if any(case in live_measure.LOSSES for case in chosen):
                yield from live_measure.rates(self.place, lab, self.options, receivers, self.tell)

    def _side_by_side(self, chosen: Sequence[str], kind: str, make: Contestants) -> Iterator[Measurement]:
        if not any(case.startswith(kind) for case in chosen):
            return
        self.tell(f"{kind.rstrip('-')}: preparing")
        contestants: list[Contestant] = [one for one in make() if one.case in chosen and self._is_asked_for(one.tool)]
        yield from interleave(contestants, self.options.repeats, self.tell)

    def _is_asked_for(self, tool: str) -> bool:
        return not self.tools or any(tool.startswith(word) for word in self.tools)
