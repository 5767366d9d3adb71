"""One field of the ledger's records, as `capstan-engine --ledger-layout` describes it."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

_SCALARS = {"u64": "=Q", "u32": "=I", "i32": "=i"}


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
    def is_known(self) -> bool:
        """Whether values of its type can be read here."""
        return self.type in _SCALARS or re.fullmatch(r"char\[\d+\]", self.type) is not None

    def read(self, memory: mmap.mmap, base: int) -> int | str:
        """The value, in a record that begins at `base`."""
        if code := _SCALARS.get(self.type):
            value: int = struct.unpack_from(code, memory, base + self.offset)[0]
            return value
        length = int(self.type.removeprefix("char[").removesuffix("]"))
        start = base + self.offset
        return memory[start : start + length].split(b"\0", 1)[0].decode(errors="replace")
