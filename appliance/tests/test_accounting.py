"""Crash accounting: the balance closes whatever dies, and the cause has its name."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from capstan.accounting import ENGINE_DOWN, PortEnd, Session, rx_at_arm, settle
from capstan.ledger import Balance, QueueCount, Snapshot


def snapshot(balance: Balance, at_arm: int, rx: int = 0) -> Snapshot:
    values: dict[str, int | str] = {"nic_rx_at_arm": at_arm, "nic_rx_packets": rx}
    return Snapshot(0, 1, "capturing", 0, 0, (QueueCount("cap0", "m", 0, -1, balance, values),))


@dataclass(frozen=True)
class Run:
    """What the NIC received in a run and in the gap after it, and how far the engine got with it."""

    arrived: int
    gap: int
    in_ring: int
    pending: int
    overrun: int
    filtered: int
    nic_lost: int

    def ledger(self, at_arm: int, *, clean: bool) -> Snapshot:
        ring, pending = (0, 0) if clean else (self.in_ring, self.pending)
        wire = max(0, self.arrived - ring)
        overrun = min(self.overrun, wire)
        left = wire - overrun
        pending = min(pending, left)
        filtered = min(self.filtered, left - pending)
        drops = {"overrun": overrun, "nic_missed": self.nic_lost}
        balance = Balance(
            wire=wire + self.nic_lost,
            delivered=left - pending - filtered,
            filtered=filtered,
            drops=drops,
            pending=pending,
            nic_wire=self.nic_lost,
        )
        return snapshot(balance, at_arm)


small = st.integers(0, 50)
runs = st.lists(
    st.builds(Run, arrived=st.integers(0, 1000), gap=st.integers(0, 500), in_ring=small, pending=small, overrun=small, filtered=small, nic_lost=small),
    min_size=1,
    max_size=6,
)  # fmt: skip


@given(runs, st.integers(0, 1000))
def test_the_balance_closes_over_any_number_of_crashes(runs: list[Run], start: int) -> None:
    session, nic = Session("2026-01-01T00:00:00Z"), start
    for number, run in enumerate(runs):
        last = number == len(runs) - 1
        session = session.close_gap({"cap0": nic}, 0)
        session = session.close_run(run.ledger(nic, clean=last), clean=last)
        nic += run.arrived + (0 if last else run.gap)
    total = session.total(None)
    assert total.unaccounted == 0
    assert total.pending == 0
    assert total.wire == nic - start + sum(run.nic_lost for run in runs)
    assert session.crashes == len(runs) - 1


@given(runs, st.integers(0, 1000))
def test_engine_down_is_what_arrived_less_what_is_named(runs: list[Run], start: int) -> None:
    run = runs[0]
    dead = run.ledger(start, clean=False)
    session = Session("x").close_run(dead, clean=False).close_gap({"cap0": start + run.arrived + run.gap}, 0)
    named = dead.total.delivered + dead.total.filtered + dead.total.drops["overrun"]
    assert session.closed.drops.get(ENGINE_DOWN, 0) == run.arrived + run.gap - named


def test_the_wire_counter_of_a_dead_run_may_lag_behind_what_was_received() -> None:
    died = settle(Balance(wire=90, delivered=80, pending=15))
    assert (died.wire, died.drops, died.unaccounted) == (95, {ENGINE_DOWN: 15}, 0)


def test_a_clean_run_keeps_what_it_cannot_account_for() -> None:
    session = Session("x").close_run(snapshot(Balance(wire=10, delivered=9), 0), clean=True)
    assert session.closed.unaccounted == 1
    assert session.crashes == 0


def test_an_interface_made_anew_counts_from_zero() -> None:
    assert PortEnd(rx_at_arm=1000, counted=50).missed(7) == 7


def test_a_port_opened_anew_within_a_run_may_begin_below_zero() -> None:
    """Its new counter begins at 0 although 50 packets are counted already: at_arm is -50, as an unsigned counter."""
    session = Session("x").close_run(snapshot(Balance(wire=80, delivered=80), (1 << 64) - 50), clean=False)
    assert session.close_gap({"cap0": 37}, 0).closed.drops == {ENGINE_DOWN: 7}


def test_a_port_that_is_gone_adds_nothing_more() -> None:
    session = Session("x").close_run(snapshot(Balance(wire=5, delivered=5), 0), clean=False).close_gap({}, 0)
    assert session.closed.wire == 5
    assert session.ends == {}


def test_the_gap_is_closed_once() -> None:
    session = Session("x").close_run(snapshot(Balance(wire=5, delivered=5), 100), clean=False)
    once = session.close_gap({"cap0": 200}, 0)
    assert once.close_gap({"cap0": 300}, 0).closed == once.closed
    assert once.closed.drops == {ENGINE_DOWN: 95}


def test_the_live_run_is_part_of_the_total() -> None:
    live = snapshot(Balance(wire=5, delivered=4, pending=1), 42)
    assert Session("x", closed=Balance(wire=1, delivered=1)).total(live) == Balance(wire=6, delivered=5, pending=1)
    assert rx_at_arm(live) == {"cap0": 42}


@given(runs)
def test_a_session_survives_its_json(runs: list[Run]) -> None:
    session = Session("x").close_run(runs[0].ledger(5, clean=False), clean=False)
    assert Session.from_json(session.to_json()) == session
