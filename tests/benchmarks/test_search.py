"""The search for the highest rate, over tools whose capacity is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from benchmarks.live_case import Trial
from benchmarks.search import LEAST_RATE, RESOLUTION, highest
from benchmarks.traffic import Sent

MOST = 4_000_000


def tool(capacity: float, sender: float = MOST) -> Callable[[int], Trial]:
    """What is above its capacity it loses; the sender gives no more than it can."""

    def attempt(asked: int) -> Trial:
        rate = min(asked, sender)
        found = int(min(1.0, capacity / rate) * 100_000)
        return Trial(Sent(100_000, 0, 100_000 / rate), 0.1, 0.1, 100_000, found)

    return attempt


@pytest.mark.parametrize("capacity", [15_000, 170_000, 760_000, 3_900_000])
@pytest.mark.parametrize("around", [None, 20_000.0, 160_000.0, 3_000_000.0])
def test_it_comes_as_near_as_its_resolution(capacity: float, around: float | None) -> None:
    best = highest(tool(capacity), MOST, 0.0, around)
    assert not best.sender_limited
    assert best.rate <= capacity
    if around is None or around / 1.4 < capacity < around * 1.4:
        assert best.rate * RESOLUTION**2 >= capacity


def test_some_loss_may_be_allowed() -> None:
    strict = highest(tool(500_000), MOST, 0.0).rate
    lax = highest(tool(500_000), MOST, 0.2).rate
    assert strict <= 500_000 < lax <= 500_000 / 0.8 * 1.001


def test_a_tool_that_takes_all_that_is_sent_is_told() -> None:
    best = highest(tool(MOST, sender=900_000), MOST, 0.0)
    assert best.sender_limited
    assert best.rate == pytest.approx(900_000)


def test_a_tool_that_always_loses_reaches_nothing() -> None:
    best = highest(tool(LEAST_RATE / 2), MOST, 0.0)
    assert (best.rate, best.trial) == (0.0, None)


def test_an_earlier_end_that_was_too_high_does_not_mislead() -> None:
    assert highest(tool(50_000), MOST, 0.0, around=2_000_000).rate == pytest.approx(50_000, rel=0.1)
