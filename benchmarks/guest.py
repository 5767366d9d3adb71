"""Free memory of a guest: kept while it is measured.

A guest with a balloon that reports free pages gives memory back to its host a few seconds after it was freed, and pays
for each page that it touches again: ten times what a file's page costs else, by whoever happens to write next.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.interleave import Tell

GIVEN_BACK = "goes back to the host meanwhile, so that files in memory may cost some tools too much"
KEPT = "kept from the host while it was measured"
_ORDER = Path("/sys/module/page_reporting/parameters/page_reporting_order")
"""Of the smallest free blocks that are given back; no block has an order above 10."""
_NONE = "11"
_MEMORY = Path("/proc/meminfo")
_SHARE = 0.75
_MOST_BYTES = 16 << 30
_SECONDS = 600
_TOUCH = """
import mmap, sys
size = int(sys.argv[1]) // mmap.PAGESIZE
with mmap.mmap(-1, size * mmap.PAGESIZE) as memory:
    memory[:: mmap.PAGESIZE] = bytes(size)
"""


@contextmanager
def memory_kept(tell: Tell, order: Path = _ORDER) -> Iterator[str | None]:
    """Touch the free memory once and keep it, for the time of the block; None where nobody takes any."""
    if not order.exists():
        yield None
        return
    before = order.read_text().strip()
    try:
        order.write_text(_NONE)
    except OSError:
        # A kernel that takes no order so high: told in the results.
        yield GIVEN_BACK
        return
    try:
        tell("getting the memory back that this guest gave to its host")
        _touch()
        yield KEPT
    finally:
        order.write_text(before)


def _touch() -> None:
    """In a process of its own, with whose end all of it is free again."""
    free = next(line for line in _MEMORY.read_text().splitlines() if line.startswith("MemAvailable"))
    wanted = min(int(int(free.split()[1]) * 1024 * _SHARE), _MOST_BYTES)
    done = subprocess.run([sys.executable, "-c", _TOUCH, str(wanted)], timeout=_SECONDS, check=False)
    if done.returncode:
        raise BenchmarkError(f"{wanted >> 30} GiB of free memory cannot be touched: end what uses the memory.")
