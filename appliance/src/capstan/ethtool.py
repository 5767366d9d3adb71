"""Driver, channels, link and features of an interface, by the SIOCETHTOOL ioctl (linux/ethtool.h).

The ioctl acts in the network namespace of its socket, which makes it the one interface that gives the PCI address of a
NIC inside a namespace whose sysfs is not mounted.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_SIOCETHTOOL = 0x8946
_GDRVINFO = 0x03
_GRINGPARAM = 0x10
_GSTRINGS = 0x1B
_GSSET_INFO = 0x37
_GFEATURES = 0x3A
_SFEATURES = 0x3B
_GCHANNELS = 0x3C
_SCHANNELS = 0x3D
_GLINKSETTINGS = 0x4C
_SS_FEATURES = 4  # ETH_SS_FEATURES: the string set of feature names
_STRING_LENGTH = 32  # ETH_GSTRING_LEN
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EINVAL}
# Domain, bus, device and function; the domains of Intel's VMD have five digits or six.
PCI_ADDRESS = re.compile(r"[0-9a-f]{4,6}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_SPEED_UNKNOWN = 0xFFFF_FFFF
# ETHTOOL_LINK_MODE_*_BIT by Mbit/s.
_LINK_MODES: dict[int, tuple[int, ...]] = {
    10: (0, 1, 92),
    100: (2, 3, 67, 90, 91),
    1_000: (4, 5, 17, 41, 68),
    2_500: (15, 47),
    5_000: (48,),
    10_000: (12, 18, 19, 20, *range(42, 47)),
    20_000: (21, 22),
    25_000: (31, 32, 33),
    40_000: (23, 24, 25, 26),
    50_000: (34, 35, 40, *range(52, 57)),
    56_000: (27, 28, 29, 30),
    100_000: (36, 37, 38, 39, *range(57, 62), *range(75, 80)),
    200_000: (*range(62, 67), *range(80, 85)),
    400_000: (*range(69, 74), *range(85, 90)),
    800_000: tuple(range(93, 99)),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What an interface says that it is."""

    driver: str | None = None
    bus: str = ""
    """Place on its bus: a PCI address, or such as usb-0000:00:14.0-2 of what is behind the controller there."""

    @property
    def pci(self) -> str | None:
        """PCI address of the NIC; None for one that is not on a PCI bus."""
        return self.bus if PCI_ADDRESS.fullmatch(self.bus) else None


@dataclass(frozen=True, slots=True)
class Channels:
    """Queues of an interface now, and the most it can have. Drivers count them combined, or receive and send apart."""

    rx: int
    tx: int
    combined: int
    max_rx: int
    max_tx: int
    max_combined: int

    @property
    def receive(self) -> int:
        """Receive queues now."""
        return self.rx + self.combined

    @property
    def max_receive(self) -> int:
        """Receive queues at most."""
        return max(self.max_combined, self.max_rx, self.receive)

    def with_receive(self, queues: int) -> Channels:
        """The setting that gives so many receive queues, in the way the driver counts them."""
        if self.max_combined:
            return Channels(0, 0, queues, self.max_rx, self.max_tx, self.max_combined)
        # gve takes an XDP program only with as many for sending as for receiving.
        tx = min(self.tx, queues) if self.tx == self.rx else self.tx
        return Channels(queues, tx, 0, self.max_rx, self.max_tx, self.max_combined)


@dataclass(frozen=True, slots=True)
class Rings:
    """Descriptors of each receive ring now, and the most that it can have."""

    rx: int
    max_rx: int


@dataclass(frozen=True, slots=True)
class Feature:
    """A switch of an interface, such as rx-gro."""

    active: bool
    changeable: bool


def most_of(modes: int) -> int | None:
    """The highest speed, in Mbit/s, of a bit map of link modes; None where it has none that is known here."""
    return max((speed for speed, bits in _LINK_MODES.items() if any(modes >> bit & 1 for bit in bits)), default=None)


class Ethtool:
    """The ethtool ioctl on a socket of the current network namespace."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._names: dict[str, list[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def _call(self, interface: str, command: bytes) -> bytes:
        buffer = array.array("B", command)
        address, _ = buffer.buffer_info()
        try:
            fcntl.ioctl(self._socket, _SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), address))
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), interface) from None
        return buffer.tobytes()

    def identity(self, interface: str) -> Identity:
        """Driver of the interface and where it is; empty where that does not tell."""
        try:
            answer = self._call(interface, struct.pack("=I192x", _GDRVINFO))
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return Identity()
            raise
        # struct ethtool_drvinfo: cmd, driver[32], version[32], fw_version[32], bus_info[32], ...
        driver, bus = (answer[at : at + 32].split(b"\0", 1)[0].decode(errors="replace") for at in (4, 100))
        return Identity(driver or None, bus.lower())

    def channels(self, interface: str) -> Channels | None:
        """Queues of the interface; None where the driver does not tell."""
        try:
            answer = self._call(interface, struct.pack("=I32x", _GCHANNELS))
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return None
            raise
        _, max_rx, max_tx, _, max_combined, rx, tx, _, combined = struct.unpack("=9I", answer)
        return Channels(rx, tx, combined, max_rx, max_tx, max_combined)

    def set_channels(self, interface: str, channels: Channels) -> None:
        """Change the number of queues."""
        other = struct.unpack("=9I", self._call(interface, struct.pack("=I32x", _GCHANNELS)))[7]
        self._call(
            interface,
            struct.pack("=I4I4I", _SCHANNELS, 0, 0, 0, 0, channels.rx, channels.tx, other, channels.combined),
        )

    def rings(self, interface: str) -> Rings | None:
        """Descriptors of the interface's receive rings; None where the driver does not tell."""
        try:
            answer = self._call(interface, struct.pack("=I32x", _GRINGPARAM))
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return None
            raise
        # struct ethtool_ringparam: cmd, most of rx, rx_mini, rx_jumbo, tx, then as many now.
        _, max_rx, _, _, _, rx, *_ = struct.unpack("=9I", answer)
        return Rings(rx, max_rx) if max_rx else None

    def speed(self, interface: str) -> int | None:
        """Mbit/s of the link; while it is down, the most that the NIC supports. None where the driver does not tell."""
        # struct ethtool_link_settings: cmd, speed, 7 bytes, words of each of its three bit maps, ...; then the maps.
        head = "=II7xb32x"
        try:
            # Asked for no words, the kernel answers with how many there are, as a negative number.
            words = -struct.unpack(head, self._call(interface, struct.pack(head, _GLINKSETTINGS, 0, 0)))[2]
            size = struct.calcsize(head)
            asked = struct.pack(head, _GLINKSETTINGS, 0, words) + bytes(3 * 4 * words)
            answer = self._call(interface, asked)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return None
            raise
        now = struct.unpack_from(head, answer)[1]
        if now not in {0, _SPEED_UNKNOWN}:
            return int(now)
        supported = struct.unpack_from(f"={words}I", answer, size)
        return most_of(sum(word << 32 * index for index, word in enumerate(supported)))

    def features(self, interface: str) -> dict[str, Feature]:
        """Every feature that the kernel has a name for, with its present value."""
        names = self._feature_names(interface)
        blocks = (len(names) + 31) // 32
        answer = self._call(interface, struct.pack("=II", _GFEATURES, blocks) + bytes(16 * blocks))
        words = struct.unpack_from(f"={4 * blocks}I", answer, 8)  # available, requested, active, never_changed
        found = {}
        for index, name in enumerate(names):
            block, bit = 4 * (index // 32), 1 << index % 32
            changeable = bool(words[block] & bit) and not words[block + 3] & bit
            found[name] = Feature(active=bool(words[block + 2] & bit), changeable=changeable)
        return found

    def set_features(self, interface: str, wanted: Mapping[str, bool]) -> None:
        """Switch the named features; the caller reads back what the driver made of it."""
        names = self._feature_names(interface)
        words = [0] * (2 * ((len(names) + 31) // 32))  # pairs of valid, requested
        for name, on in wanted.items():
            index = names.index(name)
            words[2 * (index // 32)] |= 1 << index % 32
            words[2 * (index // 32) + 1] |= on << index % 32
        self._call(interface, struct.pack(f"=II{len(words)}I", _SFEATURES, len(words) // 2, *words))

    def _feature_names(self, interface: str) -> list[str]:
        if interface not in self._names:
            self._names[interface] = self._strings(interface, _SS_FEATURES)
        return self._names[interface]

    def _strings(self, interface: str, which: int) -> list[str]:
        """One of the driver's sets of names; none where it has no such set."""
        answer = self._call(interface, struct.pack("=IIQI", _GSSET_INFO, 0, 1 << which, 0))
        mask, count = struct.unpack_from("=QI", answer, 8)
        if not mask:
            return []
        head = struct.pack("=III", _GSTRINGS, which, count)
        text = self._call(interface, head + bytes(_STRING_LENGTH * count))[len(head) :]
        return [
            text[start : start + _STRING_LENGTH].split(b"\0", 1)[0].decode(errors="replace")
            for start in range(0, _STRING_LENGTH * count, _STRING_LENGTH)
        ]
