"""The method dpdk and other processes of DPDK: one that sends, one that would join in, and what dead ones left."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import programs
import pytest
from engine import Engine, assert_balanced, assert_nothing_lost, suspended
from test_dpdk import SMALLEST_BUFFERS, dpdk, pytestmark, shared_object
from testpmd import Testpmd
from traffic import check
from waiting import wait_until

from capstan.accounting import Session, rx_at_arm

FRAMES = 20_000

# Of this module, too: where the method is not built it is passed over, and its object is put beside the engine.
__all__ = ["pytestmark", "shared_object"]


@pytest.fixture
def numbered(place: Path) -> Path:
    """A file of numbered frames, some of which are longer than any buffer of a memif."""
    path = place / "wire.pcap"
    programs.generate("write", path, "--count", FRAMES, "--stream", 1, "--size", "64,1514,9000")
    return path


def memif(place: Path, role: str = "server") -> dict[str, object]:
    """A port at a socket in a folder, where it waits for its other end or looks for it."""
    return dpdk(f"role={role},socket={place}/memif.sock,socket-abstract=no").port("net_memif0")


def peer_of(engine: Engine, numbered: Path) -> Testpmd:
    """The other end, which has connected."""
    peer = Testpmd(numbered, engine.place / "memif.sock")
    wait_until(lambda: engine.port_status()["link"] == "up", "the two are connected", 20)
    return peer


def test_packets_of_another_process_are_captured_whole_by_memif(numbered: Path, place: Path) -> None:
    # As many blocks as the file fills: a memif's sender waits for the ring, not for the disk.
    buffers = {"blocks_per_queue": 96, "hugepages": "off"}
    with Engine(place, memif(place), buffers=buffers) as engine:
        assert engine.port_status()["link"] == "down", "nobody is there"
        with peer_of(engine, numbered) as peer:
            peer.forward_patiently()
            engine.wait_for(lambda ledger: ledger.total.wire >= FRAMES, "all has arrived")
            sent = peer.finish()
        wait_until(lambda: engine.port_status()["link"] == "down", "the engine sees it go")
        ledger = engine.stop()
    assert sent == FRAMES
    assert_nothing_lost(ledger, FRAMES)
    found = check(engine.files(), FRAMES)
    assert found.complete and found.distinct == found.numbered == FRAMES, found
    assert found.damaged == found.cut == found.out_of_order == 0, found


def test_an_engine_finds_the_other_end_that_was_there_first(numbered: Path, place: Path) -> None:
    buffers = {"blocks_per_queue": 96, "hugepages": "off"}
    with Testpmd(numbered, place / "memif.sock", role="server") as peer:
        wait_until(peer.is_ready, "it listens", 20)
        with Engine(place, memif(place, "client"), buffers=buffers) as engine:
            wait_until(lambda: engine.port_status()["link"] == "up", "the two are connected", 20)
            peer.forward_patiently()
            engine.wait_for(lambda ledger: ledger.total.wire >= FRAMES, "all has arrived")
            sent = peer.finish()
            ledger = engine.stop()
    assert_nothing_lost(ledger, sent)
    assert check(engine.files(), FRAMES).complete


def test_a_memif_whose_engine_is_held_up_loses_nothing_without_a_name(numbered: Path, place: Path) -> None:
    with Engine(place, memif(place), buffers=SMALLEST_BUFFERS) as engine, peer_of(engine, numbered) as peer:
        with suspended(engine):
            peer.forward_hastily()
            # The memif has taken what it has room for, and the rest is its sender's to count.
            wait_until(lambda: peer.read() == FRAMES, "the file has been read")
        wait_until(lambda: 0 < peer.sent() == engine.ledger().total.wire, "the engine has taken what the memif held")
        sent = peer.finish()
        ledger = engine.stop()
    assert 0 < sent < FRAMES
    assert_balanced(ledger)
    assert ledger.total.wire == sent == ledger.total.delivered + ledger.total.dropped
    found = check(engine.files(), FRAMES)
    assert found.numbered == found.distinct == ledger.total.delivered
    assert found.damaged == found.out_of_order == 0


def test_of_a_memif_whose_engine_was_killed_it_is_told_how_long_nobody_counted(numbered: Path, place: Path) -> None:
    session = Session("now")
    with Engine(place, memif(place), buffers=SMALLEST_BUFFERS) as engine:
        with peer_of(engine, numbered) as peer:
            assert engine.port_status()["counts_on"] is False
            peer.forward_patiently()
            engine.wait_for(lambda ledger: ledger.total.pending > 0, "some are in memory")
            engine.kill()
            died = engine.ledger()
        session = session.close_run(died, clean=False)
        engine.start()
        began = engine.ledger()
        session = session.close_gap(rx_at_arm(began), began.taken)
        session = session.close_run(engine.stop(), clean=True)
    total = session.total(None)
    assert total.unaccounted == 0
    assert total.delivered + total.dropped == total.wire < FRAMES
    assert total.drops["engine_down"] >= died.total.pending > 0
    assert 0 < session.uncounted["net_memif0"] < 10


def test_a_secondary_process_is_refused_and_the_engine_goes_on(place: Path) -> None:
    with Engine(place, dpdk().port("net_ring0")) as engine:
        # DPDK's own tool for looking into a primary process.
        words = ["dpdk-proc-info", f"--file-prefix=capstan-{engine.pid}", "--no-pci", "--", "--stats"]
        joined = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        assert joined.returncode != 0 and not joined.stdout, joined
        assert f"Cannot open '/var/run/dpdk/capstan-{engine.pid}/config'" in joined.stderr, joined
        assert engine.running() and engine.state() == "capturing"
        assert_balanced(engine.stop())


def test_pages_of_dead_processes_are_removed_before_they_lack_and_those_of_the_living_are_not(place: Path) -> None:
    pages, left = place / "pages", place / "left"
    pages.mkdir()
    # In a mount namespace of its own, with a process that has locked a file as EAL does.
    script = f"""
        mount -t hugetlbfs capstan-test {pages} && touch {pages}/rtemap_0 {pages}/rtemap_1 {pages}/other || exit 9
        exec 8<{pages}/rtemap_1 && flock -s 8 || exit 9
        "$0" "$@" 8<&-
        code=$?
        ls {pages} >{left}
        exit $code
    """
    # The port cannot be had, on hosts with free hugepages and without.
    engine = Engine(place, dpdk(huge=True).port("net_nothing0"))
    code, sentence = engine.refuse("unshare", "--mount", "bash", "-c", script)
    assert code == 3 and ("hugepage" in sentence or "net_nothing0" in sentence), sentence
    assert left.read_text().split() == ["other", "rtemap_1"]
    (told,) = engine.log("leftovers_removed")
    assert "removed 1 files" in told["message"] and "1 of living ones" in told["message"]


def test_the_folder_of_an_engine_that_died_while_it_started_is_removed(place: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    folder = Path(f"/var/run/dpdk/capstan-{dead.pid}")
    folder.mkdir(parents=True)
    try:
        with Engine(place, dpdk().port("net_ring0")) as engine:
            assert not folder.exists()
            engine.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
