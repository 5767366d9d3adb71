"""Interfaces of a network namespace, by rtnetlink: what they are, and word of every change (linux/rtnetlink.h)."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_GETLINK, _NEWLINK, _DONE, _ERROR = 18, 16, 3, 2
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_GROUP_LINK = 1  # RTMGRP_LINK
_ADDRESS, _IFNAME, _MTU, _CARRIER, _MAX_MTU, _PARENT = 1, 3, 4, 33, 51, 56  # IFLA_*
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFMTU = 0x8913, 0x8914, 0x8922
_IFF_UP, _IFF_PROMISC = 0x1, 0x100
_HEADER, _INFO = 16, 16  # struct nlmsghdr, struct ifinfomsg
_BUFFER = 1 << 18  # a dump's answer comes in parts of at most 32 KiB; a NIC with many functions has long messages


@dataclass(frozen=True, slots=True)
class Link:
    """One interface."""

    index: int
    name: str
    mac: str
    mtu: int
    max_mtu: int
    """The largest that the driver takes, in bytes; 0 where it does not tell."""
    up: bool
    promiscuous: bool
    """Whether somebody switched it on for the interface itself; sockets that ask for it do not show here."""
    carrier: bool
    parent: str | None
    """Bus address of the device below it: for a PCI NIC its PCI address, for virtio its virtioN; kernels since 5.14."""


def links() -> dict[str, Link]:
    """Every interface of the namespace that we are in, by name.

    Raises:
        OSError: the kernel does not answer.

    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as asked:
        asked.send(struct.pack("=IHHIIBxHiII", _HEADER + _INFO, _GETLINK, _DUMP, 1, 0, 0, 0, 0, 0, 0))
        found: dict[str, Link] = {}
        while True:
            for kind, payload in _messages(asked.recv(_BUFFER)):
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    number = -struct.unpack_from("=i", payload)[0]
                    raise OSError(number, os.strerror(number))
                link = _link(payload)
                found[link.name] = link


def listener() -> socket.socket:
    """A socket that hears of every change to an interface of the namespace that we are in; does not block."""
    heard = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    heard.bind((0, _GROUP_LINK))
    return heard


def changed(heard: bytes) -> list[Link]:
    """The interfaces that a message of the listener's is about, as they are now."""
    return [_link(payload) for kind, payload in _messages(heard) if kind == _NEWLINK]


def set_mtu(name: str, mtu: int) -> None:
    """Change the largest packet; most NICs interrupt their link for it."""
    _ioctl(_SIOCSIFMTU, struct.pack("=16si20x", name.encode(), mtu))


def set_promiscuous(name: str, *, on: bool) -> None:
    """Have the interface take every frame, or only its own."""
    asked = struct.pack("=16sH22x", name.encode(), 0)
    flags = struct.unpack_from("=H", _ioctl(_SIOCGIFFLAGS, asked), 16)[0]
    flags = flags | _IFF_PROMISC if on else flags & ~_IFF_PROMISC
    _ioctl(_SIOCSIFFLAGS, struct.pack("=16sH22x", name.encode(), flags))


def _ioctl(command: int, request: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        return fcntl.ioctl(any_socket, command, request)


def _messages(answer: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER <= len(answer):
        length, kind = struct.unpack_from("=IH", answer, at)
        yield kind, answer[at + _HEADER : at + length]
        at += (length + 3) & ~3


def _link(payload: bytes) -> Link:
    index, flags = struct.unpack_from("=iI", payload, 4)
    found: dict[int, bytes] = {}
    at = _INFO
    while at + 4 <= len(payload):
        length, kind = struct.unpack_from("=HH", payload, at)
        if length < 4:  # noqa: PLR2004 - an attribute is at least its own header
            break
        found[kind] = payload[at + 4 : at + length]
        at += (length + 3) & ~3

    def number(kind: int) -> int:
        return int.from_bytes(found.get(kind, b"\0")[:4], "little" if struct.pack("=H", 1)[0] else "big")

    def text(kind: int) -> str:
        return found.get(kind, b"").split(b"\0", 1)[0].decode(errors="replace")

    return Link(
        index=index,
        name=text(_IFNAME),
        mac=found.get(_ADDRESS, b"").hex(":"),
        mtu=number(_MTU),
        max_mtu=number(_MAX_MTU),
        up=bool(flags & _IFF_UP),
        promiscuous=bool(flags & _IFF_PROMISC),
        carrier=bool(number(_CARRIER)),
        parent=text(_PARENT) or None,
    )
