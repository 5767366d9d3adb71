"""Targets: whose packets are to be captured. What one can say, and how lists of them are read.

The engine is the authority: it reads each change again, by the same rules. They are held together by a test.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationError, model_validator

from capstan import config_problems as problems
from capstan.config_fields import Settings
from capstan.errors import UsageError
from capstan.target_fields import (
    WITH_PORTS,
    Direction,
    Macs,
    Note,
    Ports,
    Prefixes,
    Protocol,
    Start,
    TargetId,
    Time,
    Vlans,
    nanoseconds,
)

MAX_TARGETS: Final = 262_144
MAX_TERMS: Final = 1_048_576
ORIGINS: Final = ("runtime", "inventory")
_KINDS: Final = ("prefixes", "ports", "macs", "vlans", "inner_vlans")
_SENTENCES_SHOWN: Final = 20


class TargetError(UsageError):
    """Targets that are written wrongly; str() is a sentence a line."""


class Target(Settings):
    """An endpoint. A packet is its when all that is named here holds for one side of the packet."""

    id: TargetId
    """UUID of the target; each packet that is stored for it says so."""
    prefixes: Prefixes = None
    """Addresses and networks, IPv4 and IPv6, such as ["192.0.2.1", "2001:db8::/48"]."""
    protocol: Protocol = None
    """Protocol, by its name or number; null is any."""
    ports: Ports = None
    """Ports and ranges of them, of the same side as the address, such as ["443", "1024-2047"]."""
    vlans: Vlans = None
    """VLAN ids of the outer tag, such as [100]."""
    inner_vlans: Vlans = None
    """VLAN ids of the second tag."""
    macs: Macs = None
    """MAC addresses, in quotes, of the same side."""
    direction: Direction = "both"
    """Which of its packets: those that it sends (from), those that it gets (to), or both."""
    start: Start = None
    """When it begins, such as 2026-12-01T00:00:00Z; null is long ago."""
    end: Time = None
    """When it ends: packets of this very moment are no longer its; null is never."""
    note: Note = None
    """For people, such as the order's reference."""

    @model_validator(mode="after")
    def _whole(self) -> Target:
        if not any(getattr(self, kind) for kind in _KINDS):
            raise ValueError(
                "names nothing that a packet could be told by; write prefixes, ports, macs, vlans or inner_vlans"
            )
        if self.ports and self.protocol is not None and self.protocol not in WITH_PORTS:
            raise ValueError(
                f"has ports, which belong to {problems.one_of(WITH_PORTS)}; "
                "remove them, or write one of these as protocol"
            )
        if self.end is not None and nanoseconds(self.end) <= (nanoseconds(self.start) if self.start else 0):
            raise ValueError("has an end that is not behind its start; write a later end, or an earlier start")
        return self

    def as_json(self) -> dict[str, Any]:
        """As the engine reads it: what is not said is left out."""
        written = self.model_dump(mode="json", exclude_none=True)
        if self.direction == "both":
            del written["direction"]
        return written

    @property
    def terms(self) -> int:
        """Prefixes, ports, addresses and VLAN ids together."""
        return sum(len(getattr(self, kind) or ()) for kind in _KINDS)


_LIST: Final = TypeAdapter(tuple[Target, ...])


def _entries(value: object) -> object:
    if value is not None and not isinstance(value, list | tuple):
        raise ValueError("is no list; write one such as [{id: UUID, prefixes: [...]}], or null to capture everything")
    return [_without_origin(entry) for entry in value] if value is not None else None


def _judged(targets: tuple[Target, ...] | None) -> tuple[Target, ...] | None:
    check_list(targets or ())
    return targets


TargetList = Annotated[tuple[Target, ...] | None, BeforeValidator(_entries), AfterValidator(_judged)]


def check_list(targets: Sequence[Target]) -> None:
    """Judge a list as a whole: ids that come twice, and more than the engine takes.

    Raises:
        ValueError: with what is wrong and what to write.

    """
    if len(targets) > MAX_TARGETS:
        raise ValueError(f"holds {len(targets)} targets; write {MAX_TARGETS} at most, or join their prefixes")
    if sum(target.terms for target in targets) > MAX_TERMS:
        raise ValueError(f"has more than {MAX_TERMS} prefixes, ports, MAC addresses and VLAN ids together; remove some")
    seen: set[str] = set()
    for target in targets:
        if target.id in seen:
            raise ValueError(f"has the id {target.id} twice; give each target an id of its own")
        seen.add(target.id)


def parse(raw: object, where: str) -> tuple[Target, ...]:
    """Targets out of plain values: a list of them, or a mapping with the key `targets`.

    Args:
        raw: the values.
        where: begins each sentence, such as the file.

    Raises:
        TargetError: with a sentence for each mistake.

    """
    if isinstance(raw, Mapping) and "targets" in raw and not raw.keys() - {"targets", "version", "serial"}:
        raw = raw["targets"]
    if not isinstance(raw, list | tuple):
        raise TargetError(f"{where}: holds no list of targets; write one such as [{{id: UUID, prefixes: [...]}}]")
    if len(raw) > MAX_TARGETS:
        raise TargetError(f"{where}: holds {len(raw)} targets; write {MAX_TARGETS} at most, or join their prefixes")
    try:
        targets = _LIST.validate_python([_without_origin(entry) for entry in raw])
        check_list(targets)
    except ValidationError as error:
        told = [f"{where}: targets{sentence}" for sentence in problems.sentences(error, Target)]
        more = [f"{where}: and {len(told) - _SENTENCES_SHOWN} more"] if len(told) > _SENTENCES_SHOWN else []
        raise TargetError("\n".join(told[:_SENTENCES_SHOWN] + more)) from None
    except ValueError as error:
        raise TargetError(f"{where}: {error}") from None
    return targets


def _without_origin(entry: object) -> object:
    """What `capstan targets list --json` and targets.json say beside what a target is."""
    return {key: value for key, value in entry.items() if key != "origin"} if isinstance(entry, Mapping) else entry


def read_text(text: str, where: str) -> tuple[Target, ...]:
    """Targets out of JSON or YAML; see parse."""
    return parse(plain_values(text, where), where)


def plain_values(text: str, where: str) -> object:
    """JSON, which is read fast, or YAML; a key that is written twice is an error in both.

    Raises:
        TargetError: it is neither.

    """
    if text.lstrip()[:1] in {"[", "{"}:
        try:
            return json.loads(text, object_pairs_hook=_each_key_once)
        except json.JSONDecodeError:
            pass  # YAML in flow style begins so, too
        except ValueError as error:
            raise TargetError(f"{where}: {error}") from None
    try:
        return problems.read_yaml(text)
    except yaml.YAMLError as error:
        raise TargetError(f"{where}: {problems.yaml_sentence(error)}") from None


def _each_key_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is written twice; keep one of the two")
        found[key] = value
    return found


def read_file(path: Path) -> tuple[Target, ...]:
    """Targets of a file; see parse.

    Raises:
        TargetError: with a sentence for each mistake, or the one that kept it from being read.

    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise TargetError(f"{path}: cannot be read ({reason}).") from None
    return read_text(text, str(path))


def is_active(target: Mapping[str, Any], now: datetime) -> bool:
    """Whether a target, as targets.json has it, counts at a time."""
    at = int(now.timestamp() * 1_000_000) * 1000
    start = nanoseconds(target["start"]) if target.get("start") else 0
    return start <= at and (not target.get("end") or at < nanoseconds(target["end"]))
