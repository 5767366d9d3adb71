"""The command `capstan`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final

import click

from capstan import __version__
from capstan.errors import OperatorError
from capstan.paths import Paths

# Where each command is: a module is imported when its command is called, so that `capstan status` answers at once.
_COMMANDS: Final[Mapping[str, str]] = {
    "up": "life:up",
    "down": "life:down",
    "status": "watch:status_command",
    "ledger": "watch:ledger",
    "rotate": "life:rotate",
    "preflight": "host:preflight_command",
    "plan": "host:plan",
    "advise": "advise:advise",
    "check-config": "settings:check_config",
    "schema": "settings:schema",
    "targets": "targets:targets_command",
    "lab": "lab:lab",
    "report": "report:report",
    "supervise": "supervise:supervise",
}


class _Commands(click.Group):
    """Imports commands as they are called; ends every foreseen failure with one sentence and its exit code."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"capstan.cli.{module}"), attribute)
        return command

    def invoke(self, context: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(context)
        except OperatorError as error:
            for line in str(error).splitlines():
                click.echo(f"capstan: {line}", err=True)
            context.exit(error.exit_code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="capstan", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Run and watch this host's packet capture."""
    context.obj = Paths.from_environment()
