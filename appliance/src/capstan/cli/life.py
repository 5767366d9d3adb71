"""`capstan supervise`, `up`, `down` and `rotate`: the life of the capture."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from capstan import control, detach, logs, state, status
from capstan.config import load
from capstan.errors import OperatorError
from capstan.paths import Paths
from capstan.quantities import format_count
from capstan.supervisor import Supervisor

config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Settings file (default: /etc/capstan/capstan.yml)."
)


@click.command()
@config_option
@click.pass_obj
def supervise(paths: Paths, config: Path | None) -> None:
    """Run the capture in the foreground until SIGTERM; SIGHUP begins new capture files.

    This is what the service runs; by hand, use `capstan up`.
    """
    logs.configure()
    supervisor = Supervisor(paths, load(config or paths.config))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    signal.signal(signal.SIGHUP, lambda *_: supervisor.rotate())
    try:
        supervisor.run()
    except OperatorError as error:
        logs.logger().error("supervisor_failed", message=str(error))
        raise


@click.command()
@config_option
@click.pass_obj
def up(paths: Paths, config: Path | None) -> None:
    """Start the capture and wait until it captures; does nothing when it captures already."""
    path = config or paths.config
    settings = load(path)
    started = detach.up(paths, path)
    found = status.read(paths)
    mode = f" ({found['effective_mode']})" if found.get("effective_mode") else ""
    interfaces = ", ".join(port["interface"] for port in found.get("ports", ()))
    adverb = "capturing" if started else "capturing already"
    click.echo(f"{adverb}: {found.get('method') or ', '.join(settings.methods)} on {interfaces}{mode}")
    for sentence in found.get("degraded", ()):
        click.echo(f"note: {sentence}")


@click.command()
@click.pass_obj
def down(paths: Paths) -> None:
    """Stop the capture: what is in memory is written out first, and the ports become as they were."""
    if not detach.down(paths):
        click.echo("not running")
        return
    published = state.read(paths)
    if published is None:
        raise OperatorError(f"The capture ended without a balance; see {paths.log}.")
    balance = published.session.closed
    drops = ", ".join(f"{cause} {format_count(count)}" for cause, count in balance.drops.items() if count) or "none"
    click.echo(
        f"stopped: {format_count(balance.wire)} packets on the wire, {format_count(balance.delivered)} delivered, "
        f"{format_count(balance.filtered)} filtered, dropped: {drops}, unaccounted: {format_count(balance.unaccounted)}"
    )
    if published.state == "failed":
        raise OperatorError(str(published.reason))


@click.command()
@click.pass_obj
def rotate(paths: Paths) -> None:
    """Close the present capture files and begin new ones, so that they can be read whole."""
    control.ask(paths.control, "rotate")
    click.echo("rotated")
