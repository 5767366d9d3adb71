"""`capstan lab`: a capture port without a NIC."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from capstan import lab as veth_lab

_name = click.option("--name", default=veth_lab.DEFAULT_NAME, show_default=True, help="Name of the lab.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def lab() -> None:
    """Make and remove a capture port without a NIC: two network namespaces joined by a veth pair.

    Numbered traffic sent from wire0 in NAME-tx arrives at cap0 in NAME. Needs root; touches nothing outside of the two.
    """


@lab.command()
@_name
@click.option("--queues", default=2, show_default=True, help="Receive queues of cap0.")
@_json
def up(name: str, queues: int, as_json: bool) -> None:
    """Make the lab; a lab that is there already is left alone."""
    changed = veth_lab.up(name, queues)
    _print(name, as_json, changed=changed)


@lab.command()
@_name
@_json
def down(name: str, as_json: bool) -> None:
    """Remove the lab entirely."""
    changed = veth_lab.down(name)
    _print(name, as_json, changed=changed)


@lab.command()
@_name
@_json
def status(name: str, as_json: bool) -> None:
    """Tell whether the lab is up."""
    _print(name, as_json)


def _print(name: str, as_json: bool, **more: bool) -> None:
    found = veth_lab.status(name)
    if as_json:
        click.echo(json.dumps({**asdict(found), **more}))
    elif found.state == "up":
        click.echo(
            f"lab {name} is up: {found.sender_interface} in {found.sender_netns} -> {found.interface} in {name}, "
            f"{found.queues} queues, MTU {found.mtu}"
        )
    else:
        click.echo(f"lab {name} is {found.state}")
