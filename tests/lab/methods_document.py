"""The tables of the methods in docs/choosing-a-method.md, made of what the engine says: run it with --write."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from methods import told

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / "docs/choosing-a-method.md"
_TABLE = re.compile(r"(<!-- methods: begin -->\n)(.*?)(<!-- methods: end -->)", re.DOTALL)

Row = tuple[str, ...]


def _yes(does: bool) -> str:
    return "yes" if does else "-"


def _code(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words) or "-"


def _table(head: Row, rows: Sequence[Row]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def abilities(methods: dict[str, dict[str, Any]]) -> str:
    """What each mode of each method can do."""
    head = (
        *("method", "mode", "asked for by", "filter in the kernel", "targets in the kernel"),
        *("zero-copy", "NIC's time", "queues", "time stamps"),
    )
    rows = [
        (
            f"`{name}`",
            mode["name"],
            mode["asked_by"],
            _yes(mode["kernel_filter"]),
            _yes(method["kernel_targets"]),
            _yes(mode["zero_copy"]),
            _yes(mode["hardware_time"]),
            mode["queues"],
            mode["time"],
        )
        for name, method in methods.items()
        for mode in method["modes"]
    ]
    return _table(head, rows)


def counters(methods: dict[str, dict[str, Any]]) -> str:
    """What each method's counters see and do not see."""
    head = ("method", "`wire` is", "its drop counters see", "in the ledger", "blind to")
    rows = [
        (f"`{name}`", method["wire"], method["drop_counters"], _code(method["drops"]), method["blind"])
        for name, method in methods.items()
    ]
    return _table(head, rows)


def needs(methods: dict[str, dict[str, Any]]) -> str:
    """What each method wants of a host."""
    head = ("method", "package", "the host needs besides", "capabilities that the engine keeps")
    rows = [
        (
            f"`{name}`",
            f"`{method['package'] or 'capstan-engine'}`",
            method["needs"] or "-",
            _code(method["privileges"]),
        )
        for name, method in methods.items()
    ]
    return _table(head, rows)


def tables() -> list[str]:
    """The tables, in the document's order."""
    return [table(told()) for table in (abilities, counters, needs)]


def written() -> list[str]:
    """The tables as the document has them."""
    return [match[2] for match in _TABLE.finditer(DOCUMENT.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: methods_document.py --write")
    made = iter(tables())
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(_TABLE.sub(lambda match: match[1] + next(made) + match[3], text), encoding="utf-8")
