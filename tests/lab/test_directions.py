"""Both directions of a flow come by one queue, and stand in its file in the order in which they came."""

from __future__ import annotations

import ipaddress
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from engine import Engine, assert_nothing_lost
from lab import Lab
from methods import AF_PACKET
from readers import packets

from capstan import lab as veth

FLOWS = 64
EXCHANGES = 5
TCP, UDP, SCTP = 6, 17, 132

# Run in the sender's namespace: a frame a line in hexadecimal, in order.
_SEND = """
import socket, sys
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind((sys.argv[1], 0))
for line in sys.stdin:
    link.send(bytes.fromhex(line))
"""

_TAGS = {"plain": b"", "tagged": bytes.fromhex("8100002a"), "two tags": bytes.fromhex("88a80064810003e8")}


def frame(family: int, protocol: int, tags: bytes, flow: int, back: bool, number: int) -> bytes:
    """A frame of one direction of a flow that carries a number."""
    client, server = (
        (ipaddress.IPv4Address(f"198.18.0.{flow + 1}"), ipaddress.IPv4Address("198.19.255.1"))
        if family == 4
        else (ipaddress.IPv6Address(f"2001:db8::{flow + 1:x}"), ipaddress.IPv6Address("2001:db8:ffff::1"))
    )
    ports = (40_000 + 7 * flow, 443)
    payload = struct.pack("!I", number)
    # Ports come first in all of these; nobody checks the rest.
    segment = struct.pack("!HH", *(reversed(ports) if back else ports)) + bytes(16) + payload
    if protocol == UDP:
        segment = segment[:4] + struct.pack("!HH", len(segment), 0) + segment[8:]
    if protocol == TCP:
        segment = segment[:12] + b"\x50\x10" + segment[14:]
    addresses = (server.packed + client.packed) if back else (client.packed + server.packed)
    if family == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, protocol, 0)
        kind = b"\x08\x00"
    else:
        head = struct.pack("!IHBB", 6 << 28, len(segment), protocol, 64)
        kind = b"\x86\xdd"
    macs = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02"
    return (macs + tags + kind + head + addresses + segment).ljust(60, b"\0")


@pytest.mark.parametrize("tags", _TAGS.values(), ids=_TAGS.keys())
@pytest.mark.parametrize("protocol", [TCP, UDP, SCTP], ids=["tcp", "udp", "sctp"])
@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_both_directions_of_a_flow_are_in_one_file_in_order(
    family: int, protocol: int, tags: bytes, wide_lab: Lab, place: Path
) -> None:
    flow_of: dict[str, int] = {}
    sent: dict[int, list[str]] = {flow: [] for flow in range(FLOWS)}
    lines = []
    for number in range(EXCHANGES * 2 * FLOWS):
        flow, back = number % FLOWS, number // FLOWS % 2 == 1
        line = frame(family, protocol, tags, flow, back, number).hex()
        flow_of[line] = flow
        sent[flow].append(line)
        lines.append(line)
    command = ["nsenter", f"--net=/run/netns/{wide_lab.sender}", sys.executable, "-c", _SEND, veth.SENDER]
    with Engine(place, AF_PACKET.port(queues=wide_lab.queues), netns=wide_lab.netns) as engine:
        subprocess.run(command, input="\n".join(lines), text=True, check=True, timeout=30)
        engine.wait_for(lambda ledger: ledger.total.wire == len(lines), "all has arrived")
        assert_nothing_lost(engine.stop(), len(lines))
    homes: dict[int, set[int]] = {flow: set() for flow in range(FLOWS)}
    for index, path in enumerate(engine.files()):
        found: dict[int, list[str]] = {}
        for line in packets(path):
            found.setdefault(flow_of[line], []).append(line)
        for flow, got in found.items():
            homes[flow].add(index)
            assert got == sent[flow]
    assert all(len(home) == 1 for home in homes.values()), homes
    assert len(set.union(*homes.values())) > 1
