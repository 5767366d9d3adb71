"""Whether a host's kernel and drivers have what AF_XDP needs: asked of the kernel, or looked up where it can't tell.

Kernels since 6.3 tell a driver's XDP features (generic netlink family netdev). Before that nothing does but attaching a
program, which interrupts the link of many NICs: there a table of drivers stands in, and the engine reports at its start
what it really got.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import read_text

_GENERIC = 16  # NETLINK_GENERIC
_CTRL, _GETFAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2  # linux/genetlink.h
_DEV_GET, _IFINDEX, _FEATURES = 1, 1, 3  # linux/netdev.h
_BASIC, _ZEROCOPY, _RX_SG = 1, 8, 32  # NETDEV_XDP_ACT_*
_ERROR, _REQUEST = 2, 1

# The kernel in which each driver got native XDP, and zero-copy sockets. Linux 6.2 and older, from their history.
_NATIVE = {
    "mlx4_en": (4, 8),
    "mlx5_core": (4, 9),
    "nfp": (4, 10),
    "qede": (4, 10),
    "virtio_net": (4, 10),
    "bnxt_en": (4, 11),
    "ixgbe": (4, 12),
    "thunder-nicvf": (4, 12),
    "i40e": (4, 13),
    "tun": (4, 14),
    "ixgbevf": (4, 17),
    "veth": (4, 19),
    "ice": (5, 5),
    "mvneta": (5, 5),
    "ena": (5, 6),
    "hv_netvsc": (5, 6),
    "mvpp2": (5, 9),
    "igb": (5, 10),
    "sfc": (5, 10),
    "igc": (5, 13),
    "stmmac": (5, 13),
    "mana": (5, 17),
    "atlantic": (5, 19),
}
_ZEROCOPY_SINCE = {
    "i40e": (4, 20),
    "ixgbe": (4, 20),
    "mlx5_core": (5, 3),
    "ice": (5, 5),
    "stmmac": (5, 13),
    "igc": (5, 14),
    "nfp": (5, 18),
}
TELLS_SINCE = (6, 3)
ONE_BUFFER = 3050
"""Bytes: an MTU that every driver's single receive buffer holds under native XDP, where it is not told more exactly."""


@dataclass(frozen=True, slots=True)
class Support:
    """What a port's driver can do."""

    driver: str
    native: bool
    zerocopy: bool
    buffers: bool
    """Whether a frame may lie in more than one buffer."""
    told: bool
    """Whether the kernel said so itself."""


@dataclass(frozen=True, slots=True)
class Host:
    """What the kernel has."""

    release: str
    btf: bool
    bpffs: bool
    sockets: bool

    @property
    def version(self) -> tuple[int, int]:
        """Of 6.1.0-40-amd64 the 6 and the 1."""
        return version_of(self.release)


def version_of(release: str) -> tuple[int, int]:
    """Major and minor number of a kernel release."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def look(root: Path = Path("/")) -> Host:
    """Read the host."""
    mounts = (read_text("/proc/self/mounts", root) or "").splitlines()
    try:
        socket.socket(44, socket.SOCK_RAW).close()  # AF_XDP, which Python has no name for
        sockets = True
    except OSError:
        sockets = False
    return Host(
        release=os.uname().release,
        btf=(root / "sys/kernel/btf/vmlinux").exists(),
        bpffs=any(line.split()[2] == "bpf" for line in mounts),
        sockets=sockets,
    )


def support(driver: str, features: int | None, kernel: tuple[int, int]) -> Support:
    """Judge a driver, by what the kernel tells of it or by the table."""
    if features is not None:
        return Support(driver, bool(features & _BASIC), bool(features & _ZEROCOPY), bool(features & _RX_SG), told=True)
    never = (999, 0)
    return Support(
        driver,
        native=kernel >= _NATIVE.get(driver, never),
        zerocopy=kernel >= _ZEROCOPY_SINCE.get(driver, never),
        buffers=False,
        told=False,
    )


def features_of(index: int) -> int | None:
    """XDP features of an interface of the namespace that we are in; None where the kernel does not tell."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _GENERIC) as asked:
        family = _ask(asked, _CTRL, _GETFAMILY, _attribute(_FAMILY_NAME, b"netdev\0")).get(_FAMILY_ID)
        if family is None:
            return None
        number = struct.unpack_from("=H", family)[0]
        answer = _ask(asked, number, _DEV_GET, _attribute(_IFINDEX, struct.pack("=I", index))).get(_FEATURES)
    return None if answer is None else struct.unpack_from("=Q", answer)[0]


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _ask(asked: socket.socket, family: int, command: int, attributes: bytes) -> dict[int, bytes]:
    body = struct.pack("=BBxx", command, 1) + attributes
    asked.send(struct.pack("=IHHII", 16 + len(body), family, _REQUEST, 1, 0) + body)
    answer = asked.recv(1 << 16)
    length, kind = struct.unpack_from("=IH", answer)
    if kind == _ERROR:
        return {}
    found = {}
    at = 20  # struct nlmsghdr, struct genlmsghdr
    while at + 4 <= length:
        size, name = struct.unpack_from("=HH", answer, at)
        found[name & 0x3FFF] = answer[at + 4 : at + size]
        at += (max(size, 4) + 3) & ~3
    return found


def report(name: str, found: Support, mtu: int, spare_queues: int | None, cpus: int) -> list[str]:
    """What an operator should know of a port, in words."""
    how = "" if found.told else " (from a table: this kernel does not tell; the engine reports what it gets)"
    native = "native XDP" if found.native else "no native XDP, so that packets go by the slower generic way"
    zerocopy = "zero-copy" if found.zerocopy else "no zero-copy"
    told = [f"{name}: the driver {found.driver} has {native}{f' and {zerocopy}' if found.native else ''}{how}"]
    if found.native and mtu > ONE_BUFFER and not found.buffers:
        told.append(
            f"{name}: an MTU of {mtu} may be more than the driver takes with XDP, which keeps a frame in one buffer; "
            f"write capture_nic.mtu: {ONE_BUFFER} or less if the engine is refused"
        )
    if found.driver == "virtio_net" and spare_queues is not None and spare_queues < cpus:
        told.append(
            f"{name}: native XDP wants a spare pair of queues for each of {cpus} CPUs, and {spare_queues} are left: "
            "what it sends is slower; capturing is not"
        )
    return told


def refusals(name: str, where: str, found: Support, mode: str) -> list[str]:
    """Why a mode that was asked for by name can't be had."""
    if mode == "zerocopy" and not found.zerocopy:
        return [
            f"{where}: capture_af_xdp.mode is zerocopy, which the driver {found.driver} of {name} does not have on "
            f"this kernel; write {'copy' if found.native else 'skb'} or auto"
        ]
    if mode == "copy" and not found.native:
        return [
            f"{where}: capture_af_xdp.mode is copy, and the driver {found.driver} of {name} has no native XDP on this "
            "kernel; write skb or auto"
        ]
    return []


def host_notes(host: Host) -> list[str]:
    """What the kernel lacks."""
    told = []
    if not host.btf:
        told.append(f"kernel {host.release} tells no types (BTF): programs that need them are not loaded")
    if host.version < (5, 9):
        told.append(
            f"kernel {host.release} counts a full ring of AF_XDP among other drops; 5.9 and later tell it apart"
        )
    return told


def spare(channels: Mapping[str, int] | None, most: int) -> int | None:
    """Pairs of queues that are not in use."""
    return None if channels is None else most - channels["combined"]
