"""Sizes in bytes, as an operator writes them and as a person reads them."""

from __future__ import annotations

import re
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40

_UNITS: Final = {"": 1, "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB}
SIZE_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*([KMGT]iB|B)?\s*$"
_SIZE = re.compile(r"^\s*(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[A-Za-z]*)\s*$")


def parse_size(value: object) -> int:
    """Read a size: an int of bytes, or text such as "64MiB".

    Units are binary and spelt out; "64M" and "64MB" are refused because people disagree on what they mean.

    Raises:
        ValueError: with a sentence that says what to write instead.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"is {value!r}; write a size such as 64MiB, 1GiB or a whole number of bytes")
    number, unit = match["number"], match["unit"]
    if unit not in _UNITS:
        binary = f"{unit[:1].upper()}iB"
        suggestion = f"{number}{binary}" if binary in _UNITS else "a unit of KiB, MiB, GiB or TiB"
        raise ValueError(f"is {value!r}, whose unit {unit!r} is not known here; write {suggestion}")
    size = float(number) * _UNITS[unit]
    if size != int(size):
        raise ValueError(f"is {value!r}, which is not a whole number of bytes; write a size such as 64MiB")
    return int(size)


def format_size(size: float) -> str:
    """Write a size with the largest binary unit that keeps it at 1 or more: 1536 -> "1.5 KiB"."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if abs(size) >= _UNITS[unit]:
            scaled = size / _UNITS[unit]
            return f"{scaled:.3g} {unit}" if abs(scaled) < 999.5 else f"{scaled:.0f} {unit}"  # noqa: PLR2004 - 3 digits
    return f"{size:.0f} B"


def format_count(count: float) -> str:
    """Write a count with thin groups of three digits, as rates and packets read best: 1234567 -> "1 234 567"."""
    return f"{count:,.0f}".replace(",", " ")


def per_second(before: int, now: int, seconds: float) -> float:
    """Rate of a counter between two looks at it."""
    return (now - before) / seconds if seconds > 0 else 0.0
