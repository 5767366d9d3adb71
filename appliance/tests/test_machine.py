"""Facts of machines, out of trees as sysfs and procfs have them."""

import json
from pathlib import Path

import pytest

from capstan.machine import Card, Hugepages, Machine
from capstan.machine_read import NicQueues, parse_cpu_list, read_machine

GIB, MIB = 1 << 30, 1 << 20


class Tree:
    """A machine made of files."""

    def __init__(self, root: Path) -> None:
        self.sysfs, self.procfs, self.records = root / "sys", root / "proc", root / "records"

    def file(self, path: str, text: object = "") -> None:
        target = self.sysfs.parent / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{text}\n")

    def link(self, path: str, to: str) -> None:
        source = self.sysfs.parent / path
        source.parent.mkdir(parents=True, exist_ok=True)
        source.symlink_to(self.sysfs.parent / to)

    def device(self, pci: str, kind: str, driver: str | None = None, group: int | None = None) -> str:
        device = f"sys/bus/pci/devices/{pci}"
        for name, value in {"class": kind, "vendor": "0x8086", "device": "0x1521", "numa_node": 1}.items():
            self.file(f"{device}/{name}", value)
        if driver:
            self.link(f"{device}/driver", f"sys/bus/pci/drivers/{driver}")
        if group is not None:
            (self.sysfs / f"kernel/iommu_groups/{group}/devices").mkdir(parents=True, exist_ok=True)
            self.link(f"{device}/iommu_group", f"sys/kernel/iommu_groups/{group}")
            self.link(f"sys/kernel/iommu_groups/{group}/devices/{pci}", device)
        return device

    def netdev(self, device: str, name: str, queues: int, mac: str = "3C:fd:fe:00:00:01") -> None:
        self.file(f"{device}/net/{name}/address", mac)
        for queue in range(queues):
            self.file(f"sys/class/net/{name}/queues/rx-{queue}/rps_cpus")

    def read(self) -> Machine:
        root = self.sysfs.parent
        return read_machine(self.sysfs, self.procfs, self.records, modules=root / "modules", root=root)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Two nodes, two cores of two threads each, one CPU of them offline and one isolated."""
    made = Tree(tmp_path)
    cpu = "sys/devices/system/cpu"
    made.file(f"{cpu}/present", "0-7")
    made.file(f"{cpu}/online", "0-6")
    made.file(f"{cpu}/isolated", "2,6")
    for number in range(7):
        made.file(
            f"{cpu}/cpu{number}/topology/core_cpus_list", "3" if number == 3 else f"{number % 4},{number % 4 + 4}"
        )
        made.file(f"{cpu}/cpu{number}/topology/core_id", number % 4)
        made.file(f"{cpu}/cpu{number}/topology/physical_package_id", number % 4 // 2)
    made.file(f"{cpu}/cpu7/node1/cpulist", "")
    for node, cpus in enumerate(("0-1,4-5", "2-3,6")):
        made.file(f"sys/devices/system/node/node{node}/cpulist", cpus)
        made.file(f"sys/devices/system/node/node{node}/distance", "10 21" if node == 0 else "21 10")
        lines = {"MemTotal": 4096, "MemFree": 1024, "Active(file)": 10, "Inactive(file)": 20, "SReclaimable": 30}
        made.file(
            f"sys/devices/system/node/node{node}/meminfo",
            "\n".join(f"Node {node} {name}:   {1024 * value} kB" for name, value in lines.items()),
        )
        for size, total, free in ((2048, 512, 500), (1048576, 0, 0)):
            directory = f"sys/devices/system/node/node{node}/hugepages/hugepages-{size}kB"
            made.file(f"{directory}/nr_hugepages", total)
            made.file(f"{directory}/free_hugepages", free)
            made.file(f"{directory}/surplus_hugepages", 0)
    made.file("proc/meminfo", "MemTotal:  8388608 kB\nMemAvailable: 2048 kB\nHugePages_Total:  1024")
    made.file("proc/self/status", "Name:\tcat\nCpus_allowed:\t3b\nCpus_allowed_list:\t0-1,3-5")
    made.file("proc/cmdline", "quiet isolcpus=managed_irq,domain,2,6")
    made.file("proc/sys/kernel/osrelease", "6.1.0-30-amd64")
    made.file("sys/firmware/acpi/tables/DMAR")
    return made


def test_cpus(tree: Tree) -> None:
    cpus = tree.read().cpus
    assert [cpu.number for cpu in cpus] == list(range(8))
    assert [cpu.number for cpu in cpus if cpu.usable] == [0, 1, 2, 3, 4, 5, 6]
    assert [cpu.number for cpu in cpus if cpu.isolated] == [2, 6]
    assert [cpu.node for cpu in cpus] == [0, 0, 1, 1, 0, 0, 1, 1]
    assert cpus[5].siblings == (1, 5)
    assert (cpus[6].core, cpus[6].package) == (2, 1)
    assert not cpus[7].online


def test_a_cpu_outside_of_our_affinity_mask_is_not_usable_unless_it_is_isolated(tree: Tree) -> None:
    tree.file("proc/self/status", "Cpus_allowed_list:\t0-1")
    assert [cpu.number for cpu in tree.read().cpus if cpu.usable] == [0, 1, 2, 6]


def test_nodes(tree: Tree) -> None:
    first, second = tree.read().nodes
    assert first.cpus == (0, 1, 4, 5)
    assert (first.memory_total, first.memory_free, first.memory_available) == (4 * GIB, GIB, 1084 * MIB)
    assert first.hugepages == (Hugepages(2 * MIB, 512, 500), Hugepages(GIB))
    assert second.distances == (21, 10)
    assert second.pages(GIB) == Hugepages(GIB)
    assert second.pages(4096) is None


def test_a_machine_without_numa_is_one_node(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.file("sys/devices/system/cpu/present", "0-1")
    tree.file("sys/devices/system/cpu/online", "0-1")
    tree.file("proc/meminfo", "MemTotal: 2048 kB\nMemFree: 512 kB\nMemAvailable: 1024 kB")
    tree.file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", 3)
    (node,) = tree.read().nodes
    assert (node.number, node.cpus, node.memory_available) == (0, (0, 1), MIB)
    assert node.hugepages == (Hugepages(2 * MIB, 3),)
    assert [cpu.siblings for cpu in tree.read().cpus] == [(0,), (1,)]


def test_nics_and_what_is_none(tree: Tree) -> None:
    tree.netdev(tree.device("0000:03:00.0", "0x020000", "igb", 7), "ens3f0", 4)
    tree.device("0000:03:00.1", "0x010000", "ahci", 7)
    tree.device("0000:00:1c.0", "0x060400", "pcieport", 7)
    machine = tree.read()
    (nic,) = machine.nics
    assert (nic.pci, nic.interface, nic.driver, nic.kernel_driver) == ("0000:03:00.0", "ens3f0", "igb", "igb")
    assert (nic.mac, nic.node, nic.model) == ("3c:fd:fe:00:00:01", 1, "8086:1521")
    assert (nic.iommu_group, nic.iommu_neighbours) == (7, ("0000:03:00.1",))
    assert (nic.rx_queues, nic.rx_queues_max, nic.rx_ring_max) == (4, 4, None)
    assert machine.other_devices == (("0000:00:1c.0", "0x060400"), ("0000:03:00.1", "0x010000"))
    assert machine.iommu_on
    assert machine.iommu_table == "DMAR"
    assert machine.nic("0000:03:00.0") is nic
    assert machine.nic("0000:03:00.1") is None


def test_queues_and_rings_are_asked_of_the_driver(tree: Tree) -> None:
    tree.netdev(tree.device("0000:03:00.0", "0x020000", "igb"), "ens3f0", 4)
    told = NicQueues(6, 8, 4096, speed=10_000, xdp=0x3, ring=512)
    (nic,) = read_machine(tree.sysfs, tree.procfs, tree.records, lambda _: told).nics
    assert (nic.rx_queues, nic.rx_queues_max, nic.rx_ring, nic.rx_ring_max) == (6, 8, 512, 4096)
    assert (nic.speed, nic.xdp) == (10_000, 0x3)


def test_drivers_of_user_space_may_be_loaded_built_in_or_modules(tree: Tree) -> None:
    tree.file("proc/sys/kernel/osrelease", "6.1.0-40-amd64")
    assert tree.read().user_space_drivers == ()
    tree.file("modules/6.1.0-40-amd64/modules.dep", "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio.ko.xz")
    assert tree.read().user_space_drivers == ("vfio-pci",)
    tree.file("modules/6.1.0-40-amd64/modules.builtin", "kernel/drivers/uio/uio_pci_generic.ko")
    assert tree.read().user_space_drivers == ("uio_pci_generic", "vfio-pci")
    tree.file("sys/bus/pci/drivers/igb_uio/uevent")
    assert tree.read().user_space_drivers == ("igb_uio", "uio_pci_generic", "vfio-pci")


def test_a_card_with_virtual_functions_tells_how_many(tree: Tree) -> None:
    device = tree.device("0000:03:00.0", "0x020000", "ice")
    assert tree.read().nics[0].virtual_functions == 0
    tree.file(f"{device}/sriov_numvfs", 4)
    assert tree.read().nics[0].virtual_functions == 4


def test_a_virtio_nic_has_its_network_device_below_virtio(tree: Tree) -> None:
    device = tree.device("0000:00:03.0", "0x020000", "virtio-pci")
    tree.netdev(f"{device}/virtio2", "enp0s3", 1)
    (nic,) = tree.read().nics
    assert (nic.interface, nic.mac, nic.driver) == ("enp0s3", "3c:fd:fe:00:00:01", "virtio-pci")


def test_a_bound_nic_is_known_by_what_the_record_remembers(tree: Tree) -> None:
    tree.device("0000:03:00.0", "0x020000", "vfio-pci", 7)
    tree.device("0000:03:00.1", "0x020000", "vfio-pci", 8)
    had = {"rx_queues_max": 8, "rx_ring_max": 4096, "speed": 10_000, "xdp": 0x3}
    netdev = {"name": "ens3f0", "mac": "3c:fd:fe:00:00:01", **had}
    remembered = {"driver": "igb", "netdevs": [netdev], "override": None}
    tree.file("records/nic_driver.json", json.dumps({"0000:03:00.0": remembered, "loaded:vfio-pci": True}))
    ours, theirs = tree.read().nics
    assert (ours.interface, ours.kernel_driver, ours.mac) == ("ens3f0", "igb", "3c:fd:fe:00:00:01")
    assert (ours.rx_queues, ours.rx_queues_max, ours.rx_ring_max) == (None, 8, 4096)
    assert (ours.speed, ours.xdp) == (10_000, 0x3)
    assert ours.remembered
    assert ours.in_user_space
    assert (theirs.interface, theirs.remembered, theirs.in_user_space) == (None, False, True)


def test_a_bound_nic_can_have_the_queues_that_it_had_where_no_more_is_remembered(tree: Tree) -> None:
    tree.device("0000:03:00.0", "0x020000", "vfio-pci", 7)
    netdev = {"name": "ens3f0", "mac": "3c:fd:fe:00:00:01", "channels": {"rx": 0, "tx": 0, "combined": 6}}
    tree.file("records/nic_driver.json", json.dumps({"0000:03:00.0": {"driver": "igb", "netdevs": [netdev]}}))
    assert tree.read().nics[0].rx_queues_max == 6


def test_a_damaged_record_is_told(tree: Tree) -> None:
    tree.file("records/nic_driver.json", "{")
    with pytest.raises(ValueError, match=r"nic_driver\.json is no record of Capstan's; restore"):
        tree.read()


ISOLATION = "isolcpus=managed_irq,domain,2,6"
DROPIN = f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {ISOLATION} nohz_full=2,6"'
TRIAL = f"#!/bin/sh\n# boot: 1-2-3\n# arguments: {ISOLATION} nohz_full=2,6"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("etc/default/grub.d/zz-capstan.cfg", DROPIN),
        ("etc/grub.d/42_capstan_trial", TRIAL),
        ("records/kernel_cmdline.json", json.dumps({ISOLATION: True})),  # by grubby
        ("run/capstan-host/kernel_cmdline", ISOLATION),  # rolled back, and not booted since
    ],
)
def test_isolation_is_ours_where_the_preparation_brought_it(tree: Tree, path: str, text: str) -> None:
    tree.file("records/kernel_cmdline.json", "{}")
    assert not tree.read().isolated_by_us
    tree.file(path, text)
    assert tree.read().own_arguments == (ISOLATION,)
    assert tree.read().isolated_by_us
    tree.file("proc/cmdline", f"quiet isolcpus=2,6 {ISOLATION}")
    assert not tree.read().isolated_by_us


def test_records_and_service_manager(tree: Tree) -> None:
    assert (tree.read().records, tree.read().systemd) == ((), False)
    tree.file("records/hugepages.json", "{}")
    tree.file("records/.xdp.json.capstan-new", "{")
    tree.file("proc/1/comm", "systemd")
    assert (tree.read().records, tree.read().systemd) == (("hugepages",), True)


def test_facts_travel_as_json(tree: Tree) -> None:
    tree.netdev(tree.device("0000:03:00.0", "0x020000", "igb", 7), "ens3f0", 4)
    machine = tree.read()
    assert Machine.from_json(json.loads(json.dumps(machine.to_json()))) == machine


def test_this_machine_can_be_read() -> None:
    machine = read_machine()
    assert machine.memory_total > 0
    assert any(cpu.usable for cpu in machine.cpus)
    assert Machine.from_json(machine.to_json()) == machine


def test_cpu_lists_are_read_as_the_kernel_writes_them() -> None:
    assert parse_cpu_list("0-3,8\n") == (0, 1, 2, 3, 8)
    assert parse_cpu_list("") == ()


def test_dag_cards_are_found_by_their_devices_and_their_place_by_the_driver_or_the_bus(tree: Tree) -> None:
    assert tree.read().cards == ()
    card = tree.device("0000:41:00.0", "0x020000")
    tree.file(f"{card}/vendor", "0xeace")
    for name in ("dag0", "dagmem0", "dag", "dag0.old"):
        tree.file(f"dev/{name}")
    assert tree.read().cards == (Card("dag0", "0000:41:00.0", 1),)
    # Of two cards the bus alone does not tell which is which; the vendor's driver may.
    other = tree.device("0000:42:00.0", "0xff0000")
    tree.file(f"{other}/vendor", "0xeace")
    tree.file(f"{other}/numa_node", -1)
    tree.file("dev/dag1")
    tree.link("sys/class/endace/dag1/device", other)
    assert tree.read().cards == (Card("dag0"), Card("dag1", "0000:42:00.0"))
    assert Machine.from_json(tree.read().to_json()).card("dag1") == Card("dag1", "0000:42:00.0")
