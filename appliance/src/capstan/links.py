"""Interfaces, addresses and routes of a network namespace, as netlink tells them."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from capstan import namespaces
from capstan.errors import UsageError
from capstan.ethtool import Channels, Ethtool
from capstan.machine_read import SYSFS, is_wireless
from capstan.xdp_drivers import features_of

_ARPHRD_ETHER = 1
_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8
_SCOPE_GLOBAL = 0  # RT_SCOPE_UNIVERSE
_RTMGRP_LINK = 0x1  # linux/rtnetlink.h
_STACKED_KINDS = {"vlan", "macvlan", "macvtap", "ipvlan", "macsec"}


@dataclass(frozen=True, slots=True)
class Link:
    """One interface."""

    name: str
    index: int
    kind: str | None = None
    """Kind of a virtual interface such as veth, bond or bridge; None for a NIC."""
    ethernet: bool = True
    loopback: bool = False
    up: bool = True
    master: int | None = None
    """Index of the bond or bridge that it is a member of."""
    lower: int | None = None
    """Index of the interface that it stands on, as a VLAN does."""
    pci: str | None = None
    driver: str | None = None
    """As `ethtool -i` says it; None where it does not."""
    wireless: bool = False
    """It is a station of a WiFi."""
    xdp: int | None = None
    """NETDEV_XDP_ACT_* bits that the kernel tells of its driver; None where it does not tell."""
    mac: str | None = None
    channels: Channels | None = None
    rx_queues: int = 1
    mtu: int = 1500
    speed: int | None = None
    """Mbit/s, or the most that it supports while it is down; None where the driver does not tell."""
    addresses: tuple[str, ...] = ()
    """Addresses of global scope, with their prefix length."""


@dataclass(frozen=True, slots=True)
class Network:
    """What a network namespace looks like at one moment."""

    links: tuple[Link, ...]
    default_routes: frozenset[int] = frozenset()
    """Indexes of the interfaces that carry a default route of IPv4 or IPv6."""
    controller_routes: frozenset[int] = frozenset()
    """Indexes of the interfaces that carry the route back to the controller."""

    def named(self, name: str) -> Link | None:
        """The interface of that name."""
        return next((link for link in self.links if link.name == name), None)

    def at_pci(self, address: str) -> tuple[Link, ...]:
        """The interfaces of the NIC at that PCI address; some NICs have several ports at one."""
        return tuple(link for link in self.links if link.pci == address)


def read_network(netns: str | None = None, controller: str | None = None) -> Network:
    """Read interfaces, addresses and routes.

    Args:
        netns: name of the network namespace; None is the current one.
        controller: IP address of the host that Ansible or a person works from; its route is looked up too.

    Raises:
        UsageError: when the controller is no IP address.

    """
    if controller is not None:
        try:
            ipaddress.ip_address(controller)
        except ValueError:
            raise UsageError(
                f"The controller {controller!r} is not an IP address; write one such as 192.0.2.1."
            ) from None
    return namespaces.inside(netns, lambda: _read(controller))


class LinkNews:
    """Tells whether any interface of a network namespace was made, removed or changed, without looking at one."""

    def __init__(self, netns: str | None) -> None:
        self._netns = netns
        self._socket: socket.socket | None = None

    def any(self) -> bool:
        """Whether there is news since the last call; the first one says yes, as nobody has looked yet.

        Raises:
            OperatorError: when the namespace is not there or may not be entered.

        """
        if self._socket is None:
            self._socket = namespaces.inside(self._netns, _listen)
            return True
        told = False
        while True:
            try:
                self._socket.recv(1)  # what it is does not matter: the rest of the message goes
            except BlockingIOError:
                return told
            except OSError:  # there was more than the socket had room for
                self.close()
                return True
            told = True

    def close(self) -> None:
        """Let go of the namespace; the next call begins anew."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _listen() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    listener = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    listener.bind((0, _RTMGRP_LINK))
    return listener


def _read(controller: str | None) -> Network:
    with IPRoute() as route, Ethtool() as ethtool:
        addresses: dict[int, list[str]] = {}
        for message in route.get_addr():
            if message["scope"] == _SCOPE_GLOBAL:
                text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
                addresses.setdefault(message["index"], []).append(f"{text}/{message['prefixlen']}")
        links = tuple(_link(message, addresses, ethtool) for message in route.get_links())
        defaults = frozenset(
            index
            for family in (2, 10)  # AF_INET, AF_INET6
            for message in route.get_routes(family=family)
            if message["dst_len"] == 0 and message["type"] == 1  # RTN_UNICAST
            for index in _out_interfaces(message)
        )
        return Network(links, defaults, _route_to(route, controller) if controller else frozenset())


def _link(message: Any, addresses: dict[int, list[str]], ethtool: Ethtool) -> Link:  # noqa: ANN401 - pyroute2 is untyped
    name, index = message.get_attr("IFLA_IFNAME"), message["index"]
    info = message.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info is not None else None
    identity = ethtool.identity(name)
    return Link(
        name=name,
        index=index,
        kind=kind,
        ethernet=message["ifi_type"] == _ARPHRD_ETHER,
        loopback=bool(message["flags"] & _IFF_LOOPBACK),
        up=bool(message["flags"] & _IFF_UP),
        master=message.get_attr("IFLA_MASTER"),
        lower=message.get_attr("IFLA_LINK") if kind in _STACKED_KINDS else None,
        pci=identity.pci,
        driver=identity.driver,
        wireless=_wireless(name, message.get_attr("IFLA_ADDRESS")),
        xdp=_xdp(index),
        mac=message.get_attr("IFLA_ADDRESS"),
        channels=ethtool.channels(name),
        rx_queues=message.get_attr("IFLA_NUM_RX_QUEUES") or 1,
        mtu=message.get_attr("IFLA_MTU"),
        speed=ethtool.speed(name),
        addresses=tuple(addresses.get(index, ())),
    )


def _wireless(name: str, mac: str | None, sysfs: Path = SYSFS) -> bool:
    """Asked of the sysfs that is mounted, which shows another network namespace's devices if we are in one."""
    try:
        shown = (sysfs / "class/net" / name / "address").read_text(encoding="utf-8").strip()
    except OSError:
        return False
    return shown == mac and is_wireless(name, sysfs)


def _xdp(index: int) -> int | None:
    try:
        return features_of(index)
    except OSError:  # a sandbox keeps generic netlink from us: the table of drivers stands in
        return None


def _out_interfaces(message: Any) -> list[int]:  # noqa: ANN401 - pyroute2 is untyped
    out = message.get_attr("RTA_OIF")
    if out is not None:
        return [out]
    return [hop["oif"] for hop in message.get_attr("RTA_MULTIPATH") or ()]


def _route_to(route: Any, address: str) -> frozenset[int]:  # noqa: ANN401 - pyroute2 is untyped
    address, _, zone = address.partition("%")
    if zone:  # a link-local address is on the interface that it names
        return frozenset(route.link_lookup(ifname=zone))
    family = 2 if ipaddress.ip_address(address).version == 4 else 10  # noqa: PLR2004 - AF_INET, AF_INET6
    try:
        answers = route.route("get", dst=address, family=family)
    except NetlinkError:
        return frozenset()  # no route: nothing to protect on that path
    return frozenset(index for message in answers for index in _out_interfaces(message))
