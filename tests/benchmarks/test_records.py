"""Medians, spreads, and what is kept of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.errors import BenchmarkError
from benchmarks.interleave import Contestant, interleave
from benchmarks.process import Spent
from benchmarks.records import ABSENT, FAILED, Measurement, Run, Sample, summarise


def _sample(cpu: float, seconds: float = 2.0, lost: int = 0) -> Sample:
    return Sample(1000, seconds, cpu, lost=lost, bytes=64_000)


def test_figures_are_medians_without_the_start() -> None:
    samples = [_sample(0.5, 3.0), _sample(0.3, 2.0, lost=7), _sample(9.0, 9.0)]
    starts = [Spent(1.0, 0.1, 0), Spent(1.0, 0.1, 0), Spent(5.0, 0.2, 0)]
    made = summarise("case", "tool", "64", samples, starts)
    assert made.cpu_ns_per_packet == pytest.approx(400_000)
    assert made.packets_per_second == pytest.approx(500)
    assert made.gbit_per_second == pytest.approx(64_000 * 8 / 2.0 / 1e9)
    assert made.start_seconds == pytest.approx(0.1)
    assert made.spread == pytest.approx((8.9 - 0.2) / 0.4)
    assert (made.lost, made.lossy_repeats, made.repeats) == (7, 1, 3)


def test_packets_that_the_start_hides_have_no_figures() -> None:
    made = summarise("case", "tool", "64", [_sample(0.1, 1.0)], [Spent(1.0, 0.2, 0)])
    assert made.packets_per_second is made.cpu_ns_per_packet is made.spread is None
    assert made.lost == 0
    made = summarise("case", "tool", "64", [_sample(0.3, 1.0)], [Spent(1.0, 0.2, 0)])
    assert made.packets_per_second is None and made.cpu_ns_per_packet == pytest.approx(100_000)


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = Measurement("case", "tool", "imix", targets=5, cpu_ns_per_packet=1.5, note="words")
    run = Run({"cpu": "one"}, "abc", "2026-01-01T00:00:00+00:00", 1.0, False, {"tool": "1"}, (record,))
    run.write(tmp_path / "run.json")
    assert Run.read(tmp_path / "run.json") == run


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 9}', '{"version": 1, "measurements": [{"no": 1}]}'])
def test_what_is_no_run_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(BenchmarkError, match=r"run\.json"):
        Run.read(tmp_path / "run.json")


def test_tools_take_turns_and_one_that_fails_is_told() -> None:
    order: list[str] = []

    def once(name: str) -> Sample:
        order.append(name)
        if name == "bad":
            raise BenchmarkError("it broke")
        return _sample(1.0)

    tools = [
        Contestant("case", "a", "64", lambda: once("a")),
        Contestant("case", "bad", "64", lambda: once("bad")),
        Contestant("case", "b", "64", lambda: once("b"), most_repeats=2),
        Contestant("case", "gone", "64", None),
    ]
    records = list(interleave(tools, 3, lambda _: None))
    assert order == ["a", "bad", "b", "a", "b", "a"]
    assert [record.repeats for record in records] == [3, 0, 2, 0]
    assert [(record.state, record.note) for record in records[1::2]] == [(FAILED, "it broke"), (ABSENT, "")]


def test_a_record_has_what_readers_look_for(tmp_path: Path) -> None:
    run = Run({}, "", "", 0.0, False, {}, (Measurement("case", "tool", "64"),))
    run.write(tmp_path / "run.json")
    (record,) = json.loads((tmp_path / "run.json").read_text())["measurements"]
    wanted = {"case", "tool", "packet_size", "packets_per_second", "cpu_ns_per_packet", "lost", "repeats", "spread"}
    assert wanted <= record.keys()


def test_an_interrupt_keeps_what_was_measured() -> None:
    def interrupted() -> Sample:
        raise KeyboardInterrupt

    tools = [
        Contestant("case", "a", "64", lambda: _sample(1.0)),
        Contestant("case", "b", "64", interrupted),
        Contestant("case", "c", "64", lambda: _sample(1.0)),
    ]
    records = interleave(tools, 2, lambda _: None)
    assert next(records).tool == "a"
    with pytest.raises(KeyboardInterrupt):
        next(records)
