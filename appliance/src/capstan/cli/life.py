"""`capstan up`, `down` and `rotate`: the life of the capture."""

from __future__ import annotations

from pathlib import Path

import click

from capstan import control, detach, state, status
from capstan.cli.options import config_option
from capstan.errors import OperatorError
from capstan.paths import Paths
from capstan.quantities import format_count


@click.command()
@config_option
@click.pass_obj
def up(paths: Paths, config: Path | None) -> None:
    """Start the capture and wait until it captures; does nothing when it captures already."""
    from capstan.config import load  # noqa: PLC0415 - `down` and `rotate` need no settings model

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
