"""The peers, read from peers.toml."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.machine import version_of

OWN = Path(__file__).with_name("peers.toml")
Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another tool; peers.toml says what the members mean."""

    tool: str
    package: str
    program: str
    notes: str = ""
    file: Command = ()
    hosts: Command = ()
    live: Command = ()
    primary: Command = ()
    folders: Command = ()
    found: str = "*.pcap"
    converts: str = ""
    stop: str = "INT"
    ends: bool = True
    settle: float = 1.0
    hugepages: int = 0

    @property
    def installed(self) -> bool:
        """Whether its program is here."""
        return shutil.which(self.program) is not None

    @property
    def version(self) -> str | None:
        """Of its Debian package; None where it is not installed."""
        return version_of(self.package)


def filled(command: Command, **words: object) -> list[str]:
    """A command with its places filled in."""
    return [word.format(**words) for word in command]


def read(paths: Sequence[Path]) -> tuple[Peer, ...]:
    """The peers of all files.

    Raises:
        BenchmarkError: a file cannot be read, or an entry has a key that no peer has.
    """
    peers: list[Peer] = []
    for path in paths:
        try:
            entries: list[dict[str, Any]] = tomllib.loads(path.read_text())["peer"]
        except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
            raise BenchmarkError(f"{path}: {error}: it needs [[peer]] entries such as {OWN.name} has.") from error
        peers += [_peer(path, entry) for entry in entries]
    return tuple(peers)


def _peer(path: Path, entry: dict[str, Any]) -> Peer:
    unknown = entry.keys() - {member.name for member in fields(Peer)}
    missing = {"tool", "package", "program"} - entry.keys()
    if unknown or missing:
        told = f"{min(unknown)} is unknown" if unknown else f"{min(missing)} is missing"
        raise BenchmarkError(f"{path}: [[peer]] {entry.get('tool', '?')}: {told}; {OWN.name} says what there is.")
    words: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return Peer(**words)
