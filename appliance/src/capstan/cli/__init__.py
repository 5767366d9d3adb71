"""The command `capstan`."""

from __future__ import annotations

import sys
from typing import Any

import click

from capstan import __version__
from capstan.cli.lab import lab
from capstan.cli.settings import check_config, schema
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
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] - a TextIO that is a TextIOWrapper
    context.obj = Paths.from_environment()


for command in (check_config, schema, lab):
    main.add_command(command)
