"""DPDK's virtual devices, as EAL's --vdev takes them: "net_af_packet0,iface=eth1". Read before anything is started.

Only what a capture has a use for is taken: nothing that sends, and nothing that turns a network device's packets away
from the kernel behind the guards' back (net_tap's remote).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from capstan import config_problems as problems

_DIGITS_MAX: Final = 2  # the engine takes 15 characters for a name, and "net_af_packet" has 13
DEVARGS_MAX: Final = 256  # half of CAP_DPDK_DEVARGS: the engine adds to them
_VALUE: Final = re.compile(r"[^\s,=\"'\\]+")
_INTERFACE: Final = re.compile(r"[^\s,=/:]{1,15}")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A driver of virtual devices: the devargs that a capture has a use for."""

    keys: frozenset[str]
    numbers: frozenset[str] = frozenset()
    """Of these, those that are whole numbers."""
    sources: tuple[str, ...] = ()
    """One of them must be there, and one alone."""
    netdev: tuple[str, ...] = ()
    """Those that name a network device of the kernel, which the packets come from."""
    like: str | None = None
    """Capture method of the kernel's sockets that it opens on that."""
    queues: str | None = None
    """Says how many receive queues it has; where it may be written several times, by how often it is."""
    example: str = ""


_KINDS: Final[Mapping[str, _Kind]] = {
    "net_af_packet": _Kind(
        frozenset({"iface", "qpairs", "blocksz", "framesz", "framecnt", "qdisc_bypass"}),
        frozenset({"qpairs", "blocksz", "framesz", "framecnt", "qdisc_bypass"}),
        sources=("iface",),
        netdev=("iface",),
        like="af_packet",
        queues="qpairs",
        example="iface=eth1",
    ),
    "net_af_xdp": _Kind(
        frozenset({"iface", "queue_count", "shared_umem", "xdp_prog", "busy_budget", "force_copy"}),
        frozenset({"queue_count", "shared_umem", "busy_budget", "force_copy"}),
        sources=("iface",),
        netdev=("iface",),
        like="af_xdp",
        queues="queue_count",
        example="iface=eth1",
    ),
    "net_pcap": _Kind(
        frozenset({"rx_pcap", "rx_iface", "rx_iface_in", "iface", "phy_mac", "infinite_rx"}),
        frozenset({"phy_mac", "infinite_rx"}),
        sources=("rx_pcap", "rx_iface", "rx_iface_in", "iface"),
        netdev=("rx_iface", "rx_iface_in", "iface"),
        like="pcap",
        queues="rx_pcap",
        example="rx_pcap=/srv/a.pcap",
    ),
    "net_tap": _Kind(frozenset({"iface", "mac"}), example="iface=tap0"),
    "net_memif": _Kind(
        frozenset({"id", "role", "bsize", "rsize", "socket", "socket-abstract", "mac", "zero-copy"}),
        frozenset({"id", "bsize", "rsize"}),
        example="role=server,socket=/run/memif.sock",
    ),
    "net_ring": _Kind(frozenset({"nodeaction"})),
    "net_null": _Kind(frozenset({"size", "copy", "no-rx"}), frozenset({"size", "copy", "no-rx"}), example="size=64"),
}
_REPEATED: Final = "rx_pcap"
"""The one key that may be written several times: each file is a queue."""
VIRTUAL_DRIVERS: Final = tuple(_KINDS)


@dataclass(frozen=True, slots=True)
class VirtualDevice:
    """A virtual device of DPDK."""

    name: str
    """What the engine calls its port: the driver and a number."""
    driver: str
    devargs: str
    """Key=value pairs for the driver; empty where it needs none."""
    netdev: str | None = None
    """The network device of the kernel that its packets come from."""
    makes: str | None = None
    """The network device that it makes itself."""
    like: str | None = None
    """Capture method of the kernel's sockets that it opens on `netdev`."""
    queues: int | None = None
    """Receive queues that its devargs say it has."""

    def number(self, key: str) -> int | None:
        """The whole number that its devargs give a key; None where they have no such key."""
        pairs = (pair.partition("=") for pair in self.devargs.split(","))
        return next((int(value) for name, _, value in pairs if name == key), None)

    def __str__(self) -> str:
        return f"{self.name},{self.devargs}" if self.devargs else self.name


def parse(text: str) -> VirtualDevice:
    """Read a device and its devargs.

    Raises:
        ValueError: with the end of a sentence that says what is wrong and what to write.

    """
    name, _, devargs = text.strip().partition(",")
    driver = name.rstrip("0123456789")
    kind = _KINDS.get(driver)
    if kind is None:
        raise ValueError(
            f"is {text!r}, and DPDK's virtual devices are {', '.join(VIRTUAL_DRIVERS)}"
            f"{problems.did_you_mean(driver, VIRTUAL_DRIVERS)}; write one with a number, and its devargs behind a "
            "comma, such as net_af_packet0,iface=eth1"
        )
    if not 1 <= len(name) - len(driver) <= _DIGITS_MAX:
        raise ValueError(
            f"names the device {name}; write {driver} and a number of one or two digits, such as {driver}0"
        )
    if len(devargs) > DEVARGS_MAX:
        raise ValueError(f"has devargs of {len(devargs)} characters; write {DEVARGS_MAX} at most")
    values = _devargs(driver, kind, devargs, comma=text.strip().count(",") > 0)
    return _device(name, driver, kind, devargs, values)


def _devargs(driver: str, kind: _Kind, devargs: str, *, comma: bool) -> dict[str, list[str]]:
    """The values of each key, in their order."""
    values: dict[str, list[str]] = {}
    for pair in devargs.split(",") if comma else ():
        key, equals, value = pair.partition("=")
        if not equals or not key or not _VALUE.fullmatch(value):
            example = f", such as {driver}0,{kind.example}" if kind.example else ""
            raise ValueError(
                f"has the devargs {devargs!r}, of which {pair!r} is no key=value; write pairs without blanks and "
                f"quotes, separated by commas{example}"
            )
        if key not in kind.keys:
            raise ValueError(
                f"has {pair}, and a capture by {driver} takes {', '.join(sorted(kind.keys))}"
                f"{problems.did_you_mean(key, tuple(kind.keys))}; write one of these, or remove it"
            )
        if key in values and key != _REPEATED:
            raise ValueError(f"has {key}= twice; write it once, and another device for another source")
        if key in kind.numbers and not value.isdecimal():
            raise ValueError(f"has {pair}, which is no whole number; write one, such as {key}=1")
        if key in {*kind.netdev, "iface"} and (not _INTERFACE.fullmatch(value) or value in {".", ".."}):
            raise ValueError(f"has {pair}, which cannot be the name of an interface; write one such as {key}=eth1")
        values.setdefault(key, []).append(value)
    return values


def _device(name: str, driver: str, kind: _Kind, devargs: str, values: Mapping[str, list[str]]) -> VirtualDevice:
    given = [key for key in kind.sources if key in values]
    if kind.sources and len(given) != 1:
        wanted = problems.one_of(tuple(f"{key}=" for key in kind.sources))
        has = "has no source" if not given else f"has {' and '.join(f'{key}=' for key in given)}"
        raise ValueError(f"{has}; write {wanted}, such as {name},{kind.example}")
    netdev = next((values[key][0] for key in kind.netdev if key in values), None)
    queues = None
    if kind.queues in values:
        told = values[str(kind.queues)]
        queues = len(told) if kind.queues == _REPEATED else int(told[0])
    if queues == 0:
        raise ValueError(f"has {kind.queues}=0; write 1 or more, or leave it out")
    makes = values.get("iface", [None])[0] if driver == "net_tap" else None
    return VirtualDevice(name, driver, devargs, netdev, makes, kind.like if netdev else None, queues)
