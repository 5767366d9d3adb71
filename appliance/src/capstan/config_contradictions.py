"""Settings that are right alone and wrong together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capstan.config_fields import is_card
from capstan.quantities import KIB, format_size

if TYPE_CHECKING:
    from capstan.config import CaptureConfig, Interface

# What a file has beside its blocks, as native/engine/config.c asks for it: pages for its head, a gap and its end.
_FILE_OWN = 3 * 4 * KIB


def found_in(config: CaptureConfig) -> Iterator[tuple[str, str]]:
    """Settings that are right alone and wrong together, as (key, sentence)."""
    first: dict[str, int] = {}
    for index, interface in enumerate(config.interfaces):
        key = f"interfaces[{index}]"
        earlier = first.setdefault(interface.identity, index)
        if earlier != index:
            remedy = "write each interface once" if interface.vdev is None else "give each device a number of its own"
            yield key, f"is {interface.identity} again, as interfaces[{earlier}] is; {remedy}"
        method = config.method_of(interface)
        yield from _of_virtual_device(key, method, interface)
        if method == "dpdk" and interface.vdev is None and not config.dpdk.huge:
            yield (
                "dpdk.huge",
                f"is false, and {interface.identity} is a NIC, which reaches hugepages alone; write true, or another "
                "method for it",
            )
        if method == "dpdk" and interface.vdev is None and config.netns is not None:
            yield "netns", "belongs to interfaces of the kernel, and dpdk takes the NIC from it; write null"
        if method in {"pcap", "replay"} and interface.queues not in {"auto", 1}:
            yield (
                f"{key}.queues",
                f"is {interface.queues}, and the method {method} reads one queue; write 1, or a method with queues "
                "such as af_packet",
            )
        if method == "pf_ring" and config.pf_ring.zc and config.pf_ring.spread != "channels":
            spread = config.pf_ring.spread
            yield "pf_ring.spread", f"is {spread}, and with zc the NIC alone spreads packets; write channels"
        if method == "replay" and interface.pci is not None:
            yield f"{key}.pci", "belongs to a NIC, and replay uses none; write name: with any label"
        yield from _of_card(key, method, interface)
    asked = sum(interface.queues for interface in config.interfaces if interface.queues != "auto")
    if config.cores != "auto" and asked > 4 * len(config.cores):
        yield (
            "cores",
            f"holds {len(config.cores)} CPUs for the {asked} queues asked for; "
            f"write at least {-(-asked // 4)} CPUs, or fewer queues",
        )
    if "replay" in config.methods and config.replay is None:
        yield "replay", "is missing, and the method replay needs it; write replay: {file: /path/of/a.pcapng}"
    if config.targets is not None and config.targets_file is not None:
        yield "targets_file", "is written beside targets, and both say whose packets are captured; remove one of them"
    if config.output.by_target and not config.has_targets:
        yield (
            "output.by_target",
            "is true, and without targets there is nobody to have files; write targets, [] for those of run time "
            "alone, or by_target: false",
        )
    if config.output.rotate_size < config.buffers.block_size + _FILE_OWN:
        yield (
            "output.rotate_size",
            f"is {format_size(config.output.rotate_size)}, too little for a file's own pages and one block of "
            f"{format_size(config.buffers.block_size)}; write a multiple of buffers.block_size, at least twice that",
        )


def _of_virtual_device(key: str, method: str, interface: Interface) -> Iterator[tuple[str, str]]:
    """What is said beside a virtual device and belongs to a NIC, or contradicts its devargs."""
    device = interface.device
    if device is None:
        return
    for name in ("name", "pci"):
        if getattr(interface, name) is not None:
            yield (
                f"{key}.{name}",
                f"is written beside vdev: {device}, and a virtual device has no {name}; remove one of the two",
            )
    if method != "dpdk":
        other = f", or name: {device.netdev} in its place" if device.netdev else ""
        yield (
            f"{key}.vdev",
            f"is {device}, a virtual device of DPDK, and the method is {method}; write method: dpdk beside it{other}",
        )
    if interface.mac is not None and device.netdev is None:
        yield f"{key}.mac", f"belongs to a network device, and {device} is over none; remove it"
    if device.queues is not None and interface.queues not in {"auto", device.queues}:
        yield (
            f"{key}.queues",
            f"is {interface.queues}, and {device} has {device.queues}; write {device.queues}, or auto",
        )


def _of_card(key: str, method: str, interface: Interface) -> Iterator[tuple[str, str]]:
    """What a DAG card has and a network device has not, and the other way round."""
    if interface.streams is not None and method not in {"dag", "auto"}:
        yield f"{key}.streams", f"belongs to DAG cards, and the method is {method}; remove it"
    if method != "dag":
        return
    for name in ("pci", "mac"):
        if getattr(interface, name) is not None:
            yield f"{key}.{name}", "belongs to a network device, and a DAG card is none; write name: /dev/dag0 alone"
    if interface.name is not None and not is_card(interface.name):
        yield f"{key}.name", f"is {interface.name}, and the method dag captures from a DAG card; write /dev/dag0"
    if interface.streams is not None and interface.queues not in {"auto", len(interface.streams)}:
        yield (
            f"{key}.queues",
            f"is {interface.queues} for {len(interface.streams)} streams, and each queue reads one; "
            f"write {len(interface.streams)}, or auto",
        )
