"""`capstan advise` measures this machine with the real engine, and every command of its page works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import programs
import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs/choosing-a-method.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.split("\n")
    if line
]
# Seconds of each run: enough to see that packets flow, on a machine that others use.
BRIEF = "0.3"
PATIENCE = 300


class Host:
    """A root of the appliance's own, with the programs under test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.captures = root / "captures"
        self.captures.mkdir()
        self.measured = root / "var/lib/capstan/advice/measured.json"
        (root / "etc/capstan").mkdir(parents=True)
        settings = {
            "host": "bench",
            "method": "auto",
            "interfaces": [{"name": "eth99"}],
            "output": {"directory": str(self.captures), "min_free": 0},
        }
        (root / "etc/capstan/capstan.yml").write_text(yaml.safe_dump(settings))
        self.environment = {
            **os.environ,
            "CAPSTAN_ROOT": str(root),
            "CAPSTAN_ENGINE": str(programs.engine()),
            "CAPSTAN_GEN": str(programs.generator()),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_HOME": str(root / "ansible"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        }

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a line of the page as its reader would."""
        return subprocess.run(
            ["bash", "-ec", command], cwd=PROJECT, env=self.environment, check=False, capture_output=True, text=True,
            timeout=PATIENCE, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture
def host(tmp_path: Path, namespaces_as_before: None) -> Host:
    return Host(tmp_path)


@pytest.fixture
def namespaces_as_before() -> Iterator[None]:
    """Measuring leaves no namespace of its own."""

    def ours() -> set[str]:
        return {path.name for path in Path("/run/netns").glob("capstan-advise-*")}

    before = ours()
    yield
    assert ours() <= before


def test_a_core_and_the_disk_are_measured_and_nothing_stays(host: Host) -> None:
    done = host.run(f"capstan advise --measure --seconds {BRIEF}")
    assert done.returncode == 0, done.stderr
    found = json.loads(host.measured.read_text(encoding="utf-8"))
    assert found["pipeline"] > 0 and found["output"] > 0
    assert found["output_bytes"] > 64 * found["output"]
    assert (found["host"], found["directory"], found["lab"]) == ("bench", str(host.captures), {})
    assert (found["kernel"], found["engine"]) == (os.uname().release, engine_version())
    assert list(host.captures.iterdir()) == []
    assert "M/s of one core" in " ".join(done.stdout.split())


def engine_version() -> str:
    version: str = json.loads(programs.run(programs.engine(), "--methods", "--json").stdout)["version"]
    return version


def test_the_lab_measures_what_captures_from_a_veth(host: Host) -> None:
    done = host.run(f"capstan advise --measure --lab --seconds {BRIEF}")
    assert done.returncode == 0, done.stderr
    found = json.loads(host.measured.read_text(encoding="utf-8"))
    assert set(found["lab"]) == {"af_packet", "af_xdp copy", "pcap"}
    # The whole is never faster than a part of it.
    assert all(0 < rate < found["pipeline"] for rate in found["lab"].values())


def test_an_engine_that_fails_is_told_with_its_reason_and_nothing_stays(host: Host, tmp_path: Path) -> None:
    broken = tmp_path / "capstan-engine"
    broken.write_text(
        f'#!/bin/sh\n[ "$1" != --config ] || {{ echo \'{{"level":"error","message":"no memory"}}\' >&2; exit 3; }}\n'
        f'exec {programs.engine()} "$@"\n'
    )
    broken.chmod(0o755)
    host.environment["CAPSTAN_ENGINE"] = str(broken)
    done = host.run("capstan advise --measure --seconds 0.1")
    assert (done.returncode, done.stderr) == (1, "capstan: The engine did not start to be measured: no memory.\n")
    assert not host.measured.exists()
    assert list(host.captures.iterdir()) == []


def test_the_page_has_commands() -> None:
    assert "capstan advise" in COMMANDS
    assert "capstan advise --measure --lab" in COMMANDS
    assert "ansible-playbook playbooks/advise.yml" in COMMANDS


def test_each_command_of_the_page_works(host: Host) -> None:
    for command in COMMANDS:
        # As long as it is written there it would only keep others waiting.
        brief = f"{command} --seconds {BRIEF}" if "--measure" in command else command
        done = host.run(re.sub(r"advise_file=\S+", f"advise_file={host.root}/advice.json", brief))
        print(f"$ {command}\n{done.stdout}{done.stderr}")
        assert done.returncode == 0, f"{command}: exit {done.returncode}"
    assert json.loads((host.root / "advice.json").read_text(encoding="utf-8"))
