"""Ranks the capture methods for a host's ports on the controller; see the module of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.capstan.appliance.plugins.plugin_utils import inventory_model

INTERFACES = "capture_interfaces"


class ActionModule(ActionBase):
    """Collects the facts on the host by capture_facts, then judges here."""

    _VALID_ARGS = frozenset[str]()

    def run(self, tmp: None = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the advice; settings that can't work are a problem of the advice, and no failure."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        host = str(variables["inventory_hostname"])
        try:
            config, whole = self._settings(host, variables["hostvars"][host])
        except AnsibleError as error:
            return {**result, "changed": False, "advice": {"host": host, "problem": error.message}}
        answer = self._execute_module(
            module_name="capstan.appliance.capture_facts",
            module_args={"netns": config.netns, "directory": str(config.output.directory), "user": config.user},
            task_vars=task_vars,
        )
        if answer.get("failed") or answer.get("unreachable"):
            return {**result, **answer}
        from ansible_collections.capstan.appliance.plugins.plugin_utils import (  # noqa: PLC0415 - needs model() first
            preflight_rules,
        )

        facts = answer["facts"]
        if facts["network"] is None and boolean(variables["hostvars"][host].get("capture_lab", False)):
            problem = "its lab is not there yet; playbooks/deploy.yml makes it"
            return {**result, "changed": False, "advice": {"host": host, "problem": problem}}
        packages = preflight_rules.packages_for(facts["means"]["distribution"])
        return {**result, "changed": False, "advice": preflight_rules.advice(config, facts, packages, whole=whole)}

    @staticmethod
    def _settings(host: str, hostvars: Mapping[str, Any]) -> tuple[Any, bool]:
        """The host's settings, and whether they name no port, so that every NIC is judged."""
        written = inventory_model.settings_of(hostvars, lambda name: hostvars[name])
        whole = INTERFACES not in written
        return inventory_model.config_of(host, {INTERFACES: [{"name": "any"}], **written}), whole
