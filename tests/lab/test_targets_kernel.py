"""Packets of nobody are left in the kernel and counted there; packets of a target come through, whatever changes."""

from __future__ import annotations

import json
import os
import pwd
import random
import socket
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import programs
import pytest
from engine import Engine, assert_balanced
from lab import Lab
from methods import AF_PACKET, AF_XDP_COPY, AF_XDP_SKB, PCAP, Driver
from readers import packets
from traffic import Sent, Shape, check
from waiting import wait_until

from capstan import lab as veth
from capstan.ledger import Snapshot

DRIVERS = (PCAP, AF_PACKET, AF_XDP_COPY, AF_XDP_SKB)
USER = "daemon"
FLOWS = 100
FRAMES = 20_000
SOURCE = "198.18.0.{}"
"""The generator's: a flow each."""
HUNDRED = Shape("a hundred flows", size="64,1514", flows=FLOWS)


def target(**says: Any) -> dict[str, Any]:
    """A target as a set has it."""
    return {"id": str(uuid.uuid4()), **says}


def host(number: int, **says: Any) -> dict[str, Any]:
    """A target of one flow."""
    return target(prefixes=[SOURCE.format(number)], **says)


def engine_with(
    place: Path, lab: Lab, driver: Driver, targets: Sequence[dict[str, Any]], queues: int = 1, **settings: Any
) -> Engine:
    """An engine that becomes another user, with a set that can be changed."""
    directory = place / "targets"
    directory.mkdir()
    (directory / "targets.json").write_text(json.dumps({"version": 1, "serial": 1, "targets": list(targets)}))
    port = driver.port(queues=queues, **settings)
    engine = Engine(place, port, netns=lab.netns, user=USER, group=USER, targets={"directory": str(directory)})
    account = pwd.getpwnam(USER)
    for path in (engine.captures, directory, directory / "targets.json"):
        os.chown(path, account.pw_uid, account.pw_gid)
    return engine


def change(engine: Engine, **what: Any) -> None:
    """Change the targets in force; it is done when this returns."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(str(engine.socket))
        connection.sendall(json.dumps({"cmd": "targets_change", "who": "test", **what}).encode() + b"\n")
        with connection.makefile("rb") as stream:
            answer = json.loads(stream.readline())
    assert answer["ok"], answer


def assert_left_in_the_kernel(ledger: Snapshot, sent: Sent, wanted: int) -> None:
    """Everything that was offered is accounted for, and nobody's packets never came up."""
    assert sent.accepted == sent.frames
    assert_balanced(ledger)
    assert ledger.total.wire == sent.accepted
    assert ledger.total.delivered == wanted
    assert sum(queue.values["filtered_kernel"] for queue in ledger.queues) == sent.accepted - wanted
    assert sum(queue.values["received_packets"] for queue in ledger.queues) == wanted
    assert not ledger.total.dropped


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_only_the_packets_of_a_target_reach_the_engine(driver: Driver, lab: Lab, place: Path) -> None:
    with engine_with(place, lab, driver, [host(7)]) as engine:
        port = engine.port_status()
        sent = lab.send(HUNDRED, count=FRAMES)
        ledger = engine.stop()
    assert port["targets_in"] == "kernel" and not port["degraded"], port
    assert_left_in_the_kernel(ledger, sent, FRAMES // FLOWS)
    found = check(engine.files(), FRAMES)
    assert found.numbered == found.distinct == FRAMES // FLOWS
    assert found.damaged == found.cut == found.out_of_order == 0


@pytest.mark.parametrize("driver", [AF_PACKET, AF_XDP_COPY], ids=lambda driver: driver.name)
def test_each_queue_counts_what_it_leaves(driver: Driver, wide_lab: Lab, place: Path) -> None:
    with engine_with(place, wide_lab, driver, [host(7), host(8)], queues=4) as engine:
        sent = wide_lab.send(HUNDRED, count=FRAMES)
        ledger = engine.stop()
    assert_left_in_the_kernel(ledger, sent, 2 * FRAMES // FLOWS)
    for queue in ledger.queues:
        values = queue.values
        assert values["wire_packets"] == values["filtered_kernel"] + values["received_packets"], values


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_without_a_target_nothing_comes_up(driver: Driver, lab: Lab, place: Path) -> None:
    with engine_with(place, lab, driver, []) as engine:
        sent = lab.send(HUNDRED, count=FRAMES)
        ledger = engine.stop()
    assert_left_in_the_kernel(ledger, sent, 0)


REPLAY = {"method": "replay", "queues": 1, "options": {"generate": {"packets": 1000, "size": 64}}}
"""A source in memory that ends by itself."""

TAGGED = (
    Shape("untagged", flows=FLOWS, size="100,9014"),
    Shape("one tag", flows=FLOWS, size="100", vlan="5"),
    Shape("two tags", flows=FLOWS, size="100", vlan="5,7"),
    Shape("IPv6 behind a tag", flows=FLOWS, size="110", shape="udp6", vlan="6"),
    Shape("fragments", flows=FLOWS, size="300", shape="fragments"),
)
"""The outer tag is beside the frame for packet sockets, and within it for AF_XDP."""

KINDS = {
    "a host": [host(7)],
    "a network": [target(prefixes=["198.18.0.16/30"])],
    "IPv6": [target(prefixes=["2001:db8::8/127", "2001:db8::30", "2001:db8:1::/64"])],
    "one direction": [host(7, direction="to"), host(8, direction="from")],
    "a port": [target(ports=["50003"])],
    "a port of a host": [host(3, ports=["50003"]), host(4, ports=["50003"])],
    "an outer tag": [target(vlans=[6])],
    "an inner tag": [target(inner_vlans=[7])],
    "a tag and a host": [host(7, vlans=[5])],
    "another protocol": [host(7, protocol="tcp")],
}


@pytest.fixture(scope="module")
def everything(lab: Lab, module_place: Path) -> list[bytes]:
    """What the engine's own matcher is shown where the kernel leaves nothing: all of it."""
    with Engine(module_place, AF_PACKET.port(), netns=lab.netns) as engine:
        for stream, shape in enumerate(TAGGED):
            lab.send(shape, stream=stream, count=FLOWS * 6)
        engine.stop()
    (path,) = engine.files()
    return packets(path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_selects_the_same(kind: str, lab: Lab, place: Path, everything: list[bytes]) -> None:
    selected = {}
    for driver in (AF_PACKET, AF_XDP_COPY):
        here = place / driver.name
        here.mkdir()
        with engine_with(here, lab, driver, KINDS[kind]) as engine:
            sent = [lab.send(shape, stream=stream, count=FLOWS * 6) for stream, shape in enumerate(TAGGED)]
            ledger = engine.stop()
        assert_balanced(ledger)
        assert ledger.total.wire == sum(one.accepted for one in sent) == len(everything)
        selected[driver.name] = packets(engine.files()[0]) if engine.files() else []
        assert ledger.total.delivered == len(selected[driver.name]) < len(everything)
        assert ledger.queues[0].values["filtered_kernel"] > 0
    assert selected["af_packet"] == selected["af_xdp-copy"]
    assert bool(selected["af_packet"]) == (kind != "another protocol")


@pytest.mark.parametrize("driver", [AF_PACKET, AF_XDP_COPY, AF_XDP_SKB], ids=lambda driver: driver.name)
def test_a_target_in_both_sets_loses_nothing_by_a_change(driver: Driver, lab: Lab, place: Path) -> None:
    always = host(7)
    with engine_with(place, lab, driver, [always, host(8)]) as engine:
        with lab.sending(HUNDRED, rate=20_000, count=FRAMES * 3) as traffic:
            for step in range(12):
                # Small changes are made in place, and those that alter a row, or bring a kind, by the other slot.
                new = [host(20 + step)] if step % 3 else [host(8, ports=["1-2"]), target(prefixes=["198.51.100.0/24"])]
                change(engine, add=new)
                change(engine, remove=[one["id"] for one in new])
            assert traffic.running(), "the changes came after the traffic"
            sent = traffic.finish()
        ledger = engine.stop()
    assert sent.accepted == sent.frames
    assert_balanced(ledger)
    assert ledger.total.wire == sent.accepted and not ledger.total.dropped
    (path,) = engine.files()
    assert len(packets(path, f"src host {SOURCE.format(7)}")) == sent.frames // FLOWS
    assert len(packets(path, f"src host {SOURCE.format(8)}")) == sent.frames // FLOWS


@pytest.mark.parametrize("driver", [PCAP, AF_PACKET, AF_XDP_COPY], ids=lambda driver: driver.name)
def test_a_port_that_comes_back_leaves_the_same_packets(driver: Driver, place: Path) -> None:
    lab = Lab(1, "-back")
    try:
        lab.up()
        with engine_with(place, lab, driver, [host(7)]) as engine:
            first = lab.send(HUNDRED, count=FRAMES)
            engine.wait_for(lambda ledger: ledger.total.wire == first.accepted, "all of it is accounted for")
            lab.remove_link()
            engine.wait_for(lambda _: engine.port_status()["link"] == "gone", "the port is gone")
            change(engine, add=[host(8)])
            lab.make_link()
            engine.wait_for(lambda _: engine.port_status()["link"] == "up", "the port is back")
            assert engine.port_status()["targets_in"] == "kernel"
            second = lab.send(HUNDRED, stream=2, count=FRAMES)
            ledger = engine.stop()
    finally:
        lab.down()
    assert_balanced(ledger)
    assert ledger.total.delivered == first.frames // FLOWS + 2 * second.frames // FLOWS
    assert ledger.queues[0].values["filtered_kernel"] >= first.frames + second.frames - ledger.total.delivered


def test_all_ports_are_changed_when_a_change_is_answered(lab: Lab, place: Path) -> None:
    engine = engine_with(place, lab, AF_PACKET, [host(7)])
    # Beside the port of the lab one of the same namespace that nothing arrives at, and one whose method has no kernel.
    engine.settings["ports"] += [PCAP.port(interface="lo"), {"interface": "tape", **REPLAY}]
    programs.run("ip", "-n", lab.name, "link", "set", "lo", "up")
    with engine:
        assert [port["targets_in"] for port in engine.status()["ports"]] == ["kernel", "kernel", "engine"]
        change(engine, add=[host(8)])
        sent = lab.send(HUNDRED, count=FRAMES)
        ledger = engine.stop()
    queue = ledger.queues[0].values
    assert queue["filtered_kernel"] == sent.frames - 2 * FRAMES // FLOWS
    assert queue["received_packets"] == 2 * FRAMES // FLOWS
    assert_balanced(ledger)


def send_bytes(lab: Lab, frames: Sequence[bytes]) -> None:
    """Send frames that no generator makes, by a packet socket in the sender's namespace."""
    script = (
        "import socket, sys\n"
        "wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
        f"wire.bind(({veth.SENDER!r}, 0))\n"
        "for line in sys.stdin:\n"
        "    wire.send(bytes.fromhex(line))\n"
    )
    command = ["nsenter", f"--net=/run/netns/{lab.sender}", sys.executable, "-c", script]
    text = "\n".join(frame.hex() for frame in frames)
    subprocess.run(command, input=text, text=True, check=True, timeout=60)


def hostile_frames(count: int) -> list[bytes]:
    """Headers that contradict themselves, end early, nest without end or lead nowhere; the same in every run."""
    chance = random.Random(7)  # noqa: S311
    ethernet = bytes.fromhex("02434150000102434150000a")
    inner = bytes.fromhex("450000280001000040110000c6120007c6130001c3500009001400004500")
    starts = (
        "0800 4f 00 ffff 0000 2000 40 11 0000",
        "0800 40 00 0000 0000 0000 40 2f 0000",
        "86dd 6000 0000 ffff 00 40" + "20010db8" * 8,
        "86dd 6000 0000 0000 2c 40" + "20010db8" * 8 + "2c00 fff9 00000001" * 20,
        "8847" + "00000000" * 40,
        "8847 00000140 00000000",
        "8100 0005 8100 0007 88a8 0005 9100 0005 8100 0005 0800",
        "0800 45 00 0050 0000 0000 40 11 0000 0a000001 0a000002 1000 0868 0030 0000 34ff 0000 0000 0001 000000 85"
        + "00" * 30,
        "0800 45 00 0050 0000 0000 40 11 0000 0a000001 0a000002 1000 12b5 0030 0000 08000000 00000100" + "ff" * 12,
    )
    frames = []
    for _ in range(count):
        body = bytes.fromhex(chance.choice(starts)) + chance.randbytes(chance.randrange(60)) + inner
        frames.append((ethernet + body)[: chance.randrange(14, 200)])
    return frames


@pytest.mark.parametrize("driver", [AF_PACKET, AF_XDP_COPY], ids=lambda driver: driver.name)
def test_hostile_frames_are_counted_as_exactly_as_others(driver: Driver, lab: Lab, place: Path) -> None:
    wanted = [host(7), target(ports=["2152"]), target(vlans=[5], ports=["1-9"]), target(macs=["02:43:41:50:00:99"])]
    frames = hostile_frames(2000)
    with engine_with(place, lab, driver, wanted, tunnels=["mpls", "gre", "gtp_u", "vxlan"]) as engine:
        assert engine.port_status()["targets_in"] == "kernel"
        before = lab.received()
        send_bytes(lab, frames)
        sent = lab.received() - before
        ledger = engine.stop()
    assert sent == len(frames)
    assert_balanced(ledger)
    values = ledger.queues[0].values
    # Linux takes the tag out and wants two bytes behind it, else no packet socket sees the frame.
    unseen = sum(frame[12:14] == b"\x81\x00" and len(frame) < 20 for frame in frames)
    assert ledger.total.wire == sent - (unseen if driver is AF_PACKET else 0)
    assert not ledger.total.dropped
    assert values["filtered_kernel"] > 0 and values["kernel_unjudged"] > 0
    assert ledger.total.delivered > 0


NO_PROGRAMS = ("setpriv", "--bounding-set=-sys_admin,-bpf")


@pytest.mark.parametrize("driver", [PCAP, AF_PACKET], ids=lambda driver: driver.name)
def test_without_the_right_to_load_programs_the_engine_matches_alone_and_says_so(
    driver: Driver, lab: Lab, place: Path
) -> None:
    engine = engine_with(place, lab, driver, [host(7)])
    # It enters no namespace itself, for which it would need one of the rights that it has not here.
    for key in ("netns", "user", "group"):
        del engine.settings[key]
    try:
        engine.launch("nsenter", f"--net={lab.netns}", *NO_PROGRAMS)
        wait_until(lambda: engine.state() == "capturing", "the engine captures")
        port = engine.port_status()
        sent = lab.send(HUNDRED, count=FRAMES)
        ledger = engine.stop()
    finally:
        engine.end()
    assert port["targets_in"] == "engine"
    (reason,) = port["degraded"]
    assert reason.startswith("targets are matched in the engine, not in the kernel: ") and "CAP_BPF" in reason
    assert [record["message"] for record in engine.log("degraded")] == [f"cap0: {reason}"]
    assert_balanced(ledger)
    assert ledger.total.wire == sent.frames
    assert ledger.total.delivered == FRAMES // FLOWS
    values = ledger.queues[0].values
    assert values["filtered_engine"] == FRAMES - FRAMES // FLOWS and values["filtered_kernel"] == 0
