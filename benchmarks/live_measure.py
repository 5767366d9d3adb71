"""The measurements of case (c): CPU time at rates that everybody takes, and the rates that nobody loses at."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.errors import BenchmarkError
from benchmarks.interleave import Contestant, Tell
from benchmarks.lab import Lab
from benchmarks.live_case import Receiver, Trial
from benchmarks.options import Options
from benchmarks.place import Place
from benchmarks.records import ABSENT, FAILED, Measurement, Sample, spread, summarise
from benchmarks.search import Best, highest

LOSSES = {"live-lossless": 0.0, "live-half-percent": 0.005}
_ALL_SENT = "all that the sender gives"


def cpu_contestants(place: Place, lab: Lab, options: Options, receivers: Sequence[Receiver]) -> Iterator[Contestant]:
    """Every tool at one rate a size."""
    for size, rate in options.rates.items():
        count = options.cpu_packets(rate, int(size))
        for receiver in receivers:

            def once(receiver: Receiver = receiver, size: str = size, rate: int = rate, count: int = count) -> Sample:
                return receiver.trial(place, lab, rate, count, size).sample(size)

            here = once if receiver.capturing is not None else None
            yield Contestant("live-cpu", receiver.tool, size, here, targets=receiver.targets, note=receiver.note)


@dataclass(slots=True)
class _Searched:
    """One tool and size: what each repeat came to, by how much may be lost."""

    receiver: Receiver
    size: str
    ends: dict[str, list[Best]] = field(default_factory=lambda: {case: [] for case in LOSSES})
    trouble: str | None = None

    def once(self, place: Place, lab: Lab, options: Options) -> None:
        """One repeat of both searches; the second begins where the first ended."""
        known: dict[int, Trial] = {}

        def attempt(rate: int) -> Trial:
            if rate not in known:
                count = options.trial_packets(rate, int(self.size))
                known[rate] = self.receiver.trial(place, lab, rate, count, self.size)
            return known[rate]

        around: float | None = None
        for case, allowed in LOSSES.items():
            ends = self.ends[case]
            ends.append(highest(attempt, options.most_rate, allowed, ends[-1].rate if ends else around))
            around = ends[-1].rate

    def record(self, case: str) -> Measurement:
        """The median of a search."""
        what = (case, self.receiver.tool, self.size)
        if self.receiver.capturing is None:
            return Measurement(*what, state=ABSENT, note=self.receiver.note)
        if self.trouble is not None:
            return Measurement(*what, state=FAILED, note=self.trouble)
        ends = self.ends[case]
        samples = [end.trial.sample(self.size) for end in ends if end.trial is not None]
        if not samples:
            return Measurement(*what, state=FAILED, note="it loses packets at every rate that was tried")
        rates = [end.rate for end in ends]
        limited = sum(end.sender_limited for end in ends) * 2 > len(ends)
        notes = [note for note in (self.receiver.note, _ALL_SENT if limited else "") if note]
        made = summarise(*what, samples, note="; ".join(notes))
        rate = statistics.median(rates)
        gbit = rate * int(self.size) * 8 / 1e9
        return replace(made, packets_per_second=rate, gbit_per_second=gbit, spread=spread(rates), repeats=len(ends))


def rates(place: Place, lab: Lab, options: Options, receivers: Sequence[Receiver], tell: Tell) -> Iterator[Measurement]:
    """Search the rates of every tool that takes everything, a repeat of each in turn.

    Raises:
        KeyboardInterrupt: after the records of those that had a repeat by then.
    """
    searched = [
        _Searched(receiver, size) for size in options.rates for receiver in receivers if receiver.targets is None
    ]
    interrupted = False
    try:
        _search_in_turn(searched, place, lab, options, tell)
    except KeyboardInterrupt:
        interrupted = True
    for case in LOSSES:
        yield from (one.record(case) for one in searched if not interrupted or one.ends[case])
    if interrupted:
        raise KeyboardInterrupt


def _search_in_turn(searched: Sequence[_Searched], place: Place, lab: Lab, options: Options, tell: Tell) -> None:
    for repeat in range(options.repeats):
        for one in searched:
            if one.receiver.capturing is None or one.trouble is not None:
                continue
            tell(f"live-lossless: {one.receiver.tool}, {one.size} bytes  [{repeat + 1}/{options.repeats}]")
            try:
                one.once(place, lab, options)
            except BenchmarkError as error:
                one.trouble = str(error)
