"""What a run was measured on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.place import ROOT
from benchmarks.process import output_of


def describe() -> dict[str, str]:
    """The machine in words, nothing that names it."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    release = re.search(r'^PRETTY_NAME="(.*)"$', Path("/etc/os-release").read_text(), re.MULTILINE)
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory.group(1)) / 2**20:.0f} GiB" if memory else "",
        "system": release.group(1) if release else platform.system(),
        "kernel": platform.release().partition("-")[0],
        "compiler": compiler(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def compiler() -> str:
    """The compiler's first line."""
    return output_of(["cc", "--version"]).splitlines()[0]


def revision() -> str:
    """The commit that is measured, with a + where the checkout differs from it."""
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", ROOT]
    try:
        commit = output_of([*git, "rev-parse", "--short=12", "HEAD"]).strip()
        changed = output_of([*git, "status", "--porcelain", "--untracked-files=no"]).strip()
    except BenchmarkError:
        return "unknown"
    return f"{commit}+" if changed else commit


def version_of(package: str) -> str | None:
    """The installed version of a Debian package; None where it is not installed."""
    try:
        words = output_of(["dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Version}", package])
    except BenchmarkError:
        return None
    return words.split()[1] if words.startswith("ii") else None
