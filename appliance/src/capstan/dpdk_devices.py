"""Which of DPDK's packaged drivers knows a NIC, by its PCI ids; tests/dpdk_devices_table.py made the table."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files


@cache
def _table() -> dict[str, dict[str, str]]:
    table: dict[str, dict[str, str]] = json.loads((files("capstan") / "dpdk_devices.json").read_text(encoding="utf-8"))
    return table


def driver_for(model: str, distribution: str) -> str | None:
    """DPDK's driver for a NIC; None where none of those that are packaged knows it.

    Args:
        model: PCI vendor and device, such as 8086:1592.
        distribution: whose packages are meant, such as debian-12; the newest of the table for any other word.

    """
    table = _table()
    known = table.get(distribution) or table[max(table)]
    return next((driver for driver, models in known.items() if model in models.split()), None)
