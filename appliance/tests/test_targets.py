"""Targets: what one can say, what of it is refused with which sentence, and what becomes of changes."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capstan import alarms, control, target_changes
from capstan.cli import main
from capstan.config import ConfigError, from_inventory
from capstan.errors import OperatorError
from capstan.paths import Paths
from capstan.targets import MAX_TARGETS, MAX_TERMS, TargetError, is_active, parse, read_file, read_text
from conftest import Host, wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
ID = "01234567-89ab-cdef-0123-456789abcdef"
OTHER = "01234567-89ab-cdef-0123-0000000000aa"


def one(**says: Any) -> dict[str, Any]:
    """The engine's form of a single target."""
    (target,) = parse([{"id": ID, **says}], "file")
    return target.as_json()


def test_what_an_operator_writes_comes_to_the_engine_in_one_form() -> None:
    assert one(
        id=ID.upper(), prefixes=["192.0.2.1", "2001:DB8::/48"], protocol=6, ports=[443, "1024-2047", "7-7"],
        macs=["52-54-00-00-00-0A"], direction="from", start=datetime(2026, 12, 1, tzinfo=UTC), end=None, note="order 7",
    ) == {
        "id": ID, "prefixes": ["192.0.2.1/32", "2001:db8::/48"], "protocol": "tcp", "ports": ["443", "1024-2047", "7"],
        "macs": ["52:54:00:00:00:0a"], "direction": "from", "start": "2026-12-01T00:00:00Z", "note": "order 7",
    }  # fmt: skip
    assert one(vlans=[7], direction="both", protocol=200) == {"id": ID, "vlans": [7], "protocol": 200}


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(
        f"targets:\n  - id: {ID}\n    prefixes: [192.0.2.1]\n    end: 2027-01-01T00:00:00Z\n"
    )
    (tmp_path / "a.json").write_text(
        json.dumps([{"id": ID, "origin": "runtime", "prefixes": ["192.0.2.1/32"], "end": "2027-01-01T01:00:00+01:00"}])
    )
    assert read_file(tmp_path / "a.yml") == read_file(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("7", [r"x: holds no list of targets; write"]),
        ("[{", [r"x: line 1"]),
        (f'[{{"id": "{ID}", "id": "{ID}"}}]', [r"x: the key 'id' is written twice"]),
        (f"- {{id: {ID}, vlans: [1], vlans: [2]}}", [r"x: line 1, .*'vlans' is written twice"]),
        (
            f"- {{id: {ID}, prefixes: [192.0.2.1/24]}}\n- {{id: 7, vlans: [1]}}\n- {{id: {OTHER}, colour: 1}}",
            [
                r"x: targets\[0\]\.prefixes: entry 0 has bits behind its prefix length; write 192\.0\.2\.0/24",
                r"x: targets\[1\]\.id: is no UUID; write",
                r"x: targets\[2\]\.colour: is not a setting; write one of id, prefixes",
            ],
        ),
        (f"- {{id: {ID}, macs: [52:54:00:00:00:01]}}", [r"macs: entry 0 is no MAC address; write one in quotes"]),
        (f"- {{id: {ID}, vlans: [1]}}\n- {{id: {ID}, vlans: [2]}}", [rf"x: has the id {ID} twice"]),
    ],
)
def test_each_mistake_is_told_with_its_place(text: str, sentences: list[str]) -> None:
    with pytest.raises(TargetError) as error:
        read_text(text, "x")
    told = str(error.value).splitlines()
    assert len(told) == len(sentences), told
    for line, sentence in zip(told, sentences, strict=True):
        assert re.search(sentence, line), line


def test_more_than_the_engine_takes_is_refused_before_it_is_read() -> None:
    with pytest.raises(TargetError, match="holds 1000000 targets; write 262144 at most"):
        parse([{}] * 1_000_000, "x")
    header = (CHECKOUT / "native/targets/target.h").read_text()
    assert f"#define CAP_MAX_TARGETS {MAX_TARGETS}U" in header
    assert f"#define CAP_MAX_TARGET_TERMS {MAX_TERMS}U" in header


def test_a_hundred_mistakes_are_twenty_sentences_and_a_count() -> None:
    with pytest.raises(TargetError) as error:
        parse([{"id": "x", "vlans": [1]}] * 100, "x")
    told = str(error.value).splitlines()
    assert len(told) == 21
    assert told[-1] == "x: and 80 more"


def test_the_settings_take_targets_as_any_setting() -> None:
    base = {"capture_interfaces": [{"name": "eth1", "tunnels": ["gre", "vxlan"]}]}
    assert from_inventory("probe", base).has_targets is False
    config = from_inventory("probe", {**base, "capture_targets": [{"id": ID, "vlans": [7]}]})
    assert config.has_targets
    assert from_inventory("probe", {**base, "capture_targets": []}).has_targets
    with pytest.raises(ConfigError, match=r"host probe: capture_targets\[0\]\.vlans: entry 0 is no VLAN id; write"):
        from_inventory("probe", {**base, "capture_targets": [{"id": ID, "vlans": [4096]}]})
    with pytest.raises(ConfigError, match="capture_targets: is no list; write"):
        from_inventory("probe", {**base, "capture_targets": "targets.yml"})


def test_who_is_active_is_told_to_the_nanosecond() -> None:
    start, end = "2026-12-01T00:00:00Z", "2026-12-01T00:00:00.000001Z"
    at = datetime(2026, 12, 1, tzinfo=UTC)
    assert is_active({}, at)
    assert is_active({"start": start, "end": end}, at)
    assert not is_active({"start": end}, at)
    assert not is_active({"end": start}, at)


def test_differences_are_told_by_id() -> None:
    before = parse([{"id": ID, "vlans": [1]}, {"id": OTHER, "vlans": [2]}], "x")
    after = parse([{"id": ID, "vlans": [3]}, {"id": OTHER.replace("aa", "bb"), "vlans": [2]}], "x")
    found = target_changes.difference(before, after)
    assert [target.id for target in found.removed] == [OTHER]
    assert [target.vlans for _, target in found.changed] == [(3,)]
    assert len(found.added) == 1
    assert not target_changes.difference(before, before)


def test_nothing_that_can_be_captured_is_an_alarm() -> None:
    assert list(alarms.targets(None)) == []
    assert list(alarms.targets({"count": 3, "active": 1})) == []
    (none,) = alarms.targets({"count": 0, "active": 0})
    (asleep,) = alarms.targets({"count": 3, "active": 0})
    assert none.name == asleep.name == "no_targets"
    assert "nothing is captured" in none.sentence
    (behind,) = alarms.targets({"count": 1, "active": 1, "file_is_behind": True})
    assert "targets.json cannot be written" in behind.sentence


def test_a_host_that_captures_everything_says_how_to_have_targets(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="captures everything; write targets"):
        target_changes.change(Paths(tmp_path), {"add": []})
    with pytest.raises(OperatorError, match="captures everything; write targets"):
        target_changes.in_force(Paths(tmp_path))


def test_a_long_change_is_passed_in_a_file_and_a_short_one_on_the_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[Any, Any]] = []

    def call(_: Path, request: Any, __: float = 0, passed: bytes | None = None) -> dict[str, Any]:
        calls.append((request, passed))
        return {"ok": True}

    monkeypatch.setattr(control, "call", call)
    target_changes.change(Paths(tmp_path), {"remove": [ID]}, "alice")
    target_changes.change(Paths(tmp_path), {"remove": [ID] * 200}, "alice")
    (short, nothing), (long, passed) = calls
    assert short == {"cmd": "targets_change", "who": "alice", "remove": [ID]}
    assert nothing is None
    assert long == {"cmd": "targets_change", "passed": True}
    assert json.loads(passed) == {"who": "alice", "remove": [ID] * 200}


def test_the_program_does_it_where_no_engine_runs_and_its_refusal_is_told(tmp_path: Path) -> None:
    program = tmp_path / "capstan-engine"
    program.write_text(
        f'#!/bin/sh\necho "$*" > {tmp_path}/called\ncat > {tmp_path}/change\n'
        'echo \'{"level": "error", "event": "failed", "message": "add[0].id: must be a UUID"}\' >&2\nexit 2\n'
    )
    program.chmod(0o755)
    paths = Paths(tmp_path, engine=program)
    paths.targets.mkdir(parents=True)
    with pytest.raises(OperatorError, match=r"refused the change: add\[0\]\.id: must be a UUID\."):
        target_changes.change(paths, {"add": [{}]}, "alice")
    assert (tmp_path / "called").read_text() == f"--log json --targets {paths.targets} --change -\n"
    assert json.loads((tmp_path / "change").read_text()) == {"who": "alice", "add": [{}]}


@pytest.fixture
def appliance(host: Host) -> Iterator[Host]:
    """A host whose capture is stopped afterwards, whatever the test did."""
    yield host
    CliRunner().invoke(main, ["down"])


def capstan(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


def test_the_settings_targets_are_in_force_before_the_engine_starts(appliance: Host) -> None:
    appliance.configure(targets=[{"id": ID, "vlans": [7]}])
    assert capstan("up").exit_code == 0
    asked = json.loads(appliance.paths.engine.with_name("change").read_text())
    assert asked["origin"] == "inventory"
    assert asked["replace"] is True
    assert asked["add"] == [{"id": ID, "vlans": [7]}]
    assert json.loads(appliance.paths.engine_config.read_text())["targets"] == {
        "directory": str(appliance.paths.targets),
        "streams": False,
    }
    found = json.loads(capstan("status", "--json").output)
    assert found["targets"]["count"] == 1
    assert found["targets"]["matched_packets"] == 0
    assert "1 in force, 1 active" in capstan("status").output


def test_a_host_without_a_target_says_loudly_that_it_captures_nothing(appliance: Host) -> None:
    appliance.configure(targets=[])
    assert capstan("up").exit_code == 0
    wait_until(lambda: "no_targets" in capstan("status", "--json").output, "the alarm")
    assert "! There are no targets: nothing is captured" in capstan("status").output


def test_without_the_setting_everything_is_captured_and_no_target_is_spoken_of(appliance: Host) -> None:
    assert capstan("up").exit_code == 0
    assert "targets" not in json.loads(appliance.paths.engine_config.read_text())
    assert json.loads(capstan("status", "--json").output)["targets"] is None
    assert not appliance.paths.targets.exists()
    refused = capstan("targets", "sync")
    assert refused.exit_code == 2
    assert "The settings have no targets" in refused.stderr


def test_check_config_looks_into_the_file_of_targets_too(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "targets.json"
    file.write_text(json.dumps([{"id": ID, "vlans": [7]}]))
    host.configure(targets_file=str(file))
    assert ", 1 targets" in capstan("check-config").output
    file.write_text('[{"id": 7, "vlans": [7]}]')
    assert "targets[0].id: is no UUID" in capstan("check-config").stderr
    host.configure(targets_file="targets.json")
    assert "is not absolute on this host" in capstan("check-config").stderr


def test_a_targets_file_that_is_wrong_keeps_the_capture_from_starting(appliance: Host, tmp_path: Path) -> None:
    (tmp_path / "targets.json").write_text('[{"id": "x", "vlans": [7]}]')
    appliance.configure(targets_file=str(tmp_path / "targets.json"))
    up = capstan("up")
    assert up.exit_code != 0
    assert "targets[0].id: is no UUID" in up.stderr
    assert not appliance.paths.engine.with_name("runs").exists(), "no engine was started"
