"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Settings file (default: /etc/capstan/capstan.yml)."
)
