"""Trees of /sys and /proc as Linux shows them for real families of NICs, out of short descriptions (nics/*.txt).

    tree = build(tmp_path, "ixgbe", "virtio")       # or further lines of the same form: build(tmp_path, "ixgbe", text)

A description has a line for each PCI device and indented lines for what belongs to it:

    kernel RELEASE                             where it is not that of Debian 12
    bridge|nic|device ADDRESS VENDOR:DEVICE DRIVER [below=ADDRESS] [group=N] [node=N] [class=HEX] [vfs=N] [pin=N]
      virtio NAME DRIVER                       the virtio device between PCI device and interface
      net NAME MAC up|down [queues=N] [port_name=TEXT] [wireless=yes] [xdp=HEX] [master=NAME]
      irq NAME ...                             in the order of the vectors; x-[0-3] means x-0 x-1 x-2 x-3
    elsewhere BUS NAME DRIVER                  a device on another bus than PCI, with `net` lines as above
    upper NAME KIND LOWER [LOWER ...]          a bond, bridge or VLAN on interfaces

Symbolic links are relative, as the kernel makes them, so that a tree can be copied.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

RELEASE = "6.1.0-40-amd64"
_NICS = Path(__file__).parent / "nics"
_CLASSES = {"bridge": "060400", "nic": "020000", "device": "000000"}
_RANGE = re.compile(r"(.*)\[(\d+)-(\d+)\](.*)")
_FIRST_IRQ = 64
_FLAGS = {"up": "0x1003", "down": "0x1002"}


@dataclass
class Interface:
    """A network interface."""

    name: str
    mac: str
    state: str
    queues: int = 1
    port_name: str = ""
    wireless: bool = False
    xdp: int | None = None
    """NETDEV_XDP_ACT_* bits that its kernel tells."""
    master: str | None = None


@dataclass
class Elsewhere:
    """A device on another bus than PCI."""

    bus: str
    name: str
    driver: str
    interfaces: list[Interface] = field(default_factory=list)


@dataclass
class Device:
    """A PCI device."""

    kind: str
    address: str
    vendor: str
    device: str
    driver: str | None
    options: dict[str, str]
    virtio: tuple[str, str] | None = None
    interfaces: list[Interface] = field(default_factory=list)
    irqs: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Place below /sys/devices."""
        top = f"pci{self.address[:7]}"
        above = self.options.get("below")
        return f"pci{above[:7]}/{above}/{self.address}" if above else f"{top}/{self.address}"


@dataclass
class Tree:
    """A tree on disk and what it was made of."""

    root: Path
    devices: dict[str, Device]
    irqs: dict[str, int]
    """First interrupt number of each device."""
    elsewhere: list[Elsewhere] = field(default_factory=list)
    release: str = RELEASE
    """Of its kernel."""

    def sys(self, path: str) -> Path:
        """A path below /sys."""
        return self.root / "sys" / path

    def device_path(self, address: str) -> Path:
        """The folder of a PCI device."""
        return self.sys(f"devices/{self.devices[address].path}")


def build(root: Path, *parts: str) -> Tree:
    """Make the tree of a machine with these families of NICs, or these lines of a description, in `root`."""
    texts = [part if "\n" in part else (_NICS / f"{part}.txt").read_text(encoding="utf-8") for part in parts]
    devices, uppers, elsewhere, release = _parse("\n".join(texts))
    numbers, following = {}, _FIRST_IRQ
    for device in devices.values():
        numbers[device.address] = following
        following += len(device.irqs)
    tree = Tree(root, devices, numbers, elsewhere, release)
    _machine(tree)
    for device in devices.values():
        _device(tree, device)
    for device in devices.values():
        if device.driver:
            make_driver(tree, device.driver)
            attach(tree, device, device.driver)
    for other in elsewhere:
        for interface in other.interfaces:
            add_interface(tree, tree.sys(f"devices/{other.bus}/{other.name}"), interface, interface.name)
    for name, kind, lowers in uppers:
        add_upper(tree, name, kind, lowers)
    return tree


def _parse(text: str) -> tuple[dict[str, Device], list[tuple[str, str, list[str]]], list[Elsewhere], str]:
    devices: dict[str, Device] = {}
    uppers, elsewhere, release = [], [], RELEASE
    last: Device | Elsewhere | None = None
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        options = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        match plain:
            case ["bridge" | "nic" | "device" as kind, address, identity, driver]:
                vendor, number = identity.split(":")
                last = Device(kind, address, vendor, number, None if driver == "none" else driver, options)
                devices[address] = last
            case ["kernel", name]:
                release = name
            case ["elsewhere", bus, name, driver]:
                last = Elsewhere(bus, name, driver)
                elsewhere.append(last)
            case ["upper", name, kind, *lowers]:
                uppers.append((name, kind, lowers))
            case ["virtio", name, driver] if isinstance(last, Device):
                last.virtio = (name, driver)
            case ["net", name, mac, state] if last:
                last.interfaces.append(_interface(name, mac, state, options))
            case ["irq", *names] if isinstance(last, Device):
                last.irqs = [one for name in names for one in _spelt_out(name)]
            case _:
                raise ValueError(f"no line of a description: {line}")
    return devices, uppers, elsewhere, release


def _interface(name: str, mac: str, state: str, options: dict[str, str]) -> Interface:
    return Interface(
        name,
        mac,
        state,
        int(options.get("queues", "1")),
        options.get("port_name", ""),
        wireless="wireless" in options,
        xdp=int(options["xdp"], 16) if "xdp" in options else None,
        master=options.get("master"),
    )


def _spelt_out(name: str) -> list[str]:
    match = _RANGE.fullmatch(name)
    if not match:
        return [name]
    head, first, last, tail = match.groups()
    return [f"{head}{number}{tail}" for number in range(int(first), int(last) + 1)]


def write(path: Path, text: str) -> None:
    """A file with its folders; sysfs ends values by a new line."""
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except FileNotFoundError:
        path.parent.mkdir(parents=True)
        path.write_text(f"{text}\n", encoding="utf-8")


def link(path: Path, target: Path) -> None:
    """A relative symbolic link."""
    relative = os.path.relpath(target, path.parent)
    try:
        path.symlink_to(relative)
    except FileNotFoundError:
        path.parent.mkdir(parents=True)
        path.symlink_to(relative)


def _machine(tree: Tree) -> None:
    root = tree.root
    for folder in ("sys/class/net", "sys/bus/pci/devices", "sys/bus/pci/drivers", "sys/kernel/iommu_groups"):
        (root / folder).mkdir(parents=True)
    for folder in ("etc/udev/rules.d", "etc/modules-load.d", "usr/local/lib", "var/lib", "dev/vfio"):
        (root / folder).mkdir(parents=True)
    write(root / "sys/bus/pci/drivers_probe", "")
    write(root / "proc/sys/kernel/osrelease", RELEASE)
    write(root / "proc/cmdline", f"BOOT_IMAGE=/boot/vmlinuz-{RELEASE} root=/dev/vda1 ro quiet")
    write(root / "proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\n")
    if any("group" in device.options for device in tree.devices.values()):
        write(root / "sys/firmware/acpi/tables/DMAR", "DMAR")
    modules = f"lib/modules/{RELEASE}"
    drivers = ("drivers/vfio/pci/vfio-pci", "drivers/uio/uio_pci_generic")
    write(root / modules / "modules.dep", "\n".join(f"kernel/{driver}.ko:" for driver in drivers))
    write(root / modules / "modules.builtin", "kernel/drivers/pci/pcie/pcieport.ko")


def _device(tree: Tree, device: Device) -> None:
    path, options = tree.device_path(device.address), device.options
    write(path / "class", f"0x{options.get('class', _CLASSES[device.kind])}")
    write(path / "vendor", f"0x{device.vendor}")
    write(path / "device", f"0x{device.device}")
    write(path / "subsystem_vendor", f"0x{device.vendor}")
    write(path / "subsystem_device", "0x0001")
    write(path / "numa_node", options.get("node", "-1"))
    write(path / "local_cpulist", "0-3")
    write(path / "driver_override", "(null)")
    write(path / "enable", "1")
    write(path / "irq", "11")
    # The configuration space: only the interrupt pin is told apart.
    (path / "config").write_bytes(bytes(0x3D) + bytes([int(options.get("pin", "1"))]) + bytes(2))
    if "vfs" in options:
        write(path / "sriov_totalvfs", options["vfs"])
        write(path / "sriov_numvfs", "0")
    link(path / "subsystem", tree.sys("bus/pci"))
    link(tree.sys(f"bus/pci/devices/{device.address}"), path)
    if "group" in options:
        group = tree.sys(f"kernel/iommu_groups/{options['group']}")
        link(path / "iommu_group", group)
        link(group / "devices" / device.address, path)
        if not (group / "type").exists():
            write(group / "type", "DMA")


def make_driver(tree: Tree, driver: str) -> None:
    """The folder of a loaded driver and of its module; virtio-pci is in virtio_pci."""
    folder = tree.sys(f"bus/pci/drivers/{driver}")
    if folder.is_dir():
        return
    for name in ("bind", "unbind", "new_id", "remove_id", "uevent"):
        write(folder / name, "")
    module = tree.sys(f"module/{driver.replace('-', '_')}")
    if driver != "pcieport":  # built in
        write(module / "refcnt", "0")
        link(folder / "module", module)
        link(module / "drivers" / f"pci:{driver}", folder)


def attach(tree: Tree, device: Device, driver: str, *, names: dict[str, str] | None = None) -> None:
    """What a driver that takes a device makes appear; its own driver also interfaces (`names`: called so) and IRQs."""
    path, folder = tree.device_path(device.address), tree.sys(f"bus/pci/drivers/{driver}")
    link(path / "driver", folder)
    link(folder / device.address, path)
    if driver != device.driver:
        return
    parent = path
    if device.virtio:
        name, virtio_driver = device.virtio
        parent = path / name
        write(parent / "device", "0x0001")
        virtio_folder = tree.sys(f"bus/virtio/drivers/{virtio_driver}")
        virtio_folder.mkdir(parents=True, exist_ok=True)
        link(parent / "driver", virtio_folder)
        link(tree.sys(f"bus/virtio/devices/{name}"), parent)
    for interface in device.interfaces:
        add_interface(tree, parent, interface, (names or {}).get(interface.name, interface.name))
    for offset in range(len(device.irqs)):
        number = tree.irqs[device.address] + offset
        write(path / f"msi_irqs/{number}", "msix" if len(device.irqs) > 1 else "msi")
        write(tree.root / f"proc/irq/{number}/smp_affinity_list", "0-3")
        write(tree.root / f"proc/irq/{number}/effective_affinity_list", "0")
    write_interrupts(tree)


def detach(tree: Tree, device: Device) -> None:
    """What goes when a device loses its driver."""
    path = tree.device_path(device.address)
    driver = (path / "driver").readlink().name
    (path / "driver").unlink()
    (tree.sys(f"bus/pci/drivers/{driver}") / device.address).unlink()
    for folder in (path / "net", *(path.glob("virtio*/net"))):
        for interface in folder.iterdir() if folder.is_dir() else ():
            tree.sys(f"class/net/{interface.name}").unlink()
            shutil.rmtree(interface)
    if device.virtio and driver == device.driver:
        tree.sys(f"bus/virtio/devices/{device.virtio[0]}").unlink()
        shutil.rmtree(path / device.virtio[0])
    for irq in (path / "msi_irqs").glob("*"):
        irq.unlink()
        shutil.rmtree(tree.root / "proc/irq" / irq.name)
    write_interrupts(tree)


def add_interface(tree: Tree, parent: Path, interface: Interface, name: str) -> Path:
    """The folder of an interface in that of the device that it belongs to."""
    path = parent / "net" / name
    index = 2 + len(list(tree.sys("class/net").iterdir()))
    values = {
        "address": interface.mac,
        "addr_len": "6",
        "dev_port": "0",
        "flags": _FLAGS[interface.state],
        "gro_flush_timeout": "0",
        "ifindex": str(index),
        "mtu": "1500",
        "napi_defer_hard_irqs": "0",
        "operstate": interface.state,
        "threaded": "0",
        "type": "1",
        "uevent": f"INTERFACE={name}\nIFINDEX={index}",
    }
    if interface.wireless:
        (path / "phy80211").mkdir(parents=True)
    if interface.port_name:
        values["phys_port_name"] = interface.port_name
    for attribute, value in values.items():
        write(path / attribute, value)
    for queue in range(interface.queues):
        write(path / f"queues/rx-{queue}/rps_cpus", "0")
        write(path / f"queues/tx-{queue}/xps_cpus", "0")
    link(path / "device", parent)
    link(tree.sys(f"class/net/{name}"), path)
    return path


def rename_interface(tree: Tree, old: str, new: str) -> None:
    """As `ip link set OLD name NEW` and udev do."""
    path = tree.sys(f"class/net/{old}").resolve()
    tree.sys(f"class/net/{old}").unlink()
    moved = path.rename(path.with_name(new))
    link(tree.sys(f"class/net/{new}"), moved)


def add_upper(tree: Tree, name: str, kind: str, lowers: list[str]) -> None:
    """An interface on others: bond, bridge, team, vlan, macvlan."""
    path = tree.sys(f"devices/virtual/net/{name}")
    write(path / "address", "02:00:00:00:00:01")
    write(path / "uevent", f"DEVTYPE={kind}\nINTERFACE={name}")
    write(path / "flags", _FLAGS["up"])
    write(path / "mtu", "1500")
    link(tree.sys(f"class/net/{name}"), path)
    for lower in lowers:
        below = tree.sys(f"class/net/{lower}").resolve()
        link(path / f"lower_{lower}", below)
        link(below / f"upper_{name}", path)
        if kind in {"bond", "bridge", "team"}:
            link(below / "master", path)


def write_interrupts(tree: Tree) -> None:
    """/proc/interrupts of the devices that their own drivers have."""
    lines = ["           CPU0       CPU1       CPU2       CPU3"]
    counts = "          0" * 4
    for device in tree.devices.values():
        if not (tree.device_path(device.address) / "msi_irqs").is_dir():
            continue
        bus, slot, function = device.address.split(":")[1], *device.address.split(":")[2].split(".")
        # The number within the MSI domain: bus, slot and function, then the vector.
        base = (int(bus, 16) << 8 | int(slot, 16) << 3 | int(function)) << 11
        for offset, name in enumerate(device.irqs):
            number = tree.irqs[device.address] + offset
            if (tree.device_path(device.address) / f"msi_irqs/{number}").exists():
                lines.append(f"{number:4}:{counts}  IR-PCI-MSI {base + offset}-edge      {name}")
    write(tree.root / "proc/interrupts", "\n".join(lines))
