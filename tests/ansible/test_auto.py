"""`capture_method: auto` on this machine: chosen in the plan, kept on the host, and the same in the next run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import Run, play, write_inventory

NETNS = f"capstan-auto-{os.getpid()}"
# Nothing of this machine's own is written: the records go into an overlay that ends with the test.
OVERLAY = 'mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$0/upper,workdir=$0/work" /var/lib && exec "$@"'


@pytest.fixture(scope="module")
def namespace(needs_root: None) -> Iterator[None]:
    queues = ["numrxqueues", "2", "numtxqueues", "2"]
    subprocess.run(["/bin/ip", "netns", "add", NETNS], check=True)
    try:
        add = ["link", "add", "cap0", *queues, "type", "veth", "peer", "name", "wire0", *queues]
        subprocess.run(["/bin/ip", "-netns", NETNS, *add], check=True)
        yield
    finally:
        subprocess.run(["/bin/ip", "netns", "delete", NETNS], check=True)


class Machine:
    """This machine with a /var/lib of its own."""

    def __init__(self, folder: Path) -> None:
        for name in ("upper", "work", "inventory"):
            (folder / name).mkdir()
        self.folder = folder
        self.record = folder / "upper/capstan/advice/choices.json"

    @property
    def within(self) -> Sequence[str]:
        """What runs a command there."""
        return ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", OVERLAY, str(self.folder)]

    def prepare(self, *arguments: str, **variables: Any) -> Run:
        """Run prepare.yml for the veth, which has no NIC's settings to change."""
        probe = {
            "ansible_connection": "local",
            "capture_netns": NETNS,
            "capture_method": "auto",
            "capture_interfaces": [{"name": "cap0"}],
            "capture_expected_pps": 100_000,
            **variables,
        }
        inventory = write_inventory(self.folder / "inventory", {"probe": probe})
        return play("prepare", inventory, *arguments, within=self.within)

    def chosen(self) -> str | None:
        """What is on record for the port."""
        if not self.record.exists():
            return None
        ports = json.loads(self.record.read_text(encoding="utf-8"))["ports"]
        return str(ports["cap0"]["method"])


@pytest.fixture
def machine(namespace: None, tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_choice_is_made_once_and_kept_until_one_asks_for_another(machine: Machine) -> None:
    checked = machine.prepare("--check")
    assert (checked.rc, checked.count("changed"), machine.chosen()) == (0, 1, None), checked.output
    first = machine.prepare()
    assert (first.rc, first.count("changed"), machine.chosen()) == (0, 1, "af_packet"), first.output
    assert "cap0: af_packet, about" in first.output
    second = machine.prepare()
    assert (second.rc, second.count("changed"), machine.chosen()) == (0, 0, "af_packet"), second.output

    # As if it had been chosen when something else was better.
    record = json.loads(machine.record.read_text(encoding="utf-8"))
    record["ports"]["cap0"].update(method="af_xdp")
    machine.record.write_text(json.dumps(record), encoding="utf-8")
    kept = machine.prepare("--check")
    assert (kept.rc, machine.chosen()) == (0, "af_xdp"), kept.output
    assert "write method: af_packet, or deploy with -e capture_choose_again=true" in " ".join(kept.output.split())
    anew = machine.prepare("-e", "capture_choose_again=true")
    assert (anew.rc, machine.chosen()) == (0, "af_packet"), anew.output

    gone = machine.prepare(capture_method="af_packet")
    assert (gone.rc, gone.count("changed"), machine.chosen()) == (0, 1, None), gone.output


def test_a_damaged_record_is_told_with_its_path(machine: Machine) -> None:
    machine.record.parent.mkdir(parents=True)
    machine.record.write_text("nothing", encoding="utf-8")
    run = machine.prepare()
    assert run.rc != 0
    assert "/var/lib/capstan/advice/choices.json is no record of this version of Capstan's; remove it" in run.output
