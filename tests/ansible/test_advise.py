"""playbooks/advise.yml: a table for the fleet, with every host in it, and nothing changed anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.capstan.appliance.plugins.filter.advice_documents import advice_documents
from sysfs.kernel import Kernel
from sysfs.tree import Tree, build, write

from capstan.advise import METHODS
from capstan.advise_report import fleet_table, report
from capstan.config import CaptureConfig
from capstan.links import Link, Network
from capstan.machine import Machine
from capstan.machine_read import is_wireless, nic_queues, read_machine
from capstan.means import Means
from conftest import CHECKOUT, Run, play, write_inventory

NETNS = f"capstan-advise-{os.getpid()}"
LOCAL = {"ansible_connection": "local"}
HOSTS: dict[str, dict[str, Any]] = {
    "lab": {
        **LOCAL,
        "capture_netns": NETNS,
        "capture_method": "auto",
        "capture_interfaces": [{"name": "cap0", "expected_pps": 200_000}],
    },
    "new": {**LOCAL},
    "explicit": {**LOCAL, "capture_netns": NETNS, "capture_method": "pcap", "capture_interfaces": [{"name": "cap0"}]},
    "labless": {**LOCAL, "capture_netns": "nowhere", "capture_lab": True, "capture_interfaces": [{"name": "cap0"}]},
    "nowhere": {**LOCAL, "capture_netns": "nowhere", "capture_interfaces": [{"name": "cap0"}]},
    "mistaken": {**LOCAL, "capture_interfaces": [{"name": "cap0"}], "capture_metod": "auto"},
    "away": {"ansible_host": "127.0.0.1", "ansible_port": 1, "capture_interfaces": [{"name": "eth1"}]},
    "broken": {**LOCAL, "ansible_python_interpreter": "/nowhere/python", "capture_interfaces": [{"name": "eth1"}]},
}


@pytest.fixture(scope="module")
def namespace(needs_root: None) -> Iterator[None]:
    subprocess.run(["/bin/ip", "netns", "add", NETNS], check=True)
    try:
        pair = ["link", "add", "cap0", "type", "veth", "peer", "name", "wire0"]
        subprocess.run(["/bin/ip", "-netns", NETNS, *pair], check=True)
        yield
    finally:
        subprocess.run(["/bin/ip", "netns", "delete", NETNS], check=True)


@pytest.fixture(scope="module")
def fleet(namespace: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("fleet")
    file = folder / "advice.json"
    hosts = {host: {"ansible_python_interpreter": sys.executable, **variables} for host, variables in HOSTS.items()}
    run = play("advise", write_inventory(folder, hosts), "-e", f"advise_file={file}")
    return run, {document["host"]: document for document in json.loads(file.read_text(encoding="utf-8"))}


def test_every_host_is_in_the_table_and_no_host_is_changed(fleet: tuple[Run, dict[str, Any]]) -> None:
    run, documents = fleet
    assert run.rc == 0, run.output
    assert sorted(documents) == sorted(HOSTS)
    assert run.count("changed") == 1  # the file of the advice
    told = run.output.replace("\\n", "\n").replace('\\"', '"')
    for line in fleet_table(documents.values()):
        assert line.strip() in told


def test_ports_have_all_methods_whatever_their_own(fleet: tuple[Run, dict[str, Any]]) -> None:
    _, documents = fleet
    for host, asked in (("lab", "auto"), ("explicit", "pcap")):
        (port,) = documents[host]["ports"]
        assert (port["port"], port["driver"], port["asked"]) == ("cap0", "veth", asked)
        assert {candidate["method"] for candidate in port["candidates"]} == set(METHODS)
        assert port["chosen"]
    assert documents["lab"]["ports"][0]["chosen"] == "af_packet"


def test_a_host_without_settings_has_its_nics_judged(fleet: tuple[Run, dict[str, Any]]) -> None:
    _, documents = fleet
    nics = read_machine().nics
    assert [port["pci"] for port in documents["new"]["ports"] if port["pci"]] == [nic.pci for nic in nics]
    assert all(port["asked"] is None for port in documents["new"]["ports"])


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("labless", "its lab is not there yet; playbooks/deploy.yml makes it"),
        ("nowhere", "capture_netns: the network namespace nowhere does not exist; make it with `ip netns add nowhere`"),
        ("mistaken", "capture_metod: is not a setting (did you mean 'capture_method'?)"),
        ("away", "unreachable: "),
        ("broken", "/nowhere/python"),
    ],
)
def test_a_host_without_advice_is_listed_with_the_reason(
    fleet: tuple[Run, dict[str, Any]], host: str, told: str
) -> None:
    run, documents = fleet
    assert told in documents[host]["problem"]
    assert f"{host}: " in run.output


def test_check_mode_is_clean_and_writes_no_file(namespace: None, tmp_path: Path) -> None:
    file = tmp_path / "advice.json"
    inventory = write_inventory(tmp_path, {"lab": HOSTS["lab"]})
    run = play("advise", inventory, "--check", "-e", f"advise_file={file}")
    assert (run.rc, file.exists()) == (0, False), run.output
    assert "lab   cap0" in run.output


def test_the_inventory_of_this_machine_is_advised(needs_root: None) -> None:
    run = play("advise", CHECKOUT / "inventory/local")
    assert (run.rc, run.count("changed")) == (0, 0), run.output
    assert "local: its lab is not there yet" in run.output or "local  cap0" in run.output


def test_a_host_that_nobody_asked_says_so() -> None:
    found = advice_documents(["one", "two"], {"one": {}, "two": {"advised": {"unreachable": True, "msg": "no\nroute"}}})
    assert [document["problem"] for document in found] == ["nobody asked it", "unreachable: no route"]


# Machines as their sysfs shows them, with what DPDK and XDP make of each family of NICs.
FAMILIES = {
    "ixgbe": ("af_xdp zero-copy", "dpdk"),
    "i40e": ("af_xdp zero-copy", "dpdk"),
    "ice": ("af_xdp zero-copy", "dpdk"),
    "igb": ("af_xdp copy", "dpdk"),
    "e1000e": ("af_xdp generic", "dpdk"),
    "mlx5": ("af_xdp zero-copy", "dpdk"),
    "bnxt_en": ("af_xdp copy", "dpdk"),
    "ena": ("af_xdp copy",),  # the machine has no IOMMU
    "virtio": ("af_xdp copy", "dpdk"),
    "vmxnet3": ("af_xdp generic", "dpdk"),
}


# What is not a whole NIC on the PCI bus, or is told of by its kernel: port, what `auto` takes, sentences of the text.
PECULIAR: dict[str, tuple[tuple[str, str | None, str], ...]] = {
    "ixgbevf": (
        ("enp6s0", "af_packet", "gets its own frames alone until its host trusts it"),
        ("enp6s0", "af_packet", "ixgbevf has native XDP without XDP_REDIRECT"),
    ),
    "hyperv": (
        ("eth0", "af_xdp", "hv_netvsc has native XDP, without zero-copy (by the drivers' histories)"),
        ("enP30832s1", None, "is bound to eth0 by the Hyper-V host"),
    ),
    "virtio_mmio": (("eth0", "af_xdp", "virtio_net has native XDP, without zero-copy (the kernel says)"),),
    "usb": (("enx00e04c680001", "af_packet", "r8152 has no native XDP with XDP_REDIRECT here (the kernel says)"),),
    "wifi": (
        ("wlp2s0", None, "gets what this station sends and receives, and nobody else's frames"),
        ("wlp2s0", None, "of 1 Gbit/s assumed for a WiFi"),
    ),
    "told": (("ens5f0np0", "af_xdp", "i40e has native XDP and zero-copy (the kernel says)"),),
}


def recorded(folder: Path, family: str) -> tuple[Machine, Network]:
    """A machine of 16 CPUs and 32 GiB with NICs of that family."""
    tree = build(folder, family)
    write(tree.sys("devices/system/cpu/online"), "0-15")
    write(tree.root / "proc/meminfo", "MemTotal: 33554432 kB\nMemFree: 30000000 kB\nMemAvailable: 31000000 kB")
    write(tree.sys("kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"), "0")
    write(tree.root / "proc/sys/kernel/osrelease", tree.release)
    write(tree.root / f"lib/modules/{tree.release}/modules.dep", "kernel/drivers/vfio/pci/vfio-pci.ko:")
    kernel = Kernel(tree)
    machine = read_machine(
        tree.root / "sys",
        tree.root / "proc",
        tree.root / "var/lib/capstan-host",
        lambda name: nic_queues(name, kernel, tree.root / "sys"),
        tree.root / "lib/modules",
    )
    told = {device.address: interface.xdp for device in tree.devices.values() for interface in device.interfaces}
    machine = replace(machine, nics=tuple(replace(nic, xdp=told.get(nic.pci)) for nic in machine.nics))
    return machine, network(tree, kernel)


def network(tree: Tree, kernel: Kernel) -> Network:
    """Its interfaces, as netlink and ethtool tell them."""
    here = [(device.address, device.driver, it) for device in tree.devices.values() for it in device.interfaces]
    here += [(None, other.driver, it) for other in tree.elsewhere for it in other.interfaces]
    indexes = {interface.name: at + 2 for at, (_, _, interface) in enumerate(here)}
    return Network(
        tuple(
            Link(
                interface.name,
                indexes[interface.name],
                pci=pci,
                driver=driver,
                xdp=interface.xdp,
                wireless=is_wireless(interface.name, tree.root / "sys"),
                master=indexes.get(interface.master or ""),
                channels=kernel.channels(interface.name) if pci else None,
                rx_queues=interface.queues,
            )
            for pci, driver, interface in here
        )
    )


def judged(root: Path, family: str) -> tuple[dict[str, Any], Network]:
    """The report of a recorded machine, which can be told as JSON, and its network devices."""
    machine, network = recorded(root, family)
    config = CaptureConfig.model_validate({"host": family, "method": "auto", "interfaces": [{"name": "any"}]})
    found = report(config, machine, network, Means(distribution="debian-12"), whole=True)
    json.dumps(found)
    return found, network


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_machines_are_judged_by_what_their_nics_are(tmp_path: Path, family: str) -> None:
    found, network = judged(tmp_path, family)
    assert len(found["ports"]) == len(network.links)
    assert max(map(len, (*found["text"], *fleet_table([found])))) <= 92
    for port in found["ports"]:
        known = {f"{c['method']} {c['mode']}".strip(): c for c in port["candidates"] if c["verdict"] != "impossible"}
        # Cards whose virtual functions others use are not for native XDP.
        expected = [name for name in FAMILIES[family] if not (name.startswith("af_xdp") and name not in known)]
        assert set(expected) <= set(known), (port["port"], sorted(known))
        assert port["chosen"] in {c["method"] for c in known.values()}
        assert all(c["reason"] for c in port["candidates"])
    assert {*FAMILIES, *PECULIAR} == {path.stem for path in (Path(__file__).parent / "sysfs/nics").glob("*.txt")}


@pytest.mark.parametrize("family", PECULIAR)
def test_what_is_no_whole_nic_on_the_pci_bus_is_judged_sensibly(tmp_path: Path, family: str) -> None:
    found, network = judged(tmp_path, family)
    ports = {port["port"]: port for port in found["ports"]}
    assert sorted(ports) == sorted(link.name for link in network.links)
    text = " ".join(" ".join(found["text"]).split())
    for name, chosen, sentence in PECULIAR[family]:
        assert ports[name]["chosen"] == chosen, [(c["method"], c["reason"]) for c in ports[name]["candidates"]]
        assert sentence in text, text
    assert "no driver" not in text
    assert fleet_table([found])
