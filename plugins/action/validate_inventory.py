"""Validates the capture settings of every host of a play on the controller; see the module of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.capstan.appliance.plugins.plugin_utils import inventory_model


class ActionModule(ActionBase):
    """Never connects to a host."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"hosts"})

    def run(self, tmp: None = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Validate the hosts one by one, then against each other; fail with all the sentences at once."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        hosts = list(self._task.args.get("hosts", variables["ansible_play_hosts_all"]))
        configs, sentences = {}, []
        for host in hosts:
            try:
                hostvars = variables["hostvars"][host]
                configs[host] = self._config(host, hostvars)
                inventory_model.targets_of(
                    host, hostvars, hostvars.__getitem__, inventory_model.decrypted_text(host, self._loader)
                )
            except AnsibleError as error:
                sentences.extend(error.message.splitlines())
        sentences += _filter_sentences(configs)
        sentences += _fleet_sentences(configs, variables["hostvars"])
        result.update(changed=False, hosts=hosts, problems=sentences, failed=bool(sentences))
        result["msg"] = "\n".join(sentences) or f"the settings of {len(hosts)} hosts are valid"
        return result

    @staticmethod
    def _config(host: str, hostvars: Mapping[str, Any]) -> Any:
        def value(name: str) -> Any:
            try:
                return hostvars[name]
            except AnsibleError as error:
                raise AnsibleError(
                    f"host {host}: {name}: can't be worked out ({error.message}); correct its template"
                ) from error

        return inventory_model.config_of(host, inventory_model.settings_of(hostvars, value))


def _filter_sentences(configs: Mapping[str, Any]) -> list[str]:
    verdicts = {
        expression: inventory_model.filter_error(expression)
        for expression in {config.filter for config in configs.values() if config.filter}
    }
    return [
        f"host {host}: capture_filter: {config.filter!r} does not compile ({verdicts[config.filter]}); "
        "write a pcap filter such as 'tcp port 80' (man pcap-filter)"
        for host, config in configs.items()
        if config.filter and verdicts[config.filter]
    ]


def _fleet_sentences(configs: Mapping[str, Any], hostvars: Mapping[str, Any]) -> list[str]:
    model = inventory_model.model()
    addresses = {host: str(hostvars[host].get("ansible_host", host)) for host in configs}
    try:
        model.check_fleet(addresses, configs)
    except model.ConfigError as error:
        return list(error.problems)
    return []
