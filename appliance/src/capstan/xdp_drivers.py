"""Which drivers have what AF_XDP needs: asked of the kernel, or looked up where it can't tell.

Kernels since 6.3 tell a driver's XDP features (generic netlink family netdev). Before that nothing does but attaching a
program, which interrupts the link of many NICs: there a table of drivers stands in, as it does for a NIC that has no
network device at the moment. Standard library only: hosts have this file too (`plugins/module_utils/host/`).
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass

_GENERIC = 16  # NETLINK_GENERIC
_CTRL, _GETFAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2  # linux/genetlink.h
_DEV_GET, _IFINDEX, _FEATURES = 1, 1, 3  # linux/netdev.h
_BASIC, _REDIRECT, _ZEROCOPY, _RX_SG = 1, 2, 8, 32  # NETDEV_XDP_ACT_*
_ERROR, _REQUEST = 2, 1

Version = tuple[int, int]

NATIVE_SINCE: dict[str, Version] = {
    "tun": (4, 14),
    "ixgbe": (4, 14),
    "virtio_net": (4, 15),
    "i40e": (4, 17),
    "mlx5_core": (4, 18),
    "veth": (4, 19),
    "fsl_dpaa2_eth": (5, 1),
    "bnxt_en": (5, 3),
    "cpsw": (5, 3),
    "netsec": (5, 3),
    "ice": (5, 5),
    "mvneta": (5, 5),
    "sfc": (5, 5),
    "mvpp2": (5, 9),
    "qede": (5, 9),
    "vif": (5, 9),
    "igb": (5, 10),
    "ena": (5, 11),
    "fsl_dpa": (5, 11),
    "fsl_enetc": (5, 13),
    "igc": (5, 13),
    "stmmac": (5, 13),
    "mlx4_en": (5, 16),
    "rvu_nicpf": (5, 16),
    "funeth": (5, 18),
    "atlantic": (5, 19),
    "hv_netvsc": (5, 19),
    "mana": (6, 0),
    "mtk_soc_eth": (6, 0),
    "fec": (6, 2),
    "lan966x-switch": (6, 2),
    "tsnep": (6, 3),
    "gve": (6, 4),
    "vmxnet3": (6, 6),
    "ionic": (6, 9),
}
"""The kernel in which each driver's native XDP got XDP_REDIRECT, from the drivers' histories.

That is what a socket gets its packets by, and many a driver had native XDP before it, which passes, drops and sends
back alone: there the program can be attached, and each packet that it redirects is dropped. A driver without is not
here, and in NO_REDIRECT where it takes a program."""
NO_REDIRECT: tuple[str, ...] = ("fbnic", "ixgbevf", "nfp", "nicvf")
"""Drivers that take a native XDP program and have no XDP_REDIRECT in any kernel, by the name that `ethtool -i` says.

nfp has it for zero-copy sockets, and for them alone: one that is copied to gets nothing."""
ZEROCOPY_SINCE: dict[str, Version] = {
    "i40e": (4, 20),
    "ixgbe": (4, 20),
    "mlx5_core": (5, 3),
    "ice": (5, 5),
    "stmmac": (5, 13),
    "igc": (5, 14),
    "nfp": (5, 18),
    "fsl_dpaa2_eth": (6, 2),
    "gve": (6, 4),
    "tsnep": (6, 4),
    "virtio_net": (6, 11),
    "igb": (6, 14),
}
"""The kernel in which each driver got zero-copy sockets."""
BUFFERS_SINCE: dict[str, Version] = {
    "mvneta": (5, 18),
    "veth": (5, 18),
    "atlantic": (5, 19),
    "bnxt_en": (5, 19),
    "ice": (6, 3),
    "virtio_net": (6, 3),
    "i40e": (6, 4),
    "mlx5_core": (6, 4),
    "ionic": (6, 9),
}
"""The kernel in which each driver got native XDP for frames in several buffers."""
HALF_FOR_SENDING = frozenset({"bnxt_en", "ena", "gve"})
"""Drivers that take a program only while a queue for sending by XDP is left for each receive queue: at most half of
them receive, else the program is refused. virtio_net since 5.13, ixgbe, ice and mlx4 do with what is left."""
TELLS_SINCE: Version = (6, 3)
_NEVER: Version = (999, 0)
# What a network device's driver is called where the driver of its PCI device has another name.
# That of Synopsys' cores has a name for each generation and for each bus.
_NETDEV_DRIVERS = {
    "virtio-pci": "virtio_net",
    "mlx4_core": "mlx4_en",
    "rvu-nicpf": "rvu_nicpf",
    "st_gmac": "stmmac",
    "st_mac100": "stmmac",
    "st_xgmac": "stmmac",
    "stmmaceth": "stmmac",
    "intel-eth-pci": "stmmac",
}


@dataclass(frozen=True, slots=True)
class Support:
    """What a port's driver can do."""

    driver: str
    native: bool
    """Whether native XDP gives packets to a socket that the kernel copies to."""
    zerocopy: bool
    """Whether it gives them to a zero-copy socket."""
    buffers: bool
    """Whether a frame may lie in more than one buffer."""
    told: bool
    """Whether the kernel said so itself."""


def version_of(release: str) -> Version:
    """Of a kernel release such as 6.1.0-40-amd64 the 6 and the 1."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def support(driver: str, features: int | None, kernel: Version) -> Support:
    """Judge a driver, by what the kernel tells of it or by the table.

    Args:
        driver: of the network device, or of its PCI device.
        features: NETDEV_XDP_ACT_* bits that the kernel tells; None where it does not.
        kernel: the running one.

    """
    driver = _NETDEV_DRIVERS.get(driver, driver)
    if features == 0 and driver in HALF_FOR_SENDING:
        features = None  # ena takes its features back while more than half of its queues receive, which can be changed
    if features is not None:
        # A socket gets its packets by XDP_REDIRECT, which not every driver with XDP has. The kernel can't tell that a
        # driver has it for zero-copy sockets alone.
        redirects = features & (_BASIC | _REDIRECT) == _BASIC | _REDIRECT
        zerocopy = bool(features & _ZEROCOPY) and (redirects or driver in ZEROCOPY_SINCE)
        native = redirects and driver not in NO_REDIRECT
        return Support(driver, native, zerocopy, bool(features & _RX_SG), told=True)
    return Support(
        driver,
        native=kernel >= NATIVE_SINCE.get(driver, _NEVER),
        zerocopy=kernel >= ZEROCOPY_SINCE.get(driver, _NEVER),
        buffers=kernel >= BUFFERS_SINCE.get(driver, _NEVER),
        told=False,
    )


def features_of(index: int) -> int | None:
    """XDP features of an interface of the namespace that we are in; None where the kernel does not tell.

    Raises:
        OSError: the kernel refuses the question altogether.

    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _GENERIC) as asked:
        family = _ask(asked, _CTRL, _GETFAMILY, _attribute(_FAMILY_NAME, b"netdev\0")).get(_FAMILY_ID)
        if family is None:
            return None
        number = struct.unpack_from("=H", family)[0]
        answer = _ask(asked, number, _DEV_GET, _attribute(_IFINDEX, struct.pack("=I", index))).get(_FEATURES)
    return None if answer is None else int(struct.unpack_from("=Q", answer)[0])


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
