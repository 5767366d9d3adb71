"""NICs change hands: what is refused, what is done and undone; no failure and no reset leaves anything half done."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.capstan.appliance.plugins.module_utils.host import (
    nic_binding,
    nic_boot,
    nic_driver,
    nic_guard,
    pci_nics,
    record,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.network_use import (
    NetworkUse,
    controller_address,
    read_network_use,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, Record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sysfs.kernel import EndError, Kernel
from sysfs.tree import Device, add_upper, build, detach, write

ONE, TWO = "0000:03:00.0", "0000:03:00.1"
VIRTIO, IGB, ENA, MLX = "0000:04:00.0", "0000:05:00.0", "0000:00:05.0", "0000:81:00.0"
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


KERNELS: list[Kernel] = []
"""The last one is that of the running test: what the code writes goes there."""


def no_time(argument: float) -> None:
    """Nothing is waited for here."""


class Machine:
    """A host of a test: the module's functions on a kernel of ours."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.tree, self.root = kernel, kernel.tree, kernel.tree.root
        self.network = NetworkUse()
        self.options: dict[str, Any] = {}
        self.request: dict[str, Any] = {}
        self.host = nic_binding.Host(self.root, kernel.run, kernel, sleep=no_time)

    def situation(self) -> nic_guard.Situation:
        """What the module would read."""
        known = Record(nic_driver.RECORD, self.root).read() or {}
        return nic_guard.Situation(self.root, self.network, known, **self.options)

    def run(self, *ports: dict[str, Any], check: bool = False) -> nic_driver.Done:
        """What a task does."""
        request = nic_driver.Request(tuple(nic_guard.ports_of(list(ports))), **self.request)
        return nic_driver.run(request, self.situation(), self.host, check_mode=check)

    def refusal(self, *ports: dict[str, Any]) -> str:
        """Why the task fails; and nothing is touched."""
        before = contents(self.root)
        with pytest.raises(HostError) as caught:
            self.run(*ports)
        assert contents(self.root) == before
        assert self.kernel.log == []
        return str(caught.value)

    def drivers(self, *addresses: str) -> list[str | None]:
        """Of these devices."""
        return [self.kernel.driver(address) for address in addresses]


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Writes of the code go to the kernel of the test and count as its steps."""

    def put(path: Path, text: str) -> None:
        KERNELS[-1].put(path, text)

    monkeypatch.setattr(record, "put", put)

    def counted(real: Any, name: str) -> Any:
        def call(path: Any, *arguments: Any, **keywords: Any) -> Any:
            try:
                KERNELS[-1].changes(f"{name} {path}")
            except OSError as error:
                raise HostError(f"{path} can't be written: {error.strerror}", error.errno) from error
            return real(path, *arguments, **keywords)

        return call

    for name in ("durable_write", "durable_remove"):
        stepwise = counted(getattr(record, name), name)
        for module in (record, nic_boot, nic_binding):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, stepwise)
    monkeypatch.setattr(os, "fsync", no_time)  # test_record.py sees to that
    monkeypatch.setattr(nic_driver, "_open_to", counted(nic_driver._open_to, "open"))  # noqa: SLF001
    yield
    KERNELS.clear()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is such, for tests that make hundreds of trees."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


def machine(root: Path, *parts: str, udev: bool = True, driverctl: bool = False) -> Machine:
    root.mkdir(exist_ok=True)
    kernel = Kernel(build(root, *parts), udev=udev, driverctl=driverctl)
    KERNELS.append(kernel)
    made = Machine(kernel)
    if driverctl:
        made.request["through"] = "driverctl"
    return made


def port(address: Any, driver: str | None = "vfio-pci", **more: Any) -> dict[str, Any]:
    return {"pci": address, "driver": driver, "method": "dpdk", **more}


def contents(root: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(root)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


# What is read.

FAMILIES = [
    ("ixgbe", ONE, "ixgbe", "ens3f0", "33"),
    ("i40e", "0000:3b:00.0", "i40e", "ens1f0", "41"),
    ("ice", "0000:98:00.0", "ice", "ens801f0", "91"),
    ("igb", IGB, "igb", "enp5s0", "15"),
    ("e1000e", "0000:06:00.0", "e1000e", "enp6s0", "17"),
    ("mlx5", MLX, "mlx5_core", "ens1f0np0", "61"),
    ("bnxt_en", "0000:41:00.0", "bnxt_en", "enp65s0f0np0", "71"),
    ("virtio", VIRTIO, "virtio-pci", "enp4s0", "14"),
    ("vmxnet3", "0000:0b:00.0", "vmxnet3", "ens192", "21"),
    ("ena", ENA, "ena", "ens5", None),
]


@pytest.mark.parametrize(("family", "address", "driver", "name", "group"), FAMILIES, ids=[row[0] for row in FAMILIES])
def test_every_family_is_read(
    tmp_path: Path, family: str, address: str, driver: str, name: str, group: str | None
) -> None:
    host = machine(tmp_path, family)
    nic = pci_nics.read_nic(address, host.root)
    assert nic is not None
    assert (nic.driver, nic.group, nic.override, nic.is_network) == (driver, group, None, True)
    assert nic.module == driver.replace("-", "_")
    assert [netdev.name for netdev in nic.netdevs] == [name]
    assert nic.netdevs[0].mac == host.tree.devices[address].interfaces[0].mac
    assert pci_nics.module_known(driver, host.root)


def test_all_families_stand_in_one_machine_and_are_told_from_what_is_no_nic(tmp_path: Path) -> None:
    host = machine(tmp_path, *[row[0] for row in FAMILIES])
    assert {nic.address for nic in pci_nics.all_nics(host.root)} >= {row[1] for row in FAMILIES}
    assert not any(nic.is_bridge for nic in pci_nics.all_nics(host.root))


def test_what_the_host_uses_is_read_of_iproute2() -> None:
    answers = {
        "address show": '[{"ifname":"eth0","addr_info":[{"local":"192.0.2.2","prefixlen":24,"scope":"global"},'
        '{"local":"fe80::2","prefixlen":64,"scope":"link"}]},{}]',
        "-4 route show table all default": '[{"dst":"default","nexthops":[{"dev":"eth0"},{"dev":"eth1"}]}]',
        "-6 route show table all default": '[{"dst":"default","dev":"eth2","table":"100"}]',
        "route get 198.51.100.1": '[{"dst":"198.51.100.1","dev":"eth3"}]',
        "link show": '[{"ifname":"eth0"},{"ifname":"eth1","permaddr":"3c:fd:fe:00:00:99"}]',
    }

    def run(command: list[str]) -> tuple[int, str, str]:
        return 0, answers[" ".join(command[2:])], ""

    use = read_network_use(run, "198.51.100.1")
    assert use.addresses == {"eth0": ("192.0.2.2/24",)}
    assert use.default_routes == {"eth0", "eth1", "eth2"}
    assert use.controller_routes == {"eth3"}
    assert use.permanent_macs == {"eth1": "3c:fd:fe:00:00:99"}
    assert read_network_use(run, "fe80::7%eth9").controller_routes == {"eth9"}
    assert read_network_use(run, None).controller_routes == set()
    with pytest.raises(HostError, match="ip -json address show fails"):
        read_network_use(answers_nothing, None)


def answers_nothing(command: list[str]) -> tuple[int, str, str]:
    return 1, "", "no such program"


def test_the_controller_is_found_above_sudo(tmp_path: Path) -> None:
    parents = {
        os.getpid(): (7, b"A=1"),
        7: (5, b"SUDO_USER=x"),
        5: (1, b"B=2\0SSH_CONNECTION=192.0.2.9 40000 192.0.2.1 22"),
    }
    for pid, (parent, environment) in parents.items():
        write(tmp_path / f"{pid}/status", f"Name:\tx\nPPid:\t{parent}")
        (tmp_path / f"{pid}/environ").write_bytes(environment)
    assert controller_address(tmp_path) == "192.0.2.9"
    (tmp_path / "5/environ").write_bytes(b"B=2")
    assert controller_address(tmp_path) is None


# What is refused.


def default_route(host: Machine) -> None:
    host.network = NetworkUse(default_routes=frozenset({"ens3f0"}))


def controller_route(host: Machine) -> None:
    host.network = NetworkUse(controller_routes=frozenset({"ens3f0"}))


def address(host: Machine) -> None:
    host.network = NetworkUse(addresses={"ens3f0": ("2001:db8::1/64",)})


def upper(kind: str) -> Any:
    return lambda host: add_upper(host.tree, "above0", kind, ["ens3f0"])


def functions(host: Machine) -> None:
    write(host.tree.device_path(ONE) / "sriov_numvfs", "4")


def keep(host: Machine) -> None:
    host.options["keep"] = ("ens3f0",)


def no_vfio(host: Machine) -> None:
    write(host.root / "lib/modules/6.1.0-40-amd64/modules.dep", "")


def bound_by_others(driver: str) -> Any:
    def change(host: Machine) -> None:
        detach(host.tree, host.tree.devices[ONE])
        path = host.tree.sys(f"bus/pci/drivers/{driver}")
        write(path / "bind", "")
        (host.tree.device_path(ONE) / "driver").symlink_to(path)

    return change


def in_a_namespace(host: Machine) -> None:
    shutil.rmtree(host.tree.device_path(ONE) / "net")


def in_use(host: Machine) -> None:
    bound_by_others("vfio-pci")(host)
    write(host.root / "proc/812/comm", "qemu-system-x86")
    (host.root / "proc/812/fd").mkdir()
    (host.root / "proc/812/fd/9").symlink_to("/dev/vfio/33")


REFUSED = [
    ("default route", default_route, "is ens3f0, which carries a default route"),
    ("controller's route", controller_route, "is ens3f0, which carries the route back to the controller"),
    ("address", address, "is ens3f0, which has the address 2001:db8::1/64"),
    ("bond", upper("bond"), "is ens3f0, on which above0 (bond) stands"),
    ("bridge", upper("bridge"), "is ens3f0, on which above0 (bridge) stands"),
    ("Open vSwitch", upper("openvswitch"), "is ens3f0, on which above0 (openvswitch) stands"),
    ("VLAN", upper("vlan"), "is ens3f0, on which above0 (vlan) stands"),
    ("macvlan", upper("macvlan"), "is ens3f0, on which above0 (macvlan) stands"),
    ("virtual functions", functions, "has 4 virtual functions"),
    ("kept interface", keep, "is ens3f0, which must stay"),
    ("no vfio-pci", no_vfio, "the running kernel 6.1.0-40-amd64 has no vfio-pci"),
    ("another program's driver", bound_by_others("uio_pci_generic"), "is bound to uio_pci_generic, and not by Capstan"),
    ("a guest's", bound_by_others("pci-stub"), "is bound to pci-stub, and not by Capstan"),
    ("open in a program", in_use, "is in use by qemu-system-x86 (pid 812); stop it"),
    ("network namespace", in_a_namespace, "shows no interface under its driver ixgbe"),
]


@pytest.mark.parametrize(("change", "fragment"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_before_any_nic_is_touched(tmp_path: Path, change: Any, fragment: str) -> None:
    host = machine(tmp_path, "ixgbe")
    change(host)
    lines = host.refusal(port(TWO), port(ONE)).splitlines()
    (told,) = [line for line in lines if line.startswith("capture_interfaces[1].pci: ")]
    assert fragment in told
    assert re.search("[;,] (write|stop|remove|take|give|boot|move)", told)


@pytest.mark.parametrize(
    ("ports", "fragment"),
    [
        ([port(11641)], "capture_interfaces[0].pci: 11641 is no PCI address; write it in quotes"),
        ([port("3:0.0")], "capture_interfaces[0].pci: 3:0.0 is no PCI address"),
        (
            [port("0000:09:00.0")],
            f"there is no PCI device 0000:09:00.0; this host's NICs are {ONE} (ens3f0), {TWO} (ens3f1)",
        ),
        ([port("0000:00:02.0")], "0000:00:02.0 is not a NIC (class 060400)"),
        ([port(ONE), port(ONE.upper())], f"capture_interfaces[1].pci: {ONE} is capture_interfaces[0] already"),
        ([port(ONE, mac="3c:fd:fe:00:00:99")], "has the MAC address 3c:fd:fe:00:00:10 and not 3c:fd:fe:00:00:99"),
        ([port(ONE, expected_name="ens3f1")], f"{ONE} is ens3f0 and not ens3f1"),
    ],
)
def test_bad_entries_are_told_by_their_key(tmp_path: Path, ports: list[dict[str, Any]], fragment: str) -> None:
    assert fragment in machine(tmp_path, "ixgbe").refusal(*ports)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    default_route(host)
    told = host.refusal(port(ONE, mac="3c:fd:fe:00:00:99"), port("0000:09:00.0"))
    assert [line.split(":")[0] for line in told.splitlines()] == [
        "capture_interfaces[0].pci",
        "capture_interfaces[0].pci",
        "capture_interfaces[1].pci",
    ]


def test_a_permanent_mac_address_counts(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    host.network = NetworkUse(permanent_macs={"ens3f0": "3c:fd:fe:00:00:99"})
    assert host.run(port(ONE, mac="3C:FD:FE:00:00:99"), check=True).changed


def test_a_bound_nic_is_compared_with_what_it_was(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    host.run(port(ONE))
    assert not host.run(port(ONE, mac="3c:fd:fe:00:00:10", expected_name="ens3f0")).changed
    host.kernel.log.clear()
    assert "is ens3f0 and not ens9" in host.refusal(port(ONE, expected_name="ens9"))


def test_a_group_shared_with_a_device_that_must_stay_is_refused(tmp_path: Path) -> None:
    told = machine(tmp_path, "e1000e").refusal(port("0000:00:1f.6"))
    # The bridge to the board (0601) and what has no driver do not count.
    assert told.count("shares the IOMMU group 10") == 1
    assert "with 0000:00:1f.4 (driver i801_smbus), which must stay" in told


SHARED = """
nic 0000:07:00.0 8086:1521 igb group=30
  net enp7s0f0 a0:36:9f:00:00:10 down
nic 0000:07:00.1 8086:1521 igb group=30
  net enp7s0f1 a0:36:9f:00:00:11 down
"""


def test_a_group_is_taken_as_a_whole(tmp_path: Path) -> None:
    host = machine(tmp_path, SHARED)
    assert "shares the IOMMU group 30 with 0000:07:00.1 (enp7s0f1)" in host.refusal(port("0000:07:00.0"))
    assert host.run(port("0000:07:00.0"), port("0000:07:00.1")).changed
    assert host.drivers("0000:07:00.0", "0000:07:00.1") == ["vfio-pci", "vfio-pci"]


def test_without_an_iommu_the_sentence_says_what_to_write(tmp_path: Path) -> None:
    host = machine(tmp_path, "ena")
    assert "the firmware shows the kernel none; switch VT-d on" in host.refusal(port(ENA))
    # A reboot would bring nothing.
    host.options["reboot_pending"] = True
    assert "switch VT-d on in the firmware's setup" in host.refusal(port(ENA))
    host.options["reboot_pending"] = False
    write(host.root / "sys/firmware/acpi/tables/DMAR", "")
    assert "write capture_kernel: {iommu: on}" in host.refusal(port(ENA))
    write(host.root / "proc/cmdline", "quiet intel_iommu=off")
    assert "was started with intel_iommu=off" in host.refusal(port(ENA))


def test_a_reboot_that_is_due_is_waited_for(tmp_path: Path) -> None:
    host = machine(tmp_path, "ena")
    write(host.root / "sys/firmware/acpi/tables/DMAR", "")
    host.options["reboot_pending"] = True
    done = host.run(port(ENA))
    assert not done.changed
    assert done.reboot_reasons == [
        {"reason": f"{ENA} can be bound to vfio-pci once the IOMMU is on", "essential": True}
    ]
    assert host.kernel.log == []


def test_uio_is_taken_by_name_alone_and_said_to_guard_nothing(tmp_path: Path) -> None:
    host = machine(tmp_path, "ena")
    done = host.run(port(ENA, "uio_pci_generic"))
    assert host.drivers(ENA) == ["uio_pci_generic"]
    assert any("guards no memory" in note for note in done.notes)
    assert any("MSI-X interrupts only" in note for note in done.notes)
    assert not host.run(port(ENA, "uio_pci_generic")).changed


def test_uio_is_refused_where_it_can_not_work(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    assert "behind an IOMMU that translates (group 33, type DMA)" in host.refusal(port(ONE, "uio_pci_generic"))
    write(host.tree.sys("kernel/iommu_groups/33/type"), "identity")
    write(host.root / "sys/kernel/security/lockdown", "none [integrity] confidentiality")
    (host.root / SECURE_BOOT).parent.mkdir(parents=True)
    (host.root / SECURE_BOOT).write_bytes(b"\x06\0\0\0\x01")
    told = host.refusal(port(ONE, "uio_pci_generic"))
    assert "the kernel is locked down (integrity), because the host was started by Secure Boot" in told
    assert "capture_dpdk: {driver: vfio-pci}" in told
    assert host.run(port(ONE)).changed


def test_mellanox_stays_on_its_driver(tmp_path: Path) -> None:
    host = machine(tmp_path, "mlx5")
    for driver in ("vfio-pci", None):
        done = host.run(port(MLX, driver))
        assert not done.changed
        assert done.notes == [f"{MLX} (ens1f0np0) stays on its kernel driver mlx5_core, beside which DPDK works"]
    below = {**port(MLX, None), "vdev": "net_af_packet0"}
    assert host.run(below).notes == [], "a virtual device is over the kernel's interface, and beside nothing"
    host.network = NetworkUse(default_routes=frozenset({"ens1f0np0"}))
    assert "carries a default route" in host.refusal(port(MLX))


def test_driverctl_is_refused_where_it_is_not(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    host.request["through"] = "driverctl"
    assert "through: driverctl is not installed" in host.refusal(port(ONE))


# What is done.

WAYS = [(udev, driverctl) for udev in (True, False) for driverctl in (True, False)]


@pytest.mark.parametrize(("udev", "driverctl"), WAYS)
@pytest.mark.parametrize(("family", "address"), [(row[0], row[1]) for row in FAMILIES if row[4] and row[0] != "mlx5"])
def test_bound_kept_at_boot_and_given_back(
    tmp_path: Path, family: str, address: str, udev: bool, driverctl: bool
) -> None:
    host = machine(tmp_path, family, udev=udev, driverctl=driverctl)
    found = host.kernel.state()
    everything = contents(host.root)

    checked = host.run(port(address), check=True)
    assert contents(host.root) == everything
    done = host.run(port(address))
    assert done.changed
    assert (checked.changed, checked.before, checked.after) == (True, done.before, done.after)
    assert host.drivers(address) == ["vfio-pci"]
    assert (host.root / "etc/driverctl.d" / f"pci-{address}").exists() == driverctl
    assert not host.run(port(address)).changed

    host.kernel.reboot()
    assert host.drivers(address) == ["vfio-pci"]
    assert not host.run(port(address)).changed

    checked = host.run(check=True)
    done = host.run()
    assert (checked.changed, checked.before, checked.after) == (True, done.before, done.after)
    assert without_drivers(host.kernel.state()) == without_drivers(found)
    assert not host.run().changed


def without_drivers(state: dict[str, Any]) -> dict[str, Any]:
    """All but which drivers are loaded: after a boot nobody can tell who had one loaded."""
    return {key: value for key, value in state.items() if key != "drivers"}


def test_the_diff_tells_each_nic(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    done = host.run(port(TWO))
    assert done.before[TWO] == "driver ixgbe, interface ens3f1 (3c:fd:fe:00:00:11, up)"
    assert done.after[TWO] == "driver vfio-pci, override vfio-pci, kept at boot by udev"
    assert done.before[nic_boot.RULES] == "no such file"
    assert f'KERNEL=="{TWO}"' in done.after[nic_boot.RULES]
    remembered = Record("nic_driver", host.root).read()
    assert remembered == {
        TWO: {
            "driver": "ixgbe",
            "module": "ixgbe",
            "override": None,
            "driverctl": None,
            "vendor": "0x8086",
            "device": "0x10fb",
            "netdevs": [
                {
                    "name": "ens3f1",
                    "mac": "3c:fd:fe:00:00:11",
                    "up": True,
                    "mtu": 1500,
                    "channels": {"rx": 0, "tx": 0, "combined": 4},
                    "rx_queues_max": 64,
                    "rx_ring_max": 4096,
                    "speed": 25_000,
                    "xdp": None,
                }
            ],
        },
        "loaded vfio-pci": True,
    }


def test_the_record_is_on_disk_before_the_first_change(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    host.run(port(ONE), port(TWO))
    assert host.kernel.log[0] == "durable_write /var/lib/capstan-host/nic_driver.json"
    assert not any("nic_driver.json" in step for step in host.kernel.log[1:])


def test_one_nic_goes_back_and_the_other_stays(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe", "virtio")
    host.run(port(ONE), port(VIRTIO))
    assert host.run(port(ONE), port(VIRTIO, None)).moves == [VIRTIO]
    assert host.drivers(ONE, VIRTIO) == ["vfio-pci", "virtio-pci"]
    assert (host.tree.sys("class/net/enp4s0")).exists()
    assert nic_boot.bound_by_rule(nic_boot.read_boot_files(host.root)) == {ONE: "vfio-pci"}
    assert set(Record("nic_driver", host.root).read() or {}) == {ONE, "loaded vfio-pci"}


def test_no_initial_ram_disk_takes_the_rules_along(tmp_path: Path) -> None:
    """One that is made meanwhile holds all rules below /etc, and would bind the NIC long after it was given back."""
    host = machine(tmp_path, "ixgbe")
    there = host.root / "usr/local/lib"
    host.run(port(ONE))
    assert list((host.root / "etc/udev/rules.d").iterdir()) == []
    assert (there / "udev/rules.d").is_dir()
    host.run()
    assert list(there.iterdir()) == []


def test_at_boot_another_card_at_that_address_stays_with_the_host(tmp_path: Path) -> None:
    """A card that is put in may move the addresses of others, the management's to where the capture's was."""
    host = machine(tmp_path, "ixgbe")
    host.run(port(ONE))
    (rule,) = [line for line in (host.root / nic_boot.RULES.lstrip("/")).read_text().splitlines() if ONE in line]
    vendor, device = ((host.tree.device_path(ONE) / name).read_text().strip() for name in ("vendor", "device"))
    assert vendor == "0x8086"
    matches = rule.partition('ATTR{driver_override}="')[0]
    assert f'ATTR{{vendor}}=="{vendor}", ATTR{{device}}=="{device}", KERNEL=="{ONE}"' in matches


def test_the_engines_group_may_open_the_device(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    host.request["group"] = ("capstan", os.getgid() if os.geteuid() else 4242)
    assert host.run(port(ONE)).changed
    node = (host.root / "dev/vfio/33").stat()
    assert (node.st_gid, node.st_mode & 0o777) == (host.request["group"][1], 0o660)
    rule = (host.root / nic_boot.PERMISSIONS.lstrip("/")).read_text()
    assert f'TEST=="/sys/kernel/iommu_groups/%k/devices/{ONE}", GROUP="capstan", MODE="0660"' in rule
    assert not host.run(port(ONE)).changed
    (host.root / "dev/vfio/33").chmod(0o600)
    checked = host.run(port(ONE), check=True)
    assert (checked.changed, checked.moves) == (True, [])  # no capture need be stopped for that
    assert host.run(port(ONE)).changed
    assert not host.run(port(ONE)).changed


def test_our_rule_is_preferred_to_driverctl_which_binds_whatever_card_is_there(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe", driverctl=True)
    found = host.kernel.state()
    host.request["through"] = "auto"
    host.run(port(ONE))
    assert not (host.root / f"etc/driverctl.d/pci-{ONE}").exists()
    assert ONE in nic_boot.bound_by_rule(nic_boot.read_boot_files(host.root))
    host.kernel.reboot()
    assert host.drivers(ONE) == ["vfio-pci"]
    assert not host.run(port(ONE)).changed
    host.run()
    assert without_drivers(host.kernel.state()) == without_drivers(found)


def test_what_others_had_bound_to_vfio_stays_bound_after_a_rollback(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe", driverctl=True)
    host.kernel.run(["driverctl", "set-override", ONE, "vfio-pci"])
    found = host.kernel.state()
    host.request["through"] = "driver_override"
    done = host.run(port(ONE))
    assert done.changed
    assert any("was bound to vfio-pci before" in note for note in done.notes)
    host.run()
    assert host.kernel.state() == found


def test_one_way_of_keeping_replaces_the_other(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe", driverctl=True)
    found = host.kernel.state()
    kept = host.root / f"etc/driverctl.d/pci-{ONE}"
    for through, by_driverctl in (("driver_override", False), ("driverctl", True), ("driver_override", False)):
        host.request["through"] = through
        host.run(port(ONE))
        assert kept.exists() == by_driverctl
        assert bool(nic_boot.bound_by_rule(nic_boot.read_boot_files(host.root))) != by_driverctl
        host.request["through"] = "auto"
        assert not host.run(port(ONE)).changed
    host.run()
    assert host.kernel.state() == found


def test_an_override_that_was_there_comes_back(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe", driverctl=True)
    write(host.tree.device_path(ONE) / "driver_override", "ixgbe")
    write(host.root / f"etc/driverctl.d/pci-{ONE}", "ixgbe")
    found = host.kernel.state()
    host.run(port(ONE))
    assert host.kernel.override(ONE) == "vfio-pci"
    host.run()
    assert host.kernel.state() == found


def test_an_empty_file_that_a_power_cut_left_of_driverctl_is_mended(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe", driverctl=True)
    found = host.kernel.state()
    kept = host.root / f"etc/driverctl.d/pci-{ONE}"
    for wanted in ([port(ONE)], []):
        host.run(port(ONE))
        kept.write_text("")
        host.run(*wanted)
        assert kept.exists() == bool(wanted)
        assert not wanted or kept.read_text() == "vfio-pci\n"
    assert host.kernel.state() == found


def test_a_nic_without_a_driver_goes_back_to_none(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe", "nic 0000:09:00.0 8086:10fb none group=50\n")
    found = host.kernel.state()
    host.run(port("0000:09:00.0"))
    assert host.drivers("0000:09:00.0") == ["vfio-pci"]
    host.run()
    assert host.kernel.state() == found


def test_a_program_that_has_the_nic_open_is_named_and_nothing_done(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    host.run(port(ONE))
    write(host.root / "proc/77/comm", "capstan-engine")
    (host.root / "proc/77/fd").mkdir()
    (host.root / "proc/77/fd/9").symlink_to("/dev/vfio/33")
    assert not host.run(port(ONE)).changed
    # The play asks first, and stops the capture when it hears that a NIC changes hands.
    assert host.run(check=True).changed
    host.kernel.log.clear()
    assert "is in use by capstan-engine (pid 77); stop it" in host.refusal()


def test_a_card_that_was_pulled_is_forgotten(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe", driverctl=True)
    host.run(port(ONE))
    host.tree.sys(f"bus/pci/devices/{ONE}").unlink()
    done = host.run()
    assert done.notes == [f"{ONE} is gone from this host; nothing is left of its binding"]
    assert Record("nic_driver", host.root).read() is None
    assert not (host.root / f"etc/driverctl.d/pci-{ONE}").exists()


def test_another_card_in_the_slot_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    host.run(port(ONE))
    write(host.tree.device_path(ONE) / "device", "0x1572")
    host.kernel.log.clear()
    assert "is another card (0x8086:0x1572) than the one that was bound there" in host.refusal(port(ONE))
    done = host.run()
    assert done.notes == [f"{ONE} is another card by now; the kernel has chosen its driver"]
    assert host.drivers(ONE) == ["ixgbe"]
    assert host.kernel.override(ONE) is None


def test_a_name_that_is_taken_is_told_and_the_record_kept(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe", udev=False)
    host.run(port(ONE))
    add_upper(host.tree, "ens3f0", "bridge", [])
    with pytest.raises(HostError, match="has come back as eth0 and not as ens3f0, which another interface is called"):
        host.run()
    assert ONE in (Record("nic_driver", host.root).read() or {})
    host.tree.sys("class/net/ens3f0").unlink()
    host.run()
    assert Record("nic_driver", host.root).read() is None
    assert host.tree.sys("class/net/ens3f0").exists()


def test_an_interface_that_does_not_come_back_is_told(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    host.run(port(ONE))
    host.tree.devices[ONE].interfaces.clear()
    with pytest.raises(HostError, match=f"{ONE} is back on its driver and shows no interface ens3f0 after 60 s"):
        host.run()


# What goes wrong.


@pytest.mark.parametrize("driverctl", [True, False])
@pytest.mark.parametrize("how", ["refuses", "takes nothing"])
def test_when_one_nic_fails_all_are_given_back(tmp_path: Path, driverctl: bool, how: str) -> None:
    host = machine(tmp_path, "ixgbe", "virtio", driverctl=driverctl)
    found = host.kernel.state()
    if how == "refuses":
        host.kernel.refuses[f"vfio-pci {VIRTIO}"] = 22
    else:
        original = host.kernel._attach  # noqa: SLF001
        host.kernel._attach = lambda driver, device: (  # type: ignore[method-assign]  # noqa: SLF001
            None if (driver, device.address) == ("vfio-pci", VIRTIO) else original(driver, device)
        )
    with pytest.raises(HostError) as caught:
        host.run(port(ONE), port(VIRTIO), port(TWO))
    assert f"{ONE}, {VIRTIO} had been touched and are as found again" in str(caught.value)
    assert host.kernel.state() == found
    assert Record("nic_driver", host.root).read() is None


@pytest.mark.parametrize("driverctl", [True, False])
def test_a_failed_exchange_leaves_the_nic_that_captures_bound_at_boot_too(tmp_path: Path, driverctl: bool) -> None:
    host = machine(tmp_path, "ixgbe", "virtio", driverctl=driverctl)
    host.request["group"] = ("capstan", os.getgid() if os.geteuid() else 4242)
    host.run(port(ONE))
    found = host.kernel.state()
    host.kernel.refuses[f"vfio-pci {VIRTIO}"] = 22
    with pytest.raises(HostError, match=f"{VIRTIO} had been touched and is as found again"):
        host.run(port(VIRTIO))
    assert host.kernel.state() == found
    host.kernel.reboot()
    assert host.drivers(ONE, VIRTIO) == ["vfio-pci", "virtio-pci"]
    assert host.run(port(ONE)).moves == []


def rule_to_driverctl(host: Machine) -> str:
    host.request["through"] = "driver_override"
    host.run(port(ONE))
    host.request["through"] = "driverctl"
    return "vfio-pci"


def driverctl_to_rule(host: Machine) -> str:
    host.request["through"] = "driverctl"
    host.run(port(ONE))
    host.request["through"] = "driver_override"
    return "vfio-pci"


def uio_to_vfio(host: Machine) -> str:
    write(host.tree.sys("kernel/iommu_groups/33/type"), "identity")
    host.request["through"] = "driver_override"
    host.run(port(ONE, "uio_pci_generic"))
    return "uio_pci_generic"


@pytest.mark.parametrize("fails", [ONE, VIRTIO])
@pytest.mark.parametrize("before", [rule_to_driverctl, driverctl_to_rule, uio_to_vfio])
def test_a_nic_that_was_bound_before_goes_back_to_that(tmp_path: Path, before: Any, fails: str) -> None:
    host = machine(tmp_path, "ixgbe", "virtio", driverctl=True)
    host.request["group"] = ("capstan", os.getgid() if os.geteuid() else 4242)
    driver = before(host)
    found, opened = host.kernel.state(), access(host)
    original, failures = host.kernel._bind, [f"vfio-pci {fails}"]  # noqa: SLF001

    def bind(driver: str, device: Device) -> None:
        if f"{driver} {device.address}" in failures:
            failures.clear()
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        original(driver, device)

    host.kernel._bind = bind  # type: ignore[method-assign]  # noqa: SLF001
    if before is driverctl_to_rule and fails == ONE:  # it is not bound anew; driverctl's file can't be removed
        failures.clear()
        host.kernel.fail_at = {host.kernel.steps + 1}
    with pytest.raises(HostError) as caught:
        host.run(port(ONE), port(VIRTIO))
    touched = f"{ONE} had been touched and is" if fails == ONE else f"{ONE}, {VIRTIO} had been touched and are"
    assert f"{touched} as found again" in str(caught.value)
    assert (host.kernel.state(), access(host)) == (found, opened)
    host.kernel.reboot()
    assert host.drivers(ONE, VIRTIO) == [driver, "virtio-pci"]
    host.request["through"] = "auto"
    assert host.run(port(ONE, driver)).moves == []


def access(host: Machine) -> dict[str, tuple[int, int]]:
    """Group and mode of each device file."""
    folder = host.root / "dev/vfio"
    return {path.name: (path.stat().st_gid, path.stat().st_mode) for path in folder.glob("[0-9]*")}


@pytest.mark.parametrize(("end", "driver"), [(4, "ixgbe"), (5, None)])
def test_a_nic_that_was_bound_half_goes_back_whole(tmp_path: Path, end: int, driver: str | None) -> None:
    """A run that was cut off has left our override, under which the NIC's own driver does not take it."""
    host = machine(tmp_path, "ixgbe", "virtio")
    found = host.kernel.state()
    host.kernel.end_at = end
    with pytest.raises(EndError):
        host.run(port(ONE))
    host.kernel.end_at = None
    assert (host.kernel.driver(ONE), host.kernel.override(ONE)) == (driver, "vfio-pci")
    host.kernel.refuses[f"vfio-pci {VIRTIO}"] = 22
    with pytest.raises(HostError, match=f"{ONE}, {VIRTIO} had been touched and are as found again"):
        host.run(port(ONE), port(VIRTIO))
    assert host.kernel.state()["devices"] == found["devices"]
    assert nic_driver.remembered_nics(Record("nic_driver", host.root).read() or {}) == {}
    host.run()
    assert host.kernel.state() == found


@pytest.mark.parametrize("others", [[], [TWO]])
def test_what_has_gone_back_to_its_driver_is_not_bound_at_boot(tmp_path: Path, others: list[str]) -> None:
    host = machine(tmp_path, "ixgbe")
    host.request["group"] = ("capstan", os.getgid() if os.geteuid() else 4242)
    host.run(*map(port, others))
    expected = nic_boot.read_boot_files(host.root)
    host.run(*map(port, [ONE, *others]))
    detach(host.tree, host.tree.devices[ONE])  # by hand, or because vfio-pci refused it at boot
    (host.root / "dev/vfio/33").unlink()
    host.kernel.refuses[f"vfio-pci {ONE}"] = 22
    with pytest.raises(HostError, match=f"{ONE} had been touched and is as found again"):
        host.run(*map(port, [ONE, *others]))
    assert host.drivers(ONE, TWO) == ["ixgbe", "vfio-pci" if others else "ixgbe"]
    assert nic_boot.read_boot_files(host.root) == expected
    assert sorted(nic_driver.remembered_nics(Record("nic_driver", host.root).read() or {})) == others


def test_a_driver_that_can_not_be_loaded_touches_nothing(tmp_path: Path) -> None:
    host = machine(tmp_path, "ixgbe")
    host.kernel.refuses["modprobe vfio-pci"] = 1
    write(host.root / "sys/kernel/security/lockdown", "none integrity [confidentiality]")
    found = host.kernel.state()
    with pytest.raises(HostError, match=r"vfio-pci can't be loaded: modprobe: FATAL.*locked down \(confidentiality\)"):
        host.run(port(ONE))
    assert host.kernel.state() == found


# As small as can be, because the tests below make it some hundred times.
SMALL = f"""
nic {ONE} 8086:10fb ixgbe group=33
  net ens3f0 3c:fd:fe:00:00:10 down queues=2
nic {TWO} 8086:10fb ixgbe group=34
  net ens3f1 3c:fd:fe:00:00:11 up
nic {VIRTIO} 1af4:1041 virtio-pci group=14
  virtio virtio1 virtio_net
  net enp4s0 52:54:00:00:04:00 up
"""
FEW_WAYS = [(True, True), (False, False)]


def scenario(
    root: Path, driverctl: bool, udev: bool, action: str
) -> tuple[Machine, dict[str, Any], list[dict[str, Any]]]:
    """A machine before an action: to bind two NICs, to give two back, or to exchange one for the other."""
    host = machine(root, SMALL, driverctl=driverctl, udev=udev)
    found = host.kernel.state()
    if action != "bind":
        host.run(port(ONE), *([port(VIRTIO)] if action == "restore" else []))
    host.kernel.steps, host.kernel.log = 0, []
    return host, found, {"bind": [port(ONE), port(VIRTIO)], "restore": [], "exchange": [port(VIRTIO)]}[action]


def bound_of(host: Machine) -> list[str]:
    """Of the two, those that are bound."""
    return [it for it in (ONE, VIRTIO) if host.kernel.driver(it) == "vfio-pci"]


ACTIONS = ["bind", "restore", "exchange"]
MOST_STEPS = 60


@pytest.mark.parametrize(("udev", "driverctl"), FEW_WAYS)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("end", ["the process ends", "the machine is reset"])
def test_an_end_at_any_step_is_mended_by_the_next_run(
    memory: Path, udev: bool, driverctl: bool, action: str, end: str
) -> None:
    for step in range(MOST_STEPS):
        for direction in ("again", "back"):
            host, found, wanted = scenario(memory / f"{step}{direction}", driverctl, udev, action)
            host.kernel.end_at = step
            try:
                host.run(*wanted)
            except EndError:
                finished = False
            else:
                finished = True
            host.kernel.end_at = None
            if end == "the machine is reset":
                host.kernel.reboot()
            if direction == "again":
                host.run(*wanted)
                bound = {entry["pci"] for entry in wanted}
                assert [host.kernel.driver(it) == "vfio-pci" for it in (ONE, VIRTIO)] == [
                    it in bound for it in (ONE, VIRTIO)
                ]
                assert not host.run(*wanted).changed
            host.run()
            assert without_drivers(host.kernel.state()) == without_drivers(found), (step, host.kernel.log)
            assert not host.run().changed
        if finished:
            assert step > 4
            return
    pytest.fail("the action never ended")


@pytest.mark.parametrize(("udev", "driverctl"), FEW_WAYS)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("failures", [1, 100])
def test_a_failure_at_any_step_is_told_and_undone_or_mended_by_the_next_run(
    memory: Path, udev: bool, driverctl: bool, action: str, failures: int
) -> None:
    for step in range(MOST_STEPS):
        host, found, wanted = scenario(memory / str(step), driverctl, udev, action)
        files, bound = nic_boot.read_boot_files(host.root), bound_of(host)
        host.kernel.fail_at = set(range(step, step + failures))
        try:
            host.run(*wanted)
        except HostError as error:
            failed = str(error)
            if "as found again" in failed or "no NIC was touched" in failed:
                remembered = nic_driver.remembered_nics(Record("nic_driver", host.root).read() or {})
                assert bound_of(host) == bound == sorted(remembered)
                assert nic_boot.read_boot_files(host.root) == files
                steps = host.kernel.steps
                host.kernel.reboot()
                host.kernel.steps = steps
                assert bound_of(host) == bound
            elif host.kernel.state() != found and action == "bind":
                assert "remembers how it was" in failed or "nic_driver.json" in failed
        else:
            failed = ""
        taken = host.kernel.steps
        host.kernel.fail_at = set()
        host.run(*wanted)
        assert not host.run(*wanted).changed
        host.run()
        # A driver that could not be unloaded is noted, and changes nothing for the NICs.
        assert without_drivers(host.kernel.state()) == without_drivers(found), (step, failed, host.kernel.log)
        if step >= taken:  # the failure never came
            assert not failed
            assert step > 4
            return
    pytest.fail("the action never ended")


ports_wanted = st.lists(st.sampled_from([ONE, TWO, VIRTIO]), unique=True)
disturbance = st.one_of(
    st.just(("none", 0)),
    st.tuples(st.sampled_from(["end", "fail", "reset"]), st.integers(0, 30)),
)
histories = st.lists(st.tuples(ports_wanted, disturbance, st.sampled_from(["auto", "driver_override"])), max_size=6)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories, st.booleans(), st.booleans())
def test_whatever_happened_the_last_word_counts_and_the_way_back_is_whole(
    memory: Path, history: Any, udev: bool, driverctl: bool
) -> None:
    host = machine(Path(tempfile.mkdtemp(dir=memory)), SMALL, udev=udev, driverctl=driverctl)
    found = host.kernel.state()
    for wanted, (how, step), through in history:
        host.request["through"] = through
        if how == "fail":
            host.kernel.fail_at = {host.kernel.steps + step}
        elif how in {"end", "reset"}:
            host.kernel.end_at = host.kernel.steps + step
        with contextlib.suppress(HostError, EndError):
            host.run(*[port(address) for address in wanted])
        host.kernel.fail_at, host.kernel.end_at = set(), None
        if how == "reset":
            host.kernel.reboot()
        host.run(*[port(address) for address in wanted])
        bound = [it for it in (ONE, TWO, VIRTIO) if host.kernel.driver(it) == "vfio-pci"]
        assert bound == sorted(wanted)
        assert not host.run(*[port(address) for address in wanted]).changed
    host.run()
    assert without_drivers(host.kernel.state()) == without_drivers(found)


def test_what_is_asked_for_decides_and_not_who_asks(tmp_path: Path) -> None:
    """A plan is a pure function: made twice, it is the same, and nothing was written."""
    host = machine(tmp_path, "ixgbe")
    request = nic_driver.Request(tuple(nic_guard.ports_of([port(ONE)])))
    before = contents(host.root)
    assert nic_driver.make_plan(request, host.situation()) == nic_driver.make_plan(request, host.situation())
    moved = replace(host.situation(), keep=("ens3f0",))
    with pytest.raises(HostError):
        nic_driver.make_plan(request, moved)
    assert contents(host.root) == before
