"""Case (c): live on a veth, sender on one core, receiver with its softirq on the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.capture import RING_BYTES, Capture, Capturing, EngineCapturing, PeerCapturing
from benchmarks.errors import BenchmarkError
from benchmarks.lab import INTERFACE, Lab
from benchmarks.options import Options
from benchmarks.peers import Peer
from benchmarks.place import Place
from benchmarks.records import Sample
from benchmarks.targets import hits, write_targets
from benchmarks.traffic import Generator, Sent

TARGETS = 1000
_RETIRES = 0.3
"""Seconds until the engine has read what it was sent; what its writer still holds it writes when it is stopped."""
_PEER_RETIRES = 1.2
"""Of peers: tcpdump has the kernel hand over a block of its ring that is not full after a second."""
_QUIET_SECONDS = 2.0
_QUIET_STEP = 0.1
_QUIET_SHARE = 0.05
_XDP = {"frames": 16384, "ring": 16384}


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of frames that were offered at a rate."""

    sent: Sent
    cpu_seconds: float
    softirq_seconds: float
    wanted: int
    """What a tool was to find: all of them, or those of its targets."""
    found: int

    @property
    def lost(self) -> int:
        """Never by a tool's own counters: what is not in its files, and what the link refused meanwhile."""
        return self.wanted - self.found

    @property
    def lost_share(self) -> float:
        """Of what was wanted."""
        return self.lost / self.wanted if self.wanted else 0.0

    def sample(self, size: str) -> Sample:
        """As a repeat."""
        frames = self.sent.frames
        spent = (self.cpu_seconds, self.softirq_seconds)
        return Sample(frames, self.sent.seconds, *spent, lost=self.lost, bytes=frames * int(size))


@dataclass(frozen=True, slots=True)
class Receiver:
    """One tool on the wire."""

    tool: str
    capturing: Capturing | None
    """None: it is not on this machine."""
    note: str = ""
    targets: int | None = None
    retires: float = _RETIRES

    def trial(self, place: Place, lab: Lab, rate: int, count: int, size: str) -> Trial:
        """Offer frames at a rate and look what the tool kept."""
        if self.capturing is None:
            raise BenchmarkError("it is not installed")
        generator = Generator(place.generator, place.sender_core)
        with place.output() as folder, self.capturing(lab, folder) as capture:
            lab.steer()
            cpu, softirq = capture.cpu_seconds(), lab.softirq_seconds()
            sent = generator.send(lab.sender, "wire0", count, rate, size)
            _await_quiet(capture, self.retires)
            cpu, softirq = capture.cpu_seconds() - cpu, lab.softirq_seconds() - softirq
            found = generator.check(capture.finish(), sent.frames)
        if found.damaged:
            raise BenchmarkError(f"{found.damaged} frames of its output are damaged")
        wanted = sent.frames if self.targets is None else hits(self.targets, sent.frames)
        return Trial(sent, cpu, softirq, wanted, found.frames)


def _await_quiet(capture: Capture, retires: float) -> None:
    """Until what is in its ring is read; one that polls is never quiet."""
    time.sleep(retires)
    deadline = time.monotonic() + _QUIET_SECONDS
    last = capture.cpu_seconds()
    while time.monotonic() < deadline:
        time.sleep(_QUIET_STEP)
        now = capture.cpu_seconds()
        if now - last < _QUIET_STEP * _QUIET_SHARE:
            return
        last = now


def receivers(place: Place, options: Options, peers: Sequence[Peer]) -> Iterator[Receiver]:
    """Every method of Capstan that a veth takes, and every peer."""
    ring = {"ring_bytes": RING_BYTES}
    dpdk = {"huge": False, "devargs": f"iface={INTERFACE},framecnt=8192"}
    yield Receiver("capstan af_packet", EngineCapturing(place, "af_packet", options=ring))
    yield Receiver("capstan af_xdp copy", EngineCapturing(place, "af_xdp", options={"mode": "copy", **_XDP}))
    yield Receiver("capstan af_xdp skb", EngineCapturing(place, "af_xdp", options={"mode": "skb", **_XDP}))
    yield Receiver("capstan pcap", EngineCapturing(place, "pcap", options={"buffer_bytes": RING_BYTES}))
    polls = "net_af_packet, which polls: a whole core always"
    yield Receiver("capstan dpdk", EngineCapturing(place, "dpdk", "net_af_packet0", dpdk), polls)
    for peer in peers:
        if peer.live:
            capturing = PeerCapturing(peer, place.receiver_core) if peer.installed else None
            yield Receiver(peer.tool, capturing, peer.notes, retires=_PEER_RETIRES)
    few = options.few(TARGETS)
    chosen = write_targets(place.memory / "targets-live.json", few)
    for method, words in (("af_packet", ring), ("af_xdp", {"mode": "copy", **_XDP})):
        judged = EngineCapturing(place, method, options=words, targets=chosen)
        name = f"capstan {method}" + (" copy" if method == "af_xdp" else "")
        yield Receiver(name, judged, "1 % of the packets are of a target", few)
