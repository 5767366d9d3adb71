"""A filter lets exactly those packets through that tcpdump selects from a file of the same traffic."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine import AF_PACKET, AF_XDP_COPY, DRIVERS, Driver, Engine, assert_balanced
from lab import Lab
from readers import packets
from traffic import Sent, Shape

FRAMES = 120

MIX = (
    Shape("UDP", size="64,1514,9014", flows=8),
    Shape("VLAN 5", size="66,400,9014", vlan="0xe005", flows=8),
    Shape("VLAN 6", size="128", vlan="6"),
    Shape("QinQ", size="70", vlan="5,7"),
    Shape("IPv6", size="90,1514", shape="udp6"),
    Shape("IPv6 in VLAN 5", size="110", shape="udp6", vlan="5"),
    Shape("fragments", size="300", shape="fragments", flows=4),
    Shape("runts", size="34,60", shape="raw"),
    Shape("tagged runt", size="60", shape="raw", vlan="5"),
)

EXPRESSIONS = (
    "udp src port 50003",
    "vlan 5 and udp",
    "vlan 5 and udp src port 50003",
    "not vlan",
    "vlan and vlan 7",
    "ip6",
    "less 100",
    "greater 70 and not udp",
    "ip[6:2] & 0x3fff != 0",
    "ether[12:2] = 0x88b5 or host 198.18.0.2",
)


def send_mix(lab: Lab) -> list[Sent]:
    """One lot of every kind."""
    return [lab.send(shape, stream=stream, count=FRAMES) for stream, shape in enumerate(MIX)]


@pytest.fixture(scope="module")
def unfiltered(lab: Lab, module_place: Path) -> Path:
    """A file with all of it."""
    with Engine(module_place, AF_PACKET.port(), netns=lab.netns) as engine:
        sent = send_mix(lab)
        engine.stop()
        (path,) = engine.files()
    assert len(packets(path)) == sum(one.accepted for one in sent)
    return path


CASES = [
    pytest.param(driver, expression, id=f"{driver.name}: {expression}")
    for driver in DRIVERS
    # pcap has the kernel's filter from the same program as af_packet, and both modes of af_xdp have the engine's.
    for expression in (EXPRESSIONS if driver in {AF_PACKET, AF_XDP_COPY} else EXPRESSIONS[:3])
]


@pytest.mark.parametrize(("driver", "expression"), CASES)
def test_a_filter_selects_what_tcpdump_selects(
    driver: Driver, expression: str, lab: Lab, unfiltered: Path, place: Path
) -> None:
    expected = packets(unfiltered, expression)
    assert 0 < len(expected) < FRAMES * len(MIX), "the filter is no test of anything"
    with Engine(place, driver.port(filter=expression), netns=lab.netns) as engine:
        port = engine.port_status()
        sent = send_mix(lab)
        ledger = engine.stop()
    (path,) = engine.files()
    assert packets(path) == expected

    assert_balanced(ledger)
    assert ledger.total.wire == sum(one.accepted for one in sent)
    assert ledger.total.delivered == len(expected)
    assert ledger.total.filtered == ledger.total.wire - len(expected)
    assert port["filter"] == expression
    assert port["filter_in"] == ("engine" if driver.method == "af_xdp" else "kernel"), port["degraded"]
    assert not port["degraded"]
