"""Every reader of capture files that Debian has takes ours: each packet with its bytes, length and time."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pcapng
import programs
import pytest
from captures import Lot, capture
from engine import Engine, assert_nothing_lost
from file_readers import READERS, Packet, Reader, coarse
from lab import Lab
from methods import AF_PACKET
from readers import capinfos, tshark
from test_replay import from_file
from traffic import Shape, assert_all_there

from capstan import lab as veth

FRAMES = 600
LOST = 4321
SNAPLEN = 700
_COMMENT, _DROP_COUNT = 1, 4
LOTS = (
    Lot(Shape("mixed sizes", size="64,512,1514", flows=16), FRAMES, 1),
    Lot(Shape("VLAN", size="68,900", vlan="0xf064"), FRAMES, 2),
    Lot(Shape("QinQ", size="90", vlan="0xb007,0xffff"), FRAMES, 3),
    Lot(Shape("IPv6", size="90,1514", shape="udp6"), FRAMES, 4),
    Lot(Shape("runt", size="34", shape="raw"), FRAMES, 5),
)


@dataclass(frozen=True)
class Made:
    """A file of the engine's, and what its own blocks say."""

    path: Path
    packets: list[Packet]
    comments: list[str]
    drop_counts: list[int]
    statistics: int
    """How many statistics blocks it has."""


def made(path: Path) -> Made:
    """Take a file apart without anybody's reader."""
    packets, comments, drops, statistics = [], [], [], 0
    for block in pcapng.blocks(path):
        statistics += block.type == pcapng.STATISTICS
        if block.type == pcapng.PACKET:
            _, high, low, present, length = struct.unpack_from("<5I", block.body)
            options = block.options(20 + (present + 3) // 4 * 4)
            packets.append(Packet(high << 32 | low, length, present))
            comments.append(options.get(_COMMENT, b"").decode())
            drops.append(struct.unpack("<Q", options.get(_DROP_COUNT, b"\0" * 8))[0])
    return Made(path, packets, comments, drops, statistics)


def taped(workspace: Path) -> Made:
    """Two tags, comments, losses told with packets: what only records of a card bring together."""
    place = workspace / "readers-taped"
    place.mkdir()
    words = ("--size", "90,512,1514", "--flows", 16, "--vlan", "0xb007,0xffff", "--rate", 699_999_953)
    look = ("--erf-types", "eth,color_eth", "--erf-interfaces", 4, "--erf-lost", f"{LOST}:99")
    programs.generate("write", place / "in.erf", "--count", FRAMES, *words, *look)
    engine = Engine(place, from_file(place / "in.erf"))
    engine.launch()
    try:
        assert engine.wait() == 0
    finally:
        engine.end()
    (path,) = engine.files()
    return made(path)


@pytest.fixture(scope="module", params=["taped", "live"])
def file(request: pytest.FixtureRequest, lab: Lab, workspace: Path) -> Made:
    """A file of each kind: one with all that blocks can tell, and one from a link, with packets cut."""
    if request.param == "taped":
        return taped(workspace)
    place = workspace / "readers-live"
    place.mkdir()
    done = capture(AF_PACKET, lab, place, *LOTS, snaplen=SNAPLEN)
    (path,) = done.files
    found = made(path)
    assert len(found.packets) == done.accepted == len(LOTS) * FRAMES
    assert sum(packet.length for packet in found.packets) == done.ledger.total.delivered_bytes
    assert any(packet.present < packet.length for packet in found.packets)
    return found


def test_the_files_have_what_readers_may_stumble_over(file: Made) -> None:
    assert file.statistics >= 2
    if "readers-live" in str(file.path):
        assert file.comments == [""] * len(file.packets)
        return
    # Each 99th record tells of losses, and of these every second one is coloured, which cannot.
    assert sum(file.drop_counts) == LOST * (FRAMES // 99 // 2)
    assert sum(comment.startswith("erf: ") for comment in file.comments) > FRAMES // 2
    assert len({packet.time % 1000 for packet in file.packets}) > FRAMES // 2, "times finer than a microsecond"


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_every_packet_is_read_with_its_length_and_time(reader: Reader, file: Made, place: Path) -> None:
    assert reader.read(file.path, place) == coarse(file.packets, reader.unit)


def test_capinfos_counts_packets_and_bytes(file: Made) -> None:
    said = capinfos(file.path)
    assert said["Number of packets"] == str(len(file.packets))
    # Bytes on the wire, whatever was cut.
    assert said["Data size"] == f"{sum(packet.length for packet in file.packets)} bytes"
    assert said["Number of stat entries"] == str(file.statistics)
    assert said["Time precision"] == "nanoseconds (9)"


def test_wireshark_shows_comments_and_copies_them_with_loss_counts(file: Made, place: Path) -> None:
    assert [row[0] if row else "" for row in tshark(file.path, "frame.comment")] == file.comments
    programs.run("editcap", "-F", "pcapng", file.path, place / "copy.pcapng")
    copy = made(place / "copy.pcapng")
    assert (copy.comments, copy.drop_counts) == (file.comments, file.drop_counts)


def test_libtraces_tools_agree_on_packets_and_bytes(file: Made) -> None:
    count = len(file.packets)
    said = programs.run("tracestats", f"pcap:{file.path}").stdout
    # It counts a check sequence of 4 bytes for each Ethernet frame.
    (total,) = re.findall(r"Total:\s+(\d+)\s+(\d+)", said)
    assert tuple(map(int, total)) == (count, sum(packet.length + 4 for packet in file.packets))
    dumped = programs.run("tracepktdump", f"pcap:{file.path}").stdout
    lengths = [tuple(map(int, pair)) for pair in re.findall(r"Packet Length: (\d+)/(\d+)", dumped)]
    assert lengths == [(packet.present, packet.length + 4) for packet in file.packets]


def test_libtrace_of_debian_12_reads_them_by_libpcap_alone(file: Made) -> None:
    """docs/libtrace.md tells readers to write `pcap:` before the file's name: that release guesses and parses none."""
    for uri, answer in ((f"pcapfile:{file.path}", "Not a pcap tracefile"), (file.path, "Unable to guess format")):
        done = programs.run("tracestats", uri, check=False)
        assert answer in done.stdout + done.stderr


@pytest.fixture
def replay_lab() -> Iterator[Lab]:
    """A link of its own: what is replayed has numbers that other tests use."""
    lab = Lab(1, "reader")
    lab.up()
    yield lab
    lab.down()


def test_tcpreplay_sends_a_file_and_what_it_sent_is_captured_again(replay_lab: Lab, workspace: Path) -> None:
    place = workspace / "tcpreplay"
    place.mkdir()
    first = capture(AF_PACKET, replay_lab, place, *LOTS[:3])
    (source,) = first.files
    again = place / "again"
    again.mkdir()
    with Engine(again, AF_PACKET.port(), netns=replay_lab.netns) as engine:
        words = ("tcpreplay", "--intf1", veth.SENDER, "--pps", "20000", source)
        said = programs.run("nsenter", f"--net=/run/netns/{replay_lab.sender}", *words).stdout
        engine.wait_for(lambda ledger: ledger.total.wire >= first.accepted, "everything has arrived")
        ledger = engine.stop()
    size = sum(packet.length for packet in made(source).packets)
    assert f"Actual: {first.accepted} packets ({size} bytes) sent" in said
    assert_nothing_lost(ledger, first.accepted)
    (copy,) = engine.files()
    assert [packet[1:] for packet in made(copy).packets] == [packet[1:] for packet in made(source).packets]
    for sent in first.sent:
        assert_all_there([copy], sent)
