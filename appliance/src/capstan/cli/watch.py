"""`capstan status` and `capstan ledger`: what the capture does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from capstan import journal, status
from capstan.errors import OperatorError
from capstan.ledger import Balance, History, Layout, LedgerFile, Snapshot
from capstan.paths import Paths
from capstan.quantities import format_count, format_size

_STATE_STYLE = {"capturing": "bold green", "stopped": "dim", "failed": "bold red", "dead": "bold red"}
_FILES_SHOWN = 5
EXIT_NOT_RUNNING = 3


class NotRunningError(OperatorError):
    """There is nothing to look at."""

    exit_code = EXIT_NOT_RUNNING


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def status_command(context: click.Context, as_json: bool) -> None:
    """Tell the state of the capture; the exit code is 3 when it does not run."""
    found = status.read(context.obj)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _console().print(_overview(found))
    if found["state"] in status.NOT_RUNNING:
        context.exit(EXIT_NOT_RUNNING)


def _console() -> Console:
    # Without a terminal rich assumes 80 columns and folds; a file or a pipe has room.
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def _overview(found: Mapping[str, Any]) -> RenderableType:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    name = found["state"]
    table.add_row("state", Text(name, style=_STATE_STYLE.get(name, "bold yellow")))
    if found.get("reason"):
        table.add_row("reason", found["reason"])
    if "totals" not in found:
        return table
    table.add_row("host", found["host"])
    table.add_row("method", f"{found['method']}  [dim]{found['effective_mode'] or ''}[/dim]")
    for port in found["ports"] if name not in status.NOT_RUNNING else ():
        told = f"{port['interface']}: link {port['link']}, {port['queues']} queues"
        table.add_row(
            "port", told + (f", filter {port['filter']!r} in the {port['filter_in']}" if port["filter"] else "")
        )
    _totals(table, found["totals"])
    table.add_row("engine runs", f"{found['runs']}, {found['restarts']} of them ended by a crash")
    for kind in ("supervisor", "engine"):
        if process := found[kind]:
            table.add_row(kind, f"pid {process['pid']}, {format_size(process['rss_bytes'])}")
    for thread, percent in (found["engine"].get("cpu_percent") or {}).items():
        table.add_row("", f"[dim]{thread} {percent:.0f} % CPU[/dim]")
    files = found["files"]
    table.add_row("files", f"{len(files)} whole" + (", the newest:" if files else ""))
    for path in files[-_FILES_SHOWN:]:
        table.add_row("", path)
    notes = [Text(f"! {alarm['sentence']}", style="bold red") for alarm in found["alarms"]]
    return Group(table, *notes)


def _totals(table: Table, totals: Mapping[str, Any]) -> None:
    for key in ("wire", "delivered", "filtered", "pending"):
        table.add_row(key, format_count(totals[key]))
    for cause, count in totals["dropped"].items():
        table.add_row("dropped", Text(f"{format_count(count)}  {cause}", style="yellow"))
    if not totals["dropped"]:
        table.add_row("dropped", "0")
    missing = totals["unaccounted"]
    table.add_row("unaccounted", Text(format_count(missing), style="green" if missing == 0 else "bold red"))


@click.command()
@click.option("--once", is_flag=True, help="Print once and end; rates are then those of one second.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line a second.")
@click.option("--interval", default=1.0, show_default=True, help="Seconds between two looks.")
@click.pass_obj
def ledger(paths: Paths, once: bool, as_json: bool, interval: float) -> None:
    """Show where every packet went, live, by queue; end with Ctrl-C."""
    file = LedgerFile(paths.ledger, Layout.of_last_start(paths))
    looks = _looks(file, paths, interval)
    try:
        if as_json:
            for before, now, unaccounted in looks:
                click.echo(json.dumps(_document(before, now, unaccounted)))
                if once:
                    return
        elif once:
            _console().print(_rates(*next(looks)))
        else:
            with Live(console=_console(), auto_refresh=False) as live:
                for look in looks:
                    live.update(_rates(*look), refresh=True)
    except KeyboardInterrupt:
        return


def _looks(file: LedgerFile, paths: Paths, interval: float) -> Iterator[tuple[Snapshot, Snapshot, int]]:
    """Two snapshots an interval apart, again and again, and what is unaccounted for by then."""
    history = History()
    before = _look(file, paths)
    while True:
        time.sleep(0 if _over(before) else interval)
        now = _look(file, paths)
        if now.pid != before.pid:  # another engine: counters began again
            history.clear()
            before = now
        history.add(now.taken, now.total)
        yield before, now, now.total.unaccounted if _over(now) else history.unaccounted()
        before = now


def _over(snapshot: Snapshot) -> bool:
    return snapshot.state in {"stopped", "failed"}


def _look(file: LedgerFile, paths: Paths) -> Snapshot:
    snapshot = file.snapshot()
    if snapshot is None:
        raise NotRunningError(f"There is no ledger at {paths.ledger}; start the capture with `capstan up`.")
    return snapshot


def _rate(before: int, now: int, seconds: float) -> float:
    return (now - before) / seconds if seconds > 0 else 0.0


def _document(before: Snapshot, now: Snapshot, unaccounted: int) -> dict[str, Any]:
    seconds = now.taken - before.taken
    return {
        "state": now.state,
        "pid": now.pid,
        "totals": journal.balance_json(now.total, unaccounted),
        "rates": {
            "wire": _rate(before.total.wire, now.total.wire, seconds),
            "delivered": _rate(before.total.delivered, now.total.delivered, seconds),
            "dropped": _rate(before.total.dropped, now.total.dropped, seconds),
            "delivered_bytes": _rate(before.total.delivered_bytes, now.total.delivered_bytes, seconds),
        },
        "queues": [dict(queue.values) for queue in now.queues],
    }


def _rates(before: Snapshot, now: Snapshot, unaccounted: int) -> RenderableType:
    table = Table(
        title=f"ledger of engine {now.pid}, {now.state}",
        title_justify="left",
        header_style="bold",
        box=None,
        padding=(0, 1),
    )
    table.add_column("port")
    for column in ("q", "cpu", "wire/s", "bytes/s", "wire", "delivered", "filtered", "dropped", "pending"):
        table.add_column(column, justify="right", no_wrap=True)
    seconds = now.taken - before.taken
    earlier = {(queue.interface, queue.queue): queue.balance for queue in before.queues}
    for queue in now.queues:
        cpu = str(queue.cpu) if queue.cpu >= 0 else "any"
        old = earlier.get((queue.interface, queue.queue), queue.balance)
        table.add_row(queue.interface, str(queue.queue), cpu, *_cells(old, queue.balance, seconds))
    table.add_section()
    table.add_row("all", "", "", *_cells(before.total, now.total, seconds), style="bold")
    causes = {cause: count for cause, count in now.total.drops.items() if count}
    notes = [Text(f"dropped: {cause} {format_count(count)}", style="yellow") for cause, count in causes.items()]
    missing = Text(f"unaccounted: {format_count(unaccounted)}", style="green" if unaccounted == 0 else "bold red")
    return Group(table, *notes, missing)


def _cells(before: Balance, now: Balance, seconds: float) -> list[str]:
    rates = [
        format_count(_rate(before.wire, now.wire, seconds)),
        format_size(_rate(before.delivered_bytes, now.delivered_bytes, seconds)),
    ]
    return rates + [format_count(n) for n in (now.wire, now.delivered, now.filtered, now.dropped, now.pending)]
