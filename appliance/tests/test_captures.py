"""Which capture files there are, in the directory itself and in folders of targets."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from capstan import captures

TARGET = "01234567-89ab-4def-8123-456789abcdef"
SINCE = datetime.fromtimestamp(1000, UTC).isoformat()


def put(path: Path, finished: int, content: str = "x") -> Path:
    """A file that was finished at a time."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    os.utime(path, (finished, finished))
    return path


def test_files_of_targets_are_found_among_the_others_by_their_age(tmp_path: Path) -> None:
    second = put(tmp_path / "capstan-b.pcapng", 1002)
    first = put(tmp_path / TARGET / "capstan-a.pcapng", 1001)
    put(tmp_path / TARGET / "capstan-old.pcapng", 999)
    put(tmp_path / TARGET / ".capstan-c.pcapng.part", 1003)
    put(tmp_path / "evidence" / "capstan-d.pcapng", 1004)
    put(tmp_path / "other-e.pcapng", 1005)
    assert captures.whole_files(tmp_path, SINCE) == (str(first), str(second))


def test_a_folder_in_which_nothing_was_finished_since_is_not_looked_into(tmp_path: Path) -> None:
    put(tmp_path / TARGET / "capstan-a.pcapng", 1001)
    os.utime(tmp_path / TARGET, (999, 999))
    assert captures.whole_files(tmp_path, SINCE) == ()


def test_what_may_be_removed_for_space_is_summed_over_all_folders(tmp_path: Path) -> None:
    put(tmp_path / "capstan-a.pcapng", 1, "four")
    put(tmp_path / TARGET / "capstan-b.pcapng", 1, "fifteen letters")
    put(tmp_path / "evidence" / "capstan-c.pcapng", 1)
    assert captures.bytes_held(tmp_path) == 19
    assert captures.bytes_held(tmp_path / "missing") == 0


def test_a_link_in_the_place_of_a_folder_leads_nowhere(tmp_path: Path) -> None:
    elsewhere = put(tmp_path / "elsewhere" / "capstan-a.pcapng", 1001).parent
    (tmp_path / "captures").mkdir()
    (tmp_path / "captures" / TARGET).symlink_to(elsewhere)
    assert captures.whole_files(tmp_path / "captures", SINCE) == ()
