"""Settings of capture ports: changed for the capture, and given back as they were.

The original of every setting is on the disk before the first change. A supervisor that died leaves this snapshot, and
the next one restores it before it looks at the ports, so that a changed setting is never taken for the original.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from capstan import namespaces
from capstan.errors import OperatorError
from capstan.ethtool import Channels, Ethtool
from capstan.files import boot_id, read_json, write_json
from capstan.logs import logger

SNAPSHOT_VERSION = 1

_SO_NETNS_COOKIE = 71  # include/uapi/asm-generic/socket.h, from Linux 5.14 on

UNWANTED_FEATURES = (
    # Merge frames of a flow into larger ones that were never on the wire.
    "rx-gro",
    "rx-gro-hw",
    "rx-gro-list",
    "rx-udp-gro-forwarding",
    "rx-lro",
    # Take the VLAN tag out of the frame, or drop frames of VLANs that nobody asked for.
    "rx-vlan-hw-parse",
    "rx-vlan-stag-hw-parse",
    "rx-vlan-filter",
    "rx-vlan-stag-filter",
)

# igb, ixgbe and others cannot have it turned off, and pass frames of all VLANs while they are promiscuous.
IDLE_WHEN_PROMISCUOUS = frozenset({"rx-vlan-filter", "rx-vlan-stag-filter"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a capture port should be like."""

    interface: str
    channels: int | None = None
    """Receive queues; None leaves them as they are."""
    promiscuous: bool = False
    """The capture receives promiscuously, and no VLAN filter of the NIC holds then."""


@dataclass(frozen=True, slots=True)
class Original:
    """The settings of one port that were changed, as they were before."""

    namespace: int
    """Inode of the network namespace; with the index it tells the port from a later one of the same name."""
    index: int
    up: bool
    features: Mapping[str, bool] = field(default_factory=dict)
    channels: Channels | None = None

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Original:
        """What asdict made of one."""
        channels = Channels(**raw["channels"]) if raw["channels"] else None
        return cls(raw["namespace"], raw["index"], raw["up"], raw["features"], channels)

    @property
    def identity(self) -> tuple[int, int]:
        """What tells the port from a later one of the same name."""
        return self.namespace, self.index


class PortSettings:
    """Changes the settings of capture ports in one network namespace, and restores them."""

    def __init__(self, snapshot: Path, netns: str | None) -> None:
        self._snapshot = snapshot
        self._netns = netns
        self._originals: dict[str, Original] = {}

    def apply(self, ports: Iterable[Wanted]) -> list[str]:
        """Make the ports fit for capture; those that are already are not touched.

        Call it again at any time: a port that was made anew under its old name is prepared again.

        Returns:
            A sentence for each setting that the driver will not change, and that the capture can live with.

        Raises:
            OperatorError: when a change is refused that the capture cannot do without.

        """
        wanted = tuple(ports)
        return namespaces.inside(self._netns, lambda: self._apply(wanted) if self._unknown(wanted) else [])

    def _unknown(self, ports: tuple[Wanted, ...]) -> bool:
        """Whether any of the ports has not been prepared since it was made."""
        indexes = {name: index for index, name in socket.if_nameindex()}
        here = _namespace()
        return any(
            not self._knows(port, (here, indexes[port.interface])) for port in ports if port.interface in indexes
        )

    def _knows(self, port: Wanted, identity: tuple[int, int]) -> bool:
        known = self._originals.get(port.interface)
        return known is not None and known.identity == identity

    def _apply(self, ports: tuple[Wanted, ...]) -> list[str]:
        complaints: list[str] = []
        with IPRoute() as route, Ethtool() as ethtool:
            fresh = {
                port.interface: (port, original)
                for port in ports
                if (original := self._original(route, ethtool, port)) is not None
            }
            if not fresh:
                return complaints
            self._originals |= {name: original for name, (_, original) in fresh.items()}
            self._save()
            for port, original in fresh.values():
                complaints += _change(route, ethtool, port, original)
        return complaints

    def restore(self) -> None:
        """Give the ports back as they were, from the snapshot on the disk, and remove it.

        Ports that are gone, or that were made anew since, have nothing to be restored.
        """
        raw = read_json(self._snapshot)
        if raw is None:
            return
        originals = {name: Original.from_json(entry) for name, entry in raw["ports"].items()}
        if raw["boot_id"] != boot_id():
            logger().info("nic_snapshot_of_another_boot", message="The host was booted since; nothing to restore.")
        elif raw["netns"] is not None and not namespaces.exists(raw["netns"]):
            logger().info("nic_namespace_gone", message=f"The network namespace {raw['netns']} is gone with its ports.")
        else:
            namespaces.inside(raw["netns"], lambda: _restore(originals))
        self._snapshot.unlink()
        self._originals = {}

    def _original(self, route: Any, ethtool: Ethtool, port: Wanted) -> Original | None:  # noqa: ANN401 - pyroute2
        """What has to be remembered of a port before it is changed; None when there is nothing to do."""
        indexes = route.link_lookup(ifname=port.interface)
        if not indexes:
            return None
        if self._knows(port, (_namespace(), indexes[0])):
            return None
        features = ethtool.features(port.interface)
        active = {name: True for name in UNWANTED_FEATURES if name in features and features[name].active}
        changeable = {name: on for name, on in active.items() if features[name].changeable}
        channels = ethtool.channels(port.interface)
        differs = port.channels is not None and channels is not None and channels.receive != port.channels
        up = bool(route.get_links(indexes[0])[0]["flags"] & 1)  # IFF_UP
        return Original(_namespace(), indexes[0], up, changeable, channels if differs else None)

    def _save(self) -> None:
        ports = {name: asdict(original) for name, original in self._originals.items()}
        content = {"version": SNAPSHOT_VERSION, "boot_id": boot_id(), "netns": self._netns, "ports": ports}
        write_json(self._snapshot, content, durable=True)


def _change(route: Any, ethtool: Ethtool, port: Wanted, original: Original) -> list[str]:  # noqa: ANN401 - pyroute2
    name = port.interface
    if port.channels is not None and original.channels is not None:
        _set_channels(ethtool, name, original.channels.with_receive(port.channels))
    if original.features:
        _set_features(ethtool, name, dict.fromkeys(original.features, False))
    if not original.up:
        _set_up(route, name, up=True)
    if original.features or original.channels or not original.up:
        logger().info("port_prepared", interface=name, off=list(original.features), queues=port.channels)
    features = ethtool.features(name)
    return [
        f"{name}: the driver does not let {feature} be turned off, so frames may differ from those on the wire."
        for feature in UNWANTED_FEATURES
        if feature in features
        and features[feature].active
        and not (port.promiscuous and feature in IDLE_WHEN_PROMISCUOUS)
    ]


def _restore(originals: Mapping[str, Original]) -> None:
    with IPRoute() as route, Ethtool() as ethtool:
        for name, original in originals.items():
            if [(_namespace(), index) for index in route.link_lookup(ifname=name)] != [original.identity]:
                logger().info("port_gone", interface=name, message=f"{name} is gone; nothing to restore.")
                continue
            try:
                if original.channels is not None:
                    _set_channels(ethtool, name, original.channels)
                if original.features:
                    _set_features(ethtool, name, original.features)
                if not original.up:
                    _set_up(route, name, up=False)
            except OperatorError as error:
                # The other ports still have to be restored.
                logger().error("port_not_restored", interface=name, message=str(error))
            else:
                logger().info("port_restored", interface=name)


def _set_channels(ethtool: Ethtool, name: str, channels: Channels) -> None:
    now = ethtool.channels(name)
    if now == channels:
        return
    try:
        ethtool.set_channels(name, channels)
    except OSError as error:
        raise OperatorError(
            f"{name}: cannot be set to {channels.receive} receive queues ({error.strerror}); "
            f"it has {now.receive if now else 1}: write queues: {now.receive if now else 1}."
        ) from error
    now = ethtool.channels(name)
    if now is None or now.receive != channels.receive:
        raise OperatorError(
            f"{name}: was set to {channels.receive} receive queues and has {now.receive if now else 'none'}; "
            "write the number of queues that it takes."
        )


def _set_features(ethtool: Ethtool, name: str, wanted: Mapping[str, bool]) -> None:
    try:
        ethtool.set_features(name, wanted)
    except OSError as error:
        raise OperatorError(
            f"{name}: the features {', '.join(wanted)} cannot be changed ({error.strerror}); run capstan as root."
        ) from error
    now = ethtool.features(name)
    wrong = [feature for feature, on in wanted.items() if now[feature].active != on]
    if wrong:
        logger().warning("feature_unchanged", interface=name, features=wrong)


def _set_up(route: Any, name: str, *, up: bool) -> None:  # noqa: ANN401 - pyroute2 is untyped
    word = "up" if up else "down"
    try:
        route.link("set", index=route.link_lookup(ifname=name)[0], state=word)
    except NetlinkError as error:
        raise OperatorError(f"{name}: cannot be set {word} ({error}); run capstan as root.") from error


def rx_packets(netns: str | None, interfaces: Iterable[str]) -> dict[str, int]:
    """Receive counters of the ports, the same that the engine reads (IFLA_STATS64); ports that are gone have none."""
    if netns is not None and not namespaces.exists(netns):
        return {}

    def read() -> dict[str, int]:
        with IPRoute() as route:
            found = {}
            for name in interfaces:
                for index in route.link_lookup(ifname=name):
                    stats = route.get_links(index)[0].get_attr("IFLA_STATS64")
                    found[name] = int(stats["rx_packets"])
            return found

    return namespaces.inside(netns, read)


def _namespace() -> int:
    """Cookie of the network namespace that we are in: no later one has it, as one may have the inode."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inside:
        return int.from_bytes(inside.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)
