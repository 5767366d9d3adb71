"""Kernel memory that the NICs' receive rings take: what a driver keeps behind each descriptor. An estimate."""

from __future__ import annotations

from dataclasses import dataclass

from capstan.host_plan import NicTuning
from capstan.planner_nic import KERNEL_METHODS
from capstan.planner_ports import Found

_PAGE = 4096
_ETHERNET_MTU = 1500
_JUMBO_MTU = 9216
# These keep a socket buffer of a power of two behind a descriptor. All others known keep a page, half of which takes a
# frame while the other half is looked at; for a larger MTU they keep two (Linux 6.1: igb, ixgbe, i40e, ice, bnxt_en,
# ena; of mlx5 the strides come to about the same).
_SOCKET_BUFFERS = frozenset({"e1000", "e1000e", "tg3", "virtio_net", "vmxnet3"})
_SOCKET_BUFFER_LEAST = 2048


@dataclass(frozen=True, slots=True)
class RingMemory:
    """Bytes of receive rings."""

    planned: int = 0
    present: int = 0
    """Of those, the bytes that are taken already."""

    def __add__(self, other: RingMemory) -> RingMemory:
        return RingMemory(self.planned + other.planned, self.present + other.present)


NO_RINGS = RingMemory()


def receive_rings(found: Found, tuned: NicTuning) -> RingMemory:
    """The rings of a port as they are planned; nothing where the driver does not tell of any."""
    nic, link = found.nic, found.link
    if found.through not in KERNEL_METHODS or nic is None:
        return NO_RINGS
    now = nic.rx_ring or 0
    size = nic.rx_ring_max or 0 if tuned.rx_ring == "max" else tuned.rx_ring or now
    mtu = link.mtu if link is not None else _ETHERNET_MTU
    wanted = _JUMBO_MTU if tuned.mtu == "max" else tuned.mtu or mtu
    planned = size * (tuned.channels or found.queues_now) * _buffer_bytes(nic.kernel_driver, wanted)
    # A port that is down has none.
    up = link is not None and link.up
    present = now * found.queues_now * _buffer_bytes(nic.kernel_driver, mtu) if up else 0
    return RingMemory(planned, min(planned, present))


def _buffer_bytes(driver: str | None, mtu: int) -> int:
    """Memory behind one descriptor."""
    if driver in _SOCKET_BUFFERS:
        return max(_SOCKET_BUFFER_LEAST, 1 << (mtu - 1).bit_length())
    return _PAGE if mtu <= _ETHERNET_MTU else 2 * _PAGE
