"""The settings of the host at hand: every value, defaults included; or the text of its capstan.yml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.capstan.appliance.plugins.plugin_utils import inventory_model

DOCUMENTATION = r"""
name: capture_settings
short_description: The capture settings of a host with all defaults filled in
version_added: 0.1.0
description:
  - Validates the C(capture_*) variables of the current host and returns the settings as a mapping.
options:
  as_file:
    description: Return the text of the host's capstan.yml, commented, in place of the mapping.
    type: bool
    default: false
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Show where this host writes its captures
  ansible.builtin.debug:
    msg: "{{ lookup('capstan.appliance.capture_settings').output.directory }}"
"""

RETURN = r"""
_raw:
  description: The mapping, or the text.
  type: list
  elements: raw
"""


class LookupModule(LookupBase):
    """Reads the variables that Ansible hands to every lookup."""

    def run(
        self,
        terms: list[str],
        variables: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> list[Any]:
        """Return one mapping or one text."""
        self.set_options(var_options=variables, direct=options)
        if terms:
            raise AnsibleError("the lookup capture_settings takes no terms")
        known = variables or {}
        # A loop variable or a set_fact of the same name would be a mistake of ours: take the variables as they are.
        written = inventory_model.settings_of_host(known, lambda name: self._templar.template(known[name]))
        config = inventory_model.config_of(str(known["inventory_hostname"]), written)
        if self.get_option("as_file"):
            return ["\n".join(_lines(config))]
        return [config.model_dump(mode="json")]


def _lines(config: Any) -> Iterator[str]:
    """Every key of the settings, with its meaning above it."""
    for key, value in _readable(config).items():
        meaning = type(config).model_fields[key].description
        if meaning:
            yield f"# {meaning}"
        yield yaml.safe_dump(
            {key: value}, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120
        ).rstrip("\n")


def _readable(model: Any) -> dict[str, Any]:
    """The settings as plain values, sizes with the largest unit that leaves a whole number."""
    sizes = inventory_model.size_fields(type(model))
    plain: dict[str, Any] = model.model_dump(mode="json")
    for name, value in plain.items():
        inner = getattr(model, name)
        if hasattr(inner, "model_dump"):
            plain[name] = _readable(inner)
        elif isinstance(value, list):
            plain[name] = [_stated(item) for item in value]
        elif name in sizes:
            plain[name] = inventory_model.spelt_size(value)
    return plain


def _stated(item: Any) -> Any:
    return {key: value for key, value in item.items() if value is not None} if isinstance(item, dict) else item
