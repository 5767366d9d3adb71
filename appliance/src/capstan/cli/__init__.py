"""The command `capstan`."""

from __future__ import annotations

from typing import Any

import click

from capstan import __version__
from capstan.cli.lab import lab
from capstan.cli.life import down, rotate, supervise, up
from capstan.cli.report import report
from capstan.cli.settings import check_config, plan, preflight_command, schema
from capstan.cli.watch import ledger, status_command
from capstan.errors import OperatorError
from capstan.paths import Paths


class _Sentences(click.Group):
    """Ends every foreseen failure with one sentence and its exit code, never with a traceback."""

    def invoke(self, context: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(context)
        except OperatorError as error:
            for line in str(error).splitlines():
                click.echo(f"capstan: {line}", err=True)
            context.exit(error.exit_code)


@click.group(cls=_Sentences, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="capstan", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Run and watch this host's packet capture."""
    context.obj = Paths.from_environment()


for command in (
    up,
    down,
    status_command,
    ledger,
    rotate,
    preflight_command,
    plan,
    check_config,
    schema,
    lab,
    report,
    supervise,
):
    main.add_command(command)
