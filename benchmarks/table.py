"""The results in the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.goals import UNJUDGED, judge
from benchmarks.records import MEASURED, Measurement, Run

_FINE = 100
"""Nanoseconds below which a tenth of one is told."""
_MILLION = 1e6
COLUMNS = (
    "tool", "bytes", "targets", "packets/s", "Gbit/s", "CPU ns/packet", "softirq ns", "instructions", "start s", "MiB",
    "lost", "spread", "repeats",
)  # fmt: skip


def cells(record: Measurement) -> tuple[str, ...]:
    """A record in words, in the order of COLUMNS; dashes where there is nothing to tell."""

    def number(value: float | None, form: str = ",.0f") -> str:
        return "-" if value is None else format(value, form).replace(",", " ")

    return (
        record.tool,
        record.packet_size,
        number(record.targets),
        _rate(record.packets_per_second),
        number(record.gbit_per_second, ".2f"),
        number(record.cpu_ns_per_packet, ",.1f" if (record.cpu_ns_per_packet or 0) < _FINE else ",.0f"),
        number(record.softirq_ns_per_packet),
        number(record.instructions_per_packet, ",.1f"),
        number(record.start_seconds, ".2f"),
        number(record.peak_mib),
        _lost(record, number(record.lost)) if record.state == MEASURED else record.state,
        "-" if record.spread is None else f"{record.spread:.0%}",
        number(record.repeats or None),
    )


def _lost(record: Measurement, most: str) -> str:
    """The most, and in how many repeats any were."""
    return f"{most} in {record.lossy_repeats}" if record.lossy_repeats and record.repeats > 1 else most


def _rate(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1e6:.2f} M" if value >= _MILLION else f"{value / 1e3:.1f} k"


def cases(records: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """By case, in the order of the run."""
    found: dict[str, list[Measurement]] = {}
    for record in records:
        found.setdefault(record.case, []).append(record)
    return found


def used(records: list[Measurement]) -> list[int]:
    """The columns in which any of the records has something."""
    rows = [cells(record) for record in records]
    return [at for at in range(len(COLUMNS)) if any(row[at] != "-" for row in rows)]


def remarks(records: list[Measurement]) -> dict[str, list[str]]:
    """What has to be said of records, each with the tools that it is said of."""
    said: dict[str, list[str]] = {}
    for record in records:
        words = [record.note] if record.state == MEASURED else [record.state, record.note]
        sentence = ": ".join(word for word in words if word)
        told = record.tool if record.targets is None else f"{record.tool} ({record.targets} targets)"
        if sentence and told not in said.setdefault(sentence, []):
            said[sentence].append(told)
    return said


def show_verdicts(run: Run, console: Console) -> None:
    """What was to be reached, as far as the run can tell."""
    judged = [verdict for verdict in judge(run) if verdict.state != UNJUDGED]
    if not judged or run.quick:
        return
    table = Table(box=SIMPLE_HEAD, title="what was to be reached", title_justify="left", title_style="bold")
    for word in ("goal", "wanted", "found", ""):
        table.add_column(word)
    for verdict in judged:
        table.add_row(verdict.words, verdict.wanted, verdict.found, verdict.state)
    console.print(table)


def show(run: Run, titles: dict[str, str], console: Console) -> None:
    """All cases, a table each; what could not be measured has its row, too, and is told below."""
    for case, records in cases(run.measurements).items():
        columns = used(records)
        table = Table(
            box=SIMPLE_HEAD, title=f"{case}: {titles.get(case, '')}", title_justify="left", title_style="bold"
        )
        for at in columns:
            table.add_column(COLUMNS[at], justify="left" if at == 0 else "right", no_wrap=True)
        for record in records:
            row = cells(record)
            style = None if record.state == MEASURED else "dim"
            table.add_row(*(row[at] for at in columns), style=style)
        console.print(table)
        for sentence, tools in remarks(records).items():
            console.print(f"  {', '.join(tools)}: {sentence}", highlight=False, markup=False)
        console.print()
