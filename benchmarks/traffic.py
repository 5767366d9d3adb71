"""Numbered frames: made, sent and found again by capstan-gen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.process import output_of

FLOWS = 65_536
"""Source addresses from 198.18.0.0 on, as many as the hosts of that prefix: no tool lives from its caches alone."""
IMIX = (64, 570, 64, 64, 570, 64, 1514, 64, 570, 64, 570, 64)
"""What capstan-gen calls imix."""


def mean_bytes(packet_size: str) -> float:
    """Of a frame, over the mix."""
    return sum(IMIX) / len(IMIX) if packet_size == "imix" else float(packet_size)


@dataclass(frozen=True, slots=True)
class Sent:
    """What was offered to the link."""

    frames: int
    refused: int
    """By the link, whose receiving end was too slow to empty its ring: as lost as in a NIC's."""
    seconds: float

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a tool's output."""

    frames: int
    """Different numbers of the stream."""
    damaged: int


@dataclass(frozen=True, slots=True)
class Generator:
    """capstan-gen."""

    program: Path
    core: int

    def write(self, path: Path, count: int, packet_size: str) -> Path:
        """A file of numbered frames."""
        shape = ["--size", packet_size, "--flows", FLOWS, "--rate", 1_000_000, "--count", count, "--json"]
        output_of([self.program, "write", path, *shape], seconds=600)
        return path

    def send(self, netns: str, interface: str, count: int, rate: int, packet_size: str) -> Sent:
        """Send paced frames from the sender's core to the end.

        Raises:
            BenchmarkError: the link was disturbed by other traffic, or cannot be used.
        """
        link = ["--netns", netns, "--interface", interface, "--method", "af_packet"]
        shape = ["--size", packet_size, "--flows", FLOWS, "--stream", 1, "--count", count, "--rate", rate, "--json"]
        answer = json.loads(output_of(["taskset", "-c", self.core, self.program, "send", *link, *shape], seconds=120))
        if answer["disturbed"]:
            raise BenchmarkError(f"Others sent on {interface} meanwhile.")
        return Sent(answer["frames"], answer["refused"], answer["seconds"])

    def check(self, files: Iterable[Path], count: int) -> Found:
        """Look for the frames of a stream in files of any format that capstan-gen reads."""
        wanted = ["--first", 0, "--count", count, "--stream", 1, "--json"]
        paths = [path for path in sorted(files) if path.stat().st_size > 0]
        if not paths:
            return Found(0, 0)
        words = output_of([self.program, "check", *paths, *wanted], seconds=300, allowed=(0, 1))
        answer: dict[str, Any] = json.loads(words)
        if answer["unreadable"]:
            raise BenchmarkError(f"the output cannot be read: {answer['unreadable'][0]['why']}")
        streams = [stream["distinct"] for stream in answer["streams"] if stream["stream"] == 1]
        return Found(sum(streams), answer["damaged"])
