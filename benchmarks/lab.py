"""The wire of the live cases: a veth whose receiving end works on the receiver's core, as a NIC's interrupt would."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.process import output_of, thread_seconds
from capstan import lab as veth
from capstan import namespaces

INTERFACE = f"b{os.getpid()}"
"""A name that no other lab has: the kernel's threads are known by it."""
_PRIORITY = 50


@dataclass(frozen=True, slots=True)
class Lab:
    """Two namespaces and the veth between them."""

    netns: str
    sender: str
    core: int

    def steer(self) -> None:
        """Put the kernel's receiving thread on the receiver's core, before everything there, as a softirq is.

        Raises:
            BenchmarkError: this kernel has no such thread.
        """
        threads = _receiving_threads()
        if not threads:
            raise BenchmarkError("this kernel gives a veth no receiving thread (threaded NAPI, since Linux 5.12)")
        for thread in threads:
            output_of(["taskset", "-c", "-p", self.core, thread.name])
            output_of(["chrt", "--fifo", "-p", _PRIORITY, thread.name])

    def softirq_seconds(self) -> float:
        """CPU time of the receiving thread so far."""
        return sum(thread_seconds(thread) for thread in _receiving_threads())

    def packet_sockets(self) -> int:
        """How many packet sockets are open on the wire."""
        return namespaces.inside(self.netns, _count_packet_sockets)


def _count_packet_sockets() -> int:
    return len(Path("/proc/thread-self/net/packet").read_text().splitlines()) - 1


def _receiving_threads() -> list[Path]:
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if comm.read_text().startswith(f"napi/{INTERFACE}-"):
                found.append(comm.parent)
    return found


@contextmanager
def wire(core: int) -> Iterator[Lab]:
    """Make the lab and remove it."""
    name = f"capstan-bench-{os.getpid()}"
    veth.up(name, 1)
    try:
        ip, within = ["ip", "-n", name, "link", "set"], ["nsenter", f"--net=/run/netns/{name}"]
        output_of([*ip, veth.RECEIVER, "down"])
        output_of([*ip, veth.RECEIVER, "name", INTERFACE])
        output_of([*ip, INTERFACE, "up"])
        # A veth receives in a NAPI context of its own when GRO is on (or an XDP program is there), as NICs do. No frame
        # of the traffic is ever merged: that takes rx-udp-gro-forwarding, which is off.
        output_of([*within, "ethtool", "-K", INTERFACE, "gro", "on"])
        output_of(["ip", "netns", "exec", name, "sh", "-c", f"echo 1 >/sys/class/net/{INTERFACE}/threaded"])
        yield Lab(name, f"{name}-tx", core)
    finally:
        veth.down(name)
