#!/usr/bin/python
"""Starts, restarts and stops the capture through the command capstan."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: capture_service
short_description: Start, restart or stop the capture of a host
version_added: 0.1.0
description:
  - Calls the command capstan, which goes through systemd where that is PID 1 and keeps a supervisor in the background
    where it is not. Waits until packets are captured, or until all that was captured is written.
options:
  state:
    description: What the capture should be.
    type: str
    choices: [started, restarted, stopped]
    required: true
  command:
    description: The command.
    type: path
    default: /usr/local/bin/capstan
attributes:
  check_mode:
    support: full
    description: Tells whether the capture would be started or stopped.
  diff_mode:
    support: full
    description: Shows the state.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Start the capture
  capstan.appliance.capture_service:
    state: started
"""

RETURN = r"""
was:
  description: State of the capture before, as C(capstan status) tells it; V(absent) where there is no such command.
  returned: always
  type: str
  sample: stopped
"""

ENDED = {"absent", "stopped", "failed", "dead"}
STEPS = {"started": ["up"], "restarted": ["down", "up"], "stopped": ["down"]}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(STEPS), "required": True},
            "command": {"type": "path", "default": "/usr/local/bin/capstan"},
        },
        supports_check_mode=True,
    )
    command, wanted = module.params["command"], module.params["state"]
    was = state(module, command)
    runs = was not in ENDED
    changed = {"started": not runs, "restarted": True, "stopped": runs}[wanted]
    if changed and not module.check_mode:
        for step in STEPS[wanted]:
            if step == "down" and not runs:
                continue
            rc, output, errors = module.run_command([command, step])
            if rc:
                reason = (errors or output).strip().removeprefix("capstan: ")
                module.fail_json(
                    msg=f"host {os.uname().nodename}: the capture could not be {wanted}: {reason}", was=was
                )
    now = "stopped" if wanted == "stopped" else "capturing"
    diff = {"before": f"capture: {was}\n", "after": f"capture: {now if changed else was}\n"}
    module.exit_json(changed=changed, was=was, diff=diff)


def state(module: AnsibleModule, command: str) -> str:
    """State of the capture now."""
    if not Path(command).exists():
        return "absent"
    _, output, errors = module.run_command([command, "status", "--json"])
    try:
        return str(json.loads(output)["state"])
    except (ValueError, KeyError):
        module.fail_json(
            msg=f"host {os.uname().nodename}: {command} status does not answer: {(errors or output).strip()}"
        )
        raise


if __name__ == "__main__":
    main()
