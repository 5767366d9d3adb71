"""The stages of a packet's way through the engine, known by their sources."""

from __future__ import annotations

import re
from collections import Counter

from benchmarks.callgrind import Spot, functions
from benchmarks.place import ROOT

NATIVE = ROOT / "native"
SOURCES = "native/"
"""In the path of every source file of the project."""
REST = "rest"
LIBRARIES = "libraries"
"""Of C and of the compiler: their routines are chosen by the CPU, so that they are told and hold no bound."""
LIBPCAP = "libpcap"
"""Its filters and its files."""
_ENGINE = "capstan-engine"
_SEALING = re.compile("seal|free_block|statistics")
_BY_SOURCE = (
    ("driver burst", re.compile(r"drivers/")),
    ("targets", re.compile(r"targets/")),
    ("filter", re.compile(r"engine/filter\.")),
    ("sealing", re.compile(r"engine/(block|spsc)\.")),
    ("assembling", re.compile(r"engine/(worker|pcapng|packet_block|copy|comments)\.")),
    ("writer", re.compile(r"engine/(writer|sink_io|output|queue_stream|stream_file|target_streams)")),
)


def stage_of(spot: Spot) -> str:
    """The stage that an instruction belongs to."""
    if spot.binary.startswith(LIBPCAP):
        return LIBPCAP
    if spot.binary != _ENGINE:
        return LIBRARIES
    _, _, inside = spot.file.rpartition(SOURCES)
    source = NATIVE / inside
    for stage, pattern in _BY_SOURCE:
        if pattern.match(inside):
            named = functions(source).get(spot.line, "") if source.exists() else ""
            return "sealing" if stage == "assembling" and _SEALING.search(named) else stage
    return REST


def by_stage(counts: Counter[Spot]) -> Counter[str]:
    """Instructions of each stage."""
    sums: Counter[str] = Counter()
    for spot, count in counts.items():
        sums[stage_of(spot)] += count
    return sums
