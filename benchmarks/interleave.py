"""Tools side by side: one repeat of each in turn, so that what the machine does meanwhile meets all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.errors import BenchmarkError
from benchmarks.process import Spent
from benchmarks.records import ABSENT, FAILED, Measurement, Sample, summarise

Tell = Callable[[str], None]
"""Shows a line of progress."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One tool in one case."""

    case: str
    tool: str
    packet_size: str
    once: Callable[[], Sample] | None
    """One repeat; None: the tool is not on this machine."""
    start: Callable[[], Spent] | None = None
    """The same without packets: what is taken off."""
    targets: int | None = None
    most_repeats: int | None = None
    """Fewer than asked for, where one takes a minute."""
    note: str = ""

    @property
    def words(self) -> str:
        """What is measured, for the progress."""
        told = "" if self.targets is None else f", {self.targets} targets"
        return f"{self.case}: {self.tool}, {self.packet_size} bytes{told}"

    def without_figures(self, state: str, note: str) -> Measurement:
        """The record of a tool that was not measured."""
        return Measurement(self.case, self.tool, self.packet_size, self.targets, state=state, note=note)


@dataclass(slots=True)
class _Kept:
    samples: list[Sample] = field(default_factory=list)
    starts: list[Spent] = field(default_factory=list)
    trouble: str | None = None


def interleave(contestants: Sequence[Contestant], repeats: int, tell: Tell) -> Iterator[Measurement]:
    """Measure them all; one that fails is told and does not hold up the others.

    Raises:
        KeyboardInterrupt: after the records of those that had a repeat by then.
    """
    kept = [_Kept() for _ in contestants]
    interrupted = False
    try:
        _take_turns(contestants, kept, repeats, tell)
    except KeyboardInterrupt:
        interrupted = True
    for contestant, own in zip(contestants, kept, strict=True):
        if not interrupted or own.samples or own.trouble is not None:
            yield _record(contestant, own)
    if interrupted:
        raise KeyboardInterrupt


def _take_turns(contestants: Sequence[Contestant], kept: Sequence[_Kept], repeats: int, tell: Tell) -> None:
    for repeat in range(repeats):
        for contestant, own in zip(contestants, kept, strict=True):
            most = contestant.most_repeats or repeats
            if contestant.once is None or own.trouble is not None or repeat >= most:
                continue
            tell(f"{contestant.words}  [{repeat + 1}/{min(repeats, most)}]")
            try:
                if contestant.start is not None:
                    own.starts.append(contestant.start())
                own.samples.append(contestant.once())
            except BenchmarkError as error:
                own.trouble = str(error)


def _record(contestant: Contestant, own: _Kept) -> Measurement:
    if contestant.once is None:
        return contestant.without_figures(ABSENT, contestant.note)
    if own.trouble is not None:
        return contestant.without_figures(FAILED, own.trouble)
    told = {"targets": contestant.targets, "note": contestant.note}
    return summarise(contestant.case, contestant.tool, contestant.packet_size, own.samples, own.starts, **told)
