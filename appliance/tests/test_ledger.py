"""The ledger reader knows no list of counters: it reads what the engine describes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fake_engine
from capstan.errors import OperatorError
from capstan.ledger import Balance, History, Layout, LedgerFile, describe
from capstan.ledger_devices import DeviceCount


def layout(**changes: Any) -> Layout:
    return Layout.parse(json.dumps({**fake_engine.layout(), **changes}))


def test_a_ledger_is_read_by_its_description(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    written = fake_engine.Ledger(path, ["cap0", "cap1"])
    written.state("capturing")
    written.put(
        wire_packets=100,
        received_packets=90,
        sieved=20,
        ring_overrun=7,
        shelf_full=5,
        delivered_packets=60,
        nic_rx_at_arm=3,
    )
    snapshot = LedgerFile(path, layout()).snapshot()
    assert snapshot is not None
    assert (snapshot.state, snapshot.interfaces) == ("capturing", ("cap0", "cap1"))
    balance = snapshot.port("cap0")
    assert balance.drops == {"ring_overrun": 7, "shelf_full": 5}
    assert balance.pending == 90 - 20 - 5 - 60
    assert balance.unaccounted == 100 - 60 - 20 - 12 - 5
    assert snapshot.port("cap1").wire == 0
    assert snapshot.nic("cap0", "nic_rx_at_arm") == 3


def test_a_devices_own_counters_are_read_by_its_names(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    written = fake_engine.Ledger(path, ["cap0", "cap1"])
    written.count(good=100, missed_by_card=3)
    snapshot = LedgerFile(path, layout()).snapshot()
    assert snapshot is not None
    assert snapshot.devices["cap0"] == DeviceCount(lost={"missed_by_card": 3}, counted={"good": 100})
    assert snapshot.devices["cap1"] == DeviceCount()
    written.count(good=150, missed_by_card=3)
    later = LedgerFile(path, layout()).snapshot()
    assert later is not None
    assert later.devices["cap0"].since(snapshot.devices["cap0"]) == DeviceCount(counted={"good": 50})


def test_a_ledger_of_an_engine_that_keeps_no_devices_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    fake_engine.Ledger(path, ["cap0"])
    described = fake_engine.layout()
    del described["device"]
    snapshot = LedgerFile(path, Layout.parse(json.dumps(described))).snapshot()
    assert snapshot is not None
    assert snapshot.devices == {}


def test_a_new_engine_puts_a_new_file_in_place_and_the_reader_follows(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    reader = LedgerFile(path, layout())
    assert reader.snapshot() is None
    fake_engine.Ledger(path, ["cap0"]).state("stopped")
    assert reader.snapshot().state == "stopped"  # type: ignore[union-attr]
    fake_engine.Ledger(path, ["cap0"]).state("starting")
    assert reader.snapshot().state == "starting"  # type: ignore[union-attr]
    path.unlink()
    assert reader.snapshot() is None


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(b"x" * 100)
    with pytest.raises(OperatorError, match="too short"):
        LedgerFile(path, layout()).snapshot()
    path.write_bytes(b"x" * 4096)
    with pytest.raises(OperatorError, match="is not a ledger"):
        LedgerFile(path, layout()).snapshot()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 2}, "has layout 2"),
        ({"byte_order": "big"}, "big endian"),
        ({"queue": {"stride": 8, "fields": [{"name": "x", "offset": 0, "type": "float"}]}}, "unknown type float"),
        ({"queue": None}, "cannot be read"),
    ],
)
def test_a_layout_of_another_version_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperatorError, match=sentence):
        layout(**changes)


def test_an_engine_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="install the package capstan-engine"):
        describe(tmp_path / "nothing")


def test_losses_in_the_nic_are_kept_apart_from_what_it_received(tmp_path: Path) -> None:
    raw = fake_engine.layout()
    raw["queue"]["fields"] += [
        {"name": "nic_lost", "offset": 136, "type": "u64", "role": "wire", "stage": "nic", "unit": "packets"},
        {"name": "nic_missed", "offset": 152, "type": "u64", "role": "drop", "stage": "nic", "unit": "packets"},
    ]
    path = tmp_path / "ledger"
    written = fake_engine.Ledger(path, ["cap0"])
    fake_engine.OFFSETS |= {"nic_lost": 136, "nic_missed": 152}
    written.put(wire_packets=10, received_packets=10, delivered_packets=10, nic_lost=4, nic_missed=4)
    snapshot = LedgerFile(path, Layout.parse(json.dumps(raw))).snapshot()
    assert snapshot is not None
    assert (snapshot.total.wire, snapshot.total.nic_wire, snapshot.total.unaccounted) == (14, 4, 0)


counts = st.integers(0, 1 << 40)
balances = st.builds(
    Balance,
    wire=counts,
    delivered=counts,
    filtered=counts,
    pending=counts,
    drops=st.dictionaries(st.sampled_from(["a", "b", "c"]), counts),
)


@given(balances, balances)
def test_adding_balances_adds_what_is_unaccounted(one: Balance, two: Balance) -> None:
    assert (one + two).unaccounted == one.unaccounted + two.unaccounted
    assert (one + two).dropped == one.dropped + two.dropped


def test_a_difference_counts_only_once_it_persists() -> None:
    history = History(settle_seconds=2)
    history.add(0.0, Balance(wire=100, delivered=90))
    assert history.unaccounted() == 0
    history.add(1.0, Balance(wire=200, delivered=150))
    assert history.unaccounted() == 0
    history.add(2.0, Balance(wire=300, delivered=290))
    assert history.unaccounted() == 0  # what was on the wire at 0 s is delivered by now
    history.add(3.0, Balance(wire=400, delivered=290))
    history.add(4.0, Balance(wire=400, delivered=290))
    assert history.unaccounted() == 10
    history.add(6.0, Balance(wire=400, delivered=290))
    assert history.unaccounted() == 110


def test_packets_counted_twice_show_as_a_negative_difference() -> None:
    history = History(settle_seconds=2)
    for second in range(4):
        history.add(second, Balance(wire=100, delivered=103))
    assert history.unaccounted() == -3


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 300)), min_size=1, max_size=40))
def test_a_capture_that_loses_nothing_never_alarms(steps: list[tuple[int, int]]) -> None:
    """However the samples of wire and delivered lag behind each other within the settling time."""
    history, wire, delivered, earlier = History(settle_seconds=2), 0, 0, 0
    for second, (arrived, lag) in enumerate(steps):
        earlier, wire = wire, wire + arrived
        delivered = max(delivered, earlier, wire - lag)  # at the latest a second later everything is delivered
        history.add(second, Balance(wire=wire, delivered=delivered))
        assert history.unaccounted() == 0
