"""The README's commands, run in their order in a fresh copy of the project, as a stranger would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from capstan.config import from_inventory

PROJECT = Path(__file__).resolve().parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")

# What runs this test can't be run by it.
NOT_HERE = {"./test"}

# Seconds; the longest command builds and deploys everything.
PATIENCE = 900


def blocks(language: str) -> list[str]:
    """Give the README's fenced blocks of @language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Copy what git knows or would know, with the packages that are built already; remove the appliance at the end."""
    if os.geteuid() != 0:
        pytest.skip("./quickstart needs root")
    if Path("/opt/capstan").exists():
        pytest.skip("this machine is an appliance already: ./quickstart --remove first")
    folder = tmp_path_factory.mktemp("readme") / "capstan"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source = PROJECT / name
        if not source.is_symlink() and not source.exists():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, folder / name, follow_symlinks=False)
    if (PROJECT / "dist").is_dir():
        shutil.copytree(PROJECT / "dist", folder / "dist")
    yield folder
    subprocess.run(["./quickstart", "--remove"], cwd=folder, check=False, capture_output=True, timeout=PATIENCE)


def test_the_readme_has_commands() -> None:
    """Guards the parser above: these are the commands that the page is about."""
    assert "./quickstart" in COMMANDS
    assert "./quickstart --remove" in COMMANDS
    assert set(COMMANDS) >= NOT_HERE


def test_each_command_of_the_readme_works(copy: Path) -> None:
    """All in their order: later ones look at what earlier ones left."""
    for command in COMMANDS:
        if command in NOT_HERE:
            continue
        # Files are matched by the shell, as for the reader; with `set -e` no part of a command fails unseen.
        done = subprocess.run(
            ["bash", "-ec", command], cwd=copy, check=False, capture_output=True, text=True, timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        print(f"$ {command}\n{done.stdout}{done.stderr}")
        assert done.returncode == allowed_status(command, done), f"{command}: exit {done.returncode}"
        if "--report" in command:
            check_report(json.loads((copy / "report.json").read_text(encoding="utf-8")))
    assert not Path("/opt/capstan").exists()
    assert not (copy / ".venv").exists()


def allowed_status(command: str, done: subprocess.CompletedProcess[str]) -> int:
    """Give 0; but after an overload `capstan-gen check` rightly finds the dropped ones missing, and says so by 1."""
    missing = re.search(r"^ *missing +([\d ]+)$", done.stdout, re.MULTILINE)
    if command.startswith("capstan-gen check") and missing and int(missing[1].replace(" ", "")) > 0:
        return 1
    return 0


def check_report(report: dict[str, object]) -> None:
    """The report holds what the page promises, and its balance closes."""
    dropped = report["dropped"]
    assert isinstance(dropped, dict)
    assert report["method"] == "af_xdp"
    assert report["effective_mode"] == "native XDP, copy"
    assert report["sent"] == report["delivered"] + report["filtered"] + sum(dropped.values())  # type: ignore[operator]
    assert report["unaccounted"] == 0
    assert report["files"]
    assert isinstance(report["seconds"], int | float)


def test_the_fleet_of_the_readme_is_valid() -> None:
    """The inventory on the page passes the same check as a real one."""
    hosts = yaml.safe_load(blocks("yaml")[0])["probes"]["hosts"]
    methods = {from_inventory(name, variables).method for name, variables in hosts.items()}
    assert len(hosts) == 4
    assert len(methods) == 4


def test_every_path_that_the_readme_links_to_exists() -> None:
    """No dead links within the repository."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (PROJECT / target).exists(), target
