"""The method dpdk on devices without a NIC: numbered packets, exactly; whole machines have the NICs."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import programs
import pytest
from engine import Engine, assert_balanced, assert_nothing_lost, suspended
from lab import Lab
from methods import Driver
from readers import tcpdump
from test_privileges import IPC_LOCK, NET_ADMIN, NET_RAW, USER, engine_for, mask, process_status
from traffic import SMALL, Shape, assert_all_there, assert_undamaged, check
from waiting import wait_until

FRAMES = 20_000
OBJECT = "source_dpdk.so"
SMALLEST_BUFFERS = {"blocks_per_queue": 4, "hugepages": "off"}
"""So few blocks that a disk cannot keep up with a source from memory."""

pytestmark = pytest.mark.skipif(
    not programs.beside_engine(OBJECT).exists(), reason="the engine was built without libdpdk"
)


def dpdk(devargs: str | None = None, **options: Any) -> Driver:
    """The method on a virtual device, with memory from malloc: a test host may have no hugepages."""
    devices = {"devargs": devargs} if devargs else {}
    return Driver("dpdk", "dpdk", "virtual device", {"huge": False, **devices, **options})


AF_PACKET = dpdk("iface=cap0,framecnt=8192")
"""Its ring holds a fifth of a second."""


@pytest.fixture(scope="module", autouse=True)
def shared_object(workspace: Path) -> Path:
    """The method's object beside the copy of the engine that the tests run."""
    return Path(shutil.copy(programs.beside_engine(OBJECT), programs.engine().parent))


@pytest.fixture
def own_lab() -> Iterator[Lab]:
    """A lab whose link a test may take away."""
    made = Lab(1, "dpdk")
    made.up()
    yield made
    made.down()


def methods(engine: Path) -> dict[str, Any]:
    """What an engine says of the method."""
    listed = json.loads(programs.run(engine, "--methods", "--json").stdout)["methods"]
    (found,) = [method for method in listed if method["name"] == "dpdk"]
    return dict(found)


def test_the_engine_says_that_this_host_has_the_method() -> None:
    found = methods(programs.engine())
    assert found["loadable"] is True and found["why_not"] is None
    assert found["multi_queue"] and found["hardware_time"]


def test_without_its_object_the_engine_says_what_to_install(place: Path) -> None:
    alone = Path(shutil.copy(programs.engine(), place))
    found = methods(alone)
    assert found["loadable"] is False and "install capstan-engine-dpdk" in found["why_not"]
    engine = Engine(place, dpdk().port("net_null0"))
    (place / "engine.json").write_text(json.dumps(engine.settings))
    done = programs.run(alone, "--config", place / "engine.json", "--check", check=False)
    assert done.returncode == 2 and "install capstan-engine-dpdk" in done.stderr


def test_an_object_that_is_none_is_refused(place: Path) -> None:
    alone = Path(shutil.copy(programs.engine(), place))
    (place / OBJECT).write_bytes(b"not an object")
    assert "cannot be loaded" in methods(alone)["why_not"]
    (place / OBJECT).unlink()
    programs.run("cc", "-shared", "-o", place / OBJECT, "-x", "c", "/dev/null")
    assert "another build" in methods(alone)["why_not"]


@pytest.mark.parametrize(
    "shape",
    [
        SMALL,
        Shape("mixed sizes", size="64,512,1514", flows=16),
        Shape("jumbo frames", size="64,9000", flows=4),
        Shape("one tag", size="80", vlan="0xb007"),
        Shape("IPv6", size="90", shape="udp6"),
    ],
    ids=lambda shape: shape.name,
)
def test_numbered_packets_are_found_again(shape: Shape, lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port("net_af_packet0"), netns=lab.netns) as engine:
        sent = lab.send(shape, count=FRAMES // 10)
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(engine.files(), sent)


def test_several_queues_share_the_packets_and_keep_each_flow_in_order(wide_lab: Lab, place: Path) -> None:
    shape = Shape("many flows", flows=64)
    with Engine(place, AF_PACKET.port("net_af_packet0", wide_lab.queues), netns=wide_lab.netns) as engine:
        sent = wide_lab.send(shape, count=FRAMES)
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert all(queue.balance.delivered > 0 for queue in ledger.queues)
    assert_all_there(engine.files(), sent)


def test_packets_of_a_tap_device_are_found_again(lab: Lab, place: Path) -> None:
    with Engine(place, dpdk("iface=dpdktap0").port("net_tap0"), netns=lab.netns) as engine:
        sent = send_to_tap(lab, "dpdktap0", 2000, "--rate", str(TAP_RATE), "--size", "64,1514")
        ledger = engine.stop()
    assert_nothing_lost(ledger, 2000)
    found = check(engine.files(), 2000)
    assert sent["accepted"] == found.numbered == found.distinct == 2000
    assert found.damaged == found.out_of_order == found.foreign == 0


@pytest.fixture
def short_lab() -> Iterator[Lab]:
    """A lab of short frames: net_af_xdp wants each in one page."""
    made = Lab(1, "xsk")
    made.up()
    made.link("mtu", 1500)
    made.wire("mtu", 1500)
    yield made
    made.down()


def test_packets_of_an_af_xdp_device_are_found_again(short_lab: Lab, place: Path) -> None:
    rate = 10_000  # its ring of 2048 holds a fifth of a second
    with Engine(place, dpdk("iface=cap0").port("net_af_xdp0"), netns=short_lab.netns) as engine:
        sent = [
            short_lab.send(Shape("mixed sizes", size="64,512,1514", flows=16), stream=1, count=2000, rate=rate),
            short_lab.send(Shape("fragments", size="512", shape="fragments"), stream=2, count=2000, rate=rate),
            short_lab.send(Shape("two tags", size="80", vlan="0xb007,0xffff"), stream=3, count=2000, rate=rate),
        ]
        ledger = engine.stop()
    assert_nothing_lost(ledger, 6000)
    for stream in sent:
        assert_all_there(engine.files(), stream)


def test_what_the_rings_of_an_af_xdp_device_had_no_room_for_is_counted(short_lab: Lab, place: Path) -> None:
    with Engine(place, dpdk("iface=cap0").port("net_af_xdp0"), netns=short_lab.netns) as engine:
        with suspended(engine):
            sent = short_lab.send(SMALL, count=50_000, rate=0)
        engine.wait_for(lambda ledger: ledger.total.wire >= sent.accepted, "everything is accounted for")
        ledger = engine.stop()
    assert_balanced(ledger)
    total = ledger.total
    assert total.wire == sent.accepted == total.delivered + total.dropped, (sent, total)
    assert total.drops["nic_missed"] == total.dropped > 0
    assert_undamaged(engine.files(), sent, total.delivered)


def test_what_a_virtual_device_falsifies_is_told(lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port("net_af_packet0"), netns=lab.netns) as engine:
        (sentence,) = engine.port_status()["degraded"]
        engine.stop()
    assert "fragments" in sentence and "802.1ad" in sentence and "method af_packet" in sentence


def test_a_file_comes_through_whole_with_its_own_times(place: Path) -> None:
    file = place / "wire.pcap"
    programs.run(programs.generator(), "write", file, "--count", FRAMES, "--stream", 1, "--size", "64,1514,9000")
    # As many blocks as the file fills, 68 of a MiB: net_pcap gives it as fast as it is asked and waits for no disk.
    buffers = {"blocks_per_queue": 80, "hugepages": "off"}
    with Engine(place, dpdk(f"rx_pcap={file}").port("net_pcap0"), buffers=buffers) as engine:
        engine.wait_for(lambda ledger: ledger.total.wire >= FRAMES, "the file has been read")
        ledger = engine.stop()
    assert_nothing_lost(ledger, FRAMES)
    assert check(engine.files(), FRAMES).complete
    (captured,) = engine.files()
    assert tcpdump(captured, "-tt") == tcpdump(file, "-tt")


def test_a_filter_selects_exactly_and_what_it_rejects_is_counted(lab: Lab, place: Path) -> None:
    port = AF_PACKET.port("net_af_packet0", filter="udp and greater 500", snaplen=96)
    with Engine(place, port, netns=lab.netns) as engine:
        lab.send(Shape("mixed sizes", size="64,512,1514"), count=3000)
        ledger = engine.stop()
    assert_balanced(ledger)
    assert ledger.total.wire == 3000
    assert ledger.total.filtered == 1000 and ledger.total.delivered == 2000
    assert check(engine.files(), 3000).cut == 2000


@pytest.mark.parametrize("queues", [1, 3])
def test_under_overload_every_packet_is_delivered_or_named(queues: int, place: Path) -> None:
    port = dpdk("size=1500").port("net_null0", queues)
    with Engine(place, port, buffers=SMALLEST_BUFFERS, output={"rotate_bytes": 64 << 20}) as engine:
        engine.wait_for(lambda ledger: ledger.total.drops["no_block"] > 0, "blocks run out")
        ledger = engine.stop()
    assert_balanced(ledger)
    total = ledger.total
    assert total.wire == total.delivered + total.drops["no_block"] > 0, total
    for queue in ledger.queues:
        assert queue.balance.wire == queue.balance.delivered + queue.balance.dropped, queue


def test_two_ports_are_counted_apart_and_two_engines_do_not_meet(lab: Lab, place: Path) -> None:
    other = place / "other"
    other.mkdir()
    with (
        Engine(place, AF_PACKET.port("net_af_packet0"), dpdk().port("net_ring0"), netns=lab.netns) as engine,
        Engine(other, dpdk().port("net_null0"), output={"sink": "null"}) as second,
    ):
        second.wait_for(lambda ledger: ledger.total.delivered > 0, "the other engine captures")
        sent = lab.send(SMALL, count=2000)
        ledger = engine.stop()
        assert_balanced(second.stop())
    assert_balanced(ledger)
    assert [queue.balance.delivered for queue in ledger.queues] == [sent.accepted, 0]
    assert_all_there(engine.files(), sent)


def cpu_seconds(pid: int) -> float:
    """What all threads of a process have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def times_that_its_worker_slept(pid: int) -> int:
    """How often the worker of net_ring0 has given its CPU away by itself; what else a machine does changes nothing."""
    (worker,) = (
        task for task in Path(f"/proc/{pid}/task").iterdir() if (task / "comm").read_text().startswith("cap-net_rin")
    )
    (line,) = (line for line in (worker / "status").read_text().splitlines() if line.startswith("voluntary_ctxt"))
    return int(line.split()[1])


def test_an_idle_port_sleeps_and_one_that_polls_does_not(place: Path) -> None:
    slept = {}
    for idle in ("sleep", "poll"):
        folder = place / idle
        folder.mkdir()
        with Engine(folder, dpdk(idle=idle).port("net_ring0")) as engine:
            before = times_that_its_worker_slept(engine.pid)
            time.sleep(1)
            slept[idle] = times_that_its_worker_slept(engine.pid) - before
            assert f"idle {idle}" in engine.port_status()["effective_mode"]
            engine.stop()
    # A sleep is a millisecond at most; a worker that polls sleeps never.
    assert slept["sleep"] > 20
    assert slept["poll"] <= 2, slept


def test_what_cannot_interrupt_sleeps_and_says_so(lab: Lab, place: Path) -> None:
    driver = dpdk("iface=cap0,framecnt=8192", idle="interrupt")
    with Engine(place, driver.port("net_af_packet0"), netns=lab.netns) as engine:
        told = engine.port_status()
        sent = lab.send(SMALL, count=2000)
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert "idle sleep" in told["effective_mode"]
    assert any("asked to wait by interrupt" in sentence for sentence in told["degraded"])


TAP_RATE = 5000
"""The kernel holds a thousand packets for a tap: a fifth of a second."""


def send_to_tap(lab: Lab, interface: str, count: int, *more: str) -> dict[str, Any]:
    """Numbered packets into the interface that a net_tap made."""
    words = ["send", "--netns", lab.name, "--interface", interface, "--method", "af_packet", "--stream", "1"]
    return programs.generate(*words, "--count", str(count), *more)


def worker_of(engine: Engine) -> Path:
    """The thread of its only queue, in /proc."""
    (thread,) = [
        task for task in Path(f"/proc/{engine.pid}/task").iterdir() if (task / "comm").read_text().startswith("cap-net")
    ]
    return thread


def waits(thread: Path) -> bool:
    """Whether a thread waits in epoll_wait at the moment."""
    return (thread / "wchan").read_text() in {"ep_poll", "do_epoll_wait"}


def test_an_idle_port_that_can_interrupt_waits_for_that(lab: Lab, place: Path) -> None:
    driver = dpdk("iface=dpdktap1", idle="interrupt")
    with Engine(place, driver.port("net_tap1"), netns=lab.netns) as engine:
        assert "idle interrupt" in engine.port_status()["effective_mode"]
        thread = worker_of(engine)
        wait_until(lambda: waits(thread), "the worker waits for its interrupt")
        before = cpu_seconds(engine.pid)
        time.sleep(1)
        assert cpu_seconds(engine.pid) - before < 0.5, "it neither polls nor sleeps in short pieces"
        sent = send_to_tap(lab, "dpdktap1", 2000, "--rate", str(TAP_RATE))
        engine.wait_for(lambda ledger: ledger.total.wire == 2000, "the interrupt wakes it")
        wait_until(lambda: waits(thread), "it waits again")
        assert not engine.log("no_interrupt")
        assert not engine.port_status()["degraded"]
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent["accepted"])
    assert check(engine.files(), 2000).complete


def dropped_by(lab: Lab, interface: str) -> int:
    """Packets sent into a tap that its queue had no room for."""
    told = json.loads(programs.run("ip", "-n", lab.name, "-json", "-stats", "link", "show", interface).stdout)
    dropped: int = told[0]["stats64"]["tx"]["dropped"]
    return dropped


@pytest.mark.parametrize("descriptors", [64, 1024])
def test_what_the_queue_of_a_tap_had_no_room_for_is_counted_and_what_it_held_is_taken(
    descriptors: int, lab: Lab, place: Path
) -> None:
    driver = dpdk("iface=dpdktap2", descriptors=descriptors)
    with Engine(place, driver.port("net_tap2"), netns=lab.netns) as engine:
        with suspended(engine):
            sent = send_to_tap(lab, "dpdktap2", 5000, "--rate", "0")
            dropped = dropped_by(lab, "dpdktap2")
            assert dropped > 0
            # What it holds must be taken by the stop, before anybody had time for it.
            engine.signal(signal.SIGTERM)
        ledger = engine.ended()
    assert_balanced(ledger)
    total = ledger.total
    assert total.wire == sent["frames"] == 5000
    assert total.drops["nic_missed"] == total.dropped == dropped
    found = check(engine.files(), 5000)
    assert found.numbered == found.distinct == total.delivered == 5000 - dropped > 0


def test_packets_have_the_time_of_their_burst_and_its_error_is_told(lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port("net_af_packet0"), netns=lab.netns) as engine:
        before = time.time()
        sent = lab.send(SMALL, count=FRAMES)
        engine.wait_for(lambda ledger: ledger.total.wire == FRAMES, "all is received")
        after = time.time()
        port = engine.port_status()
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    # DPDK 24.11 passes the kernel's own time stamps on.
    by_burst = "time a burst" in port["effective_mode"]
    assert int(ledger.queues[0].values["untimed"]) == (FRAMES if by_burst else 0)
    assert 0 < port["time_error_ns"] < 1e9 if by_burst else "time by the kernel" in port["effective_mode"]
    (file,) = engine.files()
    times = [float(line.split()[0]) for line in tcpdump(file, "-tt", "--nano")]
    assert before - 1e-3 <= times[0] and times[-1] <= after + 1e-3
    assert times == sorted(times) or min(b - a for a, b in pairwise(times)) > -1e-5


def test_an_interface_that_is_removed_and_made_anew_is_captured_again(own_lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port("net_af_packet0"), netns=own_lab.netns) as engine:
        before = own_lab.send(SMALL, stream=1, count=2000)
        with own_lab.sending(SMALL, stream=2, seconds=30, rate=20_000):
            engine.wait_for(lambda ledger: ledger.total.wire > 4000, "more arrives")
            own_lab.remove_link()
        wait_until(lambda: engine.port_status()["link"] == "gone", "the engine sees it")
        own_lab.make_link()
        wait_until(lambda: bool(engine.log("port_back")), "it is captured again")
        after = own_lab.send(SMALL, stream=3, count=2000)
        ledger = engine.stop()
    assert engine.log("port_lost")
    assert_balanced(ledger)
    assert ledger.queues[0].values["reopens"] == 1
    assert_all_there(engine.files(), before)
    assert_all_there(engine.files(), after)
    during = check(engine.files(), 30 * 20_000, stream=2)
    assert during.numbered == during.distinct == ledger.total.delivered - 4000
    assert during.damaged == during.out_of_order == 0


@pytest.mark.parametrize("wanted", [True, False])
def test_the_interface_is_promiscuous_while_captured_and_only_then(wanted: bool, lab: Lab, place: Path) -> None:
    assert lab.promiscuity() == 0
    with Engine(place, AF_PACKET.port("net_af_packet0", promiscuous=wanted), netns=lab.netns) as engine:
        assert lab.promiscuity() == wanted
        engine.stop()
        assert lab.promiscuity() == 0
        engine.start()
        engine.kill()
    assert lab.promiscuity() == 0, "not even a crash leaves it so"


def test_the_link_is_followed(own_lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port("net_af_packet0"), netns=own_lab.netns) as engine:
        own_lab.wire("down")
        wait_until(lambda: engine.port_status()["link"] == "down", "the engine sees it")
        own_lab.wire("up")
        own_lab.await_carrier()
        wait_until(lambda: engine.port_status()["link"] == "up", "the engine sees that, too")
        sent = own_lab.send(SMALL, count=2000)
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(engine.files(), sent)


def test_an_engine_stops_while_packets_keep_coming(lab: Lab, place: Path) -> None:
    port = AF_PACKET.port("net_af_packet0")
    with Engine(place, port, netns=lab.netns) as engine, lab.sending(SMALL, seconds=30) as traffic:
        engine.wait_for(lambda ledger: ledger.total.wire > 1000, "traffic arrives")
        ledger = engine.stop()
        assert traffic.running()
    assert_balanced(ledger)
    found = check(engine.files(), 30 * 40_000)
    assert found.numbered == found.distinct == ledger.total.delivered
    # Without a gap: the last that was taken is followed by nothing.
    assert found.missing == 30 * 40_000 - found.numbered and found.out_of_order == 0


@pytest.mark.parametrize(
    ("driver", "interface", "needed"),
    [(AF_PACKET, "net_af_packet0", {NET_RAW, NET_ADMIN, IPC_LOCK}), (dpdk(), "net_ring0", set())],
    ids=["af_packet", "ring"],
)
def test_every_thread_has_the_user_and_only_workers_have_rights(
    driver: Driver, interface: str, needed: set[int], lab: Lab, place: Path
) -> None:
    account = pwd.getpwnam(USER)
    engine = engine_for(driver, lab, place)
    engine.settings["ports"] = [driver.port(interface)]
    with engine:
        status = process_status(engine.pid)
        assert_balanced(engine.stop())
    assert status["Uid"] == ["\t".join([str(account.pw_uid)] * 4)]
    assert status["Groups"] == [str(account.pw_gid)]
    assert status["NoNewPrivs"] == ["1"]
    # EAL's own threads have none at all.
    assert set(status["CapEff"]) == {mask(needed), mask(set())}
    assert status["CapInh"] == status["CapAmb"] == [mask(set())]


def test_only_the_workers_are_pinned(place: Path) -> None:
    with Engine(place, dpdk().port("net_ring0", 2, cores=[max(os.sched_getaffinity(0))])) as engine:
        allowed: dict[str, set[int]] = {}
        for thread in Path(f"/proc/{engine.pid}/task").iterdir():
            allowed[(thread / "comm").read_text().strip()] = os.sched_getaffinity(int(thread.name))
        engine.stop()
    workers = {name for name in allowed if name.startswith("cap-net")}
    assert len(workers) == 2
    everywhere = os.sched_getaffinity(0)
    pinned = {max(everywhere)}
    for name, cpus in allowed.items():
        if name in workers:
            assert cpus == pinned, (name, cpus)
        elif name.startswith(("eal-", "rte_mp")):
            # EAL keeps its own threads off the workers' CPUs.
            assert cpus == (everywhere - pinned or everywhere), (name, cpus)
        else:
            assert cpus == everywhere, (name, cpus)


def left_behind(pid: int) -> list[Path]:
    """Files of an engine's DPDK on this host."""
    folders = (Path("/var/run/dpdk"), Path("/dev/hugepages"))
    return [path for folder in folders if folder.is_dir() for path in folder.glob(f"capstan-{pid}*")]


def test_nothing_is_left_behind_even_by_a_crash(place: Path) -> None:
    with Engine(place, dpdk().port("net_ring0")) as engine:
        engine.kill()
        assert left_behind(engine.pid) == []


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (dpdk().port("0000:ff:1f.7"), ["0000:ff:1f.7", "no PCI device", "lspci"]),
        (dpdk().port("cap0"), ["cap0", "PCI address"]),
        (dpdk().port("net_nothing0"), ["net_nothing0", "virtual device", "devargs"]),
        (dpdk("iface=nothere").port("net_af_packet0"), ["net_af_packet0", "there is no such interface as nothere"]),
        (dpdk("rx_pcap=/nowhere.pcap").port("net_pcap0"), ["net_pcap0", "/nowhere.pcap", "No such file"]),
        (dpdk("iface=cap0,qpairs=1").port("net_af_packet0", 3), ["1 receive queues", "3 were asked for", "queues 1"]),
        (dpdk("colour=1").port("net_null0"), ["net_null0", "devargs"]),
    ],
    ids=["absent", "name", "driver", "interface", "file", "queues", "devargs"],
)
def test_a_port_that_cannot_be_is_refused_in_one_sentence(
    port: dict[str, Any], words: list[str], lab: Lab, place: Path
) -> None:
    code, sentence = Engine(place, port, netns=lab.netns).refuse()
    assert code == 3
    for word in words:
        assert word in sentence, sentence


def test_ports_that_differ_in_their_memory_are_refused(place: Path) -> None:
    ports = [dpdk().port("net_null0"), dpdk(huge=True).port("net_null1")]
    code, sentence = Engine(place, *ports).refuse()
    assert code == 3 and "huge differs" in sentence and "net_null1" in sentence


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"descriptors": 1000}, "descriptors"),
        ({"idle": "doze"}, "poll, sleep, interrupt"),
        ({"devargs": "a b"}, "devargs"),
        ({"huge": 1}, "huge"),
        ({"colour": 1}, "colour"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_wrong_options_are_told_with_their_key(options: dict[str, Any], word: str, place: Path) -> None:
    engine = Engine(place, dpdk(**options).port("net_null0"))
    (place / "engine.json").write_text(json.dumps(engine.settings))
    done = subprocess.run(
        [programs.engine(), "--config", place / "engine.json", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and word in done.stderr and "ports[0]" in done.stderr
