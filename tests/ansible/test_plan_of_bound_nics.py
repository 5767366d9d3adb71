"""A NIC that was bound for user space is planned as before: what nobody can ask it any more, the record remembers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.capstan.appliance.plugins.module_utils.host import nic_binding, nic_driver, nic_guard, record
from ansible_collections.capstan.appliance.plugins.module_utils.host.network_use import NetworkUse
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import Record
from sysfs.kernel import RING_MOST, SPEED, Kernel
from sysfs.tree import Tree, build, write

from capstan.config import CaptureConfig
from capstan.links import Link, Network
from capstan.machine import Machine
from capstan.machine_read import nic_queues, read_machine
from capstan.planner import plan_host

ONE, VIRTIO = "0000:03:00.0", "0000:04:00.0"
CPUS = 16


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """A machine of 16 CPUs and 32 GiB."""
    tree = build(tmp_path, "ixgbe", "virtio")
    write(tree.sys("devices/system/cpu/online"), f"0-{CPUS - 1}")
    write(tree.root / "proc/meminfo", "MemTotal: 33554432 kB\nMemFree: 30000000 kB\nMemAvailable: 31000000 kB")
    write(tree.sys("kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"), "0")
    kernel = Kernel(tree)
    monkeypatch.setattr(record, "put", kernel.put)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    return kernel


def machine(kernel: Kernel) -> Machine:
    root = kernel.tree.root
    return read_machine(
        root / "sys",
        root / "proc",
        root / "var/lib/capstan-host",
        lambda name: nic_queues(name, kernel, root / "sys"),
        root=root,
    )


def network(kernel: Kernel, tree: Tree) -> Network:
    """The links that there are at the moment."""
    return Network(
        tuple(
            Link(
                interface.name,
                int((path / "ifindex").read_text()),
                pci=device.address,
                mac=interface.mac,
                channels=kernel.channels(interface.name),
                rx_queues=interface.queues,
            )
            for device in tree.devices.values()
            for interface in device.interfaces
            if (path := tree.sys(f"class/net/{interface.name}")).exists()
        )
    )


def plan(kernel: Kernel, *addresses: str) -> dict[str, Any]:
    """The plan for these NICs, but for the names of the records."""
    settings = {"host": "probe", "method": "dpdk", "interfaces": [{"pci": address} for address in addresses]}
    config = CaptureConfig.model_validate(settings)
    made = plan_host(config, machine(kernel), network(kernel, kernel.tree)).as_json()
    return {key: value for key, value in made.items() if key != "records"}


def carry_out(kernel: Kernel, ports: list[dict[str, Any]]) -> None:
    """What the task of nic_driver does with the plan's ports."""
    root = kernel.tree.root
    host = nic_binding.Host(root, kernel.run, kernel, sleep=lambda _: None)
    known = Record(nic_driver.RECORD, root).read() or {}
    request = nic_driver.Request(tuple(nic_guard.ports_of(ports)))
    nic_driver.run(request, nic_guard.Situation(root, NetworkUse(), known), host, check_mode=False)


@pytest.mark.parametrize("tells", [True, False], ids=["channels told", "queues counted"])
def test_the_plan_is_the_same_before_and_after_a_bind(kernel: Kernel, tells: bool) -> None:
    kernel.tells_queues = tells
    before = plan(kernel, ONE, VIRTIO)
    assert [port["driver"] for port in before["ports"]] == ["vfio-pci", "vfio-pci"]
    # ixgbe and virtio have four and two queues, and could have 64 each: 13 of the 16 CPUs are for workers.
    assert [port["queues"] for port in before["ports"]] == ([7, 6] if tells else [4, 2])

    carry_out(kernel, before["ports"])
    assert [kernel.driver(address) for address in (ONE, VIRTIO)] == ["vfio-pci", "vfio-pci"]
    bound = machine(kernel).nic(ONE)
    assert bound is not None
    remembered = (bound.rx_queues_max, bound.rx_ring_max, bound.speed)
    assert remembered == ((64, RING_MOST, SPEED) if tells else (4, None, None))
    assert plan(kernel, ONE, VIRTIO) == before

    kernel.reboot()
    assert plan(kernel, ONE, VIRTIO) == before

    carry_out(kernel, [])
    assert machine(kernel).records == ()
    assert plan(kernel, ONE, VIRTIO) == before


def test_one_nic_of_two_stays_planned_when_the_other_goes_back(kernel: Kernel) -> None:
    alone = plan(kernel, ONE)
    carry_out(kernel, plan(kernel, ONE, VIRTIO)["ports"])
    carry_out(kernel, alone["ports"])
    assert [kernel.driver(address) for address in (ONE, VIRTIO)] == ["vfio-pci", "virtio-pci"]
    assert plan(kernel, ONE) == alone
