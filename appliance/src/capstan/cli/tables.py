"""What `capstan status` and `capstan ledger` show on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from capstan.ledger import Balance, Snapshot
from capstan.quantities import format_count, format_size, per_second
from capstan.status import NOT_RUNNING

_STATE_STYLE = {"capturing": "bold green", "stopped": "dim", "failed": "bold red", "dead": "bold red"}
_FILES_SHOWN = 5
_COUNTERS_SHOWN = 8


def console() -> Console:
    """A console that folds no line of a file or a pipe."""
    # Without a terminal rich assumes 80 columns and folds; a file or a pipe has room.
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=160)


def overview(found: Mapping[str, Any]) -> RenderableType:
    """The state of the capture."""
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
    for port in found["ports"] if name not in NOT_RUNNING else ():
        table.add_row("port", _port(port))
    if targets := found.get("targets"):
        table.add_row("targets", _targets(targets))
    _totals(table, found["totals"])
    for name, seconds in found["uncounted_seconds"].items():
        table.add_row("not counted", Text(f"{name}: {seconds:.1f} s without an engine", style="bold red"))
    for name, device in found["devices"].items():
        table.add_row("device", _device(name, device))
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


def _targets(targets: Mapping[str, Any]) -> str:
    told = f"{format_count(targets['count'])} in force, {format_count(targets['active'])} active"
    return f"{told}, serial {targets['serial']}, {format_count(targets['matched_packets'])} packets matched"


def _port(port: Mapping[str, Any]) -> str:
    told = f"{port['interface']}: link {port['link']}, {port['queues']} queues"
    if port["filter"]:
        told += f", filter {port['filter']!r} in the {port['filter_in']}"
    if port.get("targets_in", "none") != "none":
        told += f", targets matched in the {port['targets_in']}"
    if port.get("counts_on") is False:
        told += ", counts nothing while no engine runs"
    return told


def _device(name: str, device: Mapping[str, Any]) -> Text:
    """What a device counts as lost, by its own names; the rest is in the JSON."""
    told = Text(f"{name}: ")
    for counter, count in list(device["lost"].items())[:_COUNTERS_SHOWN]:
        told.append(f"{counter} {format_count(count)}, ", style="yellow")
    further = max(0, len(device["lost"]) - _COUNTERS_SHOWN) + len(device["counted"]) + device["left_out"]
    return told.append(f"{further} further counters: status --json", style="dim")


def rates(before: Snapshot, now: Snapshot, unaccounted: int) -> RenderableType:
    """Where the packets between two looks went, by queue."""
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
    told = [
        format_count(per_second(before.wire, now.wire, seconds)),
        format_size(per_second(before.delivered_bytes, now.delivered_bytes, seconds)),
    ]
    return told + [format_count(n) for n in (now.wire, now.delivered, now.filtered, now.dropped, now.pending)]
