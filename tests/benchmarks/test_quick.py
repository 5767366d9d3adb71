"""The whole harness, with so few packets that it measures nothing: every case and every peer of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.records import ABSENT, FAILED, MEASURED, Run

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "test"
SECONDS = 900
UNABLE = {"libtrace xdp:", "dpdk-dumpcap"}
"""Not in Debian 12's libtrace; wants hugepages that a busy machine may not have."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces and mounts need root")


def _command(*words: object) -> list[str]:
    within = ["unshare", "--mount", "--propagation", "private"]
    return [*within, sys.executable, "-m", "benchmarks", "--quick", "--build", str(BUILD), *map(str, words)]


def _measure(path: Path, *cases: str) -> Run:
    asked = [word for case in cases for word in ("--case", case)]
    command = _command("--json", path, "--plot", path.with_suffix(".svg"), *asked)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    run = Run.read(path)
    assert {record.case.partition("-")[0] for record in run.measurements} == {case.partition("-")[0] for case in cases}
    assert all(record.tool in done.stdout for record in run.measurements)
    assert path.with_suffix(".svg").exists()
    return run


def _there() -> set[Path]:
    return {*Path("/run/netns").glob("capstan-bench-*"), *(ROOT / "build" / "benchmarks").glob("*")}


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Namespaces and folders go with the run."""
    before = _there()
    yield
    assert _there() <= before


def test_packets_from_memory_and_from_files_come_through_every_tool(tmp_path: Path) -> None:
    run = _measure(tmp_path / "run.json", "memory", "file")
    for record in run.measurements:
        assert record.state in {MEASURED, ABSENT}, record
        if record.state == MEASURED:
            assert record.lost == 0 and record.packets, record
    assert {record.packet_size for record in run.measurements} >= {"64", "512", "1514", "imix"}


def test_every_tool_captures_on_the_wire(tmp_path: Path) -> None:
    run = _measure(tmp_path / "run.json", "live-cpu")
    for record in run.measurements:
        assert record.state in {MEASURED, ABSENT} or record.tool in UNABLE, record
        if record.tool.startswith("capstan"):
            assert record.softirq_ns_per_packet and record.cpu_ns_per_packet, record


def test_a_rate_is_searched_for(tmp_path: Path) -> None:
    run = _measure(tmp_path / "run.json", "live-lossless")
    # Whether a busy machine takes the least rate without loss is no matter of a test.
    assert all(record.state in {MEASURED, ABSENT, FAILED} for record in run.measurements)
    assert any(record.packets_per_second for record in run.measurements)


def test_some_tools_are_measured_alone(tmp_path: Path) -> None:
    command = _command("--json", tmp_path / "run.json", "--case", "file-tmpfs", "--tool", "capstan", "--tool", "cp")
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=SECONDS, check=True)
    assert {record.tool for record in Run.read(tmp_path / "run.json").measurements} == {"capstan replay", "cp"}


def test_a_tool_that_is_not_there_is_named() -> None:
    command = _command("--case", "file-tmpfs", "--tool", "tcpdmp")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    assert done.stderr == "benchmarks/run: There is no tool tcpdmp in file-tmpfs; --list names the peers.\n"


def test_an_interrupt_leaves_nothing_behind() -> None:
    process = subprocess.Popen(_command("--case", "live-cpu"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "tcpdump" in line:
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    # What was finished is shown.
    assert "capstan af_packet" in told


def test_a_case_that_does_not_exist_is_told() -> None:
    done = subprocess.run(_command("--case", "nosuch"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "nosuch" in done.stderr and "file-null" in done.stderr
