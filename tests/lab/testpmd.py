"""DPDK's own test program as the other end of a memif: it forwards a file of numbered frames to the engine."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

_SECONDS = 20.0
_PROGRAM = "dpdk-testpmd"

# It neither shares its memory nor wants hugepages; one CPU of each of its two threads is any CPU.
_EAL = ("--no-huge", "-m", "192", "--no-pci", "--no-telemetry", "--no-shconf", "--log-level=error")


class Testpmd:
    """Forwards from a file to a memif, once told to; port 0 is the file, port 1 the memif."""

    __test__ = False
    """pytest takes the name for a test's."""

    def __init__(self, file: Path, socket: Path, role: str = "client") -> None:
        cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        words = [
            *(_PROGRAM, "--lcores", f"0@({cpus}),1@({cpus})", "--file-prefix", f"peer-{os.getpid()}", *_EAL),
            *("--vdev", f"net_pcap0,rx_pcap={file}"),
            # A buffer holds any frame: what net_memif does to longer ones is another matter.
            *("--vdev", f"net_memif0,role={role},socket={socket},socket-abstract=no,bsize=16384"),
            # What it reads of the file before it is told to begin it would throw away.
            *("--", "-i", "--no-flush-rx", "--total-num-mbufs=8192", "--port-topology=paired"),
        ]
        self._log = file.with_suffix(".testpmd.log").open("w+")
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        if error is not None:
            print(self._said())
        self._log.close()

    def is_ready(self) -> bool:
        """Whether its ports have been started."""
        return "testpmd>" in self._said()

    def tell(self, *commands: str) -> None:
        """Give it commands of its command line."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{command}\n" for command in commands))
        self._process.stdin.flush()

    def forward_patiently(self) -> None:
        """Forward, and wait for room in the memif where there is none."""
        self.tell("set fwd io retry", "set burst tx delay 10 retry 100000000", "start")

    def forward_hastily(self) -> None:
        """Forward, and drop what the memif has no room for."""
        self.tell("set fwd io", "start")

    def finish(self) -> int:
        """End it; how many frames the memif took from it. What the memif holds by then goes with it."""
        self.tell("stop", "show port stats 1", "quit")
        self._process.communicate(timeout=_SECONDS)
        assert self._process.returncode == 0, self._said()
        return self._counted(1, "TX")

    def read(self) -> int:
        """How many frames of the file it has read by now."""
        self.tell("show port stats 0")
        return self._counted(0, "RX")

    def sent(self) -> int:
        """How many frames the memif has taken by now."""
        self.tell("show port stats 1")
        return self._counted(1, "TX")

    def _counted(self, port: int, direction: str) -> int:
        """What it said last of a port."""
        found = re.findall(rf"NIC statistics for port {port} .*?{direction}-packets: (\d+)", self._said(), re.DOTALL)
        return int(found[-1]) if found else 0

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read()
