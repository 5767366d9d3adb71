#!/usr/bin/python3
"""Runs on a machine under test: waits until its capture has taken in what was sent, and finds it in the files.

settle.py WIRE STREAM COUNT DIRECTORY prints, as one JSON object, the capture's status once WIRE packets have been seen
and none is held any more, and what capstan-gen finds of the COUNT frames of the STREAM in the closed files.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CAPSTAN = "/usr/local/bin/capstan"
GEN = "/usr/bin/capstan-gen"
DEADLINE_SECONDS = 120
LOOK_SECONDS = 0.5


def status() -> dict[str, Any]:
    """What `capstan status` says."""
    shown = subprocess.run([CAPSTAN, "status", "--json"], check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(shown.stdout)
    return answer


def settled(wire: int) -> dict[str, Any]:
    """The status, once everything has arrived; as it is when that does not happen."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        now = status()
        totals = now["totals"]
        quiet = totals["wire"] >= wire and totals["pending"] == 0 and totals["unaccounted"] == 0
        if quiet or time.monotonic() > deadline:
            return now
        time.sleep(LOOK_SECONDS)


def close(directory: Path) -> None:
    """End the files, and wait until they have their names."""
    subprocess.run([CAPSTAN, "rotate"], check=True, capture_output=True)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while any(directory.glob(".*.part")) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)


def main() -> None:
    """Print what became of the frames."""
    wire, stream, count, directory = int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
    after = settled(wire)
    close(directory)
    files = sorted(map(str, directory.glob("*.pcapng")))
    found = subprocess.run(
        [GEN, "check", "--json", "--stream", stream, "--first", "0", "--count", count, *files],
        check=False,
        capture_output=True,
        text=True,
    )
    if found.returncode > 1:  # 1: frames are missing, which the caller judges
        sys.exit(f"capstan-gen check: {found.stderr.strip()}")
    sys.stdout.write(json.dumps({"status": after, "found": json.loads(found.stdout)}))


if __name__ == "__main__":
    main()
