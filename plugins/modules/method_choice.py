#!/usr/bin/python
"""Keeps on a host what `capture_method: auto` came to there, so that a later run comes to the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host.means_read import ADVICE, CHOICES, read_record
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    durable_remove,
    durable_write,
    remove_empty,
)

DOCUMENTATION = r"""
module: method_choice
short_description: Remember which capture method was chosen for each port
version_added: 0.2.0
description:
  - Writes what C(capture_method=auto) came to into C(/var/lib/capstan/advice/choices.json). The next run keeps a choice
    that can still be had, and the supervisor follows it at every start.
  - What is on record for other ports is removed; without any port the file goes.
options:
  choices:
    description: Method of each port, as C(capture_plan.choices) has it.
    type: dict
    required: true
attributes:
  check_mode:
    support: full
    description: Tells whether the record would change.
  diff_mode:
    support: full
    description: Shows port and method, a line each.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Remember what auto chose
  capstan.appliance.method_choice:
    choices: "{{ capture_plan.choices }}"
"""

RETURN = r"""
msg:
  description: What is on record now.
  returned: always
  type: str
"""

_FOLDER_MODE = 0o755
_FILE_MODE = 0o644


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"choices": {"type": "dict", "required": True}},
        supports_check_mode=True,
    )
    try:
        module.exit_json(**remember(module.params["choices"], ADVICE, write=not module.check_mode))
    except (HostError, ValueError, OSError) as error:
        module.fail_json(msg=str(error))


def remember(choices: dict[str, dict[str, Any]], folder: Path, *, write: bool) -> dict[str, Any]:
    """Bring the record up to date, and tell what changed.

    Raises:
        HostError: it can't be written.
        ValueError: what is there is no record of ours.
        OSError: its folder can't be made.

    """
    known = (read_record(folder / CHOICES) or {"ports": {}})["ports"]
    before = {port: {key: choice[key] for key in choice if key != "since"} for port, choice in known.items()}
    changed = before != choices
    if changed and write:
        now = datetime.now(UTC).strftime("%Y-%m-%d")
        # A port that keeps its choice keeps its date.
        _write(
            folder,
            {port: known[port] if before.get(port) == new else {**new, "since": now} for port, new in choices.items()},
        )
    return {
        "changed": changed,
        "msg": ", ".join(_lines(choices)) or "no port's method was chosen by auto",
        "diff": {"before": "\n".join([*_lines(before), ""]), "after": "\n".join([*_lines(choices), ""])},
    }


def _write(folder: Path, ports: dict[str, Any]) -> None:
    path = folder / CHOICES
    if not ports:
        durable_remove(path)
        remove_empty(folder)
        return
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    durable_write(path, json.dumps({"version": 1, "ports": ports}, indent=1, sort_keys=True) + "\n", _FILE_MODE)


def _lines(choices: dict[str, dict[str, Any]]) -> list[str]:
    return [f"{port}: {choice['method']}" for port, choice in sorted(choices.items())]


if __name__ == "__main__":
    main()
