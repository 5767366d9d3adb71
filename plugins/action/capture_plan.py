"""Plans a host on the controller, or says why it can't be what its settings ask; see the module of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.capstan.appliance.plugins.plugin_utils import inventory_model


class ActionModule(ActionBase):
    """Collects the facts on the host by capture_facts, then judges and plans here."""

    _VALID_ARGS = frozenset({"settings", "choose_again"})

    def run(self, tmp: None = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the plan, or fail with a sentence for each reason against it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        model = inventory_model.model()
        config = model.CaptureConfig.model_validate(self._task.args["settings"])
        answer = self._execute_module(
            module_name="capstan.appliance.capture_facts",
            module_args={"netns": config.netns, "directory": str(config.output.directory), "user": config.user},
            task_vars=task_vars,
        )
        if answer.get("failed"):
            return {**result, **answer}
        from ansible_collections.capstan.appliance.plugins.plugin_utils import (  # noqa: PLC0415 - needs model() first
            preflight_rules,
        )

        facts = answer["facts"]
        packages = preflight_rules.packages_for(facts["means"]["distribution"])
        again = boolean(self._task.args.get("choose_again", False))
        plan, sentences = preflight_rules.judge(config, facts, packages, again=again)
        result.update(changed=False, problems=sentences, failed=bool(sentences))
        result["msg"] = "\n".join(sentences) or f"host {config.host}: can capture as its settings ask"
        if plan is not None and not sentences:
            result["plan"] = plan.as_json()
        return result
