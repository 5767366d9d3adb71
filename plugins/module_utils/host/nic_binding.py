"""The steps that take a NIC from its driver and give it back; each is read back.

They are idempotent: whatever was done before a reset is seen and not done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.capstan.appliance.plugins.module_utils.host import protection
from ansible_collections.capstan.appliance.plugins.module_utils.host.ethtool import Channels
from ansible_collections.capstan.appliance.plugins.module_utils.host.machine_read import QueuesAndRings, nic_queues
from ansible_collections.capstan.appliance.plugins.module_utils.host.network_use import Run
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_boot import (
    driverctl_file,
    has_driverctl,
    kept_by_driverctl,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.pci_nics import (
    DEVICES,
    DRIVERS,
    Netdev,
    Nic,
    read_nic,
    same_driver,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    below,
    durable_remove,
    durable_write,
    read_text,
    sync,
    write_text,
)

_PATIENCE = 60.0  # seconds that an interface may take to come back: firmware, and udev's queue on a busy host
_PAUSE = 0.1


class ChannelSettings(QueuesAndRings, Protocol):
    """Queues and rings of interfaces, as the ethtool ioctl tells and sets them."""

    def set_channels(self, interface: str, channels: Channels) -> None:
        """Change the queues."""


@dataclass(frozen=True)
class Host:
    """The host that is acted on; tests give one of their own."""

    root: Path
    run: Run
    ethtool: ChannelSettings
    sleep: Callable[[float], None] = time.sleep


def last_words(output: str, errors: str) -> str:
    """What a program said in the end."""
    lines = [line.strip() for line in (errors or output).splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"


def snapshot(nic: Nic, host: Host) -> dict[str, Any]:
    """How the NIC is, in the form that the record keeps and `give_back` takes."""
    return {
        "driver": nic.driver,
        "module": nic.module,
        "override": nic.override,
        "driverctl": kept_by_driverctl(nic.address, host.root),
        "vendor": nic.vendor,
        "device": nic.device,
        "netdevs": [_netdev_snapshot(netdev, host) for netdev in nic.netdevs],
    }


def _netdev_snapshot(netdev: Netdev, host: Host) -> dict[str, Any]:
    try:
        held = nic_queues(netdev.name, host.ethtool, below(host.root, "/sys"))
    except OSError as error:
        raise HostError(f"{netdev.name} does not tell its queues: {error.strerror}", error.errno) from error
    return {
        "name": netdev.name,
        "mac": netdev.mac,
        "up": netdev.up,
        "mtu": netdev.mtu,
        "channels": _channels(netdev.name, host),
        # What it can have, for plans that are made while it has no network device.
        "rx_queues_max": held.most,
        "rx_ring_max": held.ring_most,
        "speed": held.speed,
        "xdp": held.xdp,
    }


def _channels(name: str, host: Host) -> dict[str, int] | None:
    try:
        found = host.ethtool.channels(name)
    except OSError as error:
        raise HostError(f"{name} does not tell its queues: {error.strerror}", error.errno) from error
    return {"rx": found.rx, "tx": found.tx, "combined": found.combined} if found else None


def load(driver: str, module: str, host: Host) -> None:
    """Have the kernel load a driver.

    Raises:
        HostError: it does not.

    """
    if below(host.root, f"{DRIVERS}/{driver}").is_dir():
        return
    rc, output, errors = host.run(["modprobe", module])
    if rc or not below(host.root, f"{DRIVERS}/{driver}").is_dir():
        locked = protection.lockdown(host.root)
        because = f"; {locked}, and takes signed modules alone" if locked else "; the kernel says more in dmesg"
        raise HostError(f"the driver {driver} can't be loaded: {last_words(output, errors)}{because}")


def bind(nic: Nic, driver: str, through_driverctl: bool, host: Host) -> None:
    """Bind the NIC to a driver that hands it to user space.

    Raises:
        HostError: it is not bound to that driver now; the NIC may be half bound, so give it back.

    """
    load(driver, driver, host)
    if through_driverctl:
        rc, output, errors = host.run(["driverctl", "set-override", nic.address, driver])
        why = f": {last_words(output, errors)}" if rc else ""
    else:
        why = ""
        durable_remove(driverctl_file(nic.address), host.root)
        if nic.override != driver:
            write_text(f"{DEVICES}/{nic.address}/driver_override", driver, host.root)
        if not same_driver(nic.driver, driver):
            _unbind(nic, host)
            write_text(f"{DRIVERS}/{driver}/bind", nic.address, host.root, read_back=False)
    now = _read(nic.address, host)
    if not same_driver(now.driver, driver):
        raise HostError(
            f"{nic.address} is bound to {now.driver or 'no driver'} after it was given to {driver}{why}; "
            "the kernel says more in dmesg"
        )
    if now.override != driver:
        raise HostError(
            f"{nic.address} has the override {now.override or 'none'} after {driver} was written there{why}; "
            "see what else writes to its driver_override"
        )
    if through_driverctl:
        if kept_by_driverctl(nic.address, host.root) != driver:
            raise HostError(f"driverctl does not keep {nic.address} for the next boot{why}; see /etc/driverctl.d")
        sync(driverctl_file(nic.address), host.root)


def _read(address: str, host: Host) -> Nic:
    nic = read_nic(address, host.root)
    if nic is None:
        raise HostError(f"{address} has gone from the PCI bus")
    return nic


def _unbind(nic: Nic, host: Host) -> None:
    if nic.driver is not None:
        write_text(f"{DRIVERS}/{nic.driver}/unbind", nic.address, host.root, read_back=False)
        left = _read(nic.address, host).driver
        if left is not None:
            raise HostError(f"{nic.address} is still bound to {left} after it was unbound")


def give_back(address: str, original: Mapping[str, Any], host: Host) -> None:
    """Bring the NIC to how it was: driver, override, driverctl's file, interfaces with names, queues, MTU and state.

    Args:
        address: of a NIC that is there.
        original: what `snapshot` found.
        host: to act on.

    Raises:
        HostError: something is not as it was.

    """
    # A reset may have left an empty file of driverctl's, which keeps nothing and is to go, too.
    if read_text(driverctl_file(address), host.root) != original["driverctl"]:
        restore_driverctl(address, original["driverctl"], host)
    nic = _read(address, host)
    if nic.override != original["override"]:
        # An empty line takes the override away; the kernel then shows "(null)".
        text = original["override"] or "\n"
        write_text(f"{DEVICES}/{address}/driver_override", text, host.root, read_back=False)
        if (shown := _read(address, host).override) != original["override"]:
            raise HostError(f"{address} has the override {shown} after it was set to {original['override']}")
    if nic.driver != original["driver"]:
        _unbind(nic, host)
        if original["driver"] is not None:
            _bind_original(address, original, host)
    _return_netdevs(address, original["netdevs"], host)


def restore_driverctl(address: str, original: str | None, host: Host) -> None:
    """Have driverctl keep for the next boot what it kept before.

    Its own way first; when that stops half-way it leaves its file behind, which is then removed.

    Raises:
        HostError: the file can't be written.

    """
    if has_driverctl(host.root):
        # Without a probe: which driver takes the NIC next is known, and driverctl fails where none does.
        host.run(["driverctl", "--noprobe", "unset-override", address])
    if original is None:
        durable_remove(driverctl_file(address), host.root)
    else:
        durable_write(driverctl_file(address), f"{original}\n", 0o644, host.root)


def _bind_original(address: str, original: Mapping[str, Any], host: Host) -> None:
    driver = original["driver"]
    load(driver, original["module"] or driver, host)
    if _read(address, host).driver != driver:  # loading it may have been enough
        write_text(f"{DRIVERS}/{driver}/bind", address, host.root, read_back=False)
    now = _read(address, host).driver
    if now != driver:
        raise HostError(f"{address} is bound to {now or 'no driver'} after it was given back to {driver}")


def release(address: str, host: Host) -> None:
    """Let the kernel choose the driver of a NIC that nothing is remembered of.

    Raises:
        HostError: it does not let go of the NIC.

    """
    restore_driverctl(address, None, host)
    nic = _read(address, host)
    write_text(f"{DEVICES}/{address}/driver_override", "\n", host.root, read_back=False)
    _unbind(nic, host)
    write_text("/sys/bus/pci/drivers_probe", address, host.root, read_back=False)


def settle(host: Host) -> None:
    """Wait until udev has named and permitted what has appeared; what it made of that is read afterwards."""
    if below(host.root, "/run/udev/control").exists():
        host.run(["udevadm", "settle", f"--timeout={_PATIENCE:.0f}"])


def _return_netdevs(address: str, originals: list[dict[str, Any]], host: Host) -> None:
    for _ in range(int(_PATIENCE / _PAUSE)):
        if len(_read(address, host).netdevs) >= len(originals):
            break
        host.sleep(_PAUSE)
    else:
        raise HostError(
            f"{address} is back on its driver and shows no interface {_names(originals)} after {_PATIENCE:.0f} s; "
            "the kernel says more in dmesg"
        )
    if originals:
        settle(host)
    for original in originals:
        netdev = _found_again(address, original, originals, host)
        if netdev.name != original["name"]:
            netdev = _rename(address, netdev, original["name"], host)
        _restore_settings(address, netdev, original, host)


def _names(originals: list[dict[str, Any]]) -> str:
    return ", ".join(original["name"] for original in originals)


def _found_again(address: str, original: dict[str, Any], originals: list[dict[str, Any]], host: Host) -> Netdev:
    """The interface that was meant: by its MAC address, which the driver may make up anew where there is just one."""
    netdevs = _read(address, host).netdevs
    for netdev in netdevs:
        if netdev.mac == original["mac"] or len(originals) == len(netdevs) == 1:
            return netdev
    raise HostError(f"{address} has come back without the interface {original['name']} ({original['mac']})")


def _rename(address: str, netdev: Netdev, name: str, host: Host) -> Netdev:
    if below(host.root, f"/sys/class/net/{name}").exists():
        raise HostError(
            f"{address} has come back as {netdev.name} and not as {name}, which another interface is called now; "
            "rename that one, then run again"
        )
    if netdev.up:  # older kernels rename only what is down
        _ip(host, netdev.name, "down")
    _ip(host, netdev.name, "name", name)
    return _at(address, name, host)


def _restore_settings(address: str, netdev: Netdev, original: dict[str, Any], host: Host) -> None:
    name, wanted = netdev.name, original["channels"]
    if wanted is not None and _channels(name, host) != wanted:
        try:
            host.ethtool.set_channels(name, Channels(**wanted, max_rx=0, max_tx=0, max_combined=0))
        except OSError as error:
            raise HostError(f"{name} does not take back its queues {wanted}: {error.strerror}", error.errno) from error
        if (found := _channels(name, host)) != wanted:
            raise HostError(f"{name} has the queues {found} after {wanted} were set")
    if netdev.mtu != original["mtu"]:
        _ip(host, name, "mtu", str(original["mtu"]))
    if netdev.up != original["up"]:
        _ip(host, name, "up" if original["up"] else "down")
    now = _at(address, name, host)
    if (now.mtu, now.up) != (original["mtu"], original["up"]):
        raise HostError(f"{name} does not stay as it was: MTU {original['mtu']}, {'up' if original['up'] else 'down'}")


def _at(address: str, name: str, host: Host) -> Netdev:
    for netdev in _read(address, host).netdevs:
        if netdev.name == name:
            return netdev
    raise HostError(f"{address} has no interface {name}, although it was just seen; another program renames it")


def _ip(host: Host, name: str, *setting: str) -> None:
    command = ["ip", "link", "set", "dev", name, *setting]
    rc, output, errors = host.run(command)
    if rc:
        raise HostError(f"{' '.join(command)} fails: {last_words(output, errors)}")
