"""What the disk itself takes: the measure for packets that go onto it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.interleave import Contestant
from benchmarks.process import output_of
from benchmarks.records import Sample

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Large O_DIRECT writes with several under way, by fio."""

    folder: Path
    core: int
    bytes: int

    def once(self) -> Sample:
        """Write a file and have the disk confirm it, as the engine does."""
        name = self.folder / "bandwidth"
        words = ["--name=disk", f"--filename={name}", "--rw=write", "--direct=1", f"--bs={_CHUNK}", "--iodepth=16"]
        engine = ["--ioengine=io_uring", f"--size={self.bytes}", "--end_fsync=1", "--output-format=json"]
        try:
            words = ["taskset", "-c", str(self.core), "fio", *words, *engine]
            answer = json.loads(output_of(words, seconds=300))["jobs"][0]
        finally:
            name.unlink(missing_ok=True)
        seconds = answer["job_runtime"] / 1000
        share = (answer["usr_cpu"] + answer["sys_cpu"]) / 100
        return Sample(self.bytes // _CHUNK, seconds, seconds * share, bytes=self.bytes)

    def contestant(self) -> Contestant:
        """Beside the pipelines onto the disk."""
        here = shutil.which("fio") is not None
        note = "the disk's own O_DIRECT bandwidth; packets are writes of 1 MiB"
        return Contestant("memory-disk", "fio", str(_CHUNK), self.once if here else None, note=note)
