"""What the hosts of the field have that is wrong: one clear sentence, no crash, nothing half open.

Each test makes the host so by itself, in a mount namespace of its own. Devices that vanish are in test_link.py and
test_dag.py; truncated ERF files in test_erf.py; libraries of another ABI in test_pf_ring.py and test_dag.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import programs
import pytest
from engine import Engine
from lab import Lab
from methods import AF_PACKET, AF_XDP_COPY, DAG, DPDK, LIVE, PF_RING, Driver
from test_dpdk import dpdk, left_behind, pytestmark, shared_object

SETUP_FAILED = 3
NIC = "0000:5e:00.0"
QUEUES = 8
"""Twice as many as the lab's port has."""

# Of this module, too: where the method is not built it is passed over, and its object is put beside the engine.
__all__ = ["pytestmark", "shared_object"]


def refused(place: Path, port: dict[str, Any], script: str = "", netns: str | None = None) -> str:
    """The sentence of an engine that a host refuses, made so by a script; nothing of it stays."""
    words = ("unshare", "--mount", "bash", "-ec", f'{script}\nexec "$0" "$@"') if script else ()
    engine = Engine(place, port, netns=netns)
    code, sentence = engine.refuse(*words)
    assert code == SETUP_FAILED, sentence
    assert left_behind(engine.pid) == []
    assert not engine.socket.exists() and not engine.files() and not engine.parts()
    return sentence


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("e1000e", [f"{NIC}: dpdk: is bound to driver e1000e", "bind it to vfio-pci", f"set-override {NIC} vfio-pci"]),
        ("", [f"{NIC}: dpdk: is bound to no driver", "bind it to vfio-pci"]),
    ],
    ids=["the kernel's", "none"],
)
def test_a_nic_that_is_bound_to_the_wrong_driver(driver: str, words: list[str], place: Path) -> None:
    link = f"mkdir drivers && ln -s ../drivers/{driver} {NIC}/driver" if driver else ""
    script = f"""
        mount -t tmpfs capstan-test /sys/bus/pci/devices
        cd /sys/bus/pci/devices && mkdir {NIC} && {link or "true"}
        cd {place}
    """
    sentence = refused(place, dpdk().port(NIC), script)
    for word in words:
        assert word in sentence, sentence


def test_a_host_without_free_hugepages(place: Path) -> None:
    script = """
        mount -t tmpfs capstan-test /sys/kernel/mm/hugepages
        mkdir /sys/kernel/mm/hugepages/hugepages-2048kB
        echo 0 >/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages
    """
    sentence = refused(place, dpdk(huge=True).port("net_null0"), script)
    assert sentence.startswith("net_null0: dpdk: no hugepage is free on this host")
    assert "vm.nr_hugepages" in sentence and "huge: false" in sentence


def test_an_eal_that_finds_no_cpu(place: Path) -> None:
    sentence = refused(place, dpdk().port("net_null0"), "mount -t tmpfs capstan-test /sys/devices/system/cpu")
    assert sentence.startswith("dpdk: EAL cannot be initialised: "), sentence


def test_an_eal_without_the_memory_that_the_ports_need(place: Path) -> None:
    code, sentence = Engine(place, dpdk(descriptors=32768).port("net_null0", 8)).refuse("prlimit", f"--as={1 << 30}")
    assert code == SETUP_FAILED
    assert sentence.startswith("dpdk: EAL cannot be initialised: ") and "memory" in sentence, sentence
    assert "reserve more hugepages, or lower queues and descriptors" in sentence


MORE = [
    (AF_XDP_COPY, {}, f"cap0: af_xdp: has 4 receive queues and {QUEUES} were asked for"),
    (DPDK, {"devargs": "iface=cap0,qpairs=4"}, f"has 4 receive queues at most (net_af_packet), and {QUEUES} were"),
    (PF_RING, {}, f"cap0: pf_ring: has 4 receive channels, and {QUEUES} queues were asked for: write queues 4"),
    (DAG, {}, f"the card has 4 receive streams with memory for {QUEUES} queues"),
]


@pytest.mark.parametrize(
    ("driver", "options", "told"), [row for row in MORE if row[0] in LIVE], ids=[row[0].name for row in MORE]
)
def test_more_queues_than_the_port_has(
    driver: Driver, options: dict[str, str], told: str, wide_lab: Lab, place: Path
) -> None:
    port = driver.port(queues=QUEUES, options=options)
    sentence = refused(place, port, netns=wide_lab.netns)
    assert told in sentence and "write" in sentence, sentence
    assert wide_lab.promiscuity() == 0


def test_more_queues_than_the_port_has_are_none_where_the_kernel_spreads(wide_lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port(queues=QUEUES), netns=wide_lab.netns) as engine:
        assert engine.port_status()["degraded"] == []
        assert len(engine.stop().queues) == QUEUES


def test_an_object_of_another_engine(place: Path) -> None:
    """A driver that was left from another release is not loaded."""
    alone = place / "capstan-engine"
    alone.write_bytes(programs.engine().read_bytes())
    alone.chmod(0o755)
    programs.run("cc", "-shared", "-o", place / "source_dag.so", "-x", "c", "/dev/null")
    said = programs.run(alone, "--methods").stdout
    assert "is of another build than this engine" in said and "install capstan-engine-dag" in said
