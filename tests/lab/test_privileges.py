"""The engine opens its ports as root and then is somebody else, with the few rights that its method needs."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import Engine, assert_balanced, assert_nothing_lost
from lab import Lab
from methods import DPDK, LIVE, Driver, each
from traffic import SMALL, assert_all_there
from waiting import wait_until

USER = "daemon"
# linux/capability.h
NET_ADMIN, NET_RAW, IPC_LOCK, BPF = 12, 13, 14, 39
NUMBERS = {"net_admin": NET_ADMIN, "net_raw": NET_RAW, "ipc_lock": IPC_LOCK, "bpf": BPF}


def process_status(pid: int) -> dict[str, list[str]]:
    """What the kernel says of every thread of a process; all threads must agree."""
    said: dict[str, set[str]] = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for line in (thread / "status").read_text().splitlines():
            label, _, value = line.partition(":")
            said.setdefault(label, set()).add(value.strip())
    wanted = ("Uid", "Gid", "Groups", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapAmb")
    return {label: sorted(said[label]) for label in wanted}


def mask(capabilities: set[int]) -> str:
    """As /proc shows them."""
    return f"{sum(1 << number for number in capabilities):016x}"


def engine_for(driver: Driver, lab: Lab, place: Path) -> Engine:
    """An engine that becomes another user, whose the captures are."""
    engine = Engine(place, driver.port(filter="udp"), netns=lab.netns, user=USER, group=USER)
    account = pwd.getpwnam(USER)
    os.chown(engine.captures, account.pw_uid, account.pw_gid)
    return engine


@each(LIVE)
def test_every_thread_has_the_user_and_exactly_the_needed_capabilities(driver: Driver, lab: Lab, place: Path) -> None:
    account = pwd.getpwnam(USER)
    with engine_for(driver, lab, place) as engine:
        status = process_status(engine.pid)
        told = engine.status()
        sent = lab.send(SMALL, count=1000)
        engine.wait_for(lambda ledger: ledger.total.wire >= sent.accepted, "everything has arrived")
        assert_nothing_lost(engine.stop(), sent.accepted)
    uid, gid = str(account.pw_uid), str(account.pw_gid)
    assert status["Uid"] == ["\t".join([uid] * 4)]
    assert status["Gid"] == ["\t".join([gid] * 4)]
    assert status["Groups"] == [gid]
    assert status["NoNewPrivs"] == ["1"]
    needed = {mask({NUMBERS[name] for name in driver.needs})}
    # EAL's own threads have none at all.
    assert needed <= set(status["CapEff"]) <= needed | ({mask(set())} if driver.method == "dpdk" else set())
    assert status["CapPrm"] == status["CapEff"]
    assert status["CapInh"] == status["CapAmb"] == [mask(set())]
    assert told["user"] == USER
    assert set(told["capabilities"]) == driver.needs

    for path in [*engine.files(), place / "ledger"]:
        assert (path.stat().st_uid, path.stat().st_gid) == (account.pw_uid, account.pw_gid)
        assert path.stat().st_mode & 0o777 == 0o640
    assert_all_there(engine.files(), sent)


def test_a_method_that_needs_no_rights_keeps_none(place: Path) -> None:
    driver = Driver("replay", "replay", "memory", {"generate": {"packets": 0, "size": 64}})
    engine = Engine(place, driver.port("memory"), user=USER, output={"sink": "null"})
    with engine:
        status = process_status(engine.pid)
        engine.stop()
    assert status["CapPrm"] == status["CapEff"] == [mask(set())]


@pytest.fixture
def own_lab() -> Iterator[Lab]:
    """A lab whose link a test may take away."""
    made = Lab(1, "user")
    made.up()
    yield made
    made.down()


@each(LIVE)
def test_a_port_is_opened_again_without_roots_rights(driver: Driver, own_lab: Lab, place: Path) -> None:
    with engine_for(driver, own_lab, place) as engine:
        own_lab.remove_link()
        wait_until(lambda: engine.port_status()["link"] == "gone", "the engine sees it")
        own_lab.make_link()
        wait_until(lambda: bool(engine.log("port_back") or engine.log("port_not_back")), "the engine tries again")
        if driver.standin_needs - driver.needs:
            # The stand-in's streams are packet sockets; a card's are not. It is told what to do, and tried again.
            assert "Operation not permitted: start the engine as root" in engine.log("port_not_back")[0]["message"]
            assert_balanced(engine.stop())
            return
        assert not engine.log("port_not_back")
        port = engine.port_status()
        sent = own_lab.send(SMALL, count=1000)
        ledger = engine.stop()
    assert port["degraded"] == [] or driver is DPDK, "it tells of that device's limits, as before"
    assert_balanced(ledger)
    assert ledger.total.delivered == sent.accepted
    assert_all_there(engine.files(), sent)
