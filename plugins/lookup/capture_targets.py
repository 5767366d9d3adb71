"""The targets that the inventory gives the host at hand, as its targets.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.capstan.appliance.plugins.plugin_utils import inventory_model

DOCUMENTATION = r"""
name: capture_targets
short_description: The targets that the inventory gives a host, as the text of its targets.json
version_added: 0.1.0
description:
  - Validates C(capture_targets), or the file that C(capture_targets_file) names on the controller, which may be
    encrypted by ansible-vault. Empty where the host captures everything.
  - The text says whom a court ordered to listen to, so a task that uses it needs C(no_log).
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Write the targets
  ansible.builtin.copy:
    content: "{{ lookup('capstan.appliance.capture_targets') }}"
    dest: /etc/capstan/targets.json
    mode: "0640"
  no_log: true
  diff: false
"""

RETURN = r"""
_raw:
  description: The text.
  type: list
  elements: str
"""


class LookupModule(LookupBase):
    """Reads the variables that Ansible hands to every lookup."""

    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **options: Any) -> list[str]:
        """Return one text."""
        self.set_options(var_options=variables, direct=options)
        if terms:
            raise AnsibleError("the lookup capture_targets takes no terms")
        known = variables or {}
        host = str(known["inventory_hostname"])
        read = inventory_model.decrypted_text(host, self._loader)
        targets = inventory_model.targets_of(host, known, lambda name: self._templar.template(known[name]), read)
        if targets is None:
            return [""]
        lines = ",\n".join(json.dumps(target.as_json(), ensure_ascii=False) for target in targets)
        return [f'{{"version": 1, "targets": [\n{lines}\n]}}\n']
