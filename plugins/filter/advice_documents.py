"""What the task of capture_advice found on each host of a play, in the form of its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: advice_documents
short_description: The advice for each host of a play
version_added: 0.2.0
description:
  - Takes what M(capstan.appliance.capture_advice) was registered as on each host. A host that could not be reached, or
    where the facts could not be collected, gets a C(problem) in place of advice.
options:
  _input:
    description: Names of the hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
  name:
    description: What the task's result was registered as.
    type: str
    default: advised
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Write the advice for the fleet
  ansible.builtin.copy:
    content: "{{ ansible_play_hosts_all | capstan.appliance.advice_documents(hostvars) | to_nice_json }}"
    dest: /tmp/advice.json
    mode: "0644"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
_value:
  description: One document a host.
  type: list
  elements: dict
"""


def advice_documents(hosts: Iterable[str], hostvars: Mapping[str, Any], name: str = "advised") -> list[dict[str, Any]]:
    """One document a host, in the order of the hosts."""
    return [_document(str(host), hostvars[host].get(name) or {}) for host in hosts]


def _document(host: str, result: Mapping[str, Any]) -> dict[str, Any]:
    if "advice" in result:
        return dict(result["advice"])
    reason = " ".join(str(result.get("msg") or "nobody asked it").split())
    return {"host": host, "problem": f"unreachable: {reason}" if result.get("unreachable") else reason}


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"advice_documents": advice_documents}
