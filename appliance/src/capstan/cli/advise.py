"""`capstan advise`: which capture method suits this host's NICs."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import click

from capstan import detach, preflight
from capstan.advise_report import report
from capstan.cli.options import config_option
from capstan.config import CaptureConfig, load
from capstan.errors import OperatorError, UsageError
from capstan.links import read_network
from capstan.means import local_means
from capstan.paths import Paths

_SECONDS = 3.0
_LONGEST = 60.0


@click.command()
@config_option
@click.option("--all", "whole", is_flag=True, help="Judge every NIC of this host, not the settings' ports alone.")
@click.option("--measure", is_flag=True, help="First measure what this host's cores and disk do with packets.")
@click.option("--lab", is_flag=True, help="With --measure: capture from a veth pair as well; as root.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, _LONGEST), default=_SECONDS, show_default=True, help="Of each run."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def advise(  # noqa: PLR0913, PLR0917 - one parameter an option
    paths: Paths, config: Path | None, whole: bool, measure: bool, lab: bool, seconds: float, as_json: bool
) -> None:
    """Rank the capture methods for this host's ports, with rates, reasons and what the host would have to change.

    Changes nothing; --measure stores what it found, for later advice and for capture_method: auto. Without settings
    every NIC is judged.
    """
    if lab and not measure:
        raise UsageError("--lab is a part of measuring; write --measure --lab.")
    settings = _settings(paths, config)
    machine = preflight.local_machine()
    if measure:
        _measure(paths, settings or _any_ports(), seconds, lab)
    network = read_network(settings.netns if settings else None, preflight.controller_of_ssh())
    means = local_means(paths, prepares=True)
    document = report(settings or _any_ports(), machine, network, means, whole=whole or settings is None)
    click.echo(json.dumps(document, indent=2) if as_json else "\n".join(document["text"]))


def _settings(paths: Paths, config: Path | None) -> CaptureConfig | None:
    """The host's settings; None where it has none yet."""
    if config is None and not paths.config.exists():
        return None
    return load(config or paths.config)


def _any_ports() -> CaptureConfig:
    """Settings that say nothing, for a host that nobody has decided about."""
    ports = [{"name": "any"}]
    return CaptureConfig.model_validate({"host": socket.gethostname(), "method": "auto", "interfaces": ports})


def _measure(paths: Paths, settings: CaptureConfig, seconds: float, lab: bool) -> None:
    from capstan import advise_measure  # noqa: PLC0415 - most advice measures nothing

    pid = detach.running(paths)
    if pid is not None:
        raise OperatorError(
            f"A capture runs here (pid {pid}), and measuring would take its CPUs; stop it first with `capstan down`."
        )
    measured = advise_measure.measure(paths, settings, preflight.local_machine(), seconds, lab=lab)
    advise_measure.keep(paths, measured)
