"""docs/performance.md is what its generator makes of the records, and of nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import document, plot
from benchmarks.goals import MISSED, REACHED, UNJUDGED, judge
from benchmarks.records import Run

SAMPLE = Path(__file__).with_name("sample.json")


def test_the_page_tells_every_record_and_what_is_missing() -> None:
    run = Run.read(SAMPLE)
    page = document.make(run)
    assert all(record.case in page and record.tool in page for record in run.measurements)
    assert "- netsniff-ng: not installed" in page
    assert "- libtrace xdp:: failed: Unknown format" in page
    assert "| tcpdump | 64 |" in page and "123 456" not in page
    assert run.revision in page and run.machine["cpu"] in page


def test_goals_are_judged_by_the_records() -> None:
    run = Run.read(SAMPLE)
    verdicts = {verdict.words: verdict for verdict in judge(run)}
    files = verdicts["file-null, less CPU time than tcpdump"]
    assert (files.found, files.state) == ("3.2x", REACHED)
    slower = tuple(
        replace(record, cpu_ns_per_packet=60.0) if record.tool == "capstan replay" else record
        for record in run.measurements
    )
    again = {verdict.words: verdict for verdict in judge(replace(run, measurements=slower))}
    assert again["file-null, less CPU time than tcpdump"].state == MISSED
    assert verdicts["live, af_packet, 64 bytes, of the best peer's CPU time"].state == UNJUDGED
    xdp = "live, af_xdp, 64 bytes, of the CPU time of libtrace's xdp: (730 ns on another such machine)"
    assert (verdicts[xdp].found, verdicts[xdp].state) == ("0.288x", REACHED)


def test_a_peer_that_debian_has_not_is_judged_by_what_it_took_elsewhere() -> None:
    run = Run.read(SAMPLE)
    (peer,) = [record for record in run.measurements if record.case == "file-null" and record.tool == "tcpdump"]
    live = replace(peer, case="live-cpu", lost=0)
    ours = replace(live, tool="capstan af_xdp copy", cpu_ns_per_packet=292.0)
    theirs = replace(live, tool="libtrace xdp:", cpu_ns_per_packet=400.0)
    words = "live, af_xdp, 64 bytes, of the CPU time of libtrace's xdp:"
    for records, named, found, state in (
        ((ours,), f"{words} (730 ns on another such machine)", "0.4x", REACHED),
        ((ours, theirs), words, "0.73x", MISSED),
    ):
        verdicts = {verdict.words: verdict for verdict in judge(replace(run, measurements=records))}
        assert (verdicts[named].found, verdicts[named].state) == (found, state)


def test_what_the_file_costs_everybody_is_told_beside_the_goal() -> None:
    run = Run.read(SAMPLE)
    (peer,) = [record for record in run.measurements if record.case == "file-null" and record.tool == "tcpdump"]
    peer = replace(peer, case="live-cpu", cpu_ns_per_packet=80.0, lost=0)
    ours = replace(peer, tool="capstan af_packet", cpu_ns_per_packet=48.0)
    pages = replace(peer, case="memory-tmpfs", tool="fio", packet_size=str(1 << 20), cpu_ns_per_packet=262144.0)
    verdicts = {verdict.words: verdict for verdict in judge(replace(run, measurements=(peer, ours, pages)))}
    verdict = verdicts["live, af_packet, 64 bytes, of the best peer's CPU time"]
    assert (verdict.found, verdict.state) == ("0.6x; writing the file alone is 0.30x", REACHED)


def test_who_loses_packets_has_reached_nothing() -> None:
    run = Run.read(SAMPLE)
    (peer,) = [record for record in run.measurements if record.case == "file-null" and record.tool == "tcpdump"]
    live = replace(peer, case="live-cpu", cpu_ns_per_packet=100.0)
    words = "live, af_packet, 64 bytes, of the best peer's CPU time"
    for lost, lossy, state in ((0, 0, REACHED), (7, 5, REACHED), (70, 2, REACHED), (70, 3, MISSED)):
        ours = replace(
            live,
            tool="capstan af_packet",
            cpu_ns_per_packet=50.0,
            packets=10_000,
            lost=lost,
            lossy_repeats=lossy,
            repeats=5,
        )
        verdicts = {verdict.words: verdict for verdict in judge(replace(run, measurements=(live, ours)))}
        assert verdicts[words].state == state
    assert verdicts[words].found == "70 packets lost"


def test_the_same_records_make_the_same_picture(tmp_path: Path) -> None:
    run = Run.read(SAMPLE)
    for name in ("a.svg", "b.svg"):
        plot.draw(run, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "tcpdump" in (tmp_path / "a.svg").read_text()


def test_a_quick_run_makes_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = json.loads(SAMPLE.read_text()) | {"quick": True}
    (tmp_path / "quick.json").write_text(json.dumps(raw))
    assert document.main(["--check", str(tmp_path / "quick.json")]) == 1
    assert "without --quick" in capsys.readouterr().err


def test_the_page_in_docs_is_made_of_the_records_in_docs() -> None:
    assert document.PAGE.read_text() == document.make(Run.read(document.RESULTS))
    assert document.PICTURE.exists()
