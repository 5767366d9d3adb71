"""What a NIC can be told beyond channels and features, by the same SIOCETHTOOL ioctl (linux/ethtool.h).

The ioctl and not the program ethtool: a host without internet may not have it, and the ioctl of every kernel since 4.x
knows what is set here. Settings that a driver has not are answered with None, or left out.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

from ansible_collections.capstan.appliance.plugins.module_utils.host.ethtool import Ethtool

_GDRVINFO = 0x03
_GCOALESCE, _SCOALESCE = 0x0E, 0x0F
_GRINGPARAM, _SRINGPARAM = 0x10, 0x11
_GPFLAGS, _SPFLAGS = 0x27, 0x28
_GRXFH, _SRXFH = 0x29, 0x2A
_GRXCLSRLCNT, _GRXCLSRULE, _GRXCLSRLALL = 0x2E, 0x2F, 0x30
_SRXCLSRLDEL, _SRXCLSRLINS = 0x31, 0x32
_GRSSH, _SRSSH = 0x46, 0x47

_SS_PRIVATE_FLAGS = 2
_NO_CHANGE = 0xFFFF_FFFF  # ETH_RXFH_INDIR_NO_CHANGE
# struct ethtool_rxnfc: 192 bytes; the rule's place (fs.location) and the number of rules lie at these offsets.
_RXNFC_SIZE, _RXNFC_LOCATION, _RXNFC_COUNT, _RXNFC_PLACES = 192, 176, 184, 188
_NOT_THERE = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV, errno.ENOENT}

TOEPLITZ = 1  # ETH_RSS_HASH_TOP
FLOWS = {"tcp4": 1, "udp4": 2, "sctp4": 3, "tcp6": 5, "udp6": 6, "sctp6": 7}
"""Kinds of packets whose hash has ports to choose: their flow types."""
FIELDS = {"m": 1, "v": 2, "t": 3, "s": 4, "d": 5, "f": 6, "n": 7, "e": 8, "l": 9, "r": 31}
"""What a hash may be made of, by ethtool's letters: s, d the addresses, f, n the ports; and their bits."""


@dataclass(frozen=True, slots=True)
class Rss:
    """How packets are spread over the queues."""

    function: int
    """Bit of the hash function; 1 is Toeplitz, 0 where the driver does not tell."""
    transform: int
    """What is done to the packet's fields first: 1 and 2 make them symmetric (RXH_XFRM_SYM_XOR, SYM_OR_XOR)."""
    key: bytes
    table: tuple[int, ...]


class NicEthtool(Ethtool):
    """Everything that the preparation of a NIC reads and writes by ethtool."""

    def _ask(self, interface: str, command: bytes) -> bytes | None:
        try:
            return self._call(interface, command)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise

    def driver(self, interface: str) -> str:
        """Name of the driver; empty where it does not tell."""
        answer = self._ask(interface, struct.pack("=I192x", _GDRVINFO))
        return "" if answer is None else answer[4:36].split(b"\0", 1)[0].decode(errors="replace")

    def set_rx_ring(self, interface: str, descriptors: int) -> None:
        """Change the receive ring, and nothing else."""
        words = list(struct.unpack("=9I", self._call(interface, struct.pack("=I32x", _GRINGPARAM))))
        words[0], words[5] = _SRINGPARAM, descriptors
        self._call(interface, struct.pack("=9I", *words))

    def coalescing(self, interface: str) -> tuple[bool, int] | None:
        """Whether the NIC adapts receive coalescing by itself, and the microseconds that it waits."""
        answer = self._ask(interface, struct.pack("=I88x", _GCOALESCE))
        if answer is None:
            return None
        words = struct.unpack("=23I", answer)
        return bool(words[10]), words[1]

    def set_coalescing(self, interface: str, *, adaptive: bool | None = None, usecs: int | None = None) -> None:
        """Change receive coalescing, and nothing else."""
        words = list(struct.unpack("=23I", self._call(interface, struct.pack("=I88x", _GCOALESCE))))
        words[0] = _SCOALESCE
        words[10] = words[10] if adaptive is None else int(adaptive)
        words[1] = words[1] if usecs is None else usecs
        self._call(interface, struct.pack("=23I", *words))

    def rss(self, interface: str) -> Rss | None:
        """Hash and indirection table; None for a NIC that has neither."""
        sizes = self._ask(interface, struct.pack("=I20x", _GRSSH))
        if sizes is None:
            return None
        entries, key_size = struct.unpack_from("=II", sizes, 8)
        if not entries and not key_size:
            return None
        head = struct.pack("=4I8x", _GRSSH, 0, entries, key_size)
        answer = self._call(interface, head + bytes(4 * entries + key_size))
        table = struct.unpack_from(f"={entries}I", answer, len(head))
        return Rss(answer[16], answer[17], answer[len(head) + 4 * entries :][:key_size], table)

    def set_rss(
        self,
        interface: str,
        *,
        table: tuple[int, ...] | None = None,
        key: bytes = b"",
        function: int = 0,
        transform: int | None = None,
    ) -> None:
        """Change what is given. An empty table is the driver's own: queues in turn, over however many there are."""
        if transform is None:
            # Kernels before 6.8 want 0 here and later ones take 0 for "none": what it is now suits both.
            transform = self._call(interface, struct.pack("=I20x", _GRSSH))[17]
        entries = _NO_CHANGE if table is None else len(table)
        head = struct.pack("=4I2B6x", _SRSSH, 0, entries, len(key), function, transform)
        self._call(interface, head + struct.pack(f"={len(table or ())}I", *(table or ())) + key)

    def hash_fields(self, interface: str) -> dict[str, str]:
        """For each kind of packet that the NIC hashes: what of it, in ethtool's letters."""
        found = {}
        for name, flow in FLOWS.items():
            answer = self._ask(interface, struct.pack("=II", _GRXFH, flow) + bytes(_RXNFC_SIZE - 8))
            if answer is not None:
                bits = struct.unpack_from("=Q", answer, 8)[0]
                found[name] = "".join(letter for letter, bit in FIELDS.items() if bits >> bit & 1)
        return found

    def set_hash_fields(self, interface: str, flow: str, letters: str) -> None:
        """Have packets of that kind hashed over these fields."""
        bits = sum(1 << FIELDS[letter] for letter in letters)
        self._call(interface, struct.pack("=IIQ", _SRXFH, FLOWS[flow], bits) + bytes(_RXNFC_SIZE - 16))

    def rules(self, interface: str) -> list[str]:
        """The rules that steer packets to queues, each as the kernel's struct in hexadecimal, by their place."""
        counted = self._ask(interface, struct.pack("=I", _GRXCLSRLCNT) + bytes(_RXNFC_SIZE - 4))
        count = 0 if counted is None else struct.unpack_from("=I", counted, _RXNFC_COUNT)[0]
        if not count:
            return []
        asked = bytearray(struct.pack("=I", _GRXCLSRLALL) + bytes(_RXNFC_SIZE - 4 + 4 * count))
        struct.pack_into("=I", asked, _RXNFC_COUNT, count)
        answer = self._call(interface, bytes(asked))
        count = struct.unpack_from("=I", answer, _RXNFC_COUNT)[0]
        return [self._rule(interface, place) for place in struct.unpack_from(f"={count}I", answer, _RXNFC_PLACES)]

    def _rule(self, interface: str, place: int) -> str:
        asked = bytearray(struct.pack("=I", _GRXCLSRULE) + bytes(_RXNFC_SIZE - 4))
        struct.pack_into("=I", asked, _RXNFC_LOCATION, place)
        return bytes(self._call(interface, bytes(asked))[4:]).hex()

    def remove_rule(self, interface: str, rule: str) -> None:
        """Remove one of the rules."""
        asked = bytearray(struct.pack("=I", _SRXCLSRLDEL) + bytes(_RXNFC_SIZE - 4))
        asked[_RXNFC_LOCATION : _RXNFC_LOCATION + 4] = bytes.fromhex(rule)[_RXNFC_LOCATION - 4 : _RXNFC_LOCATION]
        self._call(interface, bytes(asked))

    def add_rule(self, interface: str, rule: str) -> None:
        """Put a rule back where it was."""
        self._call(interface, struct.pack("=I", _SRXCLSRLINS) + bytes.fromhex(rule))

    def private_flags(self, interface: str) -> dict[str, bool]:
        """The driver's own switches."""
        names = self._flag_names(interface)
        if not names:
            return {}
        answer = self._ask(interface, struct.pack("=II", _GPFLAGS, 0))
        bits = 0 if answer is None else struct.unpack("=II", answer)[1]
        return {name: bool(bits >> index & 1) for index, name in enumerate(names)}

    def set_private_flag(self, interface: str, name: str, *, on: bool) -> None:
        """Turn one of the driver's own switches."""
        bit = 1 << self._flag_names(interface).index(name)
        bits = struct.unpack("=II", self._call(interface, struct.pack("=II", _GPFLAGS, 0)))[1]
        self._call(interface, struct.pack("=II", _SPFLAGS, bits | bit if on else bits & ~bit))

    def _flag_names(self, interface: str) -> list[str]:
        try:
            return self._strings(interface, _SS_PRIVATE_FLAGS)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return []
            raise
