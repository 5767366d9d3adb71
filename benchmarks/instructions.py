"""Case (d): instructions a packet by stage, and the gate that holds them.

Callgrind counts exactly: for one binary the same packets take the same instructions, however busy the machine is. Each
scenario runs twice, with few packets and with many, and the difference is taken: what start and end cost is in neither.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import callgrind
from benchmarks.engine import Job, run_to_end
from benchmarks.errors import BenchmarkError
from benchmarks.machine import compiler
from benchmarks.place import Place
from benchmarks.records import Measurement
from benchmarks.stages import LIBRARIES, SOURCES, by_stage
from benchmarks.targets import hosts, write_targets
from benchmarks.traffic import FLOWS, Generator

CASE = "instructions"
BOUNDS = Path(__file__).with_name("instructions.json")
ALLOWED = 1.05
SLACK = 0.3
"""Instructions a packet: what a thread does by the clock, and not by the packet, is below this."""
_FEW, _MANY = 16_384, 671_744
"""So many that what start and end cost differently in two runs is nothing beside them: the tables of targets are built
with another secret each time."""
_TARGETS = 2000
_BUFFERS = {"blocks_per_queue": 8, "hugepages": "off"}
_FILTER_HOST = next(hosts(1))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A way through the engine whose stages are counted."""

    name: str
    size: int
    to_file: bool = False
    from_file: bool = False
    filter: str | None = None
    targets: int | None = None


SCENARIOS = (
    Scenario("capture-all", 64),
    Scenario("capture-all", 1514),
    Scenario("into a file", 64, to_file=True),
    Scenario("from a file", 64, from_file=True),
    Scenario("filter", 64, filter=f"host {_FILTER_HOST}"),
    Scenario("targets", 64, targets=_TARGETS),
)

Counts = dict[str, dict[str, float]]
"""Instructions a packet, by scenario and stage."""


def measure(place: Place, tell: Callable[[str], None]) -> Counts:
    """Count all scenarios."""
    counts: Counts = {}
    for scenario in SCENARIOS:
        name = f"{scenario.name}, {scenario.size} bytes"
        tell(f"instructions: {name}")
        few, many = (_count(place, scenario, packets) for packets in (_FEW, _MANY))
        counts[name] = {stage: round((many[stage] - few[stage]) / (_MANY - _FEW), 2) for stage in sorted(many)}
    return counts


def _count(place: Place, scenario: Scenario, packets: int) -> Counter[str]:
    with place.output() as folder:
        out = folder / "callgrind"
        options: dict[str, Any] = {
            "generate": {"packets": packets, "size": scenario.size, "flows": FLOWS, "distinct": _FEW}
        }
        if scenario.from_file:
            generator = Generator(place.generator, place.sender_core)
            options = {"file": str(generator.write(folder / "in.pcap", packets, str(scenario.size)))}
        job = Job(
            {"interface": "count", "method": "replay", "options": options},
            (place.receiver_core,),
            output=folder if scenario.to_file else None,
            targets=write_targets(folder / "targets.json", scenario.targets) if scenario.targets else None,
            filter=scenario.filter,
            # Valgrind knows no io_uring.
            io="pwrite",
            buffers=_BUFFERS,
        )
        valgrind = ["valgrind", *callgrind.OPTIONS, f"--callgrind-out-file={out}"]
        done = run_to_end(place.engine, job, folder, valgrind)
        if done.balance.wire != packets or done.balance.dropped:
            raise BenchmarkError(f"{packets} packets were to come through, the ledger says {done.balance}")
        return by_stage(callgrind.read(out, SOURCES))


def records(counts: Counts) -> Iterator[Measurement]:
    """The counts as records of a run."""
    for scenario, stages in counts.items():
        name, _, size = scenario.partition(", ")
        for stage, count in stages.items():
            note = "not held: chosen by the CPU" if stage == LIBRARIES else ""
            yield Measurement(
                CASE,
                f"capstan {name}: {stage}",
                size.removesuffix(" bytes"),
                packets=_MANY - _FEW,
                repeats=1,
                instructions_per_packet=count,
                note=note,
            )


def record(counts: Counts) -> None:
    """Keep the counts as the bounds."""
    held = {scenario: _held(stages) for scenario, stages in counts.items()}
    BOUNDS.write_text(json.dumps({"compiler": compiler(), "bounds": held}, indent=1) + "\n")


def _held(stages: Mapping[str, float]) -> dict[str, float]:
    return {stage: count for stage, count in stages.items() if stage != LIBRARIES}


def compare(counts: Counts, recorded: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What is above its bound, and what is so far below that the bound should follow: a sentence each."""
    worse, better = [], []
    bounds: Counts = recorded["bounds"]
    for scenario in counts.keys() | bounds.keys():
        if scenario not in counts or scenario not in bounds:
            worse.append(f"{scenario}: is not {'recorded' if scenario in counts else 'measured'}")
            continue
        stages = _held(counts[scenario])
        for stage in sorted(stages.keys() | bounds[scenario].keys()):
            now, bound = stages.get(stage, 0.0), bounds[scenario].get(stage, 0.0)
            words = f"{scenario}: {stage}: {now:.2f} instructions a packet, the bound is {bound:.2f}"
            if now > bound * ALLOWED + SLACK:
                worse.append(words)
            elif now < bound / ALLOWED - SLACK:
                better.append(words)
    return sorted(worse), sorted(better)
