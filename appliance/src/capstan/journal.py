"""The journal of engine runs: one JSON line each, kept across boots."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from capstan.files import sync_directory
from capstan.ledger import Balance
from capstan.ledger_devices import DeviceCount


def now() -> str:
    """The time as RFC 3339 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def balance_json(balance: Balance, unaccounted: int | None = None) -> dict[str, Any]:
    """A balance for readers outside of the package.

    Args:
        balance: the counts.
        unaccounted: what is known to be missing, where the counters alone are still in motion.

    """
    counts = asdict(balance)
    return {
        **{key: counts[key] for key in ("wire", "delivered", "filtered")},
        "dropped": {cause: count for cause, count in balance.drops.items() if count},
        "pending": balance.pending,
        "unaccounted": balance.unaccounted if unaccounted is None else unaccounted,
        "delivered_bytes": balance.delivered_bytes,
    }


def devices_json(devices: Mapping[str, DeviceCount]) -> dict[str, Any]:
    """The devices' own counters for readers outside of the package; devices without any are left out."""
    return {name: asdict(device) for name, device in devices.items() if device != DeviceCount()}


def append(path: Path, record: dict[str, Any]) -> None:
    """Add a record; it is on the disk when this returns.

    A power cut or a full disk may leave half a line at the end: the record after it begins a line of its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
        line = (b"\n" if torn else b"") + json.dumps(record).encode() + b"\n"
        while line:
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    if is_new:
        sync_directory(path.parent)
