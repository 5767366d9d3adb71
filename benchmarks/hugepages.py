"""Hugepages for a peer that needs them, given back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.process import output_of

_COUNT = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
_FREE = _COUNT.with_name("free_hugepages")
_MOUNT = Path("/dev/hugepages")


@contextmanager
def reserved(wanted: int) -> Iterator[None]:
    """So many free pages of 2 MiB, and a hugetlbfs to take them from, for the time of the block.

    Raises:
        BenchmarkError: the kernel does not give them.
    """
    before = int(_COUNT.read_text())
    free = int(_FREE.read_text())
    try:
        if free < wanted:
            # The first write may give fewer than asked for.
            for _ in range(3):
                _COUNT.write_text(str(before + wanted - free))
        if int(_FREE.read_text()) < wanted:
            raise BenchmarkError(f"{wanted} hugepages of 2 MiB are not to be had")
        _MOUNT.mkdir(exist_ok=True)
        # In the mount namespace of this run.
        output_of(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "capstan-benchmarks", _MOUNT])
        try:
            yield
        finally:
            output_of(["umount", "--lazy", _MOUNT])
    finally:
        if free < wanted:
            _COUNT.write_text(str(before))
