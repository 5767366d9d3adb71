"""ERF files: what comes out of a replay is what tshark, which reads ERF by its own code, says went in."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import programs
import pytest
from engine import Engine, assert_balanced, assert_nothing_lost
from pcapng import PACKET, blocks
from readers import capinfos, packets, tshark
from test_replay import EXIT_FAILED, Replayed, from_file, replay, write
from traffic import check

FRAMES = 3000
FCS = 4
ETHERNET_TYPES = ("eth", "color_eth", "dsm_color_eth", "color_hash_eth")
# A prime, so that no two of the first packets' times end in the same digits: steps of a nanosecond and more.
UNEVEN = ("--rate", 699_999_953)
_INTERFACE, _DROP_COUNT, _IF_FCSLEN = 1, 4, 13
_FRAME = ("frame.time_epoch", "eth.dst", "eth.src", "ip.src", "ip.dst", "udp.srcport", "udp.length", "data.data")


def replayed(place: Path, source: Path, **options: Any) -> Replayed:
    """Replay a file that must end well."""
    done = replay(place, from_file(source, **options))
    assert done.code == 0, done.engine.log_text()
    return done


def options_of(path: Path, kind: int, fixed: int) -> list[dict[int, bytes]]:
    """The options of each block of a type, which has so many bytes before them."""
    return [block.options(fixed) for block in blocks(path) if block.type == kind]


def packet_options(path: Path) -> list[dict[int, bytes]]:
    """The options of each packet."""
    found = []
    for block in blocks(path):
        if block.type == PACKET:
            (captured,) = struct.unpack_from("<I", block.body, 12)
            found.append(block.options(20 + (captured + 3) // 4 * 4))
    return found


@pytest.mark.parametrize(
    ("kind", "extensions"), [*((kind, count) for kind in ETHERNET_TYPES for count in (0, 3)), ("eth", 1), ("eth", 40)]
)
def test_records_of_every_type_come_out_as_tshark_reads_them(kind: str, extensions: int, place: Path) -> None:
    source = write(place / "in.erf", "--erf-types", kind, "--erf-extensions", extensions, *UNEVEN, count=FRAMES)
    done = replayed(place, source)
    assert_nothing_lost(done.ledger, FRAMES)
    (out,) = done.engine.files()
    assert tshark(out, *_FRAME) == tshark(source, *_FRAME)
    lengths = [int(row[0]) for row in tshark(source, "frame.len")]
    assert [int(row[0]) for row in tshark(out, "frame.len")] == [length - FCS for length in lengths]
    assert check([out], FRAMES).complete and check([source], FRAMES).complete
    counters = done.ledger.queues[0].values
    assert counters["cut_packets"] == counters["short_packets"] == 0


# Wireshark's tools write ERF as well, but those of Debian 12 refuse every packet.
def libtrace(source: str, out: Path) -> Path:
    """An ERF file that libtrace makes of another trace."""
    programs.run("tracesplit", "-Z", "none", source, f"erf:{out}")
    return out


@pytest.mark.parametrize("kind", ["eth", "dsm_color_eth"])  # of these types, Debian's libtrace knows two
def test_records_that_libtrace_wrote_come_out_as_tshark_reads_them(kind: str, place: Path) -> None:
    ours = write(place / "in.erf", "--erf-types", kind, *UNEVEN, count=FRAMES)
    source = libtrace(f"erf:{ours}", place / "libtrace.erf")
    done = replayed(place, source)
    assert_nothing_lost(done.ledger, FRAMES)
    (out,) = done.engine.files()
    assert tshark(out, *_FRAME) == tshark(source, *_FRAME) == tshark(ours, *_FRAME)
    assert check([out], FRAMES).complete


def test_frames_of_a_pcap_file_that_libtrace_made_an_erf_file_of_are_whole(place: Path) -> None:
    """Its records count a check sequence that the file had not: they are four bytes short, and nothing is missing."""
    pcap = write(place / "in.pcap", *UNEVEN, count=FRAMES)
    source = libtrace(f"pcapfile:{pcap}", place / "libtrace.erf")
    wire, kept = zip(*((int(row[0]), int(row[1])) for row in tshark(source, "frame.len", "frame.cap_len")), strict=True)
    assert [length - FCS for length in wire] == list(kept)
    done = replayed(place, source)
    assert_nothing_lost(done.ledger, FRAMES)
    (out,) = done.engine.files()
    assert tshark(out, *_FRAME, "frame.len", "frame.cap_len") == tshark(pcap, *_FRAME, "frame.len", "frame.cap_len")
    assert check([out], FRAMES).complete
    assert done.ledger.queues[0].values["cut_packets"] == done.ledger.queues[0].values["short_packets"] == 0


def test_times_are_exact_to_the_nanosecond(place: Path) -> None:
    source = write(place / "in.erf", "--rate", 1_000_000_000, count=FRAMES)
    (out,) = replayed(place, source).engine.files()
    times = [row[0] for row in tshark(out, "frame.time_epoch")]
    assert times == [f"1767225600.{nanosecond:09d}" for nanosecond in range(FRAMES)]
    assert times == [row[0] for row in tshark(source, "frame.time_epoch")]


def test_colour_port_and_flags_are_each_packets_comment(place: Path) -> None:
    look = ("--erf-types", "eth,color_eth", "--erf-interfaces", 4, "--erf-colour", "0xbeef", "--erf-flags", "0x38:5")
    source = write(place / "in.erf", *look, count=200)
    (out,) = replayed(place, source).engine.files()
    expected = []
    fields = ("erf.flags.cap", "erf.color", "erf.flags.rxe", "erf.flags.dse", "erf.flags.trunc")
    for interface, colour, *flags in tshark(source, *fields):
        told = [f"interface {interface}"] if interface != "0" else []
        told += [f"colour {colour}"] if colour else []
        words = ("rx error", "ds error", "truncated")
        told += [word for word, flag in zip(words, flags, strict=True) if flag == "1"]
        expected.append(f"erf: {', '.join(told)}" if told else "")
    assert [row[0] if row else "" for row in tshark(out, "frame.comment")] == expected
    assert len(set(expected)) > 100 and expected[0] == "" and expected[4] == "erf: rx error, ds error, truncated"
    # The third bit of the port's number, which this tshark does not know yet.
    source = write(place / "ports.erf", "--erf-interfaces", 8, count=8)
    other = place / "other"
    other.mkdir()
    (out,) = replayed(other, source).engine.files()
    assert [row[0] for row in tshark(out, "frame.comment")][1:] == [f"erf: interface {port}" for port in range(1, 8)]


def test_what_the_card_lost_stands_in_the_file_and_in_the_log(place: Path) -> None:
    source = write(place / "in.erf", "--erf-lost", "65535:1000", count=FRAMES)
    done = replayed(place, source)
    assert_nothing_lost(done.ledger, FRAMES)
    (out,) = done.engine.files()
    lost = [struct.unpack("<Q", options.get(_DROP_COUNT, b"\0" * 8))[0] for options in packet_options(out)]
    assert {index: count for index, count in enumerate(lost) if count} == {999: 65535, 1999: 65535, 2999: 65535}
    assert [int(row[0]) for row in tshark(source, "erf.lctr")] == lost
    assert done.ledger.devices["tape"].lost == {"lost_before_records": 3 * 65535, "lost_counter_full": 3}
    (record,) = done.engine.log("lost_before_replay")
    assert f"at least {3 * 65535} packets" in record["message"], record


def test_records_that_are_no_ethernet_frames_are_counted_by_name(place: Path) -> None:
    kinds = "eth,hdlc_pos,pad,color_eth,meta,ipv4,31,color_hash_pos"
    source = write(place / "in.erf", "--erf-types", kinds, "--erf-extensions", 2, count=FRAMES)
    done = replayed(place, source)
    assert_balanced(done.ledger)
    # Each round has two frames; of the last one, nothing behind the second is written.
    rounds = FRAMES // 2
    others = 4 * rounds - 3
    assert done.ledger.total.delivered == FRAMES
    assert done.ledger.total.drops["other_link"] == done.ledger.total.dropped == others
    assert done.ledger.total.wire == FRAMES + others
    (out,) = done.engine.files()
    assert check([out], FRAMES).complete
    told = [record["message"] for record in done.engine.log("other_link")]
    for name in ("TYPE_HDLC_POS", "TYPE_IPV4", "type 31", "TYPE_COLOR_HASH_POS"):
        assert len([sentence for sentence in told if name in sentence]) == 1, told
    assert len(told) == 4
    device = done.ledger.devices["tape"].counted
    assert device["TYPE_PAD"] == device["TYPE_HDLC_POS"] == rounds
    assert device["TYPE_META"] == device["TYPE_IPV4"] == device["type 31"] == rounds - 1
    assert device["TYPE_ETH"] == device["TYPE_COLOR_ETH"] == rounds


def test_a_file_is_known_by_its_content_whatever_its_name(place: Path) -> None:
    source = write(place / "in.erf", count=100).rename(place / "capture")
    assert_nothing_lost(replayed(place, source).ledger, 100)
    other = place / "other"
    other.mkdir()
    source = write(place / "in.pcapng", count=100).rename(place / "misnamed.erf")
    assert_nothing_lost(replayed(other, source).ledger, 100)


def test_types_that_nobody_documented_may_be_among_the_first_records(place: Path) -> None:
    source = write(place / "in.erf", "--erf-types", "eth,eth,31,eth", count=100).rename(place / "capture")
    done = replayed(place, source)
    assert_balanced(done.ledger)
    assert done.ledger.total.delivered == 100 and done.ledger.total.drops["other_link"] == 33


@pytest.mark.parametrize(
    ("damage", "whole"),
    [(["--truncate-last"], FRAMES - 1), (["--garbage-length", 2000], 2000)],
    ids=["truncated", "corrupt in the middle"],
)
def test_the_records_before_the_damage_are_delivered(damage: list[object], whole: int, place: Path) -> None:
    source = write(place / "in.erf", *damage, count=FRAMES)
    done = replay(place, from_file(source))
    assert done.code == EXIT_FAILED and done.ledger.state == "failed"
    assert_nothing_lost(done.ledger, whole)
    assert check(done.engine.files(), whole).complete
    (record,) = done.engine.log("replay_failed")
    assert f"{source}" in record["message"] and f"after {whole} packets" in record["message"]
    assert "cut short" in record["message"] and done.engine.last_error()


@pytest.mark.parametrize("first", [False, True], ids=["in the middle", "at the beginning"])
def test_records_that_contradict_themselves_are_counted_and_passed_over(first: bool, place: Path) -> None:
    whole = write(place / "whole.erf", count=100).read_bytes()
    stamp = whole[:8]
    no_room = stamp + struct.pack(">BBHHH", 2, 4, 17, 7, 64) + b"x"
    endless = stamp + struct.pack(">BBHHH", 0x82, 4, 24, 0, 64) + b"\x90" + bytes(7)
    source = place / "in.erf"
    source.write_bytes((b"" if first else whole) + no_room + endless * 2 + whole)
    done = replayed(place, source, loops=2)
    delivered = 2 * (100 if first else 200)
    assert_balanced(done.ledger)
    assert done.ledger.total.delivered == delivered
    assert done.ledger.total.drops["invalid"] == done.ledger.total.dropped == 6
    assert done.ledger.total.wire == delivered + 6
    assert done.ledger.devices["tape"].lost == {"record_errors": 6, "lost_before_records": 14}
    found = check(done.engine.files(), 100)
    assert (found.distinct, found.damaged) == (100, 0)
    (told,) = done.engine.log("damaged_record")
    assert f"{source}: an Ethernet record of 17 bytes" in told["message"] and "invalid" in told["message"]


@pytest.mark.parametrize("left", [1, 15, 16, 40])
def test_a_file_that_is_cut_within_its_first_record_is_told(left: int, place: Path) -> None:
    source = write(place / "in.erf", count=1)
    source.write_bytes(source.read_bytes()[:left])
    done = replay(place, from_file(source))
    assert done.code == EXIT_FAILED
    assert_nothing_lost(done.ledger, 0)
    (record,) = done.engine.log("replay_failed")
    assert f"it ends after {left} of" in record["message"]


def test_a_file_without_a_record_ends_well(place: Path) -> None:
    source = place / "in.erf"
    source.touch()
    done = replayed(place, source)
    assert_nothing_lost(done.ledger, 0)
    assert not done.engine.files()


@pytest.mark.parametrize(
    "content", [b"\0" * 4096, b"Dear diary, today I captured nothing.\n" * 9], ids=["zeros", "text"]
)
def test_what_is_no_erf_but_in_name_is_refused(content: bytes, place: Path) -> None:
    source = place / "in.erf"
    source.write_bytes(content)
    code, sentence = Engine(place, from_file(source)).refuse()
    assert code == 3
    assert sentence.startswith(f"tape: replay: {source}: "), sentence


def test_the_check_sequence_stays_where_it_is_wanted(place: Path) -> None:
    source = write(place / "in.erf", count=100)
    (out,) = replayed(place, source, fcs="keep").engine.files()
    assert check([source], 100).complete
    assert [row[0] for row in tshark(out, "frame.len")] == [row[0] for row in tshark(source, "frame.len")]
    # The file says that it is there, and so readers judge it: good.
    (interface,) = options_of(out, _INTERFACE, 8)
    assert interface[_IF_FCSLEN] == bytes([FCS])
    assert {row[0] for row in tshark(out, "eth.fcs.status")} <= {"1", "2"}


def test_frames_that_came_without_check_sequence_lose_nothing(place: Path) -> None:
    source = write(place / "in.erf", "--erf-no-fcs", count=100)
    done = replayed(place, source, fcs="none")
    (out,) = done.engine.files()
    assert check([out], 100).complete
    (interface,) = options_of(out, _INTERFACE, 8)
    assert _IF_FCSLEN not in interface


def test_frames_that_the_card_cut_keep_their_length(place: Path) -> None:
    source = write(place / "in.erf", "--snap", 60, count=100)
    done = replayed(place, source)
    (out,) = done.engine.files()
    assert [int(row[0]) for row in tshark(out, "frame.len")] == [
        int(row[0]) - FCS for row in tshark(source, "frame.len")
    ]
    assert {row[0] for row in tshark(out, "frame.cap_len")} == {"60"}
    assert check([out], 100).cut == 100
    assert done.ledger.queues[0].values["short_packets"] == 100


def test_a_filter_applies_to_an_erf_file(place: Path) -> None:
    same = ("--erf-types", "eth,color_eth", *UNEVEN)
    source = write(place / "in.erf", *same, count=FRAMES)
    expression = "udp src port 50003 and greater 500"
    done = replay(place, {**from_file(source), "filter": expression})
    expected = packets(write(place / "same.pcap", *UNEVEN, count=FRAMES), expression)
    assert done.code == 0
    assert_balanced(done.ledger)
    assert done.ledger.total.delivered == len(expected) > 0
    assert packets(done.engine.files()[0]) == expected


def test_the_recorded_pace_of_an_erf_file_is_not_exceeded(place: Path) -> None:
    source = write(place / "in.erf", "--rate", 200, "--erf-types", "color_eth", count=101)
    done = replayed(place, source, pace="recorded")
    assert done.seconds >= 0.5
    assert_nothing_lost(done.ledger, 101)
    (out,) = done.engine.files()
    assert [row[0] for row in tshark(out, "frame.comment")][:2] == ["erf: colour 0x0001", "erf: colour 0x0002"]
    assert capinfos(out)["Number of packets"] == "101"


def test_the_generator_says_what_it_cannot_write(place: Path) -> None:
    for words, remedy in (
        (("--erf-types", "pad"), "at least one Ethernet type"),
        (("--erf-types", "eth,ethernet"), "'ethernet' is"),
        (("--erf-interfaces", 9), "8"),
        (("--erf-lost", "70000"), "65535"),
    ):
        done = programs.run(programs.generator(), "write", place / "x.erf", "--count", 1, *words, check=False)
        assert done.returncode == 2 and remedy in done.stderr, (words, done.stderr)
