"""Alarms look at the last interval: an old loss is quiet, a new one is loud."""

from typing import Any

from capstan.alarms import Disk, Interval, evaluate, files, uncounted
from capstan.ledger import Balance


def names(**changes: Any) -> list[str]:
    quiet: dict[str, Any] = {
        "unaccounted": 0, "degraded": [], "interval": Interval(), "recent_restarts": 0, "links": [("cap0", "up")], "disk": None,
    }  # fmt: skip
    return [alarm.name for alarm in evaluate(**{**quiet, **changes})]


def test_a_healthy_capture_is_quiet() -> None:
    assert names(disk=Disk(free=100, min_free=10, file_size=10)) == []


def test_each_trouble_has_its_alarm() -> None:
    assert names(unaccounted=1) == ["unaccounted"]
    assert names(unaccounted=-1) == ["unaccounted"]
    assert names(degraded=["copy mode"]) == ["degraded"]
    assert names(recent_restarts=2) == ["engine_restarts"]
    assert names(links=[("cap0", "gone")]) == ["link"]
    assert names(disk=Disk(free=19, min_free=10, file_size=10)) == ["disk_nearly_full"]


def test_time_in_which_nobody_counted_is_told_by_port() -> None:
    (alarm,) = uncounted({"0000:19:00.0": 1.25})
    assert alarm.name == "uncounted"
    assert "0000:19:00.0 within 1.2 s" in alarm.sentence
    assert list(uncounted({})) == []


def test_files_that_end_early_are_told_with_the_setting_that_helps() -> None:
    assert list(files(None)) == list(files({"open": 3, "most": None, "early": 0})) == []
    (alarm,) = files({"open": 16, "most": 16, "early": 1200})
    assert alarm.sentence.startswith("1 200 files of targets ended early, because more targets have packets than 16")
    assert "raise output.open_files" in alarm.sentence


def test_drops_are_those_of_the_last_interval() -> None:
    interval = Interval(seconds=10)
    interval.add(0, Balance(wire=1_000_000, drops={"ring_full": 0}))
    interval.add(1, Balance(wire=1_000_100, drops={"ring_full": 40}))
    assert interval.drops() == (100, {"ring_full": 40})
    (alarm,) = evaluate(unaccounted=0, degraded=[], interval=interval, recent_restarts=0, links=[], disk=None)
    assert alarm.sentence == "40 packets (40 %) were dropped within 10 s: ring_full 40."
    for second in range(2, 12):
        interval.add(second, Balance(wire=1_000_100 + second, drops={"ring_full": 40}))
    assert interval.drops() == (11, {})
    assert names(interval=interval) == []
