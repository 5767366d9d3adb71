"""`capstan supervise`: what the service runs."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from capstan import logs
from capstan.cli.options import config_option
from capstan.config import load
from capstan.errors import OperatorError
from capstan.paths import Paths
from capstan.supervisor import Supervisor


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
