"""The inventory's targets on their way to a host: checked on the controller, shown nowhere, alone in a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.capstan.appliance.plugins.filter.capture_problems import capture_problems
from ansible_collections.capstan.appliance.plugins.lookup.capture_targets import LookupModule
from ansible_collections.capstan.appliance.plugins.plugin_utils import inventory_model
from test_settings import ASKED, GOOD_STATUS, settings

from capstan.targets import read_text
from conftest import CHECKOUT, play, write_inventory

ID = "01234567-89ab-cdef-0123-456789abcdef"
HIDDEN = "198.51.100.77"
TARGETS = [{"id": ID, "prefixes": [HIDDEN], "ports": [443, "1024-2047"], "note": "order 7"}]
ETH1 = [{"name": "eth1"}]
MODULE = CHECKOUT / "plugins/modules/capture_targets.py"


class _Untemplated:
    def template(self, value: Any) -> Any:
        return value


def targets_json(variables: dict[str, Any], loader: DataLoader | None = None) -> str:
    lookup = LookupModule(loader=loader or DataLoader())
    lookup._templar = _Untemplated()  # noqa: SLF001 - what Ansible's loader sets
    lookup.set_options = lambda **_: None
    (text,) = lookup.run([], {"inventory_hostname": "probe", "capture_interfaces": ETH1, **variables})
    return text


def test_the_file_on_the_host_says_what_the_inventory_says() -> None:
    text = targets_json({"capture_targets": TARGETS})
    assert read_text(text, "targets.json") == read_text(json.dumps(TARGETS), "inventory")


def test_without_targets_there_is_no_file_and_with_none_of_them_an_empty_list() -> None:
    assert targets_json({}) == ""
    assert targets_json({"capture_targets": None}) == ""
    assert json.loads(targets_json({"capture_targets": []}))["targets"] == []


def test_a_file_that_ansible_vault_encrypted_is_read(tmp_path: Path) -> None:
    secret = VaultSecret(b"correct horse")
    secrets = [("default", secret)]
    path = tmp_path / "targets.yml"
    path.write_bytes(VaultLib(secrets).encrypt(yaml.safe_dump(TARGETS), secret))
    loader = DataLoader()
    with pytest.raises(AnsibleError, match=r"host probe: capture_targets_file: .*password of ansible-vault"):
        targets_json({"capture_targets_file": str(path)}, loader)
    loader.set_vault_secrets(secrets)
    assert json.loads(targets_json({"capture_targets_file": str(path)}, loader))["targets"][0]["id"] == ID


def test_the_settings_name_the_file_and_hold_no_target() -> None:
    for variables in ({"capture_targets": TARGETS}, {"capture_targets_file": "elsewhere.yml"}):
        text = settings({"capture_interfaces": ETH1, **variables}, as_file=True)
        written = yaml.safe_load(text)
        assert written["targets_file"] == inventory_model.HOST_TARGETS
        assert written["targets"] is None
        assert HIDDEN not in text
    assert yaml.safe_load(settings({"capture_interfaces": ETH1}, as_file=True))["targets_file"] is None


def test_a_mistake_in_the_file_is_told_with_host_variable_and_place(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"
    path.write_text(json.dumps([*TARGETS, {"id": ID, "prefixes": []}]))
    run = play(
        "deploy",
        write_inventory(tmp_path, {"probe": {"capture_interfaces": ETH1, "capture_targets_file": str(path)}}),
        "--tags",
        "validate",
    )
    assert run.rc != 0
    (told,) = run.sentences
    assert told.startswith("host probe: capture_targets_file: targets[1].prefixes: is empty; remove it")


def test_no_address_is_on_the_screen_of_whoever_deploys(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path, {"probe": {"capture_interfaces": ETH1, "capture_targets": TARGETS}})
    run = play("deploy", inventory, "--tags", "validate", "-vvv")
    assert run.rc == 0, run.output
    assert "the settings of 1 hosts are valid" in run.output
    assert HIDDEN not in run.output


def run_module(tmp_path: Path, answer: dict[str, Any], *, check: bool = False, rc: int = 0) -> dict[str, Any]:
    """The module over a command `capstan` that gives this answer and notes how it was called."""
    command = tmp_path / "capstan"
    text = json.dumps(answer) if rc == 0 else ""
    refused = "echo 'capstan: The engine refused it.' >&2" if rc else ""
    command.write_text(f"#!/bin/sh\necho \"$*\" > {tmp_path}/called\necho '{text}'\n{refused}\nexit {rc}\n")
    command.chmod(0o755)
    arguments = {"who": "the deployment", "command": str(command), "_ansible_check_mode": check}
    done = subprocess.run(
        [sys.executable, str(MODULE)],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=False,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


NOTHING = {"ok": True, "added": 0, "removed": 0, "changed": 0, "count": 3}


def test_the_second_run_changes_nothing(tmp_path: Path) -> None:
    assert run_module(tmp_path, {**NOTHING, "added": 2})["changed"] is True
    again = run_module(tmp_path, NOTHING)
    assert (again["changed"], again["count"]) == (False, 3)
    assert (tmp_path / "called").read_text() == "targets sync --json --who the deployment\n"


def test_check_mode_asks_and_changes_nothing(tmp_path: Path) -> None:
    assert run_module(tmp_path, {**NOTHING, "removed": 1}, check=True)["changed"] is True
    assert (tmp_path / "called").read_text().split()[-1] == "--dry-run"


def test_a_refusal_is_told_with_its_reason(tmp_path: Path) -> None:
    assert run_module(tmp_path, {}, rc=1)["msg"].endswith("could not be brought into force: The engine refused it.")


def test_a_host_that_waits_for_its_first_target_is_as_it_was_asked_to_be() -> None:
    waits = {**GOOD_STATUS, "alarms": [{"name": "no_targets", "sentence": "There are no targets."}]}
    assert capture_problems(waits, ASKED) == []
