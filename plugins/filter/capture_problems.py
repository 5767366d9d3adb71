"""What is wrong with a capture, judged from `capstan status --json`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

DOCUMENTATION = r"""
name: capture_problems
short_description: A sentence for each thing that is wrong with a running capture
version_added: 0.1.0
description:
  - The capture must be running with the methods asked for, with no packet unaccounted for and no alarm. A mode that is
    less than was asked for is wrong where C(capture_strict) says so.
options:
  _input:
    description: What C(capstan status --json) says, as a mapping.
    type: dict
    required: true
  settings:
    description: The host's settings, as the lookup P(capstan.appliance.capture_settings#lookup) gives them.
    type: dict
    required: true
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Say what is wrong
  ansible.builtin.debug:
    msg: "{{ status | capstan.appliance.capture_problems(lookup('capstan.appliance.capture_settings')) }}"
"""

RETURN = r"""
_value:
  description: The sentences, each beginning with the host.
  type: list
  elements: str
"""


def capture_problems(status: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """A sentence for each thing that is wrong."""
    return [f"host {settings['host']}: {sentence}" for sentence in _problems(status, settings)]


def _problems(status: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    state = status.get("state", "unknown")
    if state != "capturing":
        reason = f" ({status['reason'].rstrip('.')})" if status.get("reason") else ""
        yield f"the capture is {state}{reason}; see `capstan status` there, and deploy again"
        return
    asked = dict.fromkeys(entry["method"] or settings["method"] for entry in settings["interfaces"])
    running = dict.fromkeys(port["method"] for port in status["ports"])
    # What auto came to, the supervisor knows; the others must run as they are written.
    named = asked.keys() - {"auto"}
    if not named <= running.keys() or (running.keys() - named and "auto" not in asked):
        yield (
            f"capture_method: {', '.join(running)} captures and the inventory asks for {', '.join(asked)}; "
            "run playbooks/deploy.yml"
        )
    unaccounted = status["totals"]["unaccounted"]
    if unaccounted:
        yield f"{unaccounted} packets are unaccounted for; see `capstan ledger` there"
    # A host that waits for its first target is as it was asked to be, and less than the best is not wrong unless that
    # is asked for; whoever looks at its status is told.
    for alarm in (alarm for alarm in status["alarms"] if alarm.get("name") not in {"no_targets", "degraded"}):
        yield f"alarm: {alarm['sentence'].rstrip('.')}"
    for sentence in status["degraded"] if settings["strict"] else ():
        yield f"capture_strict: {sentence.rstrip('.')}"


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """The filters of this file."""
        return {"capture_problems": capture_problems}
