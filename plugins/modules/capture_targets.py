#!/usr/bin/python
"""Brings the targets of a host's settings into force, while packets come in."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: capture_targets
short_description: Bring the targets of a host's settings into force
version_added: 0.1.0
description:
  - Makes the targets of the origin C(inventory) those that the host's settings say, and leaves those that were added at
    run time. The capture goes on; the change is in force as a whole, and in the targets' log, when this returns.
options:
  who:
    description: Who asks, for the log.
    type: str
    required: true
  command:
    description: The command.
    type: path
    default: /usr/local/bin/capstan
attributes:
  check_mode:
    support: full
    description: Has the change judged and tells whether there would be one; before the first deployment there would.
  diff_mode:
    support: full
    description: Shows how many targets are added, removed and changed, and never which.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Bring the targets into force
  capstan.appliance.capture_targets:
    who: the deployment
"""

RETURN = r"""
count:
  description: Targets in force afterwards; V(null) in check mode before the first deployment.
  returned: always
  type: int
  sample: 3
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "who": {"type": "str", "required": True},
            "command": {"type": "path", "default": "/usr/local/bin/capstan"},
        },
        supports_check_mode=True,
    )
    command = module.params["command"]
    if module.check_mode and not Path(command).exists():
        module.exit_json(changed=True, count=None)
    words = [command, "targets", "sync", "--json", "--who", module.params["who"]]
    rc, output, errors = module.run_command([*words, "--dry-run"] if module.check_mode else words)
    if rc:
        reason = (errors or output).strip().removeprefix("capstan: ")
        module.fail_json(msg=f"host {os.uname().nodename}: the targets could not be brought into force: {reason}")
    answer = json.loads(output)
    changes = {key: answer[key] for key in ("added", "removed", "changed")}
    told = ", ".join(f"{count} {key}" for key, count in changes.items()) + "\n"
    module.exit_json(
        changed=any(changes.values()),
        count=answer["count"],
        diff={"before": "targets: as they are\n", "after": f"targets: {told}"} if any(changes.values()) else {},
    )


if __name__ == "__main__":
    main()
