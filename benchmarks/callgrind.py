"""Instructions by lexical function, from the output of callgrind: what the compiler inlined stays with its source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

OPTIONS = ("--tool=callgrind", "--compress-strings=no", "--compress-pos=no")
_COST = re.compile(r"^(\d+) (\d+)$")
_SIGNATURE = re.compile(r"^[A-Za-z_].*?(\w+)\(")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where instructions were executed."""

    binary: str
    """The name of the program or library."""
    file: str
    """Its source, as the compiler was told it."""
    line: int


def read(path: Path, own: str) -> Counter[Spot]:
    """Instructions executed at each line, without those of functions called from there.

    What is inlined from a file without `own` in its path (the compiler's own headers) belongs to the function that it
    was inlined into, at line 0.
    """
    counts: Counter[Spot] = Counter()
    binary = file = around = ""
    of_call = False
    for line in path.read_text(errors="replace").splitlines():
        key, _, value = line.partition("=")
        if key == "ob":
            binary = Path(value).name
        elif key == "fl":
            file = around = value
        elif key in {"fi", "fe"}:
            file = value
        elif key == "calls":
            of_call = True
        elif cost := _COST.match(line):
            # The line behind a call has what the callee took, which the callee's own lines have, too.
            if not of_call:
                at = Spot(binary, file, int(cost[1])) if own in file else Spot(binary, around, 0)
                counts[at] += int(cost[2])
            of_call = False
    return counts


@cache
def functions(source: Path) -> dict[int, str]:
    """The function that each line of a C file in kernel style belongs to."""
    return {line: name for name, lines in _bodies(source) for line in lines}


def _bodies(source: Path) -> Iterator[tuple[str, range]]:
    name, began = "", 0
    inside = False
    for number, line in enumerate(source.read_text().splitlines(), 1):
        if line == "{" and name:
            inside = True
        elif line == "}" and inside:
            yield name, range(began, number + 1)
            name, inside = "", False
        elif not inside and (signature := _SIGNATURE.match(line)):
            name, began = signature[1], number
