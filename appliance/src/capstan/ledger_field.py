"""The ledger's records and their fields, as `capstan-engine --ledger-layout` describes them."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

_SCALARS = {"u64": "Q", "u32": "I", "i32": "i"}


@dataclass(frozen=True, slots=True)
class Field:
    """Where a value is, and what it means."""

    name: str
    offset: int
    type: str
    role: str = "info"
    stage: str | None = None
    unit: str | None = None
    meaning: str = ""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Take what is needed of a description; the engine may say more."""
        known = {key: raw[key] for key in ("name", "offset", "type", "role", "stage", "unit", "meaning") if key in raw}
        return cls(**known)

    @property
    def code(self) -> str | None:
        """Its type as the module struct writes it; None for one that cannot be read here."""
        text = re.fullmatch(r"char\[(\d+)\]", self.type)
        return f"{text[1]}s" if text is not None else _SCALARS.get(self.type)


@dataclass(frozen=True)
class Record:
    """The fields of one kind of record, which are read all at once."""

    fields: tuple[Field, ...]
    """By their place."""

    @classmethod
    def parse(cls, raw: Iterable[Mapping[str, Any]]) -> Self:
        """Take a list of fields out of the engine's description."""
        return cls(tuple(sorted((Field.parse(entry) for entry in raw), key=lambda entry: entry.offset)))

    @cached_property
    def _struct(self) -> struct.Struct:
        code = "@"  # as the machine has them: a counter that is written meanwhile is then read whole
        for entry in self.fields:
            code += f"{entry.offset - struct.calcsize(code)}x{entry.code}"
        return struct.Struct(code)

    def read(self, memory: mmap.mmap, base: int) -> dict[str, int | str]:
        """The values by name, of the record that begins at `base`."""
        values = self._struct.unpack_from(memory, base)
        return {entry.name: _plain(value) for entry, value in zip(self.fields, values, strict=True)}


def _plain(value: int | bytes) -> int | str:
    return value if isinstance(value, int) else value.split(b"\0", 1)[0].decode(errors="replace")
