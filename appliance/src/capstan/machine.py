"""What a machine is made of: CPUs, NUMA nodes, NICs, memory and kernel, as `capstan.machine_read` reads them.

Standard library only: Ansible's module on the host and the supervisor have the same facts by these files (they are also
in `plugins/module_utils/host/`), so that the plan made of them is the same on both sides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# How our own isolcpus= begins.
ISOLCPUS_FLAGS = "managed_irq,domain,"
USER_SPACE_DRIVERS = frozenset({"vfio-pci", "uio_pci_generic", "igb_uio"})
# These change a NIC's queues, rings and XDP program without resetting what its virtual functions go through.
SPARES_VIRTUAL_FUNCTIONS = frozenset({"mlx5_core"})
# Drivers for virtual functions, and the functions of Mellanox, whose driver is that of the whole NIC.
_FUNCTION_DRIVERS = frozenset({"iavf", "igbvf", "ixgbevf", "rvu_nicvf"})
_FUNCTION_MODELS = frozenset(
    f"15b3:{device}" for device in ("1002", "1004", "1014", "1016", "1018", "101a", "101c", "101e")
)
# NICs of ThunderX have no other network devices than functions, and each has its port to itself.
_FUNCTIONS_ALONE = "nicvf"


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
    """PCI class; 0x02 begins those of network controllers."""
    iommu_group: int | None = None
    iommu_neighbours: tuple[str, ...] = ()
    """PCI addresses of other devices in its group that are no bridges."""
    rx_queues: int | None = None
    rx_queues_max: int | None = None
    rx_ring: int | None = None
    rx_ring_max: int | None = None
    speed: int | None = None
    """Mbit/s of its link, or the most that it supports while that is down."""
    xdp: int | None = None
    """NETDEV_XDP_ACT_* bits that the kernel tells of its driver; None where it does not tell."""
    virtual_functions: int = 0
    """Parts of it (SR-IOV) that others may use."""
    physical_function: str | None = None
    """PCI address of the NIC that it is a virtual function of; None for a NIC, and where a guest cannot see that."""
    function_number: int | None = None
    """Which of its virtual functions."""
    remembered: bool = False
    """Is in the record of NICs whose driver was changed by the preparation of this host."""

    @property
    def in_user_space(self) -> bool:
        """A driver of user space has it, so that there is no network device."""
        return self.driver in USER_SPACE_DRIVERS

    @property
    def is_virtual_function(self) -> bool:
        """It is a part of a NIC (SR-IOV), told in a guest by its driver or model."""
        if self.kernel_driver == _FUNCTIONS_ALONE:
            return False
        known = self.physical_function is not None or self.kernel_driver in _FUNCTION_DRIVERS
        return known or self.model in _FUNCTION_MODELS


@dataclass(frozen=True, slots=True)
class Card:
    """A DAG card: a device of its vendor's driver, and no network device."""

    name: str
    """Such as dag0, for /dev/dag0."""
    pci: str | None = None
    node: int | None = None
    """NUMA node; None where neither the driver nor the bus tell."""


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
    user_space_drivers: tuple[str, ...] = ()
    """Those of USER_SPACE_DRIVERS that the running kernel has, loaded or not."""
    memory_total: int = 0
    memory_available: int = 0
    records: tuple[str, ...] = ()
    """Names of the records that the preparation of this host keeps: what it changed."""
    systemd: bool = False
    """PID 1 is systemd."""
    own_arguments: tuple[str, ...] = ()
    """Those of the running kernel's arguments that an earlier preparation gave it."""
    cards: tuple[Card, ...] = ()
    """DAG cards whose driver has made a device of them."""

    @property
    def isolated_by_us(self) -> bool:
        """Whether the isolated CPUs are those of an earlier plan, and no wish of the operator's own."""
        isolcpus = [word for word in self.command_line if word.startswith("isolcpus=")]
        return bool(isolcpus) and set(isolcpus).issubset(self.own_arguments)

    def nic(self, pci: str) -> Nic | None:
        """The NIC at that PCI address."""
        return next((nic for nic in self.nics if nic.pci == pci), None)

    def card(self, name: str) -> Card | None:
        """The DAG card of that name."""
        return next((card for card in self.cards if card.name == name), None)

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
            "cards": [Card(**card) for card in raw["cards"]],
            "other_devices": [(address, kind) for address, kind in raw["other_devices"]],
        }
        return cls(**_tuples({**raw, **parts}))


def _tuples(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
