"""What must be on the disk is, whole, and what a power cut tore does no harm."""

import json
import os
from pathlib import Path

import pytest

from capstan import files, journal


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is brought to the disk, in its order."""
    names: list[str] = []

    def fsync(descriptor: int) -> None:
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", fsync)
    return names


def test_a_durable_file_is_on_the_disk_with_its_name(tmp_path: Path, synced: list[str]) -> None:
    files.write_text(tmp_path / "snapshot", "text", durable=True)
    assert synced == [".snapshot.new", tmp_path.name]
    files.write_text(tmp_path / "published", "text")
    assert len(synced) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["published", "snapshot"]


def test_a_record_of_the_journal_is_on_the_disk_with_its_file(tmp_path: Path, synced: list[str]) -> None:
    for run in range(2):
        journal.append(tmp_path / "runs.jsonl", {"run": run})
    assert synced == ["runs.jsonl", tmp_path.name, "runs.jsonl"]


def test_a_line_that_a_power_cut_tore_takes_no_other_with_it(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    journal.append(path, {"run": 1})
    path.write_text(path.read_text() + '{"run": 2, "deli')
    journal.append(path, {"run": 3})
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in (lines[0], lines[2])] == [{"run": 1}, {"run": 3}]
