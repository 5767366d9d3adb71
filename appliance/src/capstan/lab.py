"""A capture port without a NIC: two network namespaces joined by a veth pair.

    NAME-tx [wire0] ======= [cap0] NAME

The namespace NAME is the receiver. Both ends have IPv6 disabled, so that the kernel sends nothing of its own onto the
wire, and no offloads, so that each frame arrives as it was sent. Nothing is made in the root namespace.
"""

from __future__ import annotations

import errno
import re
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2 import netns as pyroute2_netns
from pyroute2.netlink.exceptions import NetlinkError

from capstan import namespaces
from capstan.errors import OperatorError, UsageError
from capstan.ethtool import Ethtool
from capstan.links import read_network

DEFAULT_NAME = "capstan-lab"
RECEIVER = "cap0"
SENDER = "wire0"
MTU = 9000
MAX_QUEUES = 64
CARRIER_SECONDS = 5

# What would merge, split or strip frames between the two ends.
_OFFLOADS = re.compile(
    r"(rx|tx)-.*(gro|lro|segmentation|vlan-(stag-)?hw|vlan-filter|checksum|scatter-gather|udp-fragmentation).*|rx-gro"
)


@dataclass(frozen=True, slots=True)
class LabState:
    """What exists of a lab."""

    name: str
    sender_netns: str
    state: str
    """up, down, or partial."""
    queues: int
    interface: str = RECEIVER
    sender_interface: str = SENDER
    mtu: int = MTU


def status(name: str = DEFAULT_NAME) -> LabState:
    """What exists of the lab."""
    sender = _sender(name)
    there = [namespaces.exists(netns) for netns in (name, sender)]
    receiver = read_network(name).named(RECEIVER) if there[0] else None
    wire = read_network(sender).named(SENDER) if there[1] else None
    if receiver is not None and wire is not None and receiver.up and wire.up and receiver.channels is not None:
        return LabState(name, sender, "up", receiver.channels.receive)
    return LabState(name, sender, "partial" if any(there) else "down", 0)


def up(name: str = DEFAULT_NAME, queues: int = 2) -> bool:
    """Make the lab; returns whether anything had to be done.

    A lab that is there with as many queues is left as it is; one that is broken or has another number is made anew.

    Raises:
        UsageError: the name or the number of queues cannot be.
        OperatorError: the kernel refused.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}", name):
        raise UsageError(f"The lab cannot be called {name!r}; use letters, digits, '-', '_' and '.'.")
    if not 1 <= queues <= MAX_QUEUES:
        raise UsageError(f"The lab cannot have {queues} queues; ask for 1 to {MAX_QUEUES}.")
    found = status(name)
    if found.state == "up" and found.queues == queues:
        return False
    down(name)
    try:
        _make(name, _sender(name), queues)
    except (OSError, NetlinkError) as error:
        down(name)
        raise OperatorError(
            f"The lab {name} could not be made ({error}); run as root on a kernel with veth."
        ) from error
    return True


def down(name: str = DEFAULT_NAME) -> bool:
    """Remove the lab entirely; returns whether there was anything to remove."""
    removed = False
    for netns, interface in ((name, RECEIVER), (_sender(name), SENDER)):
        if namespaces.exists(netns):
            # The veth goes first: it would live on in a namespace that a process still holds open.
            namespaces.inside(netns, partial(_remove_link, interface))
            pyroute2_netns.remove(netns)
            removed = True
        elif namespaces.path_of(netns).exists():
            namespaces.path_of(netns).unlink()
            removed = True
    return removed


def _sender(name: str) -> str:
    return f"{name}-tx"


def _make(receiver: str, sender: str, queues: int) -> None:
    for netns in (receiver, sender):
        pyroute2_netns.create(netns)
        namespaces.inside(netns, _disable_ipv6)

    def join() -> None:
        with IPRoute() as route:
            ends = {"num_rx_queues": queues, "num_tx_queues": queues, "mtu": MTU}
            peer = {"ifname": SENDER, "net_ns_fd": str(namespaces.path_of(sender)), **ends}
            route.link("add", ifname=RECEIVER, kind="veth", peer=peer, **ends)

    namespaces.inside(receiver, join)
    for netns, interface in ((receiver, RECEIVER), (sender, SENDER)):
        namespaces.inside(netns, partial(_prepare, interface))
    _await_carrier(receiver)


def _disable_ipv6() -> None:
    # /proc/sys/net shows the network namespace of the thread that opens it.
    for scope in ("all", "default"):
        switch = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        if switch.exists():  # a kernel without IPv6 needs no disabling
            switch.write_text("1")


def _await_carrier(name: str) -> None:
    deadline = time.monotonic() + CARRIER_SECONDS
    while not (status(name).state == "up" and _has_carrier(name, RECEIVER) and _has_carrier(_sender(name), SENDER)):
        if time.monotonic() > deadline:
            raise OperatorError(
                f"The lab {name} has no carrier after {CARRIER_SECONDS} s; remove it with `capstan lab down`."
            )
        time.sleep(0.01)


def _has_carrier(netns: str, interface: str) -> bool:
    def read() -> bool:
        with IPRoute() as route:
            return all(link.get_attr("IFLA_OPERSTATE") == "UP" for link in route.link("get", ifname=interface))

    return namespaces.inside(netns, read)


def _prepare(interface: str) -> None:
    with IPRoute() as route, Ethtool() as ethtool:
        features = ethtool.features(interface)
        unwanted = {n: False for n, f in features.items() if f.active and f.changeable and _OFFLOADS.fullmatch(n)}
        ethtool.set_features(interface, unwanted)
        for name in ("lo", interface):
            route.link("set", index=route.link_lookup(ifname=name)[0], state="up")


def _remove_link(interface: str) -> None:
    with IPRoute() as route:
        for index in route.link_lookup(ifname=interface):
            try:
                route.link("del", index=index)
            except NetlinkError as error:
                # With its other end: the kernel removes a namespace, and what is in it, behind our back.
                if error.code != errno.ENODEV:
                    raise
