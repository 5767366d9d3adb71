"""The gate of the instructions, and how callgrind's output is read."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import callgrind
from benchmarks.callgrind import Spot
from benchmarks.instructions import BOUNDS, SCENARIOS, compare
from benchmarks.stages import LIBPCAP, LIBRARIES, NATIVE, REST, SOURCES, by_stage, stage_of

OUTPUT = """\
version: 1
events: Ir

ob=/x/engine/capstan-engine
fl=/x/build/../native/engine/worker.c
fn=run
10 5
fi=/x/build/../native/engine/pcapng.h
20 7
fe=/x/build/../native/engine/worker.c
11 1
fi=/usr/lib/gcc/emmintrin.h
99 4
fe=/x/build/../native/engine/worker.c
cob=/lib/libc.so.6
cfi=string.S
cfn=memcpy
calls=3 0
12 900
13 2

ob=/lib/libc.so.6
fl=string.S
fn=memcpy
0 900
"""
SOURCE = """\
#include <x.h>

static int first(int a)
{
    return a;
}

struct s {
    int member;
};

int second(struct s *s,
           int b)
{
    if (b) {
        b++;
    }
    return first(b);
}
"""


def test_a_line_has_its_own_instructions_and_not_those_of_what_it_calls(tmp_path: Path) -> None:
    (tmp_path / "out").write_text(OUTPUT)
    counts = callgrind.read(tmp_path / "out", SOURCES)
    worker, header = "/x/build/../native/engine/worker.c", "/x/build/../native/engine/pcapng.h"
    assert counts == {
        Spot("capstan-engine", worker, 10): 5,
        Spot("capstan-engine", header, 20): 7,
        Spot("capstan-engine", worker, 11): 1,
        Spot("capstan-engine", worker, 0): 4,
        Spot("capstan-engine", worker, 13): 2,
        Spot("libc.so.6", "string.S", 0): 900,
    }
    assert by_stage(counts) == {"assembling": 19, LIBRARIES: 900}


def test_a_line_belongs_to_the_function_around_it(tmp_path: Path) -> None:
    (tmp_path / "x.c").write_text(SOURCE)
    lines = callgrind.functions(tmp_path / "x.c")
    assert [lines.get(number) for number in (3, 5, 6, 8, 12, 15, 19)] == [
        *["first"] * 3,
        None,
        *["second"] * 3,
    ]


def test_what_seals_a_block_is_a_stage_of_its_own() -> None:
    source = NATIVE / "engine" / "worker.c"
    (line,) = [number for number, name in callgrind.functions(source).items() if name == "seal"][:1]
    assert stage_of(Spot("capstan-engine", str(source), line)) == "sealing"


def test_stages_are_known_by_their_sources() -> None:
    def stage(binary: str, inside: str) -> str:
        return stage_of(Spot(binary, f"/x/native/{inside}", 1))

    assert stage("capstan-engine", "drivers/replay.c") == "driver burst"
    assert stage("capstan-engine", "targets/match.c") == "targets"
    assert stage("capstan-engine", "engine/status.c") == REST
    assert stage("libpcap.so.1.10.3", "engine/filter.c") == LIBPCAP


def test_more_than_five_percent_above_its_bound_fails() -> None:
    bounds = {"compiler": "", "bounds": {"s": {"burst": 100.0, "idle": 0.01}}}
    assert compare({"s": {"burst": 105.2, "idle": 0.3, LIBRARIES: 9.0}}, bounds) == ([], [])
    (sentence,), better = compare({"s": {"burst": 105.4, "idle": 0.0}}, bounds)
    assert "burst" in sentence and "105.40" in sentence and "100.00" in sentence
    assert better == []


def test_less_is_told_and_fails_nothing() -> None:
    worse, (sentence,) = compare({"s": {"burst": 90.0}}, {"bounds": {"s": {"burst": 100.0}}})
    assert worse == [] and "burst" in sentence


def test_a_stage_or_scenario_without_a_bound_fails() -> None:
    bounds = {"bounds": {"s": {"burst": 100.0}, "gone": {}}}
    worse, _ = compare({"s": {"burst": 100.0, "new": 5.0}, "other": {}}, bounds)
    assert len(worse) == 3


def test_bounds_are_recorded_for_every_scenario() -> None:
    recorded = json.loads(BOUNDS.read_text())["bounds"]
    assert recorded.keys() == {f"{scenario.name}, {scenario.size} bytes" for scenario in SCENARIOS}
    assert all(LIBRARIES not in stages and stages["driver burst"] > 1 for stages in recorded.values())
