"""`capstan targets`: whose packets are captured."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from capstan import target_changes, targets
from capstan.cli.options import config_option
from capstan.errors import UsageError
from capstan.paths import Paths
from capstan.quantities import format_count
from capstan.target_fields import DIRECTIONS, PROTOCOLS

_FILE = click.Path(path_type=Path)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_who = click.option("--who", help="Who asks, for the log (default: the account behind sudo, or your own).")
_dry_run = click.option("--dry-run", is_flag=True, help="Have it judged by the engine, and change nothing.")


@click.group("targets")
def targets_command() -> None:
    """List and change the targets in force: whose packets are captured.

    A change takes force as a whole, while packets come in, and is written to the log with who and when. It is
    answered when it is in force.
    """


@targets_command.command("list")
@_json
@click.pass_obj
def list_command(paths: Paths, as_json: bool) -> None:
    """List the targets in force; root and the engine's group may."""
    found = target_changes.in_force(paths)
    now = datetime.now(UTC)
    entries = [{**entry, "active": targets.is_active(entry, now)} for entry in found.targets]
    if as_json:
        click.echo(json.dumps({"serial": found.serial, "targets": entries}, indent=1))
        return
    for entry in entries:
        click.echo(_line(entry))
    active = sum(entry["active"] for entry in entries)
    click.echo(f"{format_count(len(entries))} in force, {format_count(active)} active now, serial {found.serial}")


@targets_command.command()
@click.option("--id", "identity", help="UUID of the target (default: a new one).")
@click.option("--prefix", "prefixes", multiple=True, help="Address or network; may be given several times.")
@click.option("--port", "ports", multiple=True, help="Port or range such as 1024-2047; likewise.")
@click.option("--protocol", help=f"{', '.join(PROTOCOLS)}, or a number.")
@click.option("--vlan", "vlans", type=int, multiple=True, help="Id of the outer tag; likewise.")
@click.option("--inner-vlan", "inner_vlans", type=int, multiple=True, help="Id of the second tag; likewise.")
@click.option("--mac", "macs", multiple=True, help="MAC address; likewise.")
@click.option(
    "--direction", type=click.Choice(DIRECTIONS), default="both", show_default=True, help="Sent, got, or both."
)
@click.option("--start", help="When it begins, such as 2026-12-01T00:00:00Z.")
@click.option("--end", help="When it ends.")
@click.option("--note", help="For people, such as the order's reference.")
@_who
@_dry_run
@_json
@click.pass_obj
def add(paths: Paths, /, identity: str | None, who: str | None, dry_run: bool, as_json: bool, **said: Any) -> None:  # noqa: ANN401 - the options that say what the target is
    """Add a target; what is named must all hold for one side of a packet. Prints its id."""
    raw: dict[str, Any] = {
        key: list(value) if isinstance(value, tuple) else value for key, value in said.items() if value
    }
    if str(raw.get("protocol", "")).isdecimal():
        raw["protocol"] = int(str(raw["protocol"]))
    (target,) = targets.parse([{"id": identity or str(uuid.uuid4()), **raw}], "the new target")
    answer = target_changes.change(paths, {"add": [target.as_json()], "dry_run": dry_run}, who)
    if as_json:
        click.echo(json.dumps({"id": target.id, **answer}))
    else:
        click.echo(target.id)
        click.echo(_told(answer), err=True)


@targets_command.command()
@click.argument("ids", nargs=-1, required=True)
@_who
@_dry_run
@_json
@click.pass_obj
def remove(paths: Paths, ids: tuple[str, ...], who: str | None, dry_run: bool, as_json: bool) -> None:
    """Remove targets by their ids; those of the inventory are removed there."""
    _show(target_changes.change(paths, {"remove": list(ids), "dry_run": dry_run}, who), as_json)


@targets_command.command()
@click.argument("file", type=_FILE)
@_who
@_dry_run
@_json
@click.pass_obj
def load(paths: Paths, file: Path, who: str | None, dry_run: bool, as_json: bool) -> None:
    """Make the targets of run time those of FILE (JSON or YAML); those of the inventory stay. Shows what changes."""
    wanted = targets.read_file(file)
    changes = target_changes.difference(target_changes.in_force(paths).of("runtime"), wanted)
    document = {"replace": True, "dry_run": dry_run, "add": [target.as_json() for target in wanted]}
    if not as_json:
        _show_difference(changes)
    _show(target_changes.change(paths, document, who), as_json)


@targets_command.command()
@click.argument("file", type=_FILE)
@_json
@click.pass_context
def diff(context: click.Context, file: Path, as_json: bool) -> None:
    """Show what `load FILE` would change; the exit code is 1 when it would change something."""
    changes = target_changes.difference(target_changes.in_force(context.obj).of("runtime"), targets.read_file(file))
    if as_json:
        click.echo(
            json.dumps(
                {
                    "added": [target.as_json() for target in changes.added],
                    "removed": [target.as_json() for target in changes.removed],
                    "changed": [{"before": was.as_json(), "after": now.as_json()} for was, now in changes.changed],
                },
                indent=1,
            )
        )
    else:
        _show_difference(changes)
    if changes:
        context.exit(1)


@targets_command.command()
@config_option
@_who
@_dry_run
@_json
@click.pass_obj
def sync(paths: Paths, config: Path | None, who: str | None, dry_run: bool, as_json: bool) -> None:
    """Bring the targets of the settings into force, as a deployment does; those of run time stay."""
    from capstan.config import load  # noqa: PLC0415 - the others need no settings model

    settings = load(config or paths.config)
    if not settings.has_targets:
        raise UsageError("The settings have no targets: everything is captured; write targets: or targets_file: there.")
    _show(target_changes.bring_into_force(paths, settings, who, dry_run=dry_run), as_json)


def _show(answer: Mapping[str, Any], as_json: bool) -> None:
    click.echo(json.dumps(answer) if as_json else _told(answer))


def _told(answer: Mapping[str, Any]) -> str:
    parts = [f"{format_count(answer[key])} {key}" for key in ("added", "removed", "changed") if answer[key]]
    did = ("would be " if answer["dry_run"] else "") + (", ".join(parts) or "nothing changed")
    return f"{did}; {format_count(answer['count'])} in force, serial {answer['serial']}"


def _show_difference(changes: target_changes.Difference) -> None:
    for target in changes.removed:
        click.secho(f"- {_line(target.as_json())}", fg="red")
    for was, now in changes.changed:
        click.secho(f"- {_line(was.as_json())}", fg="red")
        click.secho(f"+ {_line(now.as_json())}", fg="green")
    for target in changes.added:
        click.secho(f"+ {_line(target.as_json())}", fg="green")


def _line(entry: Mapping[str, Any]) -> str:
    """A target on one line: what it is behind its id."""
    parts = [entry["id"]]
    parts += [entry[key] for key in ("origin",) if key in entry]
    parts += [] if entry.get("active", True) else ["not active"]
    for key in ("prefixes", "protocol", "ports", "vlans", "inner_vlans", "macs", "direction", "start", "end", "note"):
        if (value := entry.get(key)) is not None:
            told = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            parts.append(f"{key}={told}")
    return "  ".join(parts)
