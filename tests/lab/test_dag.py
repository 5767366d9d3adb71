"""The method dag, over a stand-in for the vendor's library; CAPSTAN_DAG=real takes the vendor's own, and a card.

A card is then what CAPSTAN_DAG_CARD names (dag0), with a stream for each queue, and CAPSTAN_DAG_WIRE is the network
device that is wired to one of its ports. The stand-in overwrites what was given back at once: numbered packets that are
found undamaged were not read any later than a card lets them be read.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import programs
import pytest
from engine import Engine, assert_balanced, assert_nothing_lost, suspended
from lab import Lab
from methods import DAG
from readers import tshark
from test_erf import FCS, packet_options
from traffic import SMALL, Sent, Shape, assert_all_there, check
from waiting import wait_until

FRAMES = 20_000
OBJECT = "source_dag.so"
DROP_CODE = 4711
RUNNING, SETUP_FAILED, USAGE = 0, 3, 2
REAL = os.environ.get("CAPSTAN_DAG") == "real"
SMALLEST_BUFFERS = {"block_bytes": 512 << 10, "blocks_per_queue": 4, "hugepages": "off"}
BY_CARD, BY_RECORDS = "drops by the card's counter", "drops by the records' loss counters"

standin_only = pytest.mark.skipif(REAL, reason="the stand-in alone can be made to do this")


class Wire(Lab):
    """The way into a real card: a network device of this host, and nobody else on it."""

    def __init__(self) -> None:
        super().__init__(1)
        self.interface = os.environ["CAPSTAN_DAG_CARD"]
        self.device = os.environ["CAPSTAN_DAG_WIRE"]

    def send(self, shape: Shape = SMALL, **words: Any) -> Sent:
        """Send frames to their end."""
        options = {"rate": 40_000, "method": "af_packet", "stream": 1, **words}
        more = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        return Sent.parse(programs.generate("send", "--interface", self.device, *shape.words, *more))


@pytest.fixture
def card(lab: Lab) -> Lab:
    """Where frames go in that come out of the first stream."""
    return Wire() if REAL else lab


@pytest.fixture
def cards(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which files say what the stand-in's cards are."""
    folder = place / "cards"
    folder.mkdir()
    monkeypatch.setenv("CAPSTAN_STANDIN_DAG", str(folder))
    return folder


@pytest.fixture
def own_lab() -> Iterator[Lab]:
    """A lab whose link a test may take away."""
    made = Lab(1, "dag")
    made.up()
    yield made
    made.down()


def port(card: Lab, queues: int = 1, **options: Any) -> dict[str, Any]:
    """A port of the card; a filter and the like stand beside the options."""
    beside = {key: options.pop(key) for key in ("filter", "snaplen") if key in options}
    return DAG.port(card.interface, queues, options=options, **beside)


def netns(card: Lab) -> str | None:
    """Where the engine runs: a real card is in no network namespace."""
    return None if REAL else card.netns


def taped(cards: Path, source: Path, *lines: str, name: str = "dag0") -> None:
    """A card whose records are those of a file."""
    (cards / name).write_text("\n".join((f"feed erf {source}", *lines, "")))


def tape(queues: int = 1, name: str = "dag0", **options: Any) -> dict[str, Any]:
    """The port of such a card."""
    return DAG.port(name, queues, options=options)


def write(path: Path, *words: object, count: int = FRAMES) -> Path:
    """An ERF file of numbered frames of several sizes."""
    programs.generate("write", path, "--count", count, "--size", "64,512,1514", "--flows", 16, *words)
    return path


def record(kind: int, rlen: int, *, payload: bytes = b"", wlen: int = 0, lost: int = 0, second: int = 1) -> bytes:
    """A record byte by byte, right or wrong."""
    head = struct.pack("<Q", (1_767_225_600 + second) << 32) + struct.pack(">BBHHH", kind, 4, rlen, lost, wlen)
    return head + payload


def methods(engine: Path) -> dict[str, Any]:
    """What an engine says of the method."""
    listed = json.loads(programs.run(engine, "--methods", "--json").stdout)["methods"]
    (found,) = [method for method in listed if method["name"] == "dag"]
    return dict(found)


def test_the_engine_has_the_method_and_without_its_object_says_what_to_install(place: Path) -> None:
    found = methods(programs.engine())
    assert found["loadable"] is True and found["why_not"] is None
    assert found["multi_queue"] and found["hardware_time"] and found["zero_copy"] and not found["kernel_filter"]
    alone = Path(shutil.copy(programs.engine(), place))
    found = methods(alone)
    assert found["loadable"] is False and "install capstan-engine-dag" in found["why_not"]


@pytest.mark.parametrize(
    "shape",
    [
        SMALL,
        Shape("mixed sizes", size="64,512,1514", flows=16),
        Shape("jumbo frames", size="64,9000", flows=4),
        Shape("one tag", size="80", vlan="0xb007"),
        Shape("two tags", size="80", vlan="0xb007,0xffff"),
        Shape("IPv6", size="90", shape="udp6"),
    ],
    ids=lambda shape: shape.name,
)
def test_numbered_packets_are_found_again(shape: Shape, card: Lab, place: Path) -> None:
    with Engine(place, port(card), netns=netns(card)) as engine:
        sent = card.send(shape, count=FRAMES // 10)
        engine.wait_for(lambda ledger: ledger.total.wire >= sent.accepted, "all are there")
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(engine.files(), sent)


def test_times_are_the_cards_and_each_packet_has_its_own(card: Lab, place: Path) -> None:
    with Engine(place, port(card), netns=netns(card)) as engine:
        began = time.time()
        card.send(SMALL, count=1000, rate=10_000)
        ended = time.time()
        engine.wait_for(lambda ledger: ledger.total.wire >= 1000, "all are there")
        ledger = engine.stop()
    (file,) = engine.files()
    stamps = [float(row[0]) for row in tshark(file, "frame.time_epoch")]
    assert stamps == sorted(stamps) and len(set(stamps)) == len(stamps)
    assert stamps[-1] - stamps[0] >= 0.09
    assert REAL or (began <= stamps[0] and stamps[-1] <= ended)
    assert ledger.queues[0].values["untimed"] == 0


@pytest.mark.parametrize("queues", [2, 4])
def test_streams_share_the_packets_and_each_keeps_its_order(queues: int, place: Path) -> None:
    made = Lab(queues, "streams") if not REAL else Wire()
    if not REAL:
        made.up()
    try:
        with Engine(place, port(made, queues), netns=netns(made)) as engine:
            streams = ",".join(str(2 * number) for number in range(queues))
            assert f"streams {streams}" in engine.port_status()["effective_mode"]
            sent = made.send(Shape("many flows", flows=64), count=FRAMES)
            engine.wait_for(lambda ledger: ledger.total.wire >= sent.accepted, "all are there")
            ledger = engine.stop()
    finally:
        if not REAL:
            made.down()
    assert_nothing_lost(ledger, sent.accepted)
    assert REAL or all(queue.balance.delivered > 0 for queue in ledger.queues)
    assert_all_there(engine.files(), sent)


def test_a_filter_selects_exactly_and_the_snap_length_cuts(card: Lab, place: Path) -> None:
    with Engine(place, port(card, filter="udp and greater 500", snaplen=96), netns=netns(card)) as engine:
        sent = card.send(Shape("mixed sizes", size="64,512,1514"), count=3000)
        engine.wait_for(lambda ledger: ledger.total.wire >= sent.accepted, "all are there")
        assert engine.port_status()["filter_in"] == "engine"
        ledger = engine.stop()
    assert_balanced(ledger)
    assert ledger.total.wire == 3000
    assert ledger.total.filtered == 1000 and ledger.total.delivered == 2000
    assert check(engine.files(), 3000).cut == 2000
    assert ledger.queues[0].values["cut_packets"] == 2000


@standin_only
@pytest.mark.parametrize(
    "attribute", [None, "stream_drop_count", DROP_CODE], ids=["by the vendor's name", "by a given name", "by number"]
)
def test_under_overload_what_a_stream_had_no_room_for_is_counted_by_the_card(
    attribute: str | int | None, lab: Lab, cards: Path, place: Path
) -> None:
    (cards / "dag0").write_text(f"feed packet {lab.interface}\nhole {1 << 20}\n")
    with Engine(place, tape(drop_attribute=attribute), netns=lab.netns) as engine:
        assert BY_CARD in engine.port_status()["effective_mode"] and engine.port_status()["degraded"] == []
        with suspended(engine):
            sent = lab.send(SMALL, count=50_000, rate=0)
        ledger = engine.stop()
    assert_balanced(ledger)
    total = ledger.total
    assert total.wire == sent.accepted and total.drops["ring_full"] == total.dropped > 0
    assert total.delivered == sent.accepted - total.drops["ring_full"]
    found = check(engine.files(), sent.frames)
    assert found.distinct == total.delivered and found.damaged == 0


@standin_only
def test_without_the_cards_counter_the_records_tell_of_what_was_lost(lab: Lab, cards: Path, place: Path) -> None:
    (cards / "dag0").write_text(f"feed packet {lab.interface}\nhole {1 << 20}\n")
    with Engine(place, tape(library=programs.old_dag()), netns=lab.netns) as engine:
        status = engine.port_status()
        assert BY_RECORDS in status["effective_mode"]
        (sentence,) = status["degraded"]
        assert "libdagconf is not there" in sentence and "before coloured records is not counted" in sentence
        sent = lab.send(SMALL, count=1)
        engine.wait_for(lambda ledger: ledger.total.wire >= 1, "the first is there: its loss counter is of before")
        with suspended(engine):
            lost = lab.send(SMALL, count=50_000, rate=0, stream=2)
        engine.wait_for(lambda ledger: ledger.total.delivered > 1000, "the stream has been read")
        last = lab.send(SMALL, count=10, stream=3)
        engine.wait_for(lambda ledger: ledger.total.wire >= 50_011, "the next record tells what was lost")
        ledger = engine.stop()
    assert_balanced(ledger)
    total = ledger.total
    assert total.wire == sent.accepted + lost.accepted + last.accepted
    assert total.drops["ring_full"] == total.dropped > 0
    assert_all_there(engine.files(), last)
    # The packet behind the gap says how many are missing before it.
    gaps = [options[4] for file in engine.files() for options in packet_options(file) if 4 in options]
    assert sum(struct.unpack("<Q", gap)[0] for gap in gaps) == total.dropped
    assert ledger.devices["dag0"].lost["lost_before_records"] == total.dropped


@standin_only
def test_a_counter_that_is_asked_for_and_not_there_is_told(lab: Lab, place: Path) -> None:
    with Engine(place, port(lab, drop_attribute="no_such_counter"), netns=lab.netns) as engine:
        status = engine.port_status()
        engine.stop()
    (sentence,) = status["degraded"]
    assert "no attribute" in sentence and "loss counters" in sentence and BY_RECORDS in status["effective_mode"]


@standin_only
def test_a_counter_of_another_name_is_missed_until_it_is_named(lab: Lab, place: Path) -> None:
    library = programs.dag('STANDIN_DROP_NAME="drops_of_a_stream"')
    with Engine(place, port(lab, library=library), netns=lab.netns) as engine:
        status = engine.port_status()
        engine.stop()
    (sentence,) = status["degraded"]
    assert "no attribute stream_drop_count" in sentence and "options.drop_attribute" in sentence
    named = port(lab, library=library, drop_attribute="drops_of_a_stream")
    with Engine(place, named, netns=lab.netns) as engine:
        status = engine.port_status()
        engine.stop()
    assert status["degraded"] == [] and BY_CARD in status["effective_mode"]


@standin_only
def test_colours_come_as_comments_and_their_missing_loss_counter_is_told(lab: Lab, cards: Path, place: Path) -> None:
    (cards / "dag0").write_text(f"feed packet {lab.interface}\ntype 11\n")
    with Engine(place, tape(library=programs.old_dag()), netns=lab.netns) as engine:
        sent = lab.send(SMALL, count=100)
        engine.wait_for(lambda ledger: ledger.total.wire >= sent.accepted, "all are there")
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    (file,) = engine.files()
    assert {row[0] for row in tshark(file, "frame.comment")} == {"erf: colour 0xc0c0"}
    (told,) = engine.log("no_loss_counter")
    assert "TYPE_COLOR_ETH" in told["message"] and "options.drop_attribute" in told["message"]


@standin_only
@pytest.mark.parametrize(
    "look",
    [
        ("--erf-types", "eth"),
        ("--erf-types", "color_eth,dsm_color_eth,color_hash_eth", "--erf-extensions", 3),
        ("--erf-types", "eth,pad,color_eth,meta", "--erf-extensions", 1),
    ],
    ids=["plain", "coloured with extension headers", "with padding between"],
)
def test_records_go_round_the_streams_memory_and_none_is_damaged(
    look: tuple[object, ...], cards: Path, place: Path
) -> None:
    # 64 KiB of memory, and hundreds of times as much that goes through it.
    source = write(place / "in.erf", *look)
    taped(cards, source, "hole 65536")
    with Engine(place, tape()) as engine:
        engine.wait_for(lambda ledger: ledger.total.wire >= FRAMES, "the card has written all")
        ledger = engine.stop()
    assert_nothing_lost(ledger, FRAMES)
    assert check(engine.files(), FRAMES).complete
    (file,) = engine.files()
    fields = ("frame.time_epoch", "eth.src", "udp.srcport", "udp.length")
    theirs = [row for row in tshark(source, *fields, "erf.types.type") if row[4] not in {"48", "27"}]
    assert tshark(file, *fields) == [row[:4] for row in theirs]


@standin_only
def test_a_library_from_before_large_streams_will_do(cards: Path, place: Path) -> None:
    taped(cards, write(place / "in.erf"), "hole 65536")
    with Engine(place, tape(library=programs.old_dag())) as engine:
        engine.wait_for(lambda ledger: ledger.total.wire >= FRAMES, "the card has written all")
        ledger = engine.stop()
    assert_nothing_lost(ledger, FRAMES)
    assert check(engine.files(), FRAMES).complete


@standin_only
def test_two_cards_are_counted_apart(cards: Path, place: Path) -> None:
    taped(cards, write(place / "one.erf", "--stream", 1), "streams 2")
    taped(cards, write(place / "two.erf", "--stream", 2, count=1000), name="dag1")
    with Engine(place, tape(2, streams=[2, 0]), tape(name="dag1", idle="poll")) as engine:
        modes = [status["effective_mode"] for status in engine.status()["ports"]]
        engine.wait_for(lambda ledger: ledger.total.wire >= 2 * FRAMES + 1000, "the cards have written all")
        ledger = engine.stop()
    assert "streams 2,0" in modes[0] and "stream 0" in modes[1]
    assert_balanced(ledger)
    assert ledger.port("dag0").delivered == 2 * FRAMES and ledger.port("dag1").delivered == 1000
    for queue in (0, 1):
        own = [file for file in engine.files() if f"-dag0-q{queue}-" in file.name]
        assert check(own, FRAMES, stream=1).complete
    assert check([file for file in engine.files() if "-dag1-" in file.name], 1000, stream=2).complete


@standin_only
def test_streams_that_are_left_out_are_told_unless_they_were_chosen(cards: Path, place: Path) -> None:
    taped(cards, write(place / "in.erf", count=10), "streams 4", "without 0")
    with Engine(place, tape()) as engine:
        status = engine.port_status()
        engine.stop()
    assert "stream 2," in status["effective_mode"]
    assert len(status["degraded"]) == 1 and "1 of the card's 4 receive streams" in status["degraded"][0]
    with Engine(place, tape(streams=[4])) as engine:
        assert engine.port_status()["degraded"] == []
        engine.stop()


@standin_only
def test_streams_without_memory_are_passed_over_and_told_where_they_were_asked_for(cards: Path, place: Path) -> None:
    taped(cards, write(place / "in.erf", count=10), "streams 3", "without 2")
    with Engine(place, tape(2)) as engine:
        assert "streams 0,4" in engine.port_status()["effective_mode"]
        engine.wait_for(lambda ledger: ledger.total.wire >= 20, "both streams have been read")
        engine.stop()
    sentence = refused(place, tape(streams=[2]))
    assert "stream 2 has no memory" in sentence and "dagconfig" in sentence


@standin_only
def test_the_check_sequence_stays_where_it_is_wanted(cards: Path, place: Path) -> None:
    source = write(place / "in.erf", count=100)
    taped(cards, source)
    with Engine(place, tape(fcs="keep")) as engine:
        engine.wait_for(lambda ledger: ledger.total.wire >= 100, "the card has written all")
        engine.stop()
    (file,) = engine.files()
    assert {row[0] for row in tshark(file, "frame.len")} == {str(size + FCS) for size in (64, 512, 1514)}


@standin_only
def test_records_that_are_no_ethernet_frames_are_counted_by_name(cards: Path, place: Path) -> None:
    taped(cards, write(place / "in.erf", "--erf-types", "eth,hdlc_pos,pad,ipv6", count=1000))
    with Engine(place, tape()) as engine:
        engine.wait_for(lambda ledger: ledger.total.delivered >= 1000, "the card has written all")
        assert engine.port_status()["device_counters"]["TYPE_HDLC_POS"] > 0
        ledger = engine.stop()
    assert_balanced(ledger)
    assert ledger.total.drops["other_link"] == ledger.total.dropped == 2 * 999
    told = [entry["message"] for entry in engine.log("other_link")]
    assert [name for name in ("TYPE_HDLC_POS", "TYPE_IPV6") for sentence in told if name in sentence] == [
        "TYPE_HDLC_POS",
        "TYPE_IPV6",
    ]


@standin_only
def test_records_that_contradict_themselves_are_counted_and_passed_over(cards: Path, place: Path) -> None:
    whole = write(place / "in.erf", count=100).read_bytes()
    no_room = record(2, 17, payload=b"x", wlen=64)
    endless = record(0x82, 24, payload=b"\x90" + b"\0" * 7, wlen=64)
    (place / "bad.erf").write_bytes(whole + no_room + endless * 2 + whole)
    taped(cards, place / "bad.erf")
    with Engine(place, tape()) as engine:
        engine.wait_for(lambda ledger: ledger.total.wire >= 203, "the card has written all")
        ledger = engine.stop()
    assert_balanced(ledger)
    assert ledger.total.delivered == 200 and ledger.total.drops["invalid"] == ledger.total.dropped == 3
    (told,) = engine.log("damaged_record")
    assert "17 bytes" in told["message"] and "invalid" in told["message"]


@standin_only
def test_a_record_whose_end_never_comes_is_not_counted(cards: Path, place: Path) -> None:
    source = write(place / "in.erf", "--truncate-last", count=1000)
    taped(cards, source)
    with Engine(place, tape()) as engine:
        engine.wait_for(lambda ledger: ledger.total.wire >= 999, "the card has written what it can")
        ledger = engine.stop()
    assert_nothing_lost(ledger, 999)
    assert check(engine.files(), 999).complete


@standin_only
def test_a_stream_whose_records_cannot_be_told_apart_is_opened_anew(cards: Path, place: Path) -> None:
    source = write(place / "in.erf", "--garbage-length", 500, count=1000)
    taped(cards, source)
    with Engine(place, tape()) as engine:
        wait_until(lambda: bool(engine.log("stream_lost")), "the engine has lost its way")
        # From here on the same file comes again, and again ends so.
        wait_until(lambda: bool(engine.log("port_back")), "the port is opened anew")
        ledger = engine.stop()
    assert_balanced(ledger)
    assert ledger.queues[0].values["reopens"] >= 1 and ledger.total.delivered >= 500
    first = engine.log("stream_lost")[0]["message"]
    assert "7 bytes" in first and "cannot be told apart" in first


@standin_only
def test_a_card_that_goes_and_comes_back_is_captured_again(own_lab: Lab, place: Path) -> None:
    with Engine(place, port(own_lab), netns=own_lab.netns) as engine:
        before = own_lab.send(SMALL, stream=1, count=2000)
        engine.wait_for(lambda ledger: ledger.total.wire >= 2000, "all are there")
        own_lab.remove_link()
        wait_until(lambda: engine.port_status()["link"] == "gone", "the engine sees it")
        own_lab.make_link()
        wait_until(lambda: bool(engine.log("port_back")), "it is captured again")
        after = own_lab.send(SMALL, stream=2, count=2000)
        engine.wait_for(lambda ledger: ledger.total.wire >= 4000, "all are there")
        ledger = engine.stop()
    assert_balanced(ledger)
    assert ledger.total.delivered == ledger.total.wire == 4000
    assert ledger.queues[0].values["reopens"] == 1
    assert_all_there(engine.files(), before)
    assert_all_there(engine.files(), after)
    (lost,) = engine.log("card_lost")
    assert "No such device" in lost["message"] and engine.log("port_lost")


@standin_only
def test_an_engine_stops_while_its_card_is_gone(cards: Path, place: Path) -> None:
    taped(cards, write(place / "in.erf", count=1000))
    with Engine(place, tape()) as engine:
        engine.wait_for(lambda ledger: ledger.total.wire >= 1000, "the card has written all")
        (cards / "dag0").unlink()
        wait_until(lambda: engine.port_status()["link"] == "gone", "the engine sees it")
        ledger = engine.stop()
    assert_nothing_lost(ledger, 1000)


def refused(place: Path, *ports: dict[str, Any], netns: str | None = None) -> str:
    """The sentence with which an engine refuses to set up such ports."""
    code, sentence = Engine(place, *ports, netns=netns).refuse()
    assert code == SETUP_FAILED, sentence
    return sentence


@standin_only
def test_a_library_that_is_not_there_is_told(place: Path) -> None:
    sentence = refused(place, tape(library=None))
    assert sentence.startswith("dag0: dag: the vendor's library is not on this host: libdag.so")
    assert "install the software of the DAG card" in sentence and "options.library" in sentence
    sentence = refused(place, tape(library="/nowhere/libdag.so"))
    assert "/nowhere/libdag.so" in sentence and "options.library" in sentence


@standin_only
def test_a_library_of_another_interface_is_told(place: Path) -> None:
    text = place / "libtext.so"
    text.write_text("no library at all")
    assert "cannot be opened" in refused(place, tape(library=str(text)))
    empty, half = place / "libempty.so", place / "libhalf.so"
    programs.run("cc", "-shared", "-o", empty, "-x", "c", "/dev/null")
    sentence = refused(place, tape(library=str(empty)))
    assert f"{empty} has no dag_parse_name" in sentence and "newer release" in sentence
    source = place / "half.c"
    names = ("dag_parse_name", "dag_open", "dag_close", "dag_detach_stream", "dag_start_stream", "dag_stop_stream")
    source.write_text("".join(f"int {name}(void) {{ return -1; }}\n" for name in names))
    programs.run("cc", "-shared", "-fPIC", "-o", half, source)
    assert "has no dag_attach_stream64" in refused(place, tape(library=str(half)))


@standin_only
def test_a_card_that_is_not_there_is_told(cards: Path, place: Path) -> None:
    sentence = refused(place, tape())
    assert "dag0: dag: there is no card" in sentence and "No such file" in sentence
    taped(cards, place / "in.erf", "streams 2", "without 0", "without 2")
    assert "0 receive streams with memory for 1 queues" in refused(place, tape())


@standin_only
@pytest.mark.parametrize("library", [programs.dag, programs.old_dag], ids=["newer libdag", "older libdag"])
def test_streams_that_cannot_be_had_are_told(library: Callable[[], str], cards: Path, place: Path) -> None:
    taped(cards, write(place / "in.erf", count=10), "streams 2")
    other = place / "other"
    other.mkdir()
    ours = {"library": library()}
    with Engine(place, tape(streams=[0], **ours)) as engine:
        sentence = refused(other, tape(streams=[0], **ours))
        assert "stream 0 is attached by another process" in sentence
        assert "1 more are attached by other processes" in refused(other, tape(2, **ours))
        with Engine(other, tape(**ours)) as second:
            assert "stream 2," in second.port_status()["effective_mode"]
            second.stop()
        engine.stop()
    assert "no receive stream 6 with memory" in refused(other, tape(streams=[6], **ours))
    assert "2 receive streams with memory for 3 queues" in refused(other, tape(3, **ours))
    assert "names 2 streams, and there are 1 queues" in refused(other, tape(streams=[0, 2], **ours))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"streams": [1]}, "odd streams transmit"),
        ({"streams": [0, 0]}, "name each stream once"),
        ({"streams": []}, "list of 1 to"),
        ({"streams": ["0"]}, "streams[0]"),
        ({"streams": [256]}, "from 0 to 254"),
        ({"library": "libdag.so"}, "absolute path"),
        ({"fcs": "maybe"}, "strip, keep, none"),
        ({"idle": "interrupt"}, "sleep, poll"),
        ({"drop_attribute": ""}, "drop_attribute"),
        ({"drop_attribute": -1}, "drop_attribute"),
        ({"ring_bytes": 1}, "unknown key"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], told: str, place: Path) -> None:
    engine = Engine(place, tape(**options))
    (place / "engine.json").write_text(json.dumps(engine.settings))
    done = programs.run(programs.engine(), "--config", place / "engine.json", "--check", check=False)
    assert done.returncode == USAGE and told in done.stderr and "ports[0]: options" in done.stderr, done.stderr


@standin_only
def test_a_stream_that_may_not_be_attached_is_told(lab: Lab, place: Path) -> None:
    # The stand-in's streams are packet sockets, which need a capability.
    engine = Engine(place, port(lab), netns=lab.netns)
    code, sentence = engine.refuse("setpriv", "--bounding-set", "-net_raw")
    assert code == SETUP_FAILED and "stream 0 cannot be attached: Operation not permitted" in sentence, sentence
