"""benchmarks/instructions: holds the instructions a packet to what was recorded, or records them anew."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.instructions import ALLOWED, BOUNDS, Counts, compare, measure, record
from benchmarks.machine import compiler
from benchmarks.place import ROOT, workplace

_COLUMN = 14


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/instructions",
        description=f"Count instructions a packet under callgrind; fail above {ALLOWED - 1:.0%} more than recorded.",
    )
    parser.add_argument("--record", action="store_true", help="make what is counted now the bounds")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "instructions", help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    try:
        with workplace(arguments.build.resolve()) as place:
            counts = measure(place, lambda _: None)
    except BenchmarkError as error:
        print(f"benchmarks/instructions: {error}", file=sys.stderr)
        return 1
    _show(counts)
    if arguments.record:
        record(counts)
        return 0
    return _judge(counts)


def _show(counts: Counts) -> None:
    for scenario, stages in counts.items():
        print(scenario)
        for stage, count in stages.items():
            print(f"  {stage:{_COLUMN}} {count:10.2f}")


def _judge(counts: Counts) -> int:
    recorded = json.loads(BOUNDS.read_text())
    worse, better = compare(counts, recorded)
    for sentence in better:
        print(f"less than recorded: {sentence}: `benchmarks/instructions --record` keeps the gain")
    for sentence in worse:
        print(f"MORE THAN RECORDED: {sentence}", file=sys.stderr)
    if worse and recorded["compiler"] != compiler():
        print(f"The bounds are {recorded['compiler']}'s, this is {compiler()}.", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    raise SystemExit(main())
