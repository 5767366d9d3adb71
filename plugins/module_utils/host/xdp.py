"""Whether a host's kernel and drivers have what AF_XDP needs, in words; the engine reports at its start what it got."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import read_text
from ansible_collections.capstan.appliance.plugins.module_utils.host.xdp_drivers import Support, version_of

ONE_BUFFER = 3050
"""Bytes: an MTU that every driver's single receive buffer holds under native XDP, where it is not told more exactly."""


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


def report(name: str, found: Support, mtu: int, spare_queues: int | None, cpus: int) -> list[str]:
    """What an operator should know of a port, in words."""
    how = "" if found.told else " (from a table: this kernel does not tell; the engine reports what it gets)"
    told = [f"{name}: the driver {found.driver} has {_in_words(found)}{how}"]
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


def _in_words(found: Support) -> str:
    if found.native:
        return f"native XDP and {'zero-copy' if found.zerocopy else 'no zero-copy'}"
    if found.zerocopy:
        return "native XDP for zero-copy alone"
    return "no native XDP on this kernel that gives packets to a socket, so that they go by the slower generic way"


def refusals(name: str, where: str, found: Support, mode: str) -> list[str]:
    """Why a mode that was asked for by name can't be had."""
    if mode == "zerocopy" and not found.zerocopy:
        return [
            f"{where}: capture_af_xdp.mode is zerocopy, which the driver {found.driver} of {name} does not have on "
            f"this kernel; write {'copy' if found.native else 'skb'} or auto"
        ]
    if mode == "copy" and not found.native:
        return [
            f"{where}: capture_af_xdp.mode is copy, and the driver {found.driver} of {name} has "
            f"{'native XDP for zero-copy alone' if found.zerocopy else 'no native XDP for it on this kernel'}; "
            f"write {'zerocopy' if found.zerocopy else 'skb'} or auto"
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
