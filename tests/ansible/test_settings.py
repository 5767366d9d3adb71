"""The settings on their way from the inventory to the host's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.capstan.appliance.plugins.filter.capture_problems import capture_problems
from ansible_collections.capstan.appliance.plugins.lookup.capture_settings import LookupModule
from ansible_collections.capstan.appliance.plugins.plugin_utils import inventory_model

from capstan.config import from_inventory, load
from conftest import CHECKOUT, play, write_inventory


class _Untemplated:
    def template(self, value: Any) -> Any:
        return value


def settings(variables: dict[str, Any], **options: Any) -> Any:
    lookup = LookupModule()
    lookup._templar = _Untemplated()  # noqa: SLF001 - what Ansible's loader sets
    lookup._load_name = "capstan.appliance.capture_settings"  # noqa: SLF001
    lookup.set_options = lambda **_: None
    lookup.get_option = lambda name: options.get(name, False)
    return lookup.run([], {"inventory_hostname": "probe", **variables})[0]


FULL = {
    "capture_method": "af_xdp",
    "capture_interfaces": [{"pci": "0000:19:00.1", "queues": 2}, {"name": "eth1", "method": "pcap"}],
    "capture_cores": [2, 3],
    "capture_filter": "host 192.0.2.7 # not a comment",
    "capture_output": {"directory": "/srv/the captures", "rotate_size": "1.5GiB", "direct_io": False},
    "capture_buffers": {"block_size": 1048576},
}


@pytest.mark.parametrize("variables", [FULL, {"capture_interfaces": [{"name": "cap0"}]}])
def test_the_file_on_the_host_says_what_the_inventory_says(tmp_path: Path, variables: dict[str, Any]) -> None:
    file = tmp_path / "capstan.yml"
    file.write_text(settings(variables, as_file=True))
    assert load(file) == from_inventory("probe", variables)


def test_the_file_holds_every_setting_with_sizes_for_people() -> None:
    text = settings(
        {"capture_interfaces": [{"name": "cap0"}], "capture_buffers": {"block_size": 2 << 20}}, as_file=True
    )
    assert set(yaml.safe_load(text)) == set(inventory_model.model().CaptureConfig.model_fields)
    assert "block_size: 2MiB" in text
    assert "takes the one that suits each NIC, of those that need no reboot.\nmethod: af_packet" in text


def test_variables_that_direct_the_playbooks_are_no_settings() -> None:
    variables = {"capture_interfaces": [{"name": "cap0"}], "capture_lab": True, "ansible_host": "192.0.2.1"}
    assert inventory_model.settings_of(variables, variables.get) == {"capture_interfaces": [{"name": "cap0"}]}


@pytest.mark.parametrize("inventory", ["local", "example"])
def test_the_inventories_that_come_along_are_valid(tmp_path: Path, inventory: str) -> None:
    # No play beyond the first: nothing of the example's addresses answers.
    run = play("deploy", CHECKOUT / "inventory" / inventory, "--tags", "validate")
    assert (run.rc, run.sentences) == (0, [])


def test_a_build_host_needs_no_capture_settings(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path, {"probe": {"capture_interfaces": [{"name": "eth1"}]}})
    content = yaml.safe_load(inventory.read_text())
    content["all"]["children"] = {"builders": {"hosts": {"build": {}}}}
    inventory.write_text(yaml.safe_dump(content))
    assert play("deploy", inventory, "--tags", "validate").rc == 0


GOOD_STATUS = {
    "state": "capturing",
    "ports": [{"method": "af_packet"}],
    "totals": {"unaccounted": 0},
    "alarms": [],
    "degraded": [],
}
# As the supervisor tells it: what is less than the best is an alarm as well.
DEGRADED = {"degraded": ["Copy mode."], "alarms": [{"name": "degraded", "sentence": "Copy mode."}]}
ASKED = {"host": "probe", "method": "af_packet", "interfaces": [{"method": None}], "strict": False}

WRONG = {
    "stopped": ({"state": "failed", "reason": "No memory."}, {}, "the capture is failed (No memory)"),
    "other method": ({"ports": [{"method": "pcap"}]}, {}, "pcap captures and the inventory asks for af_packet"),
    "unaccounted": ({"totals": {"unaccounted": 3}}, {}, "3 packets are unaccounted for"),
    "alarm": ({"alarms": [{"sentence": "The link is down."}]}, {}, "alarm: The link is down"),
    "degraded": (DEGRADED, {"strict": True}, "capture_strict: Copy mode"),
}


def test_a_good_capture_has_no_problems() -> None:
    assert capture_problems(GOOD_STATUS, ASKED) == []
    assert capture_problems({**GOOD_STATUS, **DEGRADED}, ASKED) == []


def test_what_auto_came_to_is_no_problem_and_the_others_run_as_written() -> None:
    auto = {**ASKED, "method": "auto"}
    assert capture_problems({**GOOD_STATUS, "ports": [{"method": "af_xdp"}]}, auto) == []
    both = {**auto, "interfaces": [{"method": None}, {"method": "af_packet"}]}
    assert capture_problems({**GOOD_STATUS, "ports": [{"method": "dpdk"}, {"method": "af_packet"}]}, both) == []
    (told,) = capture_problems({**GOOD_STATUS, "ports": [{"method": "dpdk"}, {"method": "pcap"}]}, both)
    assert "the inventory asks for auto, af_packet" in told


@pytest.mark.parametrize(("status", "asked", "fragment"), WRONG.values(), ids=WRONG.keys())
def test_a_bad_capture_has_one(status: dict[str, Any], asked: dict[str, Any], fragment: str) -> None:
    (told,) = capture_problems({**GOOD_STATUS, **status}, {**ASKED, **asked})
    assert told.startswith("host probe: ")
    assert fragment in told
