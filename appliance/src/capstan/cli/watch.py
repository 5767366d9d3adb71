"""`capstan status` and `capstan ledger`: what the capture does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import click

from capstan import journal, status
from capstan.errors import OperatorError
from capstan.ledger import History, Layout, LedgerFile, Snapshot
from capstan.paths import Paths
from capstan.quantities import per_second

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
        from capstan.cli import tables  # noqa: PLC0415 - JSON is asked for by machines, often

        tables.console().print(tables.overview(found))
    if found["state"] in status.NOT_RUNNING:
        context.exit(EXIT_NOT_RUNNING)


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
            return
        from rich.live import Live  # noqa: PLC0415 - as above

        from capstan.cli import tables  # noqa: PLC0415

        if once:
            tables.console().print(tables.rates(*next(looks)))
            return
        with Live(console=tables.console(), auto_refresh=False) as live:
            for look in looks:
                live.update(tables.rates(*look), refresh=True)
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


def _document(before: Snapshot, now: Snapshot, unaccounted: int) -> dict[str, Any]:
    seconds = now.taken - before.taken
    return {
        "state": now.state,
        "pid": now.pid,
        "totals": journal.balance_json(now.total, unaccounted),
        "rates": {
            "wire": per_second(before.total.wire, now.total.wire, seconds),
            "delivered": per_second(before.total.delivered, now.total.delivered, seconds),
            "dropped": per_second(before.total.dropped, now.total.dropped, seconds),
            "delivered_bytes": per_second(before.total.delivered_bytes, now.total.delivered_bytes, seconds),
        },
        "queues": [dict(queue.values) for queue in now.queues],
        "devices": journal.devices_json(now.devices),
    }
