"""Kernel memory of rings: those of the sockets, and, by estimate, what a NIC's driver keeps behind each descriptor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from capstan.config import CaptureConfig
from capstan.host_plan import NicTuning
from capstan.planner_nic import KERNEL_METHODS
from capstan.planner_ports import Found
from capstan.virtual_devices import VirtualDevice

XDP_FRAME_BYTES = 4096  # one page: what the kernel's UMEM takes without multi-buffer

# A NIC's MTU where nobody changes it, and the largest that "auto" gives it; Ethernet header and two VLAN tags.
_MTU, _LARGEST_MTU, _LINK_BYTES = 1500, 9000, 22
_SLOT_HEADER_BYTES = 64
# DPDK's own frames and how many, where devargs say neither; what lies in front of a frame in a ring, and its head.
_PACKET_RING_FRAME, _PACKET_RING_FRAMES, _PACKET_RING_HEAD = 2048, 512, 118
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


def ring_bytes(config: CaptureConfig, method: str, queues: int) -> int:
    """Kernel memory of the rings of a port."""
    match method:
        case "af_packet":
            return config.af_packet.ring_size * queues
        case "af_xdp":
            return config.af_xdp.frames * XDP_FRAME_BYTES * queues
        case "pcap":
            return config.pcap.buffer_size * queues
        case "pf_ring" if not config.pf_ring.zc:
            return config.pf_ring.min_num_slots * _slot_bytes(config) * queues
        case _:
            return 0


def _slot_bytes(config: CaptureConfig) -> int:
    """Room of one slot of PF_RING's: a whole frame where it must be judged, and the module's header."""
    mtu = {"leave": _MTU, "auto": _LARGEST_MTU}.get(str(config.nic.mtu)) or int(config.nic.mtu)
    frame = mtu + _LINK_BYTES
    return (frame if config.filter else min(frame, config.snaplen)) + _SLOT_HEADER_BYTES


def device_ring_bytes(device: VirtualDevice, descriptors: int, mtu: int, queues: int) -> int:
    """Kernel memory of a virtual device's rings: net_af_packet has one each way for each queue.

    Args:
        device: the device.
        descriptors: of each receive queue.
        mtu: of its network device.
        queues: receive queues.

    """
    if device.like != "af_packet":
        return 0
    frame, frames = device.number("framesz"), device.number("framecnt")
    if frame is None and device.number("blocksz") is None:
        # As native/drivers/dpdk/options.c has it: a power of two that holds the largest frame.
        frame, frames = _PACKET_RING_FRAME, frames or descriptors
        while frame < mtu + _PACKET_RING_HEAD:
            frame *= 2
    return 2 * queues * (frame or _PACKET_RING_FRAME) * (frames or _PACKET_RING_FRAMES)


def port_ring_bytes(config: CaptureConfig, found: Found, mtu: int | Literal["max"] | None, queues: int) -> int:
    """The rings of a port's sockets.

    Args:
        config: the settings.
        found: the port.
        mtu: what it is planned to have; None leaves it as it is.
        queues: receive queues.

    """
    if found.device is None:
        return ring_bytes(config, found.method, queues)
    there = found.link.mtu if found.link is not None else _ETHERNET_MTU
    return device_ring_bytes(
        found.device, config.dpdk.descriptors, _JUMBO_MTU if mtu == "max" else mtu or there, queues
    )


def _buffer_bytes(driver: str | None, mtu: int) -> int:
    """Memory behind one descriptor."""
    if driver in _SOCKET_BUFFERS:
        return max(_SOCKET_BUFFER_LEAST, 1 << (mtu - 1).bit_length())
    return _PAGE if mtu <= _ETHERNET_MTU else 2 * _PAGE
