"""Measures what this host's cores and disk do with packets, by the engine itself; bounded in time and bytes.

Packets of 64 bytes go out of memory through the real pipeline of one worker: once to nobody, which is what a core does
when receiving costs nothing, and once into the host's own output directory. In the lab, where that is allowed, a veth
pair is captured from by each method that has one, with all of the kernel's work counted.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from capstan import lab as veth_lab
from capstan import namespaces, preflight
from capstan.config import CaptureConfig
from capstan.engine_config import options
from capstan.errors import OperatorError
from capstan.files import write_json
from capstan.ledger import Layout, LedgerFile, Snapshot, describe
from capstan.links import Network
from capstan.machine import Machine
from capstan.means import Measured
from capstan.means_read import MEASURED
from capstan.paths import Paths
from capstan.planner import plan_host
from capstan.quantities import GIB, MIB, format_size

LAB_METHODS: Final = ("af_packet", "af_xdp", "pcap")
"""Methods that capture from a veth; af_xdp does so in copy mode, because a veth has no memory to write into."""
_GENERATE: Final = {"packets": 0, "size": 64, "flows": 1024, "distinct": 4096}
_FILE_BYTES: Final = 100  # of a packet of 64 bytes in a pcapng file: its block, padded
_MOST_BYTES: Final = 2 * GIB
_LEAST_BYTES: Final = 64 * MIB
_WARM_UP: Final = 0.3  # seconds: blocks are touched, the writer has found its rhythm
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.02
_LAB_METHOD_MODE: Final = {"af_xdp": "af_xdp copy"}


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how long is measured."""

    paths: Paths
    config: CaptureConfig
    machine: Machine
    worker: int
    """CPU of the worker."""
    writers: tuple[int, ...]
    seconds: float


def measure(paths: Paths, config: CaptureConfig, machine: Machine, seconds: float, *, lab: bool = False) -> Measured:
    """Measure, in about three times so many seconds, with the lab twice that.

    Args:
        paths: where the engine is.
        config: the host's settings, for output directory, blocks and cores.
        machine: what the host is made of.
        seconds: length of each run.
        lab: capture from a veth as well, which takes root.

    Raises:
        OperatorError: the engine cannot be had or does not run, or there is no room.

    """
    layout = Layout.parse(describe(paths.engine))
    workers, writers = _cpus(config, machine)
    bench = Bench(paths, config, machine, workers[0], writers, seconds)
    pipeline, _ = _replay(bench, layout, {"sink": "null"}, packets=0)
    with _room(config) as (directory, limit):
        sink = {"directory": str(directory), "min_free_bytes": 0, "direct_io": config.output.direct_io}
        written = directory.parent
        output, output_bytes = _replay(bench, layout, sink, packets=limit // _FILE_BYTES)
    return Measured(
        host=config.host,
        kernel=machine.kernel_release,
        engine=_version(paths),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        processor=_processor(),
        pipeline=pipeline,
        output=output,
        output_bytes=output_bytes,
        directory=str(written),
        missing="" if written == Path(config.output.directory) else str(config.output.directory),
        lab=dict(_lab(bench, layout)) if lab else {},
    )


def keep(paths: Paths, measured: Measured) -> None:
    """Store what was measured; it stands in for priors from now on.

    Raises:
        OperatorError: it cannot be written.

    """
    try:
        paths.advice.mkdir(parents=True, exist_ok=True)
        write_json(paths.advice / MEASURED, measured.to_json(), durable=True)
    except OSError as error:
        raise OperatorError(
            f"{paths.advice / MEASURED} cannot be written ({error.strerror}); run capstan as root."
        ) from None


def _cpus(config: CaptureConfig, machine: Machine) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """CPUs of a worker and of the writer, as the planner gives them to a capture."""
    raw = {
        "host": config.host,
        "method": "replay",
        "interfaces": [{"name": "memory"}],
        "replay": {"generate": _GENERATE},
        "cores": config.cores,
    }
    planned = plan_host(CaptureConfig.model_validate(raw), machine, Network(()))
    return planned.workers, planned.writers


@contextmanager
def _room(config: CaptureConfig) -> Iterator[tuple[Path, int]]:
    """A folder of our own beside the captures, and how many bytes may go there."""
    there = Path(config.output.directory)
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free - (config.output.min_free or 0)
    limit = min(_MOST_BYTES, free // 2)
    if limit < _LEAST_BYTES:
        raise OperatorError(
            f"{there} has {format_size(max(free, 0))} beyond output.min_free, and measuring takes "
            f"{format_size(2 * _LEAST_BYTES)}; free some space."
        )
    try:
        directory = Path(tempfile.mkdtemp(prefix=".capstan-advise-", dir=there))
    except OSError as error:
        raise OperatorError(f"{there} takes no folder ({error.strerror}); run capstan as root.") from None
    try:
        yield directory, limit
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _replay(bench: Bench, layout: Layout, output: Mapping[str, Any], packets: int) -> tuple[int, int]:
    """Packets and bytes of files a second, of packets out of memory; `packets` of them at most, 0 is no limit."""
    port = {
        "interface": "memory",
        "method": "replay",
        "queues": 1,
        "cores": [bench.worker],
        "options": {"generate": {**_GENERATE, "packets": packets}},
    }
    with _engine(bench, layout, port, output) as running:
        before = running.settle()
        after = running.watch(bench.seconds, packets)
    return _rates(before, after)


def _rates(before: Snapshot, after: Snapshot) -> tuple[int, int]:
    seconds = after.taken - before.taken
    packets = after.total.delivered - before.total.delivered
    if seconds <= 0 or packets <= 0:
        raise OperatorError("The engine delivered nothing while it was measured; run again with more --seconds.")
    written = sum(int(q.values["written_bytes"]) for q in after.queues)
    written -= sum(int(q.values["written_bytes"]) for q in before.queues)
    return round(packets / seconds), round(written / seconds)


class _Running:
    """An engine that captures."""

    def __init__(self, process: subprocess.Popen[bytes], ledger: LedgerFile, log: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._ledger = ledger
        self._log = log

    def snapshot(self) -> Snapshot:
        """The ledger now."""
        found = self._ledger.snapshot()
        if found is None or self._process.poll() is not None:
            raise OperatorError(f"The engine ended while it was measured{self.why()}.")
        return found

    def why(self) -> str:
        """Its last error, as a clause."""
        reason = preflight.last_error(self._log.read_text(encoding="utf-8", errors="replace"))
        return f": {reason}" if reason else ""

    def settle(self) -> Snapshot:
        """Wait until packets flow and the first of them are behind us."""
        deadline = time.monotonic() + _START_SECONDS
        while self.snapshot().total.delivered == 0:
            if time.monotonic() > deadline:
                raise OperatorError(f"No packet was delivered within {_START_SECONDS:.0f} s of measuring{self.why()}.")
            time.sleep(_POLL_SECONDS)
        time.sleep(_WARM_UP)
        return self.snapshot()

    def watch(self, seconds: float, packets: int = 0) -> Snapshot:
        """The ledger after so many seconds, or the last one before all packets were through."""
        deadline = time.monotonic() + seconds
        last = self.snapshot()
        while time.monotonic() < deadline:
            time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
            now = self.snapshot()
            if packets and now.total.delivered >= packets:
                break
            last = now
        return last


@contextmanager
def _engine(
    bench: Bench, layout: Layout, port: Mapping[str, Any], output: Mapping[str, Any], netns: str | None = None
) -> Iterator[_Running]:
    """Run an engine of our own, apart from any capture, until the block ends."""
    buffers = bench.config.buffers
    with tempfile.TemporaryDirectory(prefix="capstan-advise-") as name:
        folder = Path(name)
        settings = {
            "version": 1,
            **({"netns": netns} if netns else {}),
            "ledger": str(folder / "ledger"),
            "control": {"path": str(folder / "control"), "mode": "0600"},
            "ports": [dict(port)],
            "output": dict(output),
            "buffers": {
                "block_bytes": buffers.block_size,
                "blocks_per_queue": buffers.blocks_per_queue,
                "hugepages": "auto" if buffers.hugepages == "on" else buffers.hugepages,
            },
            "writer": {"cores": list(bench.writers)},
        }
        file, log = folder / "engine.json", folder / "log"
        file.write_text(json.dumps(settings), encoding="utf-8")
        ledger = LedgerFile(folder / "ledger", layout)
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [str(bench.paths.engine), "--config", str(file)], stdin=subprocess.DEVNULL, stderr=stream
            )
        try:
            running = _Running(process, ledger, log)
            _await(process, ledger, running)
            yield running
        finally:
            _end(process)
            ledger.close()


def _await(process: subprocess.Popen[bytes], ledger: LedgerFile, running: _Running) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        found = ledger.snapshot()
        if found is not None and found.pid == process.pid and found.state == "capturing":
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise OperatorError(f"The engine did not start to be measured{running.why()}.")
        time.sleep(_POLL_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _lab(bench: Bench, layout: Layout) -> Iterator[tuple[str, int]]:
    """Packets a second of one core by each method that captures from a veth."""
    name = f"capstan-advise-{os.getpid()}"
    if not bench.paths.generator.exists():
        raise OperatorError(f"{bench.paths.generator} is not there; install the package capstan-engine.")
    try:
        veth_lab.up(name, 1)
        for method in LAB_METHODS:
            yield _LAB_METHOD_MODE.get(method, method), _live(bench, layout, method, name)
    finally:
        veth_lab.down(name)


def _live(bench: Bench, layout: Layout, method: str, netns: str) -> int:
    port = {
        "interface": veth_lab.RECEIVER,
        "method": method,
        "queues": 1,
        "cores": [bench.worker],
        "options": options(bench.config, method),
    }
    inside = str(namespaces.path_of(netns))
    with _engine(bench, layout, port, {"sink": "null"}, inside) as running, _traffic(bench, netns):
        before, spent = running.settle(), _spent(running.pid)
        after = running.watch(bench.seconds)
        spent = _spent(running.pid) - spent
    packets = after.total.delivered - before.total.delivered
    if packets <= 0 or spent <= 0:
        raise OperatorError(f"The lab passed no packets by {method}; run `capstan lab status`, and try again.")
    return round(packets / spent)


@contextmanager
def _traffic(bench: Bench, netns: str) -> Iterator[None]:
    """Frames of 64 bytes as fast as they go, from other CPUs than the worker's where there are any."""
    most = 4 * (bench.seconds + _WARM_UP) + _START_SECONDS  # whatever becomes of us, it ends by itself
    words = ["--netns", f"{netns}-tx", "--interface", veth_lab.SENDER, "--seconds", f"{most:.0f}"]
    sender = subprocess.Popen(
        [str(bench.paths.generator), "send", *words, "--rate", "0", "--size", "64", "--flows", "64"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        others = {cpu.number for cpu in bench.machine.cpus if cpu.usable} - {bench.worker}
        with suppress(ProcessLookupError):  # it ended at once; that no packet comes is told by who waits for them
            os.sched_setaffinity(sender.pid, others or {bench.worker})
        yield
    finally:
        _end(sender)


def _spent(pid: int) -> float:
    """Seconds of CPU that the worker has used, and all CPUs for the kernel's interrupts.

    A packet that is received costs the kernel its part in soft interrupts, which run on whichever CPU the sender or the
    NIC has: per core means of a core that does both.
    """
    tick = os.sysconf("SC_CLK_TCK")
    ticks = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith(f"cap-{veth_lab.RECEIVER}"):
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime and stime, the 14th and 15th of all
    with Path("/proc/stat").open(encoding="utf-8") as stat:
        words = stat.readline().split()
    return (ticks + int(words[6]) + int(words[7])) / tick  # hard and soft interrupts


def _version(paths: Paths) -> str:
    answer = subprocess.run([paths.engine, "--methods", "--json"], capture_output=True, text=True, check=False)
    try:
        return str(json.loads(answer.stdout)["version"])
    except (ValueError, KeyError):
        raise OperatorError(f"{paths.engine} does not tell its version; install the package capstan-engine.") from None


def _processor() -> str:
    """Model of the first CPU."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return os.uname().machine
