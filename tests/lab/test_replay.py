"""Packets from a file, or from memory, come out as they went in."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import programs
import pytest
from engine import Engine, assert_balanced, assert_nothing_lost
from methods import Driver
from readers import capinfos, packets, tcpdump
from traffic import check

from capstan.ledger import Snapshot

FRAMES = 5000
REPLAY = Driver("replay", "replay", "file")
EXIT_FAILED = 4


def write(path: Path, *words: object, count: int = FRAMES) -> Path:
    """A file of numbered frames of several sizes."""
    programs.generate("write", path, "--count", count, "--size", "64,512,1514", "--flows", 16, *words)
    return path


@dataclass(frozen=True)
class Replayed:
    """How a replay ended."""

    code: int
    ledger: Snapshot
    engine: Engine
    seconds: float


def replay(place: Path, port: dict[str, Any], **sections: Any) -> Replayed:
    """Replay to the end of the source."""
    engine = Engine(place, port, **sections)
    began = time.monotonic()
    engine.launch()
    try:
        code = engine.wait()
        return Replayed(code, engine.ledger(), engine, time.monotonic() - began)
    finally:
        engine.end()


def from_file(path: Path, **options: Any) -> dict[str, Any]:
    """A port that replays a file."""
    return REPLAY.port("tape", options={"file": str(path), **options})


@pytest.mark.parametrize("ending", ["pcap", "pcapng"])
def test_packets_of_a_file_come_out_as_they_went_in(ending: str, place: Path) -> None:
    source = write(place / f"in.{ending}")
    done = replay(place, from_file(source))
    assert done.code == 0
    assert_nothing_lost(done.ledger, FRAMES)
    (out,) = done.engine.files()
    # Time stamps to the nanosecond, lengths, bytes and order.
    words = ("--time-stamp-precision=nano", "-tt", "-e", "-xx")
    assert tcpdump(out, *words) == tcpdump(source, *words)
    assert capinfos(out)["Number of packets"] == str(FRAMES)


@pytest.mark.parametrize("ending", ["pcap", "pcapng", "erf"])
def test_packets_of_a_fifo_come_out_as_they_went_in(ending: str, place: Path) -> None:
    source, fifo = write(place / f"in.{ending}"), place / f"fifo.{ending}"
    os.mkfifo(fifo)
    writer = subprocess.Popen(["cp", source, fifo])  # into what is there
    try:
        done = replay(place, from_file(fifo))
        assert writer.wait(10) == 0
    finally:
        writer.kill()
        writer.wait()
    assert done.code == 0, done.engine.log_text()
    assert_nothing_lost(done.ledger, FRAMES)
    assert check(done.engine.files(), FRAMES).complete


def test_packets_that_were_cut_keep_their_length(place: Path) -> None:
    source = write(place / "in.pcapng", "--snap", 60)
    done = replay(place, from_file(source))
    assert done.code == 0
    (out,) = done.engine.files()
    assert tcpdump(out, "-tt", "-e") == tcpdump(source, "-tt", "-e")
    assert check([out], FRAMES).cut == FRAMES


def test_a_filter_applies_to_a_file(place: Path) -> None:
    source = write(place / "in.pcap")
    expression = "udp src port 50003 and greater 500"
    done = replay(place, {**from_file(source), "filter": expression})
    expected = packets(source, expression)
    assert done.code == 0
    assert_balanced(done.ledger)
    assert done.ledger.total.delivered == len(expected) > 0
    assert done.ledger.total.filtered == FRAMES - len(expected)
    assert packets(done.engine.files()[0]) == expected


def test_a_file_can_be_replayed_over_and_over(place: Path) -> None:
    source = write(place / "in.pcap", count=500)
    done = replay(place, from_file(source, loops=3))
    assert done.code == 0
    assert_nothing_lost(done.ledger, 1500)
    found = check(done.engine.files(), 500)
    assert (found.distinct, found.doubled, found.damaged) == (500, 1000, 0)


def test_the_recorded_pace_is_not_exceeded(place: Path) -> None:
    # 200 frames a second, 101 of them: half a second from the first to the last.
    source = write(place / "in.pcap", "--rate", 200, count=101)
    done = replay(place, from_file(source, pace="recorded"))
    assert done.code == 0
    assert done.seconds >= 0.5
    assert_nothing_lost(done.ledger, 101)
    assert check(done.engine.files(), 101).complete


@pytest.mark.parametrize("count", [1, 63, 64, 65, 100_000])
def test_as_many_packets_are_generated_as_were_asked_for(count: int, place: Path) -> None:
    generate = {"packets": count, "size": 128, "flows": 8, "distinct": 16}
    done = replay(place, REPLAY.port("memory", queues=2, options={"generate": generate}))
    assert done.code == 0
    assert_nothing_lost(done.ledger, 2 * count)
    assert [queue.balance.delivered for queue in done.ledger.queues] == [count, count]
    assert [capinfos(path)["Number of packets"] for path in done.engine.files()] == [str(count)] * 2


def test_an_endless_source_ends_on_command_and_counts_what_it_gave(place: Path) -> None:
    port = REPLAY.port("memory", options={"generate": {"packets": 0, "size": 64}})
    with Engine(place, port, output={"sink": "null"}) as engine:
        engine.wait_for(lambda ledger: ledger.total.delivered > 100_000, "packets are generated")
        ledger = engine.stop()
    assert_nothing_lost(ledger, ledger.total.wire)


def test_a_source_waits_for_a_slow_writer_and_loses_nothing(place: Path) -> None:
    port = REPLAY.port("memory", options={"generate": {"packets": 50_000, "size": 1514}})
    buffers = {"block_bytes": 512 << 10, "blocks_per_queue": 4, "hugepages": "off"}
    done = replay(place, port, buffers=buffers)
    assert done.code == 0
    assert_nothing_lost(done.ledger, 50_000)


@pytest.mark.parametrize("ending", ["pcap", "pcapng"])
@pytest.mark.parametrize(
    ("damage", "whole"),
    [(["--truncate-last"], FRAMES - 1), (["--garbage-length", 3000], 3000), (["--garbage-length", 0], 0)],
    ids=["truncated", "corrupt in the middle", "corrupt at once"],
)
def test_the_packets_before_the_damage_are_delivered(
    ending: str, damage: list[object], whole: int, place: Path
) -> None:
    source = write(place / f"in.{ending}", *damage)
    done = replay(place, from_file(source))
    assert done.code == EXIT_FAILED
    assert done.ledger.state == "failed"
    assert_nothing_lost(done.ledger, whole)
    assert not done.engine.parts()
    files = done.engine.files()
    assert check(files, whole).complete if whole else not files
    (record,) = done.engine.log("replay_failed")
    assert f"{source}" in record["message"] and f"after {whole} packets" in record["message"]
    assert done.engine.last_error()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xd4\xc3\xb2", b"Dear diary, today I captured nothing.\n" * 9, b"\0" * 4096],
    ids=["empty", "a few bytes", "text", "zeros"],
)
def test_what_is_no_capture_file_is_refused(content: bytes, place: Path) -> None:
    source = place / "in.pcap"
    source.write_bytes(content)
    code, sentence = Engine(place, from_file(source)).refuse()
    assert code == 3
    assert sentence.startswith("tape: replay: ") and "in.pcap" in sentence
    assert "one whose name ends in .erf is read as ERF" in sentence


@pytest.mark.parametrize("ending", ["pcap", "erf"])
@pytest.mark.parametrize(
    ("compress", "told"),
    [
        (gzip.compress, ("compressed by gzip", "zcat")),
        (lzma.compress, ("compressed by xz", "xzcat")),
        (lambda _: b"\x28\xb5\x2f\xfd" + bytes(60), ("compressed by zstd", "zstdcat")),
    ],
    ids=["gzip", "xz", "zstd"],
)
@pytest.mark.parametrize("named", [True, False], ids=["named so", "named as before"])
def test_a_compressed_file_is_refused_with_how_to_decompress_it(
    ending: str, compress: Callable[[bytes], bytes], told: tuple[str, str], named: bool, place: Path
) -> None:
    whole = write(place / f"in.{ending}", count=100)
    source = whole.with_suffix(f".{ending}.gz") if named else whole
    source.write_bytes(compress(whole.read_bytes()))
    code, sentence = Engine(place, from_file(source)).refuse()
    assert code == 3
    assert f"{source}: is {told[0]}: decompress it first ({told[1]} {source} > NEW)" in sentence, sentence


def test_a_missing_file_is_refused(place: Path) -> None:
    code, sentence = Engine(place, from_file(place / "nowhere.pcap")).refuse()
    assert code == 3
    assert "nowhere.pcap" in sentence


def test_a_file_with_nothing_in_it_ends_well(place: Path) -> None:
    source = write(place / "all.pcap", count=1)
    source.write_bytes(source.read_bytes()[:24])
    done = replay(place, from_file(source))
    assert done.code == 0
    assert_nothing_lost(done.ledger, 0)
    assert not done.engine.files()


def test_generated_packets_of_a_mix_have_its_sizes_in_turn(place: Path) -> None:
    generate = {"packets": 1000, "sizes": [64, 1514, 570], "distinct": 100}
    done = replay(place, REPLAY.port("tape", options={"generate": generate}))
    assert done.code == 0
    assert_nothing_lost(done.ledger, 1000)
    (out,) = done.engine.files()
    lengths = [int(line.partition("length ")[2].split(":")[0]) for line in tcpdump(out, "-e", "-t", "-q")]
    wanted = [64, 1514, 570]
    assert lengths == [wanted[at % 100 % 3] for at in range(1000)]


@pytest.mark.parametrize("sizes", [[], [41], [65536], ["64"], 64, [64] * 65])
def test_a_mix_that_cannot_be_is_refused(sizes: object, place: Path) -> None:
    engine = Engine(place, REPLAY.port("tape", options={"generate": {"sizes": sizes}}))
    code, sentence = engine.refuse()
    assert code == 2
    assert "options.generate.sizes" in sentence
