"""The files that the engine writes please other people's readers and tell where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pcapng
import pytest
from captures import Lot, capture
from engine import Engine, assert_balanced
from lab import Lab
from methods import AF_PACKET, Driver, each
from readers import capinfos, tcpdump, tshark
from traffic import Sent, Shape, check

from capstan.ledger import Snapshot

FRAMES = 2000
SNAPLEN = 96
FILTER = "udp or vlan or ip6"
SIZES = Shape("mixed sizes", size="64,512,1514", flows=16)


@dataclass(frozen=True)
class Run:
    """One file, and what was sent into it."""

    file: Path
    sent: list[Sent]
    ledger: Snapshot


@pytest.fixture(scope="module")
def run(lab: Lab, module_place: Path) -> Run:
    with Engine(module_place, AF_PACKET.port(filter=FILTER), netns=lab.netns) as engine:
        sent = [
            lab.send(SIZES, stream=1, count=FRAMES),
            lab.send(Shape("QinQ", size="80", vlan="0xb007,0xffff"), stream=2, count=10),
            lab.send(Shape("IPv6", size="90", shape="udp6"), stream=3, count=10),
            lab.send(Shape("runt", size="34", shape="raw"), stream=4, count=10),
        ]
        ledger = engine.stop()
    (file,) = engine.files()
    return Run(file, sent, ledger)


def test_tcpdump_reads_every_packet(run: Run) -> None:
    assert len(tcpdump(run.file)) == run.ledger.total.delivered == FRAMES + 20


def test_tshark_dissects_every_packet(run: Run) -> None:
    rows = tshark(run.file, "frame.len", "udp.dstport", "_ws.malformed")
    assert len(rows) == run.ledger.total.delivered
    assert [row[0] for row in rows[:3]] == ["64", "512", "1514"]
    assert {row[1] for row in rows} == {"9"}
    assert {row[2] for row in rows} == {""}


def test_tshark_sees_both_tags_with_all_their_bits(run: Run) -> None:
    names = ("vlan.id", "vlan.priority", "vlan.dei", "ieee8021ad.id", "ieee8021ad.priority", "ieee8021ad.dei")
    rows = [row for row in tshark(run.file, *names) if any(row)]
    assert len(rows) == 10
    # tshark 4.0 names the fields of both tags either way; 0xb007 is priority 5, DEI 1, id 7; 0xffff is all ones.
    seen = {",".join(sorted({value for field in row for value in field.split(",") if value}, key=int)) for row in rows}
    assert seen == {"1,5,7,4095"}


def test_capinfos_shows_interface_filter_snaplen_and_nanoseconds(run: Run) -> None:
    said = capinfos(run.file)
    assert said["Number of packets"] == str(run.ledger.total.delivered)
    assert said["Name"] == "cap0"
    assert said["Filter string"] == FILTER
    assert said["Capture length"] == "262144"
    assert said["Time precision"] == "nanoseconds (9)"
    assert said["Encapsulation"].startswith("Ethernet")
    assert said["Capture application"].startswith("capstan-engine ")


def test_a_file_ends_with_the_figures_of_the_ledger(run: Run) -> None:
    comment, delivered = pcapng.last_statistics(run.file)
    total = run.ledger.total
    assert delivered == total.delivered
    assert comment.startswith(
        f"capstan ledger: wire {total.wire}, delivered {total.delivered}, filtered {total.filtered}"
    )


@each()
def test_a_snap_length_cuts_packets_and_keeps_their_length(driver: Driver, lab: Lab, place: Path) -> None:
    done = capture(driver, lab, place, Lot(SIZES, FRAMES), snaplen=SNAPLEN)
    ledger = done.ledger
    assert_balanced(ledger)
    (file,) = done.files
    rows = tshark(file, "frame.len", "frame.cap_len")
    sizes = [int(size) for size in SIZES.size.split(",")]
    expected = [sizes[number % len(sizes)] for number in range(FRAMES)]
    assert rows == [[str(size), str(min(size, SNAPLEN))] for size in expected]
    assert capinfos(file)["Capture length"] == str(SNAPLEN)
    cut = sum(size > SNAPLEN for size in expected)
    assert check([file], FRAMES).cut == cut
    assert ledger.queues[0].values["cut_packets"] == cut


def test_a_filter_judges_the_whole_packet_and_the_snap_length_cuts_it_afterwards(lab: Lab, place: Path) -> None:
    port = AF_PACKET.port(snaplen=34, filter="udp dst port 9 and greater 500")
    with Engine(place, port, netns=lab.netns) as engine:
        lab.send(SIZES, count=FRAMES)
        engine.stop()
    (file,) = engine.files()
    rows = tshark(file, "frame.len", "frame.cap_len")
    assert len(rows) == FRAMES - len(range(0, FRAMES, 3))
    assert {tuple(row) for row in rows} == {("512", "34"), ("1514", "34")}
