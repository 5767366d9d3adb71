"""One capture port's NIC on the host: found, read, written. Called inside the port's network namespace."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host import link, netns
from ansible_collections.capstan.appliance.plugins.module_utils.host.ethtool import Channels
from ansible_collections.capstan.appliance.plugins.module_utils.host.machine import SPARES_VIRTUAL_FUNCTIONS
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_ethtool import NicEthtool
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_features import (
    BUSY_POLL,
    DRIVERS_OWN,
    Nic,
    channels_of,
    even_over,
    receive,
    table_name,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    BOOT_ID,
    HostError,
    Record,
    put,
    read_text,
)

# What the supervisor noted of the ports that it changed for a running capture (capstan.nic).
SUPERVISOR_SNAPSHOT = "/run/capstan/nic-snapshot.json"
_GONE = {errno.ENODEV, errno.ENXIO, errno.ENOENT}


class Port:
    """The NIC of one of the plan's ports."""

    def __init__(self, port: Mapping[str, Any], sysfs: Path, interface: str, ethtool: NicEthtool) -> None:
        self.port = port
        self.interface = interface
        self._sysfs = sysfs
        self._ethtool = ethtool

    @property
    def key(self) -> str:
        """What stays the same when names change: the PCI address, else namespace and index, good until the boot."""
        return key_of(self.port, self._link().index)

    @property
    def name_now(self) -> str | None:
        """What the interface is called by now; None where it is gone."""
        return interface_of(self.port, self._sysfs)

    def _link(self) -> link.Link:
        here = link.links().get(self.interface)
        if here is None:
            raise self._unreadable(OSError(errno.ENODEV, os.strerror(errno.ENODEV)))
        return here

    def _unreadable(self, error: OSError) -> HostError:
        told = f"{self.interface}: its settings can't be read ({error.strerror}); see what dmesg says of it"
        if error.errno in _GONE:
            told = f"{self.interface} went away while its settings were read; see ip link and dmesg for why"
        return HostError(f"{told}, then run the playbook again", error.errno)

    def read(self) -> Nic:
        """Everything that can be set.

        Raises:
            HostError: the interface is gone, or its driver does not tell.

        """
        try:
            return self._read()
        except OSError as error:
            raise self._unreadable(error) from error

    def _read(self) -> Nic:
        name, ask = self.interface, self._ethtool
        here = self._link()
        features = ask.features(name)
        settings: dict[str, Any] = {f"feature {feature}": found.active for feature, found in features.items()}
        settings |= {f"private flag {flag}": on for flag, on in ask.private_flags(name).items()}
        settings |= {f"hash {flow}": fields for flow, fields in ask.hash_fields(name).items()}
        settings |= {"mtu": here.mtu, "promiscuous": here.promiscuous, "rules": ask.rules(name)}
        rings, channels, coalescing = ask.rings(name), ask.channels(name), ask.coalescing(name)
        if rings is not None:
            settings["rx ring"] = rings.rx
        if channels is not None:
            settings["channels"] = channels_of(channels)
        if coalescing is not None:
            settings["adaptive rx"], settings["rx usecs"] = coalescing
        settings |= self._rss()
        settings |= self._busy_poll()
        driver = ask.driver(name)
        return Nic(
            driver=driver,
            settings=settings,
            max_queues=0 if channels is None else channels.max_receive,
            combined=channels is None or bool(channels.max_combined),
            max_ring=0 if rings is None else rings.max_rx,
            max_mtu=here.max_mtu,
            fixed=tuple(feature for feature, found in features.items() if not found.changeable),
            virtual_functions=self.virtual_functions(driver),
        )

    def virtual_functions(self, driver: str) -> int:
        """Those in use that feel it when the driver resets the NIC."""
        if driver in SPARES_VIRTUAL_FUNCTIONS:
            return 0
        return int(read_text(self._sysfs / "class/net" / self.interface / "device/sriov_numvfs") or 0)

    def _rss(self) -> dict[str, Any]:
        rss = self._ethtool.rss(self.interface)
        if rss is None:
            return {}
        found: dict[str, Any] = {"rss function": rss.function, "rss transform": rss.transform}
        if rss.key:
            found["rss key"] = rss.key.hex()
        if rss.table:
            found["rss table"] = table_name(rss.table)
        return found

    def _busy_poll(self) -> dict[str, int]:
        found = {}
        for attribute in BUSY_POLL:
            try:
                text = read_text(self._attribute(attribute))
            except HostError:
                continue  # there, and without meaning for this driver
            if text:
                found[attribute] = int(text)
        return found

    def _attribute(self, name: str) -> Path:
        return self._sysfs / "class/net" / self.interface / name

    def write_features(self, wanted: Mapping[str, bool]) -> None:
        """Switch features, all at once: some drivers switch pairs only."""
        self._ethtool.set_features(self.interface, {name.removeprefix("feature "): on for name, on in wanted.items()})

    def write(self, setting: str, value: Any, nic: Nic, *, again: bool) -> None:
        """Change one setting.

        Args:
            setting: its name; see nic_features.
            value: what it shall be.
            nic: what the NIC was like when it was read.
            again: the first try did not do it.

        Raises:
            OSError: the kernel or the driver refuses.

        """
        name, ask = self.interface, self._ethtool
        kind, _, detail = setting.partition(" ")
        if kind == "private":
            ask.set_private_flag(name, detail.removeprefix("flag "), on=value)
        elif kind == "hash":
            ask.set_hash_fields(name, detail, value)
        elif kind == "rss":
            self._write_rss(detail, value, again=again)
        elif setting == "rules":
            self._write_rules(value, nic.settings["rules"])
        elif setting == "mtu":
            link.set_mtu(name, value)
        elif setting == "channels":
            ask.set_channels(name, Channels(**value, max_rx=0, max_tx=0, max_combined=0))
        elif setting == "rx ring":
            ask.set_rx_ring(name, value)
        elif setting == "adaptive rx":
            ask.set_coalescing(name, adaptive=value)
        elif setting == "rx usecs":
            ask.set_coalescing(name, usecs=value)
        elif setting == "promiscuous":
            link.set_promiscuous(name, on=value)
        else:
            put(self._attribute(setting), str(value))

    def _write_rules(self, wanted: list[str], there: list[str]) -> None:
        for rule in there:
            if rule not in wanted:
                self._ethtool.remove_rule(self.interface, rule)
        for rule in wanted:
            if rule not in there:
                self._ethtool.add_rule(self.interface, rule)

    def _write_rss(self, what: str, value: Any, *, again: bool) -> None:
        name, ask = self.interface, self._ethtool
        if what == "function":
            ask.set_rss(name, function=value)
        elif what == "transform":
            ask.set_rss(name, transform=value)
        elif what == "key":
            ask.set_rss(name, key=bytes.fromhex(value))
        else:
            ask.set_rss(name, table=self._table(value, again=again))

    def _table(self, value: str | list[int], *, again: bool) -> tuple[int, ...]:
        if isinstance(value, list):
            return tuple(value)
        if value == DRIVERS_OWN:
            return ()
        queues = even_over(value) or 1
        channels, rss = self._ethtool.channels(self.interface), self._ethtool.rss(self.interface)
        # The driver's own table goes round all queues, and does not stand in the way of fewer.
        if channels is not None and receive(channels_of(channels)) == queues and not again:
            return ()
        return tuple(place % queues for place in range(len(rss.table if rss else ())))


def key_of(port: Mapping[str, Any], index: int) -> str:
    """Name of a port in the record."""
    return str(port["pci"] or f"{port['netns'] or '-'}/{netns.identity(None)}/{index}")


def interface_of(port: Mapping[str, Any], sysfs: Path) -> str | None:
    """The port's interface now, whatever its name has become; None where the kernel has none for it."""
    if port["pci"] is None:
        return next((name for name in link.links() if name == port["interface"]), None)
    device = sysfs / "bus/pci/devices" / port["pci"]
    names = sorted(path.name for pattern in ("net/*", "virtio*/net/*") for path in device.glob(pattern))
    return next((name for name in names if name == port["interface"]), names[0] if names else None)


def waits_for_its_driver(port: Mapping[str, Any], root: Path = Path("/")) -> str | None:
    """A note where the NIC is in a program's hands and a deployment gives it back: a dry run comes before that."""
    if port["pci"] not in (Record("nic_driver", root).read() or {}):
        return None
    name = port["interface"] or port["pci"]
    return f"{name} has no interface before it is back on its driver; what it has and lacks is told then"


def supervisors_originals(port: Mapping[str, Any], interface: str, root: Path) -> dict[str, Any]:
    """What the port had before the supervisor changed it for the capture that runs now: those are the originals."""
    text = read_text(SUPERVISOR_SNAPSHOT, root)
    if text is None:
        return {}
    try:
        snapshot = json.loads(text)
        entry = snapshot["ports"].get(interface)
        here = (snapshot["boot_id"], snapshot["netns"]) == (read_text(BOOT_ID), port["netns"])
        if entry is None or not here:
            return {}
        seen = link.links().get(interface)
        if seen is None or (entry["namespace"], entry["index"]) != (netns.identity(None), seen.index):
            return {}
        found: dict[str, Any] = {f"feature {name}": on for name, on in entry["features"].items()}
        if entry["channels"] is not None:
            found["channels"] = {kind: entry["channels"][kind] for kind in ("rx", "tx", "combined")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HostError(f"{SUPERVISOR_SNAPSHOT} can't be read ({error!r}); stop the capture: capstan down") from error
    return found
