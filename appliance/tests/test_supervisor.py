"""The engine's life: start, crash, hang, refusal, slow stop; and the balance that closes over all of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pyroute2 import IPRoute

from capstan import lab, namespaces, nic, state, status
from capstan.advise import basis
from capstan.cli import main
from capstan.errors import OperatorError
from capstan.files import PidLock
from capstan.ledger import Balance, Layout, LedgerFile, describe
from capstan.links import read_network
from capstan.observer import Observer
from capstan.supervisor import Backoff, Supervisor, Timing
from conftest import Host, wait_until

FAST = Timing(tick=0.05, start=2, stop=3, heartbeat=0.6, first_backoff=0.1, longest_backoff=0.4, stable=60)


class Running:
    """A supervisor in a thread."""

    def __init__(self, host: Host, timing: Timing = FAST, **settings: Any) -> None:
        self.host = host
        self.supervisor = Supervisor(host.paths, host.configure(**settings), timing)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.supervisor.run()
        except BaseException as error:  # noqa: BLE001 - examined by the test
            self.error = error

    def state(self) -> state.State | None:
        return state.read(self.host.paths)

    def name(self) -> str:
        found = self.state()
        return found.state if found is not None else "none"

    def runs(self) -> int:
        found = self.state()
        return found.session.runs if found is not None else 0

    def await_state(self, name: str) -> None:
        wait_until(lambda: self.name() == name or not self.thread.is_alive(), name)
        assert self.name() == name, self.error

    def end(self) -> None:
        self.supervisor.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


@contextmanager
def running(host: Host, timing: Timing = FAST, **settings: Any) -> Iterator[Running]:
    run = Running(host, timing, **settings)
    try:
        yield run
    finally:
        run.end()


def final(host: Host) -> state.State:
    found = state.read(host.paths)
    assert found is not None
    return found


def journal(host: Host) -> list[dict[str, Any]]:
    return [json.loads(line) for line in host.paths.journal.read_text().splitlines()]


def assert_closes(balance: Balance) -> None:
    assert balance.unaccounted == 0
    assert balance.pending == 0


def test_a_clean_run_is_started_stopped_and_written_down(host: Host) -> None:
    with running(host) as run:
        run.await_state("capturing")
        wait_until(lambda: status.read(host.paths)["totals"]["wire"] > 500, "traffic")
        document = status.read(host.paths)
        assert document["effective_mode"] == "fake mode"
        assert document["runs"] == 1
        assert document["engine"]["pid"] != document["supervisor"]["pid"] == os.getpid()
    assert run.error is None
    ended = final(host)
    assert ended.state == "stopped"
    assert_closes(ended.session.closed)
    assert "engine_down" not in ended.session.closed.drops
    kinds = [record["record"] for record in journal(host)]
    assert kinds == ["run", "session"]
    assert len(journal(host)[-1]["files"]) == 1
    assert PidLock(host.paths.pid).holder() is None


def test_directories_and_settings_have_modes_that_keep_strangers_out(host: Host) -> None:
    with running(host) as run:
        run.await_state("capturing")
        modes = [path.stat().st_mode & 0o777 for path in (host.paths.run, host.paths.ledger.parent)]
        files = [path.stat().st_mode & 0o777 for path in (host.paths.engine_config, host.paths.state, host.paths.pid)]
    assert modes == [0o750, 0o750]
    assert files == [0o640, 0o640, 0o640]


def test_after_a_crash_the_engine_is_restarted_and_every_packet_of_the_gap_has_its_cause(host: Host) -> None:
    host.script({"crash": 0.4}, {"crash": 0.3}, {})
    before = host.arrived()
    with running(host) as run:
        wait_until(lambda: run.runs() == 2 and run.name() == "capturing", "two restarts")
        wait_until(lambda: any(a["name"] == "engine_restarts" for a in run.state().alarms), "the alarm")  # type: ignore[union-attr]
        during = status.read(host.paths)
        assert during["restarts"] == 2
        assert during["totals"]["dropped"]["engine_down"] > 0
    after = host.arrived()
    ended = final(host)
    balance = ended.session.closed
    assert_closes(balance)
    runs = [record for record in journal(host) if record["record"] == "run"]
    assert [record["clean"] for record in runs] == [False, False, True]
    assert "SIGKILL" in runs[0]["ending"]
    # From the first arm to the last packet of the last run nothing is left out: three runs and two gaps.
    assert 0 < balance.wire <= after - before
    counted = sum(record["ports"]["cap0"]["wire"] for record in runs)
    assert balance.wire > counted
    assert balance.drops["engine_down"] >= balance.wire - counted


def test_the_gap_is_exact_to_the_packet(host: Host) -> None:
    host.script({"crash": 0.3}, {})
    ledger = LedgerFile(host.paths.ledger, Layout.parse(describe(host.paths.engine)))
    with running(host) as run:
        run.await_state("capturing")
        first = ledger.snapshot()
        wait_until(lambda: run.runs() == 1 and run.name() == "capturing", "the restart")
    last = ledger.snapshot()
    assert first is not None
    assert last is not None
    closed = final(host).session.closed
    until_second_arm = last.nic("cap0", "nic_rx_at_arm") - first.nic("cap0", "nic_rx_at_arm")
    assert closed.wire == until_second_arm + last.total.wire
    died = next(record for record in journal(host) if record["record"] == "run")["ports"]["cap0"]
    named = died["delivered"] + died["filtered"] + sum(died["dropped"].values()) - died["dropped"]["engine_down"]
    assert closed.drops["engine_down"] == until_second_arm - named


def test_what_arrived_at_a_virtual_device_is_told_by_the_network_device_below_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = {"eth1": 7, "eth2": 9}
    monkeypatch.setattr(nic, "rx_packets", lambda _, names: {name: counters[name] for name in names if name != "gone"})
    devices = [{"vdev": "net_af_packet0,iface=eth1"}, {"vdev": "net_null0"}, {"name": "eth2", "method": "af_packet"}]
    settings = host.configure(method="dpdk", dpdk={"huge": False}, interfaces=devices)
    found = Supervisor(host.paths, settings, FAST)._rx_packets(["net_af_packet0", "eth2", "gone"])
    assert found == {"net_af_packet0": 7, "eth2": 9}


def test_of_a_nic_that_ends_with_its_engine_the_ring_is_named_and_the_blind_time_is_told(host: Host) -> None:
    host.script({"crash": 0.3, "own_nic": True}, {"own_nic": True})
    with running(host) as run:
        wait_until(lambda: run.runs() == 1 and run.name() == "capturing", "the restart")
        wait_until(lambda: any(a["name"] == "uncounted" for a in run.state().alarms), "the alarm")  # type: ignore[union-attr]
        during = status.read(host.paths)
    assert 0.05 < during["uncounted_seconds"]["cap0"] < 5
    closed = final(host).session.closed
    assert_closes(closed)
    died = next(record for record in journal(host) if record["record"] == "run")["ports"]["cap0"]
    # What was in memory, and the five that the NIC had received and the engine had not.
    assert died["dropped"]["engine_down"] == closed.drops["engine_down"] == 7 + 5
    assert journal(host)[-1]["uncounted_seconds"] == during["uncounted_seconds"]


def test_nobody_is_blind_while_the_device_counts_on_or_after_a_clean_stop(host: Host) -> None:
    host.script({"crash": 0.2}, {})
    with running(host) as run:
        wait_until(lambda: run.runs() == 1 and run.name() == "capturing", "the restart")
    assert final(host).session.uncounted == {}
    host.script({"own_nic": True})
    host.paths.engine.with_name("runs").unlink()
    with running(host) as run:
        run.await_state("capturing")
    assert final(host).session.uncounted == {}


def test_the_devices_own_counters_are_summed_over_runs_and_are_no_part_of_the_balance(host: Host) -> None:
    host.script({"crash": 0.3}, {})
    with running(host) as run:
        wait_until(lambda: run.runs() == 1 and run.name() == "capturing", "the restart")
        wait_until(lambda: status.read(host.paths)["totals"]["wire"] > 4000, "traffic")
    runs = [record for record in journal(host) if record["record"] == "run"]
    total = status.read(host.paths)["devices"]["cap0"]
    for kind, name in (("counted", "good"), ("lost", "missed_by_card")):
        assert total[kind][name] == sum(record["devices"]["cap0"][kind][name] for record in runs) > 0
    assert journal(host)[-1]["devices"]["cap0"] == total
    assert "missed_by_card" not in final(host).session.closed.drops
    shown = CliRunner().invoke(main, ["status"])
    assert "cap0: missed_by_card" in shown.output
    assert_closes(final(host).session.closed)


def test_a_hung_engine_is_killed_and_replaced(host: Host) -> None:
    host.script({"hang": 0.2}, {})
    with running(host) as run:
        wait_until(lambda: run.runs() == 1 and run.name() == "capturing", "the replacement")
    runs = [record for record in journal(host) if record["record"] == "run"]
    assert [record["clean"] for record in runs] == [False, True]
    assert_closes(final(host).session.closed)


def test_an_engine_that_refuses_to_start_is_not_tried_again_and_its_sentence_is_the_reason(host: Host) -> None:
    host.script({"refuse": "cap0: no such interface"})
    with running(host) as run:
        run.thread.join(10)
    assert isinstance(run.error, OperatorError)
    assert "cap0: no such interface" in str(run.error)
    assert final(host).state == "failed"
    assert "cap0: no such interface" in str(final(host).reason)
    assert host.paths.engine.with_name("runs").read_text() == "1"


def test_an_engine_that_once_captured_is_restarted_even_when_it_refuses(host: Host) -> None:
    host.script({"quit": 0.1}, {"refuse": "cap0: no such interface"}, {"refuse": "cap0: no such interface"}, {})
    with running(host) as run:
        wait_until(lambda: run.name() == "restarting", "a restart")
        wait_until(lambda: run.runs() == 1 and run.name() == "capturing", "the return")
        assert host.paths.engine.with_name("runs").read_text() == "4"
    assert_closes(final(host).session.closed)


def test_an_engine_that_never_captures_is_given_up(host: Host) -> None:
    host.script({"mute": True})
    with running(host, Timing(tick=0.05, start=0.5, stop=1)) as run:
        run.thread.join(10)
    assert "did not begin to capture within" in str(run.error)


def test_a_slow_stop_is_waited_for(host: Host) -> None:
    host.script({"slow": 1.0})
    with running(host) as run:
        run.await_state("capturing")
        run.supervisor.stop()
        wait_until(lambda: run.name() == "stopping", "the stop")
    assert final(host).state == "stopped"
    assert journal(host)[0]["clean"]


def test_a_deaf_engine_is_killed_and_what_it_held_is_counted_as_lost(host: Host) -> None:
    host.script({"deaf": True})
    with running(host, Timing(tick=0.05, start=2, stop=0.5)) as run:
        run.await_state("capturing")
        wait_until(lambda: status.read(host.paths)["totals"]["wire"] > 500, "traffic")
    closed = final(host).session.closed
    assert_closes(closed)
    assert closed.drops["engine_down"] >= 7  # the pending packets at least
    assert not journal(host)[0]["clean"]


def test_degraded_mode_is_an_alarm_and_with_strict_a_failure(host: Host) -> None:
    host.script({"degraded": ["copy mode, although zero-copy was asked for"]})
    with running(host) as run:
        wait_until(lambda: run.name() == "capturing" and bool(run.state().alarms), "the alarm")  # type: ignore[union-attr]
        assert status.read(host.paths)["degraded"] == ["cap0: copy mode, although zero-copy was asked for"]
    with running(host, strict=True) as run:
        run.thread.join(10)
    assert "copy mode" in str(run.error)
    assert journal(host)[-2]["clean"]


def test_a_filter_that_does_not_compile_stops_before_anything_is_started(host: Host) -> None:
    with running(host, filter="not a filter") as run:
        run.thread.join(10)
    assert "host test: the engine refuses its settings: ports[0].filter: syntax error" in str(run.error)
    assert not host.paths.engine.with_name("runs").exists()


def test_a_second_supervisor_is_refused_and_leaves_the_first_alone(host: Host) -> None:
    with running(host) as run:
        run.await_state("capturing")
        with pytest.raises(OperatorError, match=r"Another supervisor runs already \(pid \d+\)"):
            Supervisor(host.paths, host.configure(), FAST).run()
        assert run.name() == "capturing"


def test_the_balance_is_carried_on_when_the_supervisor_itself_died(host: Host) -> None:
    with running(host) as run:
        run.await_state("capturing")
        wait_until(lambda: status.read(host.paths)["totals"]["wire"] > 300, "traffic")
        orphan = final(host)
    host.paths.engine.with_name("script.json").write_text(json.dumps({"epoch": 0, "rate": 100, "runs": [{}]}))
    # As a supervisor leaves it that is killed: its last state says capturing, its engine's ledger is not closed yet.
    state.publish(host.paths, orphan)
    with running(host) as run:
        wait_until(lambda: run.runs() == 1 and run.name() == "capturing", "the resumed session")
        assert final(host).session.started == orphan.session.started
    assert final(host).session.runs == 2


def test_an_orphaned_engine_is_stopped_before_the_next_one_starts(host: Host) -> None:
    command = [sys.executable, "-m", "capstan", "supervise"]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_until(lambda: (found := state.read(host.paths)) is not None and found.state == "capturing", "the start")
    engine = final(host).live_pid
    assert engine is not None
    child.send_signal(signal.SIGKILL)
    child.wait()
    os.kill(engine, 0)  # the engine goes on without its supervisor
    assert status.read(host.paths)["state"] == "dead"
    with running(host) as run:
        wait_until(lambda: run.runs() == 1 and run.name() == "capturing", "the take-over")
        gone = Path(f"/proc/{engine}")
        assert not gone.exists() or (gone / "cmdline").read_bytes() == b""  # a zombie that init has yet to reap
    closed = final(host).session
    assert closed.crashes == 0
    assert_closes(closed.closed)


def test_the_ledger_of_an_engine_of_another_version_does_not_hinder_a_start(host: Host) -> None:
    host.paths.ledger.parent.mkdir(parents=True)
    host.paths.ledger.write_bytes(b"CAPLEDGR" + b"\xff" * 1000)
    with running(host) as run:
        run.await_state("capturing")
    assert run.error is None


@pytest.mark.root
def test_ports_in_a_namespace_are_prepared_and_given_back_and_a_new_namespace_is_entered(
    host: Host, veth_lab: str
) -> None:
    with running(host, method="af_packet", netns=veth_lab, interfaces=[{"name": "cap0"}]) as run:
        run.await_state("capturing")
        assert json.loads(host.paths.nic_snapshot.read_text())["ports"].keys() == {"cap0"}
        lab.down(veth_lab)
        lab.up(veth_lab, 2)
        wait_until(lambda: run.runs() == 1 and run.name() == "capturing", "the return to the namespace")
    assert not host.paths.nic_snapshot.exists()
    first = journal(host)[0]
    assert first["clean"]
    assert_closes(final(host).session.closed)


@pytest.mark.root
def test_a_port_made_anew_is_prepared_while_the_engine_captures(host: Host, veth_lab: str) -> None:
    def change(work: Callable[[IPRoute], object]) -> None:
        def run() -> None:
            with IPRoute() as route:
                work(route)

        namespaces.inside(veth_lab, run)

    def is_up() -> bool:
        link = read_network(veth_lab).named("cap0")
        return link is not None and link.up

    with running(host, method="af_packet", netns=veth_lab, interfaces=[{"name": "cap0", "queues": 1}]) as run:
        run.await_state("capturing")
        for _ in range(2):
            change(lambda route: route.link("del", index=route.link_lookup(ifname="cap0")[0]))
            change(lambda route: route.link("add", ifname="cap0", kind="veth", peer={"ifname": "other0"}))
            wait_until(is_up, "the new port is prepared")
        assert run.runs() == 0


def test_a_state_is_written_when_it_is_another_one(host: Host) -> None:
    host.paths.run.mkdir(parents=True)
    observer = Observer(host.paths, host.configure())

    def published(name: str) -> int:
        observer.publish(name)
        return host.paths.state.stat().st_ino

    first = published("starting")
    assert published("starting") == first
    assert published("restarting") != first
    found = state.read(host.paths)
    assert found is not None
    assert found.state == "restarting"


@pytest.mark.root
@pytest.mark.parametrize("recorded", ["af_xdp", None])
def test_auto_is_what_the_deployment_chose_or_what_this_host_has(
    host: Host, veth_lab: str, recorded: str | None
) -> None:
    ports = [{"name": "cap0", "expected_pps": 100_000}]
    settings = {"method": "auto", "netns": veth_lab, "interfaces": ports}
    config = host.configure(**settings)
    if recorded:
        choice = {"method": recorded, "nature": "veth", "settings": basis(config, 0), "since": "2020-02-02"}
        host.paths.advice.mkdir(parents=True)
        record = {"version": 1, "ports": {"cap0": choice}}
        (host.paths.advice / "choices.json").write_text(json.dumps(record))
    with running(host, **settings) as run:
        run.await_state("capturing")
        assert final(host).methods == (recorded or "af_packet",)
        engine = json.loads(host.paths.engine_config.read_text())
        assert [port["method"] for port in engine["ports"]] == [recorded or "af_packet"]


def test_the_service_manager_hears_of_readiness_watchdog_and_stop(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    address = host.paths.root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        with running(host) as run:
            run.await_state("capturing")
            heard = b""
            while b"READY=1" not in heard or b"WATCHDOG=1" not in heard.split(b"READY=1")[-1]:
                heard += manager.recv(4096)
            run.supervisor.stop()
            while b"STOPPING=1" not in heard:
                heard += manager.recv(4096)


def test_the_watchdog_is_not_fed_while_the_engine_hangs(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.script({"hang": 0.0})
    address = host.paths.root / "notify"
    timing = Timing(tick=1.1, start=2, stop=0.5, heartbeat=0.3, first_backoff=30, longest_backoff=30)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        with running(host, timing):
            while b"READY=1" not in manager.recv(4096):
                pass
            # Looks at 0 s (breathing), 1.1 s (stale) and 2.2 s (stale again: killed): the first alone feeds.
            fed = 0
            while b"no sign of life" not in (heard := manager.recv(4096)):
                fed += heard == b"WATCHDOG=1"
    assert fed <= 1


def test_backoff_doubles_to_its_limit_and_begins_anew_after_a_stable_run() -> None:
    backoff = Backoff(Timing(first_backoff=1, longest_backoff=5, stable=60))
    assert [backoff.after(1) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert [backoff.after(61), backoff.after(1)] == [1, 2]
