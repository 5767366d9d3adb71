"""How many packets a second each method takes: figures of others until the host itself was measured.

All figures are for frames of 64 bytes, the hardest that Ethernet has, and for a core that does the kernel's part of
receiving as well as the engine's. A packet costs what receiving it costs the method, and what the pipeline costs the
engine: filter, copy into a block, hand over. The pipeline can be measured on a host; what receiving costs is a prior,
unless a lab measured the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from capstan.config import CaptureConfig, Interface
from capstan.means import Measured

FRAME_BITS: Final = 8 * (64 + 20)
"""A frame of 64 bytes on the wire, with preamble and gap."""
ASSUMED_SPEED: Final = 10_000
"""Mbit/s of a port that does not tell its speed."""
WIRELESS_SPEED: Final = 1_000
"""Mbit/s of a station of a WiFi, which shares its channel with others."""
PIPELINE_NS: Final = 30
"""Nanoseconds of one core from the driver's ring to the null sink: above the 18 that an EPYC core of 2021 takes."""
# In frames of 64 bytes: 2, 10 and 40 Gbit/s.
_2_GBIT, _10_GBIT, _40_GBIT = 2_976_190, 14_880_952, 59_523_809


@dataclass(frozen=True, slots=True)
class Prior:
    """What is said of a method before anybody has measured."""

    receive_ns: int
    """Nanoseconds of a core until a packet lies in the ring that the engine reads."""
    most: int | None
    """Packets a second that more cores do not lift it over, by a rule of thumb: a measured core counts for more."""
    why: str
    """Where it is good, in a clause."""


PRIORS: Final[dict[tuple[str, str], Prior]] = {
    ("af_packet", ""): Prior(850, _2_GBIT, "any NIC, up to about 2 Gbit/s of small packets"),
    ("af_xdp", "zero-copy"): Prior(110, _40_GBIT, "the NIC writes into the engine's memory"),
    ("af_xdp", "copy"): Prior(550, _10_GBIT, "taken off in the driver, before the kernel's network stack"),
    ("af_xdp", "generic"): Prior(1300, _2_GBIT, "without native XDP it costs more than af_packet"),
    ("dpdk", ""): Prior(40, None, "the highest rates: polled, past the kernel"),
    ("pf_ring", "ZC"): Prior(45, None, "the vendor's zero-copy driver, past the kernel"),
    ("pf_ring", "standard"): Prior(800, _2_GBIT, "the vendor's module, beside the kernel's network stack"),
    ("dag", ""): Prior(35, None, "the card writes records into memory, time-stamped by itself"),
    ("pcap", ""): Prior(1000, None, "for tests: one queue, and one copy more"),
}
"""By method and mode. Those of af_packet, af_xdp copy and pcap are rounded from veth runs of this engine; the others
are set below what the makers of each technique state, and were not measured here. See docs/choosing-a-method.md."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a method is estimated to take, in packets a second."""

    core: int
    workers: int
    total: int
    evidence: str
    """prior; pipeline: that part was measured on this host; or measured: all of it was."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a port is to take, in packets a second."""

    pps: int
    source: str


def expected(config: CaptureConfig, interface: Interface, speed: int | None, *, wireless: bool = False) -> Expected:
    """What the settings expect of a port, or the most that can arrive there.

    Args:
        config: the settings.
        interface: the port.
        speed: Mbit/s of its link.
        wireless: it is a station of a WiFi.

    """
    own = interface.expected_pps
    if own is not None:
        return Expected(own, "the port's expected_pps")
    if config.expected_pps is not None:
        return Expected(config.expected_pps, "capture_expected_pps")
    if speed is None and wireless:
        source = f"line rate at 64 bytes, of {WIRELESS_SPEED // 1000} Gbit/s assumed for a WiFi"
        return Expected(line_rate(WIRELESS_SPEED), source)
    if speed is None:
        return Expected(line_rate(ASSUMED_SPEED), f"line rate at 64 bytes, of {ASSUMED_SPEED // 1000} Gbit/s assumed")
    return Expected(line_rate(speed), "line rate at 64 bytes")


def line_rate(speed: int) -> int:
    """Most packets a second on a link of so many Mbit/s."""
    return speed * 1_000_000 // FRAME_BITS


def estimate(method: str, mode: str, workers: int, measured: Measured | None, speed: int | None = None) -> Rate:
    """What a method takes with so many workers, of which a port has no more than queues that reach them.

    What a method takes at most is a rule of thumb: it stands until a core was measured on this host, as each worker
    brings a core. No port takes more than its link carries.

    Args:
        method: the method.
        mode: of the method.
        workers: cores that take packets from the port.
        measured: figures of this host that still count.
        speed: Mbit/s of the port's link; None where nobody tells.

    """
    prior = PRIORS[method, mode]
    most = prior.most
    lab = measured.lab.get(f"{method} {mode}".strip()) if measured else None
    if lab:
        core, most, evidence = lab, None, "measured"
    elif measured:
        core, evidence = round(1e9 / (prior.receive_ns + 1e9 / measured.pipeline)), "pipeline"
    else:
        core, evidence = round(1e9 / (prior.receive_ns + PIPELINE_NS)), "prior"
    bounds = (core * workers, most, line_rate(speed) if speed is not None else None)
    return Rate(core, workers, min(bound for bound in bounds if bound is not None), evidence)
