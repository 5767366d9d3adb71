"""Runs playbooks of this checkout as an operator would, and finds its plugins for the tests of their functions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml

# A busy machine is no failure.
hypothesis.settings.register_profile("capstan", deadline=None)
hypothesis.settings.load_profile("capstan")

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "appliance/src"), str(CHECKOUT / "collections")]

_FATAL = re.compile(r"^(?:fatal|failed): \[(?P<host>[^] ]+)[^]]*\].*? => (?=\{)", re.MULTILINE)
_RECAP = re.compile(
    r"^(?P<host>\S+)\s+: ok=\d+ +changed=(?P<changed>\d+) +unreachable=(?P<unreachable>\d+)", re.MULTILINE
)


@dataclass(frozen=True)
class Run:
    """What a playbook did."""

    rc: int
    output: str

    @property
    def sentences(self) -> list[str]:
        """Every line of every failed task's message."""
        return self.sentences_of()

    def sentences_of(self, host: str | None = None) -> list[str]:
        """The same of one host alone."""
        found = []
        for match in _FATAL.finditer(self.output):
            if host in {None, match["host"]}:
                result = json.JSONDecoder().raw_decode(self.output, match.end())[0]
                found += result["msg"].splitlines()
        return found

    def count(self, what: str, host: str | None = None) -> int:
        """Sum of `changed` or `unreachable` over all hosts, or of one."""
        return sum(int(match[what]) for match in _RECAP.finditer(self.output) if host in {None, match["host"]})


def play(playbook: str, inventory: Path, *arguments: str, within: Sequence[str] = ()) -> Run:
    """Run one of the project's playbooks; `within` is a command that runs it in turn."""
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "ANSIBLE_NOCOLOR": "1",
        # The plays of the tests are on this machine: nothing is found out about it, or copied.
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_HOME": str(inventory.parent / "ansible-home"),
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), f"playbooks/{playbook}.yml"]
    done = subprocess.run(
        [*within, *command, *arguments], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )
    return Run(done.returncode, done.stdout + done.stderr)


def write_inventory(folder: Path, hosts: dict[str, Any]) -> Path:
    """An inventory file of these hosts with these variables."""
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def needs_root() -> None:
    """Skip where the test can't be root."""
    if os.geteuid() != 0:
        pytest.skip("makes a network namespace: run it as root")


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Nobody cuts the power of a test: the call is what is looked for, and that its descriptor is open."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield
