"""`capstan plan` and `preflight`: what can be known of the host before anything runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from capstan import advise, preflight
from capstan.config import load
from capstan.errors import OperatorError
from capstan.links import read_network
from capstan.paths import Paths


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (default: /etc/capstan/capstan.yml).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as the roles that prepare hosts read it.")
@click.pass_obj
def plan(paths: Paths, config: Path | None, as_json: bool) -> None:
    """Show what the settings come to on this host: CPUs, queues, interrupts, memory, kernel; change nothing."""
    settings = load(config or paths.config)
    means = preflight.means_for(settings, paths)
    planned = advise.plan(settings, preflight.local_machine(), read_network(settings.netns), means)
    click.echo(json.dumps(planned.as_json(), indent=2) if as_json else "\n".join(planned.text))


@click.command("preflight")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (default: /etc/capstan/capstan.yml).")
@click.option(
    "--controller", help="IP address of the controller, whose route is guarded (default: of the ssh session)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def preflight_command(context: click.Context, config: Path | None, controller: str | None, as_json: bool) -> None:
    """Look at everything that a start needs, and change nothing; the exit code is 1 when something is missing."""
    paths: Paths = context.obj
    settings = load(config or paths.config)
    found = preflight.inspect(settings, paths, controller or preflight.controller_of_ssh())
    if as_json:
        ports = [
            {"interface": port.interface, "method": port.method, "queues": port.queues, "cores": list(port.cores)}
            for port in (found.plan.ports if found.plan else ())
        ]
        document = {"ok": found.plan is not None, "checks": [asdict(check) for check in found.checks], "ports": ports}
        click.echo(json.dumps(document, indent=2))
    else:
        styles = {"ok": "green", "warning": "yellow", "failed": "red"}
        for check in found.checks:
            click.secho(f"{check.state:8}", fg=styles[check.state], nl=False)
            click.echo(f"{check.name:14}{check.sentence}")
    if found.plan is None:
        context.exit(OperatorError.exit_code)
