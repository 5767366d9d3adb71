"""The command line: what a person types, sees, and gets as exit code."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from capstan import detach, state
from capstan.cli import main
from capstan.errors import OperatorError
from capstan.files import PidLock
from conftest import Host, wait_until


def capstan(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


@pytest.fixture
def appliance(host: Host) -> Iterator[Host]:
    """A host whose capture is stopped afterwards, whatever the test did."""
    yield host
    capstan("down")


def test_the_life_of_a_capture(appliance: Host) -> None:
    assert capstan("status").exit_code == 3
    up = capstan("up")
    assert up.exit_code == 0, up.output
    assert "capturing: replay on cap0 (fake mode)" in up.output
    again = capstan("up")
    assert "capturing already" in again.output
    found = capstan("status", "--json")
    assert found.exit_code == 0
    document = json.loads(found.output)
    assert {
        "host", "state", "method", "effective_mode", "degraded", "ports", "totals", "runs", "restarts", "files",
        "supervisor", "engine", "alarms",
    } <= document.keys()  # fmt: skip
    assert set(document["totals"]) == {
        "wire", "delivered", "filtered", "dropped", "pending", "unaccounted", "delivered_bytes",
    }  # fmt: skip
    assert "capturing" in capstan("status").output
    assert capstan("rotate").output == "rotated\n"
    down = capstan("down")
    assert down.exit_code == 0
    assert "unaccounted: 0" in down.output
    assert capstan("down").output == "not running\n"
    assert capstan("status").exit_code == 3
    assert json.loads(capstan("status", "--json").output)["state"] == "stopped"


def test_up_tells_why_the_engine_did_not_start(appliance: Host) -> None:
    appliance.script({"refuse": "cap0: is in use by another engine"})
    up = capstan("up")
    assert up.exit_code == 1
    assert up.stderr == "capstan: The engine could not set itself up (exit code 3): cap0: is in use by another engine\n"
    assert PidLock(appliance.paths.pid).holder() is None
    appliance.script({})
    assert capstan("up").exit_code == 0


def test_up_refuses_bad_settings_before_anything_starts(appliance: Host) -> None:
    appliance.paths.config.write_text("host: test\nmethod: af_pcket\n")
    up = capstan("up")
    assert up.exit_code == 2
    assert up.stderr.splitlines()[0].startswith("capstan: host test: method: is 'af_pcket'")
    assert not appliance.paths.run.exists()


def test_a_stale_pid_of_another_process_does_not_count_as_running(appliance: Host) -> None:
    appliance.paths.run.mkdir(parents=True)
    appliance.paths.pid.write_text(f"{os.getpid()}\n")
    assert detach.running(appliance.paths) is None
    assert capstan("up").exit_code == 0


def test_after_the_supervisor_was_killed_status_says_so_and_up_goes_on(appliance: Host) -> None:
    capstan("up")
    pid = detach.running(appliance.paths)
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: detach.running(appliance.paths) is None, "the end")
    dead = capstan("status", "--json")
    assert dead.exit_code == 3
    assert json.loads(dead.output)["state"] == "dead"
    capstan("up")
    assert json.loads(capstan("status", "--json").output)["runs"] == 2
    assert "unaccounted: 0" in capstan("down").output


def systemctl(appliance: Host, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Have systemd answer by a shell script; returns where it notes what it was asked."""
    asked = appliance.paths.root / "asked"
    program = appliance.paths.root / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$*" >>{asked}\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setattr(detach, "_SYSTEMCTL", str(program))
    monkeypatch.setattr(detach, "_by_systemd", lambda _paths: True)
    return asked


def test_up_does_not_count_earlier_failures(appliance: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    unloaded = '[ "$1" = start ] || { echo "Unit capstan.service not loaded." >&2; exit 1; }'
    asked = systemctl(appliance, monkeypatch, unloaded)
    detach.up(appliance.paths, appliance.paths.config)
    assert asked.read_text().splitlines() == ["reset-failed capstan.service", "start capstan.service"]
    systemctl(appliance, monkeypatch, 'echo "Access denied" >&2; exit 1')
    with pytest.raises(OperatorError, match=r"reset-failed capstan.service failed: Access denied"):
        detach.up(appliance.paths, appliance.paths.config)


def test_a_start_that_fails_is_not_given_the_reason_of_an_earlier_one(
    appliance: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    appliance.script({"refuse": "cap0: is in use by another engine"})
    assert capstan("up").exit_code == 1
    systemctl(appliance, monkeypatch, '[ "$1" != start ] || { echo "Start request repeated" >&2; exit 1; }')
    with pytest.raises(OperatorError, match=r"start capstan.service failed: Start request repeated"):
        detach.up(appliance.paths, appliance.paths.config)


def test_a_failed_capture_keeps_its_reason(appliance: Host) -> None:
    appliance.configure(strict=True)
    appliance.script({"degraded": ["copy mode"]})
    capstan("up")
    wait_until(lambda: (found := state.read(appliance.paths)) is not None and found.state == "failed", "the failure")
    found = json.loads(capstan("status", "--json").output)
    assert "copy mode" in found["reason"]


def test_the_ledger_is_shown_once_as_json_and_as_table(appliance: Host) -> None:
    assert capstan("ledger", "--once").exit_code == 3
    capstan("up")
    document = json.loads(capstan("ledger", "--once", "--json", "--interval", "0.3").output)
    assert document["state"] == "capturing"
    assert 5_000 < document["rates"]["wire"] < 20_000
    assert document["queues"][0]["interface"] == "cap0"
    table = capstan("ledger", "--once", "--interval", "0.1").output
    assert "cap0" in table
    assert "dropped: ring_overrun" in table


def test_check_config_accepts_and_refuses(host: Host, tmp_path: Path) -> None:
    assert "good: host test, replay on cap0" in capstan("check-config").output
    file = tmp_path / "bad.yml"
    file.write_text(yaml.safe_dump({"interfaces": [{"name": "eth1", "quues": 1}], "snaplen": 1}))
    refused = capstan("check-config", str(file))
    assert refused.exit_code == 2
    assert len(refused.stderr.splitlines()) == 2
    assert json.loads(capstan("check-config", "--json").output)["buffers"]["blocks_per_queue"] == 64


def test_the_schema_is_printed() -> None:
    assert json.loads(capstan("schema").output)["title"] == "CaptureConfig"


def checks(result: Result) -> dict[str, str]:
    return {
        check["name"]: check["sentence"] for check in json.loads(result.output)["checks"] if check["state"] == "failed"
    }


@pytest.mark.parametrize(
    ("settings", "name", "sentence"),
    [
        ({"user": "nobody-of-that-name"}, "user", "there is no user nobody-of-that-name"),
        ({"group": "nobody-of-that-name"}, "group", "there is no group nobody-of-that-name"),
        ({"netns": "pytest-no-such"}, "netns", "the network namespace pytest-no-such does not exist"),
        ({"filter": "not a filter"}, "engine_check", "syntax error in filter expression"),
        ({"buffers": {"block_size": "64MiB", "blocks_per_queue": 65536}}, "memory", "do not fit into"),
        ({"buffers": {"hugepages": "on", "blocks_per_queue": 65536}}, "hugepages", "or buffers.hugepages: auto"),
        ({"output": {"directory": "/proc/version/captures"}}, "output", "/proc/version is not a directory"),
        ({"output": {"directory": "/proc/sys"}}, "output", "cannot be written by the user"),
        ({"output": {"directory": "/tmp/pytest-none", "min_free": "1000TiB"}}, "space", "are to stay free"),
        ({"cores": [4000]}, "cpus", "CPU 4000 does not exist"),
    ],
)
def test_preflight_finds_what_would_go_wrong(host: Host, settings: dict[str, Any], name: str, sentence: str) -> None:
    host.configure(**settings)
    found = capstan("preflight", "--json")
    assert found.exit_code == 1
    assert sentence in checks(found)[name]


def test_plan_shows_what_the_settings_come_to_and_changes_nothing(host: Host) -> None:
    shown = capstan("plan")
    assert shown.exit_code == 0
    assert "cap0  replay" in shown.output
    planned = json.loads(capstan("plan", "--json").output)
    assert planned["ports"][0]["interface"] == "cap0"
    assert shown.output.splitlines()[2:5] == planned["text"][2:5]
    assert not host.paths.run.exists()


def test_plan_tells_what_the_host_cannot_do(host: Host) -> None:
    host.configure(cores=[4000])
    refused = capstan("plan")
    assert refused.exit_code == 2
    assert "capstan: host test: cores: CPU 4000 does not exist" in refused.stderr


def test_preflight_passes_and_changes_nothing(host: Host) -> None:
    found = capstan("preflight")
    assert found.exit_code == 0
    assert not host.paths.run.exists()
    assert not host.paths.library.exists()


def test_preflight_tells_of_a_missing_engine(host: Host) -> None:
    host.paths.engine.unlink()
    assert "install the package capstan-engine" in checks(capstan("preflight", "--json"))["engine"]


@pytest.mark.root
def test_preflight_guards_the_interface_with_the_default_route(host: Host) -> None:
    names = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    default = next((name for name, destination, *_ in names if destination == "00000000"), None)
    if default is None:
        pytest.skip("this machine has no default route")
    host.configure(method="af_packet", interfaces=[{"name": default}])
    found = capstan("preflight", "--json")
    sentences = [c["sentence"] for c in json.loads(found.output)["checks"] if c["name"] == "guard"]
    assert any(f"{default} carries the default route" in sentence for sentence in sentences)


@pytest.mark.root
def test_preflight_accepts_the_lab_and_refuses_too_many_queues(host: Host, veth_lab: str) -> None:
    host.configure(method="af_xdp", netns=veth_lab, interfaces=[{"name": "cap0", "queues": 8}])
    assert "has at most 2 receive queues" in checks(capstan("preflight", "--json"))["queues"]
    host.configure(method="af_xdp", netns=veth_lab, interfaces=[{"name": "cap0"}])
    found = capstan("preflight", "--json")
    assert found.exit_code == 0
    assert json.loads(found.output)["ports"][0]["queues"] == 2


def test_a_controller_that_is_no_address_is_refused(host: Host) -> None:
    found = capstan("preflight", "--controller", "not-an-address")
    assert found.exit_code == 2
    assert "is not an IP address" in found.stderr


@pytest.mark.root
def test_the_lab_commands() -> None:
    name = f"pytest-cli-{os.getpid()}"
    try:
        made = json.loads(capstan("lab", "up", "--name", name, "--json").output)
        assert (made["state"], made["changed"]) == ("up", True)
        assert json.loads(capstan("lab", "up", "--name", name, "--json").output)["changed"] is False
        assert "is up: wire0" in capstan("lab", "status", "--name", name).output
    finally:
        assert "is down" in capstan("lab", "down", "--name", name).output
