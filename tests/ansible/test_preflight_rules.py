"""The judgement of a host, over facts as iproute2 and the kernel give them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.capstan.appliance.plugins.modules.capture_facts import pci_address
from ansible_collections.capstan.appliance.plugins.plugin_utils import preflight_rules

from capstan.config import CaptureConfig
from capstan.machine import Cpu, Hugepages, Machine, Nic, Node

GIB = 1 << 30

Facts = dict[str, Any]

NIC = Nic("0000:19:00.0", "eth1", ("eth1",), "ice", "ice", "3c:fd:fe:00:00:01", node=0, rx_queues=4, rx_queues_max=4)
MACHINE = Machine(
    cpus=tuple(Cpu(number, siblings=(number,)) for number in range(4)),
    nodes=(Node(0, (0, 1, 2, 3), 4 * GIB, 2 * GIB, 2 * GIB, (Hugepages(2 << 20),), (10,)),),
    nics=(NIC,),
    iommu_table="DMAR",
    memory_total=4 * GIB,
    memory_available=2 * GIB,
)


def link(index: int, name: str, **more: Any) -> dict[str, Any]:
    return {"ifindex": index, "ifname": name, "flags": ["UP"], "mtu": 1500, "link_type": "ether", **more}


GOOD: Facts = {
    "root": True,
    "network": {
        "links": [
            link(1, "lo", link_type="loopback", flags=["LOOPBACK"]),
            link(2, "eth0"),
            link(3, "eth1"),
            link(4, "bond0", linkinfo={"info_kind": "bond"}),
            link(5, "eth1.7", link="eth1", linkinfo={"info_kind": "vlan"}),
        ],
        "addresses": [
            {"ifname": "eth0", "addr_info": [{"local": "192.0.2.2", "prefixlen": 24, "scope": "global"}]},
            {"ifname": "eth1", "addr_info": [{"local": "fe80::1", "prefixlen": 64, "scope": "link"}]},
        ],
        "default_routes": [{"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"}],
        "controller_routes": [],
        "rx_queues": {"eth0": 1, "eth1": 4},
        "drivers": {"eth0": "virtio_net", "eth1": "ice"},
        "xdp": {},
        "wireless": [],
        "speeds": {"eth0": 1000, "eth1": 25_000},
        "pci": {"eth1": "0000:19:00.0"},
        "channels": {"eth1": {"rx": 0, "tx": 0, "combined": 4, "max_rx": 0, "max_tx": 0, "max_combined": 4}},
    },
    "machine": MACHINE.to_json(),
    "means": {
        "distribution": "debian-12",
        "engine": None,
        "refused": {"pcap": "", "af_packet": "", "af_xdp": ""},
        "pf_ring": {"module": None, "licences": []},
        "choices": None,
        "measured": None,
    },
    "engine": None,
    "output": {
        "nearest": "/var/lib",
        "is_directory": True,
        "read_only": False,
        "free": 50 * GIB,
        "captures": 0,
        "strangers": 0,
        "writable": True,
    },
}


def problems(facts: Facts, **settings: Any) -> list[str]:
    config = CaptureConfig.model_validate({"host": "probe", "interfaces": [{"name": "eth1"}], **settings})
    return preflight_rules.judge(config, facts, packages=())[1]


def changed(change: Callable[[Facts], object]) -> Facts:
    facts = copy.deepcopy(GOOD)
    change(facts)
    return facts


def test_a_free_interface_is_taken() -> None:
    assert problems(GOOD) == []
    assert problems(GOOD, interfaces=[{"pci": "0000:19:00.0"}]) == []


def set_link(index: int, **values: Any) -> Callable[[Facts], object]:
    return lambda facts: facts["network"]["links"][index].update(values)


REFUSED: list[tuple[str, Callable[[Facts], object], str]] = [
    ("default route", lambda f: f["network"]["default_routes"].append({"dev": "eth1"}), "carries the default route"),
    (
        "a path of a default route",
        lambda f: f["network"]["default_routes"].append({"nexthops": [{"dev": "eth0"}, {"dev": "eth1"}]}),
        "carries the default route",
    ),
    (
        "controller's route",
        lambda f: f["network"]["controller_routes"].append({"dev": "eth1"}),
        "back to the controller",
    ),
    ("default route of a VLAN", lambda f: f["network"]["default_routes"].append({"dev": "eth1.7"}), "below eth1.7"),
    ("bond member", set_link(2, master="bond0"), "member of bond0"),
    (
        "address",
        lambda f: f["network"]["addresses"].append(
            {"ifname": "eth1.7", "addr_info": [{"local": "10.0.0.1", "prefixlen": 8, "scope": "global"}]}
        ),
        "has the address 10.0.0.1/8",
    ),
    ("no root", lambda f: f.update(root=False), "become"),
    (
        "no sockets",
        lambda f: f["means"]["refused"].update(af_packet="Operation not permitted"),
        "capture_method: af_packet",
    ),
    ("no memory", lambda f: f["machine"].update(memory_available=100 << 20), "capture_buffers: "),
    ("no namespace", lambda f: f.update(network=None), "capture_netns"),
    ("read-only disk", lambda f: f["output"].update(read_only=True), "read-only"),
    ("file in the way", lambda f: f["output"].update(is_directory=False), "is not a directory"),
    ("full disk", lambda f: f["output"].update(free=0), "capture_output.min_free"),
]


@pytest.mark.parametrize(("change", "fragment"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(change: Callable[[Facts], object], fragment: str) -> None:
    told = problems(changed(change))
    assert len(told) == 1
    assert told[0].startswith("host probe: ")
    assert fragment in told[0]


def test_an_interface_that_is_not_there_is_told_with_those_that_are() -> None:
    (told,) = problems(GOOD, interfaces=[{"name": "eth7"}])
    assert told.startswith("host probe: capture_interfaces[0].name: there is no interface eth7")
    assert "eth1" in told


def test_a_cpu_that_is_not_there_is_refused() -> None:
    (told,) = problems(GOOD, cores=[2, 9])
    assert told.startswith("host probe: capture_cores: CPU 9")


def test_memory_of_the_running_engine_counts_as_free() -> None:
    facts = changed(lambda f: f["machine"].update(memory_available=200 << 20))
    assert len(problems(facts)) == 1
    facts["engine"] = {
        "ports": [{"queues": 3, "options": {"ring_bytes": 64 << 20}}],
        "buffers": {"block_bytes": 1 << 20, "blocks_per_queue": 64},
    }
    assert problems(facts) == []


def test_a_directory_of_others_is_refused_and_an_empty_one_taken_over() -> None:
    there = changed(lambda f: f["output"].update(nearest="/var/lib/capstan/captures", writable=False, strangers=2))
    (told,) = problems(there)
    assert "holds files of others" in told
    there["output"]["strangers"] = 0
    assert problems(there) == []


def bind(facts: Facts) -> None:
    """What the preparation does to eth1: its network device is gone, and a record remembers it."""
    facts["network"]["links"] = [link for link in facts["network"]["links"] if not link["ifname"].startswith("eth1")]
    facts["network"]["pci"] = facts["network"]["channels"] = {}
    facts["machine"]["nics"][0].update(driver="vfio-pci", interfaces=[], remembered=True, iommu_group=7)


DPDK = {"method": "dpdk", "interfaces": [{"pci": NIC.pci, "name": "eth1"}]}


def test_a_nic_is_guarded_before_it_is_bound() -> None:
    facts = changed(lambda f: f["network"]["default_routes"].append({"dev": "eth1"}))
    (told,) = problems(facts, **DPDK)
    assert told.startswith("host probe: capture_interfaces[0]: eth1 carries the default route")


@pytest.mark.parametrize("method", ["dpdk", "af_packet"])
def test_a_bound_nic_is_planned_for_any_method(method: str) -> None:
    config = CaptureConfig.model_validate({**DPDK, "host": "probe", "method": method})
    plan, told = preflight_rules.judge(config, changed(bind), packages=())
    assert told == []
    assert plan is not None
    assert (plan.ports[0].interface, plan.ports[0].driver) == ("eth1", "vfio-pci" if method == "dpdk" else None)


VDEV = {"method": "dpdk", "dpdk": {"huge": False}, "interfaces": [{"vdev": "net_af_packet0,iface=eth1"}]}


def test_a_virtual_device_is_guarded_by_the_network_device_below_it() -> None:
    assert problems(GOOD, **VDEV) == []
    facts = changed(lambda f: f["network"]["default_routes"].append({"dev": "eth1"}))
    (told,) = problems(facts, **VDEV)
    assert told.startswith("host probe: capture_interfaces[0]: eth1 carries the default route")
    route, address = problems(GOOD, **{**VDEV, "interfaces": [{"vdev": "net_pcap0,rx_iface=eth0"}]})
    assert "eth0 carries the default route" in route
    assert "eth0 has the address 192.0.2.2/24" in address


def test_a_virtual_device_needs_the_sockets_of_the_method_that_it_is_like() -> None:
    (told,) = problems(changed(lambda f: f["means"]["refused"].update(af_packet="not permitted")), **VDEV)
    assert told.startswith("host probe: capture_method: af_packet needs sockets that the kernel refuses")


def test_ordinary_memory_of_a_running_dpdk_counts_as_free() -> None:
    running = changed(lambda f: f["machine"].update(memory_available=180 << 20))
    (told,) = problems(running, **VDEV)
    assert "of DPDK's frames do not fit" in told
    options = {"descriptors": 1024, "idle": "sleep", "huge": False, "interpolate": False, "devargs": "iface=eth1"}
    running["engine"] = {
        "ports": [{"interface": "net_af_packet0", "method": "dpdk", "queues": 3, "options": options}],
        "buffers": {"block_bytes": 1 << 20, "blocks_per_queue": 64, "hugepages": "auto"},
    }
    assert problems(running, **VDEV) == []


def test_auto_takes_what_the_controller_has_packages_for() -> None:
    config = CaptureConfig.model_validate({**DPDK, "host": "probe", "method": "auto"})
    able = changed(lambda f: f["machine"].update(user_space_drivers=["vfio-pci"], kernel_release="6.1.0"))
    able["machine"]["nics"][0].update(model="8086:1592", iommu_group=7)
    for packages, method in ((["dpdk"], "dpdk"), ([], "af_xdp")):
        plan, told = preflight_rules.judge(config, able, packages)
        assert told == []
        assert plan is not None
        assert (plan.methods, plan.choices_due) == ((method,), True)
        able["means"]["choices"] = {"version": 1, "ports": {key: dict(value) for key, value in plan.choices.items()}}
        again, _ = preflight_rules.judge(config, able, packages)
        assert again is not None
        assert (again.methods, again.choices, again.choices_due) == (plan.methods, plan.choices, False)
        able["means"]["choices"] = None


def test_the_packages_of_a_distribution_are_those_that_were_built(tmp_path: Path) -> None:
    (tmp_path / "debian-12").mkdir()
    manifest = {"format": 1, "parts": {"engine": {}, "dpdk": {}, "dpdk_packages": {}}}
    (tmp_path / "debian-12/manifest.json").write_text(json.dumps(manifest))
    assert "dpdk" in preflight_rules.packages_for("debian-12", tmp_path)
    assert preflight_rules.packages_for("debian-13", tmp_path) == frozenset()
    assert preflight_rules.packages_for("", tmp_path) == frozenset()


def test_auto_without_a_method_is_told_by_its_variable() -> None:
    refuse = dict.fromkeys(("pcap", "af_packet", "af_xdp"), "Operation not permitted")
    (told,) = problems(changed(lambda f: f["means"].update(refused=refuse)), method="auto")
    assert told.startswith("host probe: capture_method: is auto, and none can be had on eth1 as it is (")


def test_keys_of_the_planner_are_told_as_variables() -> None:
    (told,) = problems(GOOD, interfaces=[{"name": "eth1", "queues": 9}])
    assert told.startswith(
        "host probe: capture_interfaces[0].queues: is 9, and eth1 has at most 4 receive queues; write 4"
    )
    (told,) = problems(GOOD, hugepages={"per_node": {0: 9000}})
    assert told.startswith("host probe: capture_hugepages.per_node: asks for 9000 pages of 2 MiB")
    (told,) = problems(GOOD, interfaces=[{"name": "eth1", "mac": "3c:fd:fe:00:00:99"}])
    assert told.startswith(
        "host probe: capture_interfaces[0].mac: is 3c:fd:fe:00:00:99, and eth1 has 3c:fd:fe:00:00:01"
    )


def test_what_a_network_device_says_of_its_driver_is_known_where_no_nic_on_the_pci_bus_tells() -> None:
    facts = copy.deepcopy(GOOD)
    facts["network"]["drivers"]["eth0"] = "hv_netvsc"
    facts["network"]["xdp"]["eth0"] = 0x3
    found = preflight_rules.network_of(facts["network"]).named("eth0")
    assert found is not None
    assert (found.driver, found.xdp, found.pci) == ("hv_netvsc", 0x3, None)


@pytest.mark.parametrize("bus", ["usb", "vmbus", "platform"])
def test_a_nic_on_another_bus_is_not_at_the_pci_address_of_what_it_is_behind(bus: str) -> None:
    assert pci_address({"ifname": "eth1", "parentbus": bus, "parentdev": "1-2:1.0"}) is None
    assert pci_address({"ifname": "cap0"}) is None
