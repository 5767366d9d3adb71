"""Reads the facts of a machine out of sysfs and procfs. Standard library only; see `capstan.machine`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

# Relative, because the package has another name on the hosts.
from .ethtool import Channels, Ethtool, Rings
from .machine import USER_SPACE_DRIVERS, Card, Cpu, Hugepages, Machine, Nic, Node
from .own_arguments import own_arguments
from .xdp_drivers import features_of

SYSFS = Path("/sys")
PROCFS = Path("/proc")
MODULES = Path("/lib/modules")
RECORDS = Path("/var/lib/capstan-host")
"""Where the preparation of hosts remembers what it changed."""

_NETWORK_CLASS = "0x02"  # PCI base class of network controllers
_BRIDGE_CLASS = "0x06"  # bridges share IOMMU groups with what is behind them, and take no harm from it
_ENDACE = "0xeace"  # PCI vendor of DAG cards
_IOMMU_TABLES = ("DMAR", "IVRS", "IORT", "VIOT")  # ACPI: Intel VT-d, AMD-Vi, ARM SMMU, virtio-iommu


@dataclass(frozen=True, slots=True)
class NicQueues:
    """Receive queues, ring, link and XDP of a network device; None where kernel or driver do not tell."""

    now: int | None = None
    most: int | None = None
    ring_most: int | None = None
    """Most descriptors of a receive ring."""
    speed: int | None = None
    """Mbit/s."""
    xdp: int | None = None
    """NETDEV_XDP_ACT_* bits."""
    ring: int | None = None
    """Descriptors of each receive ring."""


class QueuesAndRings(Protocol):
    """What the ethtool ioctl tells of an interface; None where its driver does not."""

    def channels(self, interface: str) -> Channels | None:
        """Queues."""

    def rings(self, interface: str) -> Rings | None:
        """Receive rings."""

    def speed(self, interface: str) -> int | None:
        """Mbit/s of the link."""


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Read the kernel's list format: "0-3,8" -> (0, 1, 2, 3, 8)."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def read_machine(
    sysfs: Path = SYSFS,
    procfs: Path = PROCFS,
    records: Path = RECORDS,
    queues: Callable[[str], NicQueues] | None = None,
    modules: Path = MODULES,
    root: Path = Path("/"),
) -> Machine:
    """Read the facts of this machine, or of one whose files are elsewhere.

    Args:
        sysfs: where sysfs is.
        procfs: where procfs is.
        records: where the preparation of hosts keeps its records.
        queues: tells queues and rings of a network device; by default the ethtool ioctl, or sysfs for another root.
        modules: where the kernels' modules are.
        root: put before the paths of other files.

    Raises:
        ValueError: a record is damaged.

    """
    if queues is None:
        queues = _ethtool_queues if sysfs == SYSFS else lambda name: _sysfs_queues(sysfs, name)
    command_line = tuple(_text(procfs / "cmdline").split())
    memory = _meminfo(procfs / "meminfo")
    online = parse_cpu_list(_text(sysfs / "devices/system/cpu/online"))
    isolated = frozenset(parse_cpu_list(_text(sysfs / "devices/system/cpu/isolated")))
    # Of our own affinity mask, which a container's cpuset narrows.
    allowed = re.search(r"^Cpus_allowed_list:\s*(\S+)", _text(procfs / "self/status"), re.MULTILINE)
    affinity = frozenset(parse_cpu_list(allowed[1])) if allowed else frozenset(online)
    nodes = _nodes(sysfs, online, memory)
    kept = _records(records)
    bound = _record(records / "nic_driver.json") if "nic_driver" in kept else {}
    classes = {path.name: _text(path / "class") for path in sorted((sysfs / "bus/pci/devices").glob("*"))}
    arguments = _record(records / "kernel_cmdline.json") if "kernel_cmdline" in kept else {}
    return Machine(
        cpus=_cpus(sysfs, online, isolated, affinity, nodes),
        nodes=nodes,
        nics=tuple(
            _nic(sysfs, pci, bound.get(pci), classes, queues)
            for pci, kind in classes.items()
            if kind.startswith(_NETWORK_CLASS)
        ),
        other_devices=tuple((pci, kind) for pci, kind in classes.items() if not kind.startswith(_NETWORK_CLASS)),
        kernel_release=_text(procfs / "sys/kernel/osrelease"),
        command_line=command_line,
        iommu_table=next((name for name in _IOMMU_TABLES if (sysfs / "firmware/acpi/tables" / name).exists()), None),
        iommu_on=any((sysfs / "kernel/iommu_groups").glob("*")),
        user_space_drivers=tuple(sorted(_drivers_of(sysfs, modules / _text(procfs / "sys/kernel/osrelease")))),
        memory_total=memory.get("MemTotal", 0),
        memory_available=memory.get("MemAvailable", 0),
        records=kept,
        systemd=_text(procfs / "1/comm") == "systemd",
        own_arguments=own_arguments(command_line, root, arguments),
        cards=tuple(_cards(sysfs, root / "dev", classes)),
    )


def _cpus(
    sysfs: Path, online: tuple[int, ...], isolated: frozenset[int], affinity: frozenset[int], nodes: tuple[Node, ...]
) -> tuple[Cpu, ...]:
    directory = sysfs / "devices/system/cpu"
    node_of = {cpu: node.number for node in nodes for cpu in node.cpus}
    found = []
    for number in sorted({*parse_cpu_list(_text(directory / "present")), *online}):
        topology = directory / f"cpu{number}/topology"
        on = number in online
        usable = on and (number in affinity or number in isolated)
        siblings = _text(topology / "core_cpus_list") or _text(topology / "thread_siblings_list")
        found.append(
            Cpu(
                number=number,
                node=node_of.get(number, _node_of_offline(directory / f"cpu{number}")),
                package=_number(topology / "physical_package_id") or 0,
                core=_number(topology / "core_id") or 0,
                siblings=parse_cpu_list(siblings) or (number,),
                online=on,
                usable=usable,
                isolated=on and number in isolated,
            )
        )
    return tuple(found)


def _node_of_offline(directory: Path) -> int:
    """A node's list of CPUs leaves those out that are offline; the CPU itself points to its node."""
    return next((int(path.name.removeprefix("node")) for path in directory.glob("node[0-9]*")), 0)


def _nodes(sysfs: Path, online: tuple[int, ...], memory: Mapping[str, int]) -> tuple[Node, ...]:
    paths = sorted((sysfs / "devices/system/node").glob("node[0-9]*"), key=lambda path: int(path.name[4:]))
    if paths:
        return tuple(_node(path, online) for path in paths)
    total, free, available = (memory.get(name, 0) for name in ("MemTotal", "MemFree", "MemAvailable"))
    return (Node(0, online, total, free, available, _hugepages(sysfs / "kernel/mm/hugepages"), (10,)),)


def _node(path: Path, online: tuple[int, ...]) -> Node:
    memory = _meminfo(path / "meminfo")
    caches = sum(memory.get(name, 0) for name in ("Active(file)", "Inactive(file)", "SReclaimable"))
    return Node(
        number=int(path.name.removeprefix("node")),
        cpus=tuple(cpu for cpu in parse_cpu_list(_text(path / "cpulist")) if cpu in online),
        memory_total=memory.get("MemTotal", 0),
        memory_free=memory.get("MemFree", 0),
        memory_available=memory.get("MemFree", 0) + caches,
        hugepages=_hugepages(path / "hugepages"),
        distances=tuple(int(word) for word in _text(path / "distance").split()),
    )


def _hugepages(directory: Path) -> tuple[Hugepages, ...]:
    found = []
    for path in directory.glob("hugepages-*kB"):
        size = int(path.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        counts = (_number(path / f"{name}_hugepages") or 0 for name in ("nr", "free", "surplus"))
        found.append(Hugepages(size, *counts))
    return tuple(sorted(found, key=lambda pages: pages.size))


def _drivers_of(sysfs: Path, modules: Path) -> Iterator[str]:
    """The drivers of user space that the running kernel has: loaded, built in, or as a module."""
    listed = "".join(_text(modules / name) for name in ("modules.dep", "modules.builtin")).replace("-", "_")
    for driver in USER_SPACE_DRIVERS:
        name = driver.replace("-", "_")
        loaded = (sysfs / "bus/pci/drivers" / driver).is_dir() or (sysfs / "module" / name).is_dir()
        if loaded or f"/{name}.ko" in listed:
            yield driver


def _nic(
    sysfs: Path,
    pci: str,
    before: Mapping[str, Any] | None,
    classes: Mapping[str, str],
    queues: Callable[[str], NicQueues],
) -> Nic:
    device = sysfs / "bus/pci/devices" / pci
    devices = network_devices(device)
    names = tuple(path.name for path in devices)
    driver = _target(device / "driver")
    group = _target(device / "iommu_group")
    others = sorted(path.name for path in (device / "iommu_group/devices").glob("*")) if group else []
    node = _number(device / "numa_node")
    known = before or {}
    # The network devices that it had before it was bound: of one, or of the first.
    netdev: Mapping[str, Any] = next(iter(known.get("netdevs", ())), {})
    if names:
        held = queues(names[0])
        address = _text(devices[0] / "address")
    else:
        channels = netdev.get("channels") or {}
        had = channels.get("rx", 0) + channels.get("combined", 0) or None
        most, ring = netdev.get("rx_queues_max", had), netdev.get("rx_ring_max")
        held = NicQueues(None, most, ring, netdev.get("speed"), netdev.get("xdp"))
        address = netdev.get("mac") or ""
    return Nic(
        pci=pci,
        interface=names[0] if names else netdev.get("name"),
        interfaces=names,
        driver=driver,
        kernel_driver=known.get("driver") if driver is None or driver in USER_SPACE_DRIVERS else driver,
        mac=address.lower() or None,
        node=node if node is not None and node >= 0 else None,
        model=":".join(_text(device / name).removeprefix("0x") for name in ("vendor", "device")),
        device_class=classes[pci],
        iommu_group=int(group) if group else None,
        iommu_neighbours=tuple(
            other for other in others if other != pci and not classes.get(other, "").startswith(_BRIDGE_CLASS)
        ),
        rx_queues=held.now,
        rx_queues_max=held.most,
        rx_ring=held.ring,
        rx_ring_max=held.ring_most,
        speed=held.speed,
        xdp=held.xdp,
        virtual_functions=_number(device / "sriov_numvfs") or 0,
        physical_function=_target(device / "physfn"),
        function_number=_function_number(device / "physfn", pci),
        remembered=before is not None,
    )


def _function_number(whole: Path, pci: str) -> int | None:
    """Which virtual function of a NIC is the PCI device of that address."""
    named = (path.name.removeprefix("virtfn") for path in whole.glob("virtfn*") if _target(path) == pci)
    return next((int(name) for name in named), None)


def is_wireless(name: str, sysfs: Path = SYSFS) -> bool:
    """Whether a network device is one of a WiFi; `sysfs` is that of its network namespace."""
    device = sysfs / "class/net" / name
    return (device / "phy80211").exists() or (device / "wireless").exists()


def network_devices(device: Path) -> list[Path]:
    """Network devices of the PCI device at that path in sysfs, by name."""
    # That of a virtio NIC hangs on the virtio device below the PCI device.
    return sorted((*device.glob("net/*"), *device.glob("virtio*/net/*")), key=lambda path: path.name)


def nic_queues(name: str, ethtool: QueuesAndRings, sysfs: Path = SYSFS) -> NicQueues:
    """Queues, ring, link and XDP of a network device.

    Raises:
        OSError: the device went away meanwhile.

    """
    channels, rings = ethtool.channels(name), ethtool.rings(name)
    counted = _sysfs_queues(sysfs, name)
    now, most = (channels.receive, channels.max_receive) if channels else (counted.now, counted.most)
    # Of another tree's devices this kernel knows nothing.
    xdp = features_of(_number(sysfs / "class/net" / name / "ifindex") or 0) if sysfs == SYSFS else None
    ring, ring_most = (rings.rx, rings.max_rx) if rings else (None, None)
    return NicQueues(now, most, ring_most, ethtool.speed(name), xdp, ring)


def _ethtool_queues(name: str) -> NicQueues:
    try:
        with Ethtool() as ethtool:
            return nic_queues(name, ethtool)
    except OSError:  # the device went away meanwhile
        return NicQueues()


def _sysfs_queues(sysfs: Path, name: str) -> NicQueues:
    """What sysfs says: the queues that there are. A driver without channels can have no other number."""
    count = len(list((sysfs / "class/net" / name / "queues").glob("rx-*"))) or None
    return NicQueues(count, count)


def _records(directory: Path) -> tuple[str, ...]:
    """Names of the records of this host's preparation."""
    try:
        return tuple(sorted(path.stem for path in directory.iterdir() if path.suffix == ".json"))
    except FileNotFoundError:
        return ()
    except PermissionError:
        if os.geteuid() == 0:
            raise
        return ()  # the records are root's; others can't open a NIC either


def _record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no record of Capstan's; restore it from a backup, or remove it")
    return found


def _meminfo(path: Path) -> dict[str, int]:
    """Bytes by name, of /proc/meminfo and of a node's file, whose lines begin with "Node N"."""
    lines = re.findall(r"^(?:Node \d+ )?(\S+):\s+(\d+) kB", _text(path), re.MULTILINE)
    return {name: int(value) * 1024 for name, value in lines}


def _cards(sysfs: Path, devices: Path, classes: Mapping[str, str]) -> Iterator[Card]:
    """DAG cards, by their devices; where on the bus each is says its driver, or the bus where there is one alone."""
    names = sorted(path.name for path in devices.glob("dag*") if re.fullmatch(r"dag\d+", path.name))
    theirs = [pci for pci in classes if _text(sysfs / "bus/pci/devices" / pci / "vendor") == _ENDACE]
    for name in names:
        parents = (_target(path) for path in (sysfs / "class").glob(f"*/{name}/device"))
        pci = next((parent for parent in parents if parent in classes), None)
        if pci is None and len(names) == len(theirs) == 1:
            pci = theirs[0]
        node = _number(sysfs / "bus/pci/devices" / pci / "numa_node") if pci else None
        yield Card(name, pci, node if node is not None and node >= 0 else None)


def _target(path: Path) -> str | None:
    """Name of what a symbolic link points to."""
    try:
        return path.readlink().name
    except OSError:  # no driver, no group
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text else None


def _text(path: Path) -> str:
    """Content of a small file; empty where the kernel has no such file, or a device of the moment is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
