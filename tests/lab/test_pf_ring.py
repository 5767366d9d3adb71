"""The method pf_ring, over a stand-in for the vendor's library; CAPSTAN_PFRING=real takes the vendor's own.

The stand-in overwrites a packet when the next is asked for: numbered packets that are found undamaged were not read
any later than the vendor's ring lets them be read.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import programs
import pytest
from engine import Engine, assert_balanced, assert_nothing_lost
from lab import Lab
from methods import PF_RING
from readers import tcpdump, tshark
from traffic import SMALL, Shape, assert_all_there, check
from waiting import wait_until

FRAMES = 20_000
OBJECT = "source_pf_ring.so"
DAY = 86_400
REAL = os.environ.get("CAPSTAN_PFRING") == "real"

standin_only = pytest.mark.skipif(REAL, reason="the stand-in alone can be made to do this")


@pytest.fixture(autouse=REAL)
def module_in_namespaces(lab: Lab) -> None:
    """The vendor's module tells of itself in each network namespace that it serves, also in those made after it."""
    there = programs.run("nsenter", f"--net={lab.netns}", "cat", "/proc/net/pf_ring/info", check=False)
    assert there.returncode == 0, (
        "the module pf_ring is not loaded, or serves no network namespace but the host's own, and these tests send in "
        "namespaces of their own: see docs/pf_ring.md"
    )


def pf_ring(queues: int = 1, **options: Any) -> dict[str, Any]:
    """A port; a filter and the like stand beside the options."""
    beside = {key: options.pop(key) for key in ("filter", "snaplen") if key in options}
    return PF_RING.port(queues=queues, options=options, **beside)


def methods(engine: Path) -> dict[str, Any]:
    """What an engine says of the method."""
    listed = json.loads(programs.run(engine, "--methods", "--json").stdout)["methods"]
    (found,) = [method for method in listed if method["name"] == "pf_ring"]
    return dict(found)


def test_the_engine_has_the_method_and_without_its_object_says_what_to_install(place: Path) -> None:
    found = methods(programs.engine())
    assert found["loadable"] is True and found["why_not"] is None
    assert found["multi_queue"] and found["hardware_time"] and found["kernel_filter"] and found["zero_copy"]
    alone = Path(shutil.copy(programs.engine(), place))
    found = methods(alone)
    assert found["loadable"] is False and "install capstan-engine-pf-ring" in found["why_not"]


def test_versions_mode_and_filter_are_told(lab: Lab, place: Path) -> None:
    with Engine(place, pf_ring(), netns=lab.netns) as engine:
        port = engine.port_status()
        engine.stop()
    assert port["effective_mode"].startswith("PF_RING ") and ", module " in port["effective_mode"]
    assert "1-copy" in port["effective_mode"] and "time by the kernel" in port["effective_mode"]
    assert port["degraded"] == [] and port["filter_in"] == "none"


def test_the_tag_that_the_kernel_took_is_back_in_its_place(lab: Lab, place: Path) -> None:
    shape = Shape("one tag", size="80", vlan="0xb007")
    with Engine(place, pf_ring(snaplen=70), netns=lab.netns) as engine:
        sent = lab.send(shape, count=2000)
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    (file,) = engine.files()
    # Type and all 16 bits of the tag, and as many bytes as asked for with the tag among them.
    assert {tuple(row) for row in tshark(file, "vlan.priority", "vlan.dei", "vlan.id", "frame.cap_len")} == {
        ("5", "1", "7", "70")
    }
    assert ledger.queues[0].values["cut_packets"] == 2000


def test_every_channel_has_a_queue_and_each_flow_keeps_its_order(wide_lab: Lab, place: Path) -> None:
    with Engine(place, pf_ring(wide_lab.queues), netns=wide_lab.netns) as engine:
        sent = wide_lab.send(Shape("many flows", flows=64), count=FRAMES)
        assert f"{wide_lab.queues} channels" in engine.port_status()["effective_mode"]
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert all(queue.balance.delivered > 0 for queue in ledger.queues)
    assert_all_there(engine.files(), sent)


@pytest.mark.parametrize("spread", ["flow", "inner_flow_tcp_5_tuple"])
def test_a_kernel_cluster_spreads_flows_over_more_queues_than_channels(spread: str, lab: Lab, place: Path) -> None:
    with Engine(place, pf_ring(3, spread=spread), netns=lab.netns) as engine:
        sent = lab.send(Shape("many flows", flows=64), count=FRAMES)
        assert f"cluster {spread} over 3 queues" in engine.port_status()["effective_mode"]
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert all(queue.balance.delivered > 0 for queue in ledger.queues)
    assert_all_there(engine.files(), sent)


def test_fewer_queues_than_channels_miss_none(wide_lab: Lab, place: Path) -> None:
    with Engine(place, pf_ring(2), netns=wide_lab.netns) as engine:
        sent = wide_lab.send(Shape("many flows", flows=64), count=FRAMES)
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(engine.files(), sent)


@pytest.mark.parametrize(
    ("standin", "told"),
    [
        ("", "kernel"),
        pytest.param("none", "engine", marks=standin_only),
        pytest.param("ignored", "kernel", marks=standin_only),
    ],
    ids=["in the kernel", "in the engine", "ignored by the module"],
)
def test_a_filter_selects_exactly_wherever_it_runs(
    standin: str, told: str, lab: Lab, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_PFRING_FILTER", standin)
    with Engine(place, pf_ring(filter="udp and greater 500 and not vlan", snaplen=96), netns=lab.netns) as engine:
        lab.send(Shape("mixed sizes", size="64,512,1514"), count=3000)
        lab.send(Shape("tagged", size="600", vlan="7"), count=1000, stream=2)
        if standin == "ignored":
            wait_until(lambda: bool(engine.log("filter_not_run")), "the engine sees that nobody filters")
        port = engine.port_status()
        ledger = engine.stop()
    assert port["filter_in"] == told
    assert [sentence for sentence in port["degraded"] if "filter" in sentence] == port["degraded"]
    assert bool(port["degraded"]) == (standin == "none")
    assert_balanced(ledger)
    assert ledger.total.wire == 4000
    assert ledger.total.filtered == 2000 and ledger.total.delivered == 2000
    in_kernel = int(ledger.queues[0].values["filtered_kernel"])
    assert in_kernel == (2000 if standin == "" else 0)
    assert check(engine.files(), 3000).cut == 2000


def test_by_channels_the_engine_filters_and_counts_each_frame_once(wide_lab: Lab, place: Path) -> None:
    port = pf_ring(wide_lab.queues, filter="udp and greater 500")
    with Engine(place, port, netns=wide_lab.netns) as engine:
        sent = wide_lab.send(Shape("many flows", flows=64, size="64,1000"), count=FRAMES)
        status = engine.port_status()
        ledger = engine.stop()
    # The module would judge every frame for each of the rings, and our program count it as often.
    assert (status["filter_in"], status["degraded"]) == ("engine", [])
    assert_balanced(ledger)
    assert ledger.total.wire == sent.accepted
    assert ledger.total.filtered == ledger.total.delivered == FRAMES // 2


def test_a_cluster_that_is_held_up_names_every_packet_it_lost(lab: Lab, place: Path) -> None:
    port = PF_RING.port(queues=2, options={**PF_RING.tiny, "spread": "flow"})
    with Engine(place, port, netns=lab.netns, buffers={"blocks_per_queue": 4, "hugepages": "off"}) as engine:
        sent = lab.send(Shape("many flows", flows=64), count=200_000, rate=0)
        ledger = engine.stop()
    assert_balanced(ledger)
    total = ledger.total
    assert sent.accepted == total.wire == total.delivered + total.dropped, (sent, total)
    assert {cause for cause, count in total.drops.items() if count} <= {"ring_full", "no_block"}
    found = check(engine.files(), sent.frames)
    assert found.numbered == found.distinct == total.delivered and found.damaged == 0


def test_an_engine_stops_while_packets_keep_coming(lab: Lab, place: Path) -> None:
    for zc in (False,) if REAL else (False, True):
        folder = place / str(zc)
        folder.mkdir()
        port = pf_ring(zc=zc, filter=None if zc else "udp")
        with Engine(folder, port, netns=lab.netns) as engine, lab.sending(SMALL, seconds=30) as traffic:
            engine.wait_for(lambda ledger: ledger.total.wire > 1000, "traffic arrives")
            ledger = engine.stop()
            assert traffic.running()
        assert_balanced(ledger)
        found = check(engine.files(), 30 * 40_000)
        assert found.numbered == found.distinct == ledger.total.delivered
        # Without a gap: the last that was taken is followed by nothing.
        assert found.missing == 30 * 40_000 - found.numbered and found.out_of_order == 0


REFUSALS = {
    "module missing": (
        {"OPEN": "fails", "SOCKET": errno.EAFNOSUPPORT},
        {},
        ["the kernel module pf_ring is not loaded", "modprobe pf_ring"],
    ),
    "not permitted": ({"OPEN": "fails", "SOCKET": errno.EPERM}, {}, ["is not permitted", "CAP_NET_ADMIN"]),
    "no memory": ({"OPEN": "fails", "SOCKET": errno.ENOMEM}, {}, ["no memory for a ring", "min_num_slots"]),
    "another module": ({"OPEN": "fails", "SOCKET": 0}, {}, ["cannot open it", "the library's version (9.2.0)"]),
    "old library": ({"VERSION": 0x070800}, {}, ["the vendor's library is PF_RING 7.8.0", "install 8.0.0 or later"]),
    "old module": ({"MODULE_VERSION": 0x060500}, {}, ["the loaded module is PF_RING 6.5.0", "load it anew"]),
    "no licence": ({"LICENCE": "missing"}, {"zc": True}, ["no valid licence", "/etc/pf_ring", "zc: false"]),
    "licence expired": ({"LICENCE": 1_700_000_000}, {"zc": True}, ["expired on 2023-11-14", "/etc/pf_ring"]),
    "zero-copy in use": (
        {"OPEN": "fails", "SOCKET": 0},
        {"zc": True},
        ["zero-copy driver does not give it", "zc: false"],
    ),
    "no such library": (
        {},
        {"library": "/nonexistent/libpfring.so"},
        ["/nonexistent/libpfring.so", "cannot be loaded"],
    ),
}


@standin_only
@pytest.mark.parametrize(("standin", "options", "parts"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_is_missing_is_told_in_a_sentence_of_its_own(
    standin: dict[str, object],
    options: dict[str, Any],
    parts: list[str],
    lab: Lab,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in standin.items():
        monkeypatch.setenv(f"STANDIN_PFRING_{name}", str(value))
    engine = Engine(place, pf_ring(**options), netns=lab.netns)
    code, sentence = engine.refuse("env", f"LD_PRELOAD={programs.pfring_module()}")
    assert code == 3 and sentence.startswith("cap0: pf_ring: "), sentence
    assert all(part in sentence for part in parts), sentence


def test_without_the_vendors_library_the_engine_says_what_to_install(lab: Lab, place: Path) -> None:
    if (
        shutil.which("pfcount")
        or Path("/usr/lib/libpfring.so").exists()
        or Path("/usr/local/lib/libpfring.so").exists()
    ):
        pytest.skip("this host has the vendor's library")
    code, sentence = Engine(place, pf_ring(library=None), netns=lab.netns).refuse()
    assert code == 3
    assert "libpfring.so is not on this host: install the vendor's package pfring" in sentence


def test_a_library_of_another_abi_is_refused_by_the_function_that_it_lacks(lab: Lab, place: Path) -> None:
    library = programs.pfring("WITHOUT_POLL")
    if library is None:
        library = str(place / "libother.so")
        programs.run("cc", "-shared", "-o", library, "-x", "c", "/dev/null")
    code, sentence = Engine(place, pf_ring(library=library), netns=lab.netns).refuse()
    assert code == 3 and "has no function pfring_" in sentence and "another ABI" in sentence


@standin_only
def test_headers_of_another_abi_end_the_capture_and_not_the_engine(
    lab: Lab, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_PFRING_HEADER", "other")
    with Engine(place, pf_ring(), netns=lab.netns) as engine:
        lab.send(SMALL, count=100)
        wait_until(lambda: bool(engine.log("pf_ring")), "the engine sees it")
        assert "make no sense" in engine.log("pf_ring")[0]["message"]
        assert engine.log("port_lost")
        assert_balanced(engine.stop())


@standin_only
@pytest.mark.parametrize("zc", [False, True], ids=["standard", "zero-copy"])
def test_an_odd_header_among_many_is_counted_as_invalid_and_the_capture_goes_on(
    zc: bool, lab: Lab, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_PFRING_ODD", "75")
    with Engine(place, pf_ring(zc=zc), netns=lab.netns) as engine:
        sent = lab.send(SMALL, count=1000)
        ledger = engine.stop()
    assert_balanced(ledger)
    total = ledger.total
    assert total.wire == sent.accepted == 1000
    assert total.drops["invalid"] == total.dropped == 1000 // 75
    found = check(engine.files(), 1000)
    assert found.distinct == total.delivered == 1000 - 1000 // 75 and found.damaged == 0
    (told,) = engine.log("odd_header")
    assert "counted as invalid" in told["message"] and not engine.log("port_lost")


@standin_only
def test_an_odd_header_among_the_first_packets_is_another_abi(
    lab: Lab, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_PFRING_ODD", "64")
    with Engine(place, pf_ring(), netns=lab.netns) as engine:
        lab.send(SMALL, count=100)
        wait_until(lambda: bool(engine.log("pf_ring")), "the engine sees it")
        assert "make no sense" in engine.log("pf_ring")[0]["message"]
        assert_balanced(engine.stop())


def test_more_queues_than_channels_are_refused(wide_lab: Lab, place: Path) -> None:
    code, sentence = Engine(place, pf_ring(5), netns=wide_lab.netns).refuse()
    assert code == 3
    assert "has 4 receive channels, and 5 queues were asked for: write queues 4, or spread flow" in sentence


@standin_only
def test_with_zero_copy_no_channel_is_left_out(wide_lab: Lab, place: Path) -> None:
    code, sentence = Engine(place, pf_ring(2, zc=True), netns=wide_lab.netns).refuse()
    assert code == 3 and "has 4 receive channels and 2 queues were asked for" in sentence
    with Engine(place, pf_ring(4, zc=True), netns=wide_lab.netns) as engine:
        sent = wide_lab.send(Shape("many flows", flows=64), count=FRAMES)
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(engine.files(), sent)


@standin_only
def test_zero_copy_gives_times_of_its_own_and_tells_the_licence(
    lab: Lab, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = int(time.time()) + 20 * DAY
    monkeypatch.setenv("STANDIN_PFRING_LICENCE", str(until))
    with Engine(place, pf_ring(zc=True, filter="udp"), netns=lab.netns) as engine:
        before = time.time()
        sent = lab.send(SMALL, count=2000)
        engine.wait_for(lambda ledger: ledger.total.wire == 2000, "all is received")
        after = time.time()
        port = engine.port_status()
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    day = time.strftime("%Y-%m-%d", time.gmtime(until))
    assert f"zero-copy, licence to {day}" in port["effective_mode"] and "time by the engine" in port["effective_mode"]
    assert port["degraded"] == [f"the licence for zero-copy expires on {day}"]
    assert port["filter_in"] == "engine"
    assert ledger.queues[0].values["untimed"] == 2000 and 0 < port["time_error_ns"] < 1e9
    (file,) = engine.files()
    times = [float(line.split()[0]) for line in tcpdump(file, "-tt", "--nano")]
    assert before <= times[0] and times[-1] <= after and times == sorted(times)


@standin_only
def test_zero_copy_that_ends_for_want_of_a_licence_is_told_and_counted(
    lab: Lab, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_PFRING_DEMO", "500")
    with Engine(place, pf_ring(zc=True), netns=lab.netns) as engine:
        lab.send(SMALL, count=600)
        wait_until(lambda: bool(engine.log("pf_ring")), "the engine sees it")
        assert "ran without a licence" in engine.log("pf_ring")[0]["message"]
        ledger = engine.stop()
    assert_balanced(ledger)
    assert ledger.total.delivered == 500


@standin_only
@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "not asked for"])
def test_the_nics_time_is_taken_where_it_is_asked_for(
    asked: bool, lab: Lab, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_PFRING_NIC_OFFSET", str(37_000_000_005))
    with Engine(place, pf_ring(hardware_time=asked), netns=lab.netns) as engine:
        before = time.time()
        lab.send(SMALL, count=100)
        if asked:
            wait_until(lambda: bool(engine.log("clock_off")), "the engine sees the NIC's clock")
            assert "about 37 s off" in engine.log("clock_off")[0]["message"]
        engine.wait_for(lambda ledger: ledger.total.wire == 100, "all is received")
        after = time.time()
        mode = engine.port_status()["effective_mode"]
        engine.stop()
    (file,) = engine.files()
    times = [float(line.split()[0]) for line in tcpdump(file, "-tt", "--nano")]
    ahead = 37 if asked else 0
    assert before + ahead <= times[0] and times[-1] <= after + ahead + 1e-6
    assert ("time by the NIC" if asked else "time by the kernel") in mode


def test_a_nic_without_a_clock_is_told(lab: Lab, place: Path) -> None:
    with Engine(place, pf_ring(hardware_time=True), netns=lab.netns) as engine:
        sent = lab.send(SMALL, count=100)
        wait_until(lambda: bool(engine.log("no_hardware_time")), "the engine sees it")
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"library": "libpfring.so"}, "options.library"),
        ({"zc": True, "spread": "flow"}, "options.spread"),
        ({"spread": "round_robin"}, "options.spread"),
        ({"watermark": 0}, "options.watermark"),
        ({"slots": 4096}, "slots"),
    ],
)
def test_wrong_options_are_refused_by_their_key(options: dict[str, Any], key: str, place: Path) -> None:
    code, sentence = Engine(place, pf_ring(**options)).refuse()
    assert code == 2 and key in sentence
