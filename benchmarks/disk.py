"""What a file costs by itself, on the disk and in memory: the measure for packets that go there."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.interleave import Contestant
from benchmarks.process import output_of
from benchmarks.records import Sample

TOOL = "fio"
CHUNK = 1 << 20
"""Of a write; what the records call a packet."""
_DISK = ("--direct=1", "--ioengine=io_uring", "--iodepth=16", "--end_fsync=1")
_MEMORY = ("--ioengine=psync", "--scramble_buffers=0", "--fallocate=none")


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Large writes of one buffer, by fio: onto a disk with O_DIRECT and several under way, into memory one by one."""

    folder: Path
    core: int
    bytes: int
    in_memory: bool = False

    def once(self) -> Sample:
        """Write a file; have a disk confirm it, as the engine does."""
        name = self.folder / "bandwidth"
        words = ["--name=file", f"--filename={name}", "--rw=write", f"--bs={CHUNK}", f"--size={self.bytes}"]
        way = _MEMORY if self.in_memory else _DISK
        try:
            words = ["taskset", "-c", str(self.core), TOOL, *words, *way, "--output-format=json"]
            answer = json.loads(output_of(words, seconds=300))["jobs"][0]
        finally:
            name.unlink(missing_ok=True)
        seconds = answer["job_runtime"] / 1000
        share = (answer["usr_cpu"] + answer["sys_cpu"]) / 100
        return Sample(self.bytes // CHUNK, seconds, seconds * share, bytes=self.bytes)

    def contestant(self) -> Contestant:
        """Beside the pipelines that write there."""
        here = shutil.which(TOOL) is not None
        case, what = ("memory-tmpfs", "the file's pages") if self.in_memory else ("memory-disk", "the disk's O_DIRECT")
        note = f"{what} alone; packets are writes of 1 MiB"
        return Contestant(case, TOOL, str(CHUNK), self.once if here else None, note=note)
