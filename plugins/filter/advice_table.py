"""The advice for a fleet: a document for each host, and a table of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.capstan.appliance.plugins.plugin_utils import inventory_model

DOCUMENTATION = r"""
name: advice_table
short_description: A line for each capture port of each host
version_added: 0.2.0
description:
  - What each port is to take, what C(capture_method=auto) would take there, and what would be better. A host without
    advice is listed with the reason.
options:
  _input:
    description: The hosts' advice, as the filter P(capstan.appliance.advice_documents#filter) gives it.
    type: list
    elements: dict
    required: true
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Show the fleet
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | capstan.appliance.advice_documents(hostvars) | capstan.appliance.advice_table }}"
"""

RETURN = r"""
_value:
  description: The table.
  type: str
"""


def advice_table(documents: Iterable[Mapping[str, Any]]) -> str:
    """The table."""
    report = importlib.import_module(inventory_model.model().__package__ + ".advise_report")
    return "\n".join(report.fleet_table(documents))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"advice_table": advice_table}
