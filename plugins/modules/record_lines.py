#!/usr/bin/python
"""Notes what is about to be made, so that a rollback removes that and nothing else."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, durable_write, read_text

DOCUMENTATION = r"""
module: record_lines
short_description: Add lines to a record before what they tell is done
version_added: 0.2.0
description:
  - The record is on the disk, whole, when the task ends. M(ansible.builtin.lineinfile) leaves that to the kernel, and a
    power cut may keep what was done and lose the record of it.
  - Lines that are there stay where they are.
options:
  path:
    description: The record. Its folder must be there.
    type: path
    required: true
  lines:
    description: What to add.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    support: full
    description: Tells whether lines are new, and writes nothing.
  diff_mode:
    support: full
    description: Shows the new lines.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Remember that the group is new
  capstan.appliance.record_lines:
    path: /var/lib/capstan/deployed/accounts
    lines: [group capstan]
"""

RETURN = r"""
added:
  description: The lines that were new.
  returned: success
  type: list
  elements: str
"""


def add(path: Path, lines: list[str], *, check: bool) -> list[str]:
    """Add what is not there yet, and tell it.

    Raises:
        HostError: the record can't be read or written.

    """
    known = (read_text(path) or "").splitlines()
    new = [line for line in dict.fromkeys(lines) if line not in known]
    if new and not check:
        durable_write(path, "".join(f"{line}\n" for line in [*known, *new]))
    return new


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "lines": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        new = add(Path(module.params["path"]), module.params["lines"], check=module.check_mode)
    except HostError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(new), added=new, diff={"before": "", "after": "".join(f"{line}\n" for line in new)})


if __name__ == "__main__":
    main()
