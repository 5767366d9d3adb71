"""What a machine is made of: CPUs, NUMA nodes, NICs, memory and kernel, read out of sysfs and procfs.

Standard library only: Ansible's module on the host and the supervisor read the same facts by this file (it is also
`plugins/module_utils/machine.py`), so that the plan which is made of them is the same on both sides.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Relative, because the package has another name on the hosts.
from .ethtool import Ethtool

SYSFS = Path("/sys")
PROCFS = Path("/proc")
RECORDS = Path("/var/lib/capstan-host")
"""Where the preparation of hosts remembers what it changed."""

# How our own isolcpus= begins; see isolated_by_us.
ISOLCPUS_FLAGS = "managed_irq,domain,"
USER_SPACE_DRIVERS = frozenset({"vfio-pci", "uio_pci_generic", "igb_uio"})

_NETWORK_CLASS = "0x02"  # PCI base class of network controllers
_BRIDGE_CLASS = "0x06"  # bridges share IOMMU groups with what is behind them, and take no harm from it
_IOMMU_TABLES = ("DMAR", "IVRS", "IORT", "VIOT")  # ACPI: Intel VT-d, AMD-Vi, ARM SMMU, virtio-iommu


@dataclass(frozen=True, slots=True)
class Cpu:
    """One logical CPU."""

    number: int
    node: int = 0
    package: int = 0
    core: int = 0
    siblings: tuple[int, ...] = ()
    """All online CPUs of its physical core, itself among them."""
    online: bool = True
    usable: bool = True
    """Processes of ours may run there: online, and in the affinity mask or isolated."""
    isolated: bool = False
    """Kept free of other work by the running kernel's command line."""


@dataclass(frozen=True, slots=True)
class Hugepages:
    """Hugepages of one size on one node."""

    size: int
    """Bytes of a page."""
    total: int = 0
    free: int = 0
    surplus: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One NUMA node; a machine without NUMA is one node."""

    number: int
    cpus: tuple[int, ...] = ()
    memory_total: int = 0
    """Bytes, hugepages among them."""
    memory_free: int = 0
    memory_available: int = 0
    """Bytes that are free or can be had by dropping caches; hugepages are not among them."""
    hugepages: tuple[Hugepages, ...] = ()
    """Of each size that the machine has."""
    distances: tuple[int, ...] = ()
    """To each node in the order of their numbers; 10 is itself."""

    def pages(self, size: int) -> Hugepages | None:
        """The hugepages of that size; None where the machine has none such."""
        return next((pages for pages in self.hugepages if pages.size == size), None)


@dataclass(frozen=True, slots=True)
class NicQueues:
    """Receive queues and ring of a network device; None where the driver does not tell."""

    now: int | None = None
    most: int | None = None
    ring_most: int | None = None
    """Most descriptors of a receive ring."""


@dataclass(frozen=True, slots=True)
class Nic:
    """One network controller on the PCI bus."""

    pci: str
    interface: str | None = None
    """Its network device; the name remembered from before while a driver of user space has the NIC."""
    interfaces: tuple[str, ...] = ()
    """All its network devices now; some cards have several ports at one address."""
    driver: str | None = None
    kernel_driver: str | None = None
    """The driver that makes a network device of it: the present one, or the one remembered."""
    mac: str | None = None
    node: int | None = None
    model: str = ""
    """Vendor and device, such as 8086:1521."""
    device_class: str = "0x020000"
    iommu_group: int | None = None
    iommu_neighbours: tuple[str, ...] = ()
    """PCI addresses of other devices in its group that are no bridges."""
    rx_queues: int | None = None
    rx_queues_max: int | None = None
    rx_ring_max: int | None = None
    remembered: bool = False
    """Is in the record of NICs whose driver was changed by the preparation of this host."""

    @property
    def in_user_space(self) -> bool:
        """A driver of user space has it, so that there is no network device."""
        return self.driver in USER_SPACE_DRIVERS


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that the planner needs to know of a machine."""

    cpus: tuple[Cpu, ...]
    nodes: tuple[Node, ...]
    nics: tuple[Nic, ...] = ()
    other_devices: tuple[tuple[str, str], ...] = ()
    """(PCI address, class) of what is no NIC."""
    kernel_release: str = ""
    command_line: tuple[str, ...] = ()
    """The running kernel's arguments."""
    iommu_table: str | None = None
    """ACPI table by which the firmware offers an IOMMU: DMAR (Intel), IVRS (AMD), IORT (ARM) or VIOT (virtio)."""
    iommu_on: bool = False
    """The kernel has IOMMU groups."""
    memory_total: int = 0
    memory_available: int = 0
    isolated_by_us: bool = False
    """The isolated CPUs are those of an earlier plan, and no wish of the operator's own."""

    def nic(self, pci: str) -> Nic | None:
        """The NIC at that PCI address."""
        return next((nic for nic in self.nics if nic.pci == pci), None)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return] # tuples become lists

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Machine:
        """What to_json made of one."""
        nodes = [{**node, "hugepages": [Hugepages(**pages) for pages in node["hugepages"]]} for node in raw["nodes"]]
        parts = {
            "cpus": [Cpu(**_tuples(cpu)) for cpu in raw["cpus"]],
            "nodes": [Node(**_tuples(node)) for node in nodes],
            "nics": [Nic(**_tuples(nic)) for nic in raw["nics"]],
            "other_devices": [(address, kind) for address, kind in raw["other_devices"]],
        }
        return cls(**_tuples({**raw, **parts}))


def _tuples(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}


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
) -> Machine:
    """Read the facts of this machine, or of one whose files are elsewhere.

    Args:
        sysfs: where sysfs is.
        procfs: where procfs is.
        records: where the preparation of hosts keeps its records.
        queues: tells queues and rings of a network device; by default the ethtool ioctl, or sysfs for another root.

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
    bound = _record(records / "nic_driver.json")
    classes = {path.name: _text(path / "class") for path in sorted((sysfs / "bus/pci/devices").glob("*"))}
    isolcpus = [word.partition("=")[2] for word in command_line if word.startswith("isolcpus=")]
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
        memory_total=memory.get("MemTotal", 0),
        memory_available=memory.get("MemAvailable", 0),
        # Without a record of ours, an isolcpus= in our manner is the operator's.
        isolated_by_us=bool(isolcpus)
        and all(value.startswith(ISOLCPUS_FLAGS) for value in isolcpus)
        and bool(_record(records / "kernel_cmdline.json")),
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


def _nic(
    sysfs: Path,
    pci: str,
    before: Mapping[str, Any] | None,
    classes: Mapping[str, str],
    queues: Callable[[str], NicQueues],
) -> Nic:
    device = sysfs / "bus/pci/devices" / pci
    # The network device of a virtio NIC hangs on the virtio device below the PCI device.
    devices = sorted((*device.glob("net/*"), *device.glob("virtio*/net/*")), key=lambda path: path.name)
    names = tuple(path.name for path in devices)
    driver = _target(device / "driver")
    group = _target(device / "iommu_group")
    others = sorted(path.name for path in (device / "iommu_group/devices").glob("*")) if group else []
    node = _number(device / "numa_node")
    known = before or {}
    if names:
        held = queues(names[0])
        address = _text(devices[0] / "address")
    else:
        held = NicQueues(None, known.get("channels"), known.get("rx_ring"))
        address = known.get("mac") or ""
    return Nic(
        pci=pci,
        interface=names[0] if names else known.get("name"),
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
        rx_ring_max=held.ring_most,
        remembered=before is not None,
    )


def _ethtool_queues(name: str) -> NicQueues:
    try:
        with Ethtool() as ethtool:
            channels, rings = ethtool.channels(name), ethtool.rings(name)
    except OSError:  # the device went away meanwhile
        return NicQueues()
    counted = _sysfs_queues(SYSFS, name)
    now, most = (channels.receive, channels.max_receive) if channels else (counted.now, counted.most)
    return NicQueues(now, most, rings.max_rx if rings else None)


def _sysfs_queues(sysfs: Path, name: str) -> NicQueues:
    """What sysfs says: the queues that there are. A driver without channels can have no other number."""
    count = len(list((sysfs / "class/net" / name / "queues").glob("rx-*"))) or None
    return NicQueues(count, count)


def _record(path: Path) -> dict[str, Any]:
    """A record of the preparation of this host; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except PermissionError:
        if os.geteuid() == 0:
            raise
        return {}  # the records are root's; others can't open a NIC either
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no record of Capstan's; restore it from a backup, or remove it")
    return found


def _meminfo(path: Path) -> dict[str, int]:
    """Bytes by name, of /proc/meminfo and of a node's file, whose lines begin with "Node N"."""
    lines = re.findall(r"^(?:Node \d+ )?(\S+):\s+(\d+) kB", _text(path), re.MULTILINE)
    return {name: int(value) * 1024 for name, value in lines}


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
