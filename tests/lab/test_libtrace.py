"""libtrace on a port that is captured: who gets the packets, and who says no. docs/libtrace.md tells the rest."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import programs
import pytest
from engine import Engine, assert_nothing_lost
from lab import Lab
from methods import AF_PACKET, AF_XDP_COPY, AF_XDP_SKB, LIVE, PF_RING_ZC, Driver, each
from traffic import SMALL, Shape, assert_all_there, check
from waiting import wait_until

FRAMES = 5000
FEW = 200
"""What libtrace's socket has room for, should it get no CPU meanwhile: what it loses is no affair of ours."""
END_SECONDS = 10.0
IDLE_LOOKS, IDLE_STEP = 20, 0.01
XDP = tuple(driver for driver in LIVE if driver.method == "af_xdp")
# PF_RING's zero-copy takes the NIC from the kernel, which its stand-in does not.
BESIDE = tuple(driver for driver in LIVE if driver not in {*XDP, PF_RING_ZC})
LIBTRACE_GROUP = 29444
"""A libtrace 4 of several threads takes this one first: its random numbers begin alike in every process."""
# linux/if_packet.h
SOL_PACKET, PACKET_STATISTICS, PACKET_FANOUT = 263, 6, 18
FANOUT_HASH = 0
ETH_P_ALL = 3
XDP_PASS = 2
SECTION = "xdp.frags"
CLONE_NEWNET = 0x40000000  # linux/sched.h


def is_idle(pid: int) -> bool:
    """Whether a process sleeps for a while."""
    for _ in range(IDLE_LOOKS):
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            return False
        time.sleep(IDLE_STEP)
    return True


@contextmanager
def splitting(uri: str, lab: Lab, out: Path) -> Iterator[None]:
    """Libtrace's tracesplit captures from a port of the lab into a pcap file."""
    words = ["nsenter", f"--net={lab.netns}", "tracesplit", "-Z", "none", uri, f"pcapfile:{out}"]
    before = lab.promiscuity()
    process = subprocess.Popen(words)
    try:
        # Between this and its reading it throws away what has come.
        wait_until(lambda: lab.promiscuity() > before and is_idle(process.pid), "it waits for packets")
        yield
        # What its ring holds when it is interrupted it does not read.
        wait_until(lambda: is_idle(process.pid), "it has read what there is")
        process.send_signal(signal.SIGINT)
        assert process.wait(END_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("driver", "kind"),
    [*((driver, "int") for driver in BESIDE), (AF_PACKET, "ring")],
    ids=lambda value: getattr(value, "name", value),
)
def test_libtrace_and_the_engine_both_get_every_packet(driver: Driver, kind: str, lab: Lab, place: Path) -> None:
    out = place / "libtrace.pcap"
    with Engine(place, driver.port(), netns=lab.netns) as engine, splitting(f"{kind}:{lab.interface}", lab, out):
        sent = lab.send(SMALL, count=FEW)
        engine.wait_for(lambda ledger: ledger.total.wire >= sent.accepted, "everything has arrived")
        ledger = engine.stop()
        assert lab.promiscuity() == 1, "libtrace's own wish stands when the engine has left"
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(engine.files(), sent)
    assert check([out], sent.frames).complete


@each(XDP)
def test_what_af_xdp_takes_is_taken_from_packet_sockets(driver: Driver, lab: Lab, place: Path) -> None:
    out = place / "libtrace.pcap"
    with Engine(place, driver.port(), netns=lab.netns) as engine, splitting(f"int:{lab.interface}", lab, out):
        sent = lab.send(SMALL, count=FRAMES, rate=20_000)
        ledger = engine.stop()
        after = lab.send(SMALL, count=100, stream=2)
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(engine.files(), sent)
    # Those that came when the program had gone with the engine, and no other.
    assert check([out], after.frames, stream=2).complete
    assert check([out], sent.frames).numbered == 0


def compiled(place: Path) -> Path:
    """An XDP program of somebody else's, as libtrace has one for `xdp:`."""
    source, made = place / "foreign.c", place / "foreign.o"
    # Of more than one page a frame, as the lab's are.
    declared = f'int pass(void *frame) __attribute__((section("{SECTION}"), used));'
    source.write_text(f"{declared}\nint pass(void *frame) {{ return {XDP_PASS}; }}\n")
    programs.run("clang", "-O2", "-g", "-target", "bpf", "-c", source, "-o", made)
    return made


@contextmanager
def foreign_program(lab: Lab, place: Path, mode: str) -> Iterator[None]:
    """It has the port."""
    lab.link(mode, "obj", compiled(place), "sec", SECTION)
    try:
        yield
    finally:
        lab.link(mode, "off")


MODES = pytest.mark.parametrize(
    ("driver", "mode"), [(AF_XDP_COPY, "xdpdrv"), (AF_XDP_SKB, "xdpgeneric")], ids=["copy", "skb"]
)


@MODES
def test_no_other_program_gets_a_port_that_af_xdp_has(driver: Driver, mode: str, lab: Lab, place: Path) -> None:
    made = compiled(place)
    with Engine(place, driver.port(), netns=lab.netns) as engine:
        words = ("ip", "-n", lab.name, "-force", "link", "set", lab.interface, mode, "obj", made, "sec", SECTION)
        done = programs.run(*words, check=False)
        sent = lab.send(SMALL, count=FRAMES)
        ledger = engine.stop()
    assert done.returncode != 0 and "XDP" in done.stderr, done
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(engine.files(), sent)


@MODES
def test_af_xdp_refuses_a_port_that_another_program_has_and_leaves_it_that(
    driver: Driver, mode: str, lab: Lab, place: Path
) -> None:
    with foreign_program(lab, place, mode):
        code, sentence = Engine(place, driver.port(), netns=lab.netns).refuse()
        shown = programs.run("ip", "-n", lab.name, "link", "show", lab.interface).stdout
    assert code == 3
    assert sentence.startswith("cap0: af_xdp: ") and "another XDP program" in sentence, sentence
    assert "prog/xdp" in shown, "it is still there"


def test_a_fanout_group_as_libtrace_has_it_takes_nothing_from_ours(wide_lab: Lab, place: Path) -> None:
    with ExitStack() as stack:
        theirs = [stack.enter_context(socket_in(wide_lab)) for _ in range(2)]
        for one in theirs:
            one.setsockopt(SOL_PACKET, PACKET_FANOUT, FANOUT_HASH << 16 | LIBTRACE_GROUP)
        engine = stack.enter_context(Engine(place, AF_PACKET.port(queues=4), netns=wide_lab.netns))
        sent = wide_lab.send(Shape("many flows", flows=64), count=FRAMES, rate=20_000)
        assert_nothing_lost(engine.stop(), sent.accepted)
        assert_all_there(engine.files(), sent)
        counted = [struct.unpack("II", one.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[0] for one in theirs]
    # Two processes of libtrace would share them like this, each without knowing of the other.
    assert sum(counted) == sent.accepted and all(counted)


def setns(namespace: int) -> None:
    """Enter a network namespace; Python has no call for it before 3.12."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def socket_in(lab: Lab) -> Iterator[socket.socket]:
    """A packet socket on the lab's port."""
    with Path(lab.netns).open() as there, Path("/proc/self/ns/net").open() as here:
        setns(there.fileno())
        try:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            made.bind((lab.interface, ETH_P_ALL))
        finally:
            setns(here.fileno())
    with made:
        yield made
