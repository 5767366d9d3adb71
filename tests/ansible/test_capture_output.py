"""The output directory is made with a memory of what was there, and given back as it was."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import CHECKOUT

pytestmark = pytest.mark.usefixtures("needs_root")
NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder that stands for the host."""
    tmp_path.chmod(0o755)
    return tmp_path


def run(host: Path, check: bool = False, **parameters: Any) -> dict[str, Any]:
    """Run the module as Ansible does."""
    arguments = {"record": str(host / "record"), "_ansible_check_mode": check, "_ansible_diff": True, **parameters}
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.capstan.appliance.plugins.modules.capture_output"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    assert not answer.get("failed"), answer
    return answer


def make(host: Path, check: bool = False) -> dict[str, Any]:
    return run(host, check, directory=str(host / "srv/captures"), user="nobody", group="nogroup")


def test_folders_are_made_once_and_removed_when_nothing_is_left(host: Path) -> None:
    assert make(host)["changed"]
    assert ((host / "srv/captures").stat().st_uid, (host / "srv").stat().st_uid) == (NOBODY, 0)
    assert (host / "srv/captures").stat().st_mode & 0o777 == 0o750
    assert not make(host)["changed"]
    assert run(host, state="absent")["captures_left"] == []
    assert not (host / "srv").exists()
    assert not (host / "record").exists()
    assert not run(host, state="absent")["changed"]


def test_check_mode_tells_and_writes_nothing(host: Path) -> None:
    assert make(host, check=True)["changed"]
    assert list(host.iterdir()) == []
    make(host)
    (host / "srv/captures/capstan-a.pcapng").touch()
    assert run(host, check=True, state="absent", purge=True)["changed"]
    assert (host / "srv/captures/capstan-a.pcapng").exists()
    assert (host / "record").exists()


def test_captures_stay_and_become_roots_until_they_are_purged(host: Path) -> None:
    make(host)
    for name in ("capstan-a.pcapng", ".capstan-b.pcapng.part"):
        (host / "srv/captures" / name).touch()
        os.chown(host / "srv/captures" / name, NOBODY, 0)
    answer = run(host, state="absent")
    assert answer["captures_left"] == [str(host / "srv/captures")]
    assert {path.stat().st_uid for path in (host / "srv/captures").iterdir()} == {0}
    assert (host / "srv/captures").stat().st_uid == 0
    assert not run(host, state="absent")["changed"]
    assert run(host, state="absent", purge=True)["captures_left"] == []
    assert not (host / "srv").exists()


TARGET = "01234567-89ab-4def-8123-456789abcdef"


def test_folders_of_targets_go_and_come_with_their_captures(host: Path) -> None:
    make(host)
    folder = host / "srv/captures" / TARGET
    folder.mkdir(mode=0o750)
    (folder / "capstan-a.pcapng").touch()
    for path in (folder, folder / "capstan-a.pcapng"):
        os.chown(path, NOBODY, 0)
    run(host, state="absent")
    assert {path.stat().st_uid for path in (folder, *folder.iterdir())} == {0}
    assert make(host)["changed"]
    assert folder.stat().st_uid == NOBODY, "the engine may write there again"
    assert not make(host)["changed"]
    assert run(host, state="absent", purge=True)["captures_left"] == []
    assert not (host / "srv").exists()


def test_files_of_others_in_a_folder_of_a_target_stay(host: Path) -> None:
    make(host)
    folder = host / "srv/captures" / TARGET
    folder.mkdir()
    for name in ("capstan-a.pcapng", "warrant.txt"):
        (folder / name).touch()
    run(host, state="absent", purge=True)
    assert [path.name for path in folder.iterdir()] == ["warrant.txt"]


def test_a_directory_that_was_there_gets_its_owner_back(host: Path) -> None:
    (host / "srv/captures").mkdir(parents=True)
    (host / "srv/captures").chmod(0o2775)
    make(host)
    assert (host / "srv/captures").stat().st_uid == NOBODY
    run(host, state="absent")
    found = (host / "srv/captures").stat()
    assert (found.st_uid, found.st_mode & 0o7777) == (0, 0o2775)


def test_a_directory_with_files_of_others_is_left_alone(host: Path) -> None:
    (host / "srv/captures").mkdir(parents=True)
    (host / "srv/captures/report.txt").touch()
    before = (host / "srv/captures").stat()
    assert not make(host)["changed"]
    run(host, state="absent", purge=True)
    assert (host / "srv/captures").stat().st_uid == before.st_uid
    assert (host / "srv/captures/report.txt").exists()
