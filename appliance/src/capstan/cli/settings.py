"""`capstan check-config` and `schema`: what the settings may be."""

from __future__ import annotations

import json
from pathlib import Path

import click

from capstan import target_changes
from capstan.config import json_schema, load
from capstan.paths import Paths
from capstan.quantities import format_count


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the settings with every default filled in, as JSON.")
@click.pass_obj
def check_config(paths: Paths, file: Path | None, as_json: bool) -> None:
    """Check a settings FILE (default: /etc/capstan/capstan.yml); every mistake is told in one sentence."""
    path = file or paths.config
    config = load(path)
    targets = target_changes.of_settings(config)
    if as_json:
        click.echo(config.model_dump_json(indent=2))
    else:
        interfaces = ", ".join(interface.identity for interface in config.interfaces)
        whose = "" if targets is None else f", {format_count(len(targets))} targets"
        click.echo(f"{path}: good: host {config.host}, {' and '.join(config.methods)} on {interfaces}{whose}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of the settings file."""
    click.echo(json.dumps(json_schema(), indent=2))
