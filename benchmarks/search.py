"""The highest rate at which a tool loses no more than it may: a binary search as in RFC 2544, over paced senders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.live_case import Trial

RESOLUTION = 1.05
"""Two rates that differ by less are one."""
LEAST_RATE = 10_000
_HELD_UP = 0.95
"""A sender that comes to less than this of what was asked is at its own end."""
_AROUND = 1.4


@dataclass(frozen=True, slots=True)
class Best:
    """The outcome of one search."""

    rate: float
    trial: Trial | None
    """The one that reached it; None: not even the least rate was free of loss."""
    sender_limited: bool
    """The tool takes all that the sender gives."""


def highest(attempt: Callable[[int], Trial], most: int, allowed: float, around: float | None = None) -> Best:
    """Search between the least rate and `most`; `around` is where an earlier search ended."""
    low, high = float(LEAST_RATE), float(most)
    best = Best(0.0, None, sender_limited=False)
    if around is not None and around > LEAST_RATE:
        low, high = max(low, around / _AROUND), min(high, around * _AROUND)
    while high / low > RESOLUTION:
        middle = (low * high) ** 0.5
        trial = attempt(int(middle))
        if trial.lost_share > allowed:
            high = min(middle, trial.sent.rate)
            continue
        if trial.sent.rate > best.rate:
            limited = trial.sent.rate < middle * _HELD_UP
            best = Best(trial.sent.rate, trial, limited)
        if trial.sent.rate < middle * _HELD_UP:
            break
        low = middle
    if best.trial is None and around is not None:
        return highest(attempt, most, allowed)
    return best
