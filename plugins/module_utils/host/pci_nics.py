"""NICs as sysfs shows them: driver, override, IOMMU group, interfaces, and who holds them. Reads only.

`root` is put before every path. Standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host.machine_read import network_devices
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, below, read_text

DEVICES = "/sys/bus/pci/devices"
DRIVERS = "/sys/bus/pci/drivers"
ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]")
USER_SPACE = ("vfio-pci", "uio_pci_generic", "igb_uio")
"""Drivers that hand a NIC to a program."""
BIFURCATED = ("mlx4_core", "mlx5_core")
"""Kernel drivers that DPDK works beside: the NIC keeps its interface."""
_NETWORK_CLASS = 0x02
_BRIDGE_CLASS = 0x06
_IFF_UP = 0x1
_INTERRUPT_PIN = 0x3D  # in the configuration space; 0: the device has no legacy interrupt
_VFIO_FAMILY = ("vfio-pci", "vfio-pci-core")


@dataclass(frozen=True)
class Netdev:
    """An interface of a NIC."""

    name: str
    mac: str
    up: bool
    """Switched on by the host, whether it has a carrier or not."""
    mtu: int
    uppers: tuple[tuple[str, str], ...] = ()
    """Name and kind of each interface that stands on it or that it is a member of: bond, bridge, team, vlan, ..."""


@dataclass(frozen=True)
class Nic:
    """A PCI device as it is now."""

    address: str
    device_class: int
    """Class, subclass and interface, 24 bits."""
    vendor: str
    device: str
    driver: str | None
    override: str | None
    """The one driver that may take it (driver_override); None: any."""
    module: str | None
    """Kernel module of its driver."""
    group: str | None
    """IOMMU group; None: no IOMMU guards its memory accesses."""
    virtual_functions: int
    has_legacy_interrupt: bool
    netdevs: tuple[Netdev, ...]

    @property
    def is_network(self) -> bool:
        """Whether it is a network controller."""
        return self.device_class >> 16 == _NETWORK_CLASS

    @property
    def is_bridge(self) -> bool:
        """Whether it only joins buses, so that no driver of it matters to VFIO."""
        return self.device_class >> 16 == _BRIDGE_CLASS


def same_driver(one: str | None, other: str | None) -> bool:
    """Whether two names mean one driver: vfio_pci is the module of vfio-pci, virtio_pci that of virtio-pci."""
    return (one or "").replace("-", "_") == (other or "").replace("-", "_")


def read_nic(address: str, root: Path) -> Nic | None:
    """The device at that address; None where there is none."""
    node = f"{DEVICES}/{address}"
    device_class = read_text(f"{node}/class", root)
    if device_class is None:
        return None
    override = read_text(f"{node}/driver_override", root)
    return Nic(
        address=address,
        device_class=int(device_class, 16),
        vendor=read_text(f"{node}/vendor", root) or "",
        device=read_text(f"{node}/device", root) or "",
        driver=link_name(f"{node}/driver", root),
        override=None if override in {"(null)", "", None} else override,
        module=link_name(f"{node}/driver/module", root),
        group=link_name(f"{node}/iommu_group", root),
        virtual_functions=int(read_text(f"{node}/sriov_numvfs", root) or 0),
        has_legacy_interrupt=_has_legacy_interrupt(below(root, f"{node}/config")),
        netdevs=tuple(read_netdev(path, root) for path in network_devices(below(root, node))),
    )


def link_name(path: str, root: Path) -> str | None:
    """Last part of what a symbolic link names; None where there is no link."""
    try:
        return below(root, path).readlink().name
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_netdev(path: Path, root: Path) -> Netdev:
    """The interface whose folder in sysfs this is."""
    uppers = sorted(entry.name.removeprefix("upper_") for entry in path.glob("upper_*"))
    return Netdev(
        name=path.name,
        mac=_text(path / "address"),
        up=bool(int(_text(path / "flags") or "0", 16) & _IFF_UP),
        mtu=int(_text(path / "mtu") or 0),
        uppers=tuple((name, _kind(name, root)) for name in uppers),
    )


def _text(path: Path) -> str:
    return read_text(path) or ""


def _kind(name: str, root: Path) -> str:
    """What sort of interface it is, in the kernel's word."""
    uevent = read_text(f"/sys/class/net/{name}/uevent", root) or ""
    match = re.search(r"^DEVTYPE=(\S+)", uevent, re.MULTILINE)
    return match[1] if match else "interface"


def _has_legacy_interrupt(config: Path) -> bool:
    try:
        with config.open("rb") as file:
            header = file.read(_INTERRUPT_PIN + 1)
    except FileNotFoundError:
        return True  # nothing to say about it
    except OSError as error:
        raise HostError(f"{config} can't be read: {error.strerror}", error.errno) from error
    return len(header) <= _INTERRUPT_PIN or header[_INTERRUPT_PIN] != 0


def group_members(group: str, root: Path) -> list[Nic]:
    """All devices of an IOMMU group."""
    folder = below(root, f"/sys/kernel/iommu_groups/{group}/devices")
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return [nic for name in names if (nic := read_nic(name, root)) is not None]


def all_nics(root: Path) -> list[Nic]:
    """All network controllers of the host."""
    folder = below(root, DEVICES)
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return [nic for name in names if (nic := read_nic(name, root)) is not None and nic.is_network]


def group_type(group: str, root: Path) -> str | None:
    """How the IOMMU maps the group's memory: "identity" passes all through, "DMA" and "DMA-FQ" translate."""
    return read_text(f"/sys/kernel/iommu_groups/{group}/type", root)


def holders(nic: Nic, root: Path) -> list[tuple[int, str]]:
    """Process id and name of those that have the NIC open in user space.

    The kernel does not give such a NIC back before they let go: unbinding would wait for them without end.
    """
    nodes = _device_files(nic, root)
    found = []
    for folder in sorted(below(root, "/proc").glob("[0-9]*/fd")):
        try:
            open_files = {str(entry.readlink()) for entry in folder.iterdir()}
        except OSError:
            continue  # the process has ended meanwhile
        if open_files & nodes:
            found.append((int(folder.parent.name), read_text(folder.parent / "comm") or "?"))
    return sorted(found)


def _device_files(nic: Nic, root: Path) -> set[str]:
    device = below(root, f"{DEVICES}/{nic.address}")
    names = {f"/dev/{path.name}" for path in device.glob("uio/uio*")}
    names |= {f"/dev/vfio/devices/{path.name}" for path in device.glob("vfio-dev/vfio*")}
    if nic.driver in _VFIO_FAMILY and nic.group is not None:
        names.add(f"/dev/vfio/{nic.group}")
    return names


def module_known(driver: str, root: Path) -> bool:
    """Whether the running kernel has the driver: loaded, built in, or as a module that modprobe finds."""
    module = driver.replace("-", "_")
    if below(root, f"{DRIVERS}/{driver}").is_dir() or below(root, f"/sys/module/{module}").is_dir():
        return True
    release = read_text("/proc/sys/kernel/osrelease", root)
    for name in ("modules.dep", "modules.builtin"):
        for line in (read_text(f"/lib/modules/{release}/{name}", root) or "").splitlines():
            file = line.split(":", 1)[0].rsplit("/", 1)[-1]
            if file.split(".ko", 1)[0].replace("-", "_") == module:
                return True
    return False
