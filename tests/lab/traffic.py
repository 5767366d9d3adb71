"""Numbered traffic: what is sent, and what of it is found again in files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import programs

GENTLE = 40_000
"""Frames a second that every method takes on a machine that is busy with other things, too."""


@dataclass(frozen=True)
class Shape:
    """What the frames of a stream look like, in the words of capstan-gen."""

    name: str
    size: str = "64"
    shape: str = "udp4"
    vlan: str | None = None
    flows: int = 1

    @property
    def words(self) -> tuple[str, ...]:
        """Options of capstan-gen."""
        tags = ("--vlan", self.vlan) if self.vlan else ()
        return ("--size", self.size, "--shape", self.shape, "--flows", str(self.flows), *tags)


SMALL = Shape("64 bytes")
LARGE = Shape("1514 bytes", size="1514")


@dataclass(frozen=True)
class Sent:
    """What capstan-gen offered to a link, and what the link's own counters say that it took."""

    frames: int
    accepted: int
    refused: int
    first: int
    stream: int

    @classmethod
    def parse(cls, answer: dict[str, Any]) -> Sent:
        """Read the answer of `capstan-gen send`."""
        assert not answer["disturbed"], answer
        return cls(**{key: answer[key] for key in ("frames", "accepted", "refused", "first", "stream")})


@dataclass(frozen=True)
class Found:
    """What capstan-gen found of a stream in files."""

    frames: int
    numbered: int
    distinct: int
    missing: int
    doubled: int
    out_of_order: int
    damaged: int
    cut: int
    foreign: int
    complete: bool
    unreadable: list[dict[str, str]]


def check(files: Iterable[Path], count: int, *, stream: int = 1, first: int = 0) -> Found:
    """Look for the numbers from `first` on in files; frames of other streams are foreign."""
    paths = sorted(files)
    assert paths, "no file to look into"
    answer = programs.generate("check", *paths, "--first", first, "--count", count, "--stream", stream)
    return Found(**{key: answer[key] for key in Found.__dataclass_fields__})


def assert_all_there(files: Iterable[Path], sent: Sent, *, in_order: bool = True) -> None:
    """Every frame sent was taken by the link and stands in the files once, whole."""
    assert sent.accepted == sent.frames, sent
    found = check(files, sent.frames, stream=sent.stream, first=sent.first)
    assert found.complete and found.distinct == found.numbered == sent.frames, found
    assert found.damaged == found.cut == 0, found
    assert not in_order or found.out_of_order == 0, found


def assert_undamaged(files: Iterable[Path], sent: Sent, delivered: int) -> None:
    """Exactly as many frames as the ledger says stand in the files: once, whole and in order."""
    found = check(files, sent.frames, stream=sent.stream, first=sent.first)
    assert found.numbered == found.distinct == delivered, (found, delivered)
    assert found.damaged == found.cut == found.out_of_order == found.foreign == 0, found
