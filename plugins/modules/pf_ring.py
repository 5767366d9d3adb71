#!/usr/bin/python
"""Sets PF_RING's kernel module and settings up on a host, and takes them back."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host import kernel_module
from ansible_collections.capstan.appliance.plugins.module_utils.host.pf_ring import Wanted
from ansible_collections.capstan.appliance.plugins.module_utils.host.pf_ring_steps import Outcome, PfRing
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError

DOCUMENTATION = r"""
module: pf_ring
short_description: Set PF_RING's kernel module up for the kernel that boots next, load it, and read it back
version_added: 0.2.0
description:
  - The vendor's packages are installed between O(state=ready) and O(state=present), and removed between
    O(state=unloaded) and O(state=absent). No step unpacks or removes a package itself.
  - The vendor's service manages hugepages and tunes every NIC of the host; a drop-in makes it load the module and do
    nothing else.
options:
  state:
    description:
      - V(ready) judges the host and writes the settings, before a package is installed.
      - V(present) has DKMS build the module for the kernel that boots next, loads it and reads it back.
      - V(unloaded) unloads a module that was not loaded before.
      - V(absent) restores every file and forgets what was remembered.
    type: str
    choices: [ready, present, unloaded, absent]
    required: true
  ports:
    description: The plan's ports; those of another method are passed over.
    type: list
    elements: dict
    default: []
  min_num_slots:
    description: Slots of each ring.
    type: int
    default: 65536
  library:
    description: The vendor's library, where it lies elsewhere than the loader looks.
    type: str
  zc:
    description: Report what zero-copy lacks, port by port.
    type: bool
    default: false
  licences:
    description: Zero-copy licence of each NIC, by its MAC address.
    type: dict
    default: {}
  files:
    description: The package files as M(capstan.appliance.pf_ring_files) describes them.
    type: list
    elements: dict
    default: []
  repository:
    description: The line of sources.list.
    type: str
  repository_key:
    description: The key that signs the repository, in ASCII armour.
    type: str
  pending:
    description: Whether packages were installed; in check mode, whether they would be.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Tells what would be written, built, loaded or restored.
  diff_mode:
    support: full
    description: Shows the lines of files and the module's parameters; of a licence only the name of its file.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Load PF_RING
  capstan.appliance.pf_ring:
    state: present
    ports: "{{ capture_plan.ports }}"
    min_num_slots: 65536
"""

RETURN = r"""
notes:
  description: Sentences on what is less than was asked for, or worth knowing.
  returned: always
  type: list
  elements: str
reboot_reasons:
  description: Why the host must be rebooted.
  returned: always
  type: list
  elements: dict
  sample: [{"reason": "pf_ring is there for the kernel 6.1.0-41-amd64, ...", "essential": true}]
kernel:
  description: The kernel that boots next.
  returned: when O(state=ready) or O(state=present)
  type: str
kernel_known_by:
  description: Where that is known from.
  returned: when O(state=ready) or O(state=present)
  type: str
version:
  description: Version of the loaded module.
  returned: when O(state=present) and the running kernel has the module
  type: str
library:
  description: Path of the library.
  returned: when O(state=present)
  type: str
zero_copy:
  description: Of each port its driver, whether the zero-copy driver is installed and in use, and what is missing.
  returned: when O(state=present)
  type: list
  elements: dict
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["ready", "present", "unloaded", "absent"], "required": True},
            "ports": {"type": "list", "elements": "dict", "default": []},
            "min_num_slots": {"type": "int", "default": 65536},
            "library": {"type": "str"},
            "zc": {"type": "bool", "default": False},
            "licences": {"type": "dict", "default": {}, "no_log": True},
            "files": {"type": "list", "elements": "dict", "default": []},
            "repository": {"type": "str"},
            "repository_key": {"type": "str", "no_log": False},
            "pending": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )

    def run(command: list[str]) -> tuple[int, str, str]:
        environment = {"LC_ALL": "C.UTF-8", "PATH": ":".join(kernel_module.PATH)}
        rc, output, errors = module.run_command(command, environ_update=environment, handle_exceptions=False)
        return rc, output, errors

    pf_ring = PfRing(kernel_module.Host(Path("/"), run, os.uname().release), check=module.check_mode)
    try:
        outcome = step(pf_ring, module)
    except FileNotFoundError as error:
        module.fail_json(msg=f"the program {error.filename} is not on this host; install the package that brings it")
    except HostError as error:
        module.fail_json(msg=str(error))
    diff = {"before": lines(outcome.before), "after": lines(outcome.after)}
    module.exit_json(
        changed=outcome.changed,
        diff=diff,
        msg=message(outcome),
        notes=outcome.notes,
        reboot_reasons=outcome.reboot_reasons,
        **outcome.facts,
    )


def step(pf_ring: PfRing, module: AnsibleModule) -> Outcome:
    """Do what the state asks for."""
    given = module.params
    if given["state"] == "unloaded":
        return pf_ring.unloaded()
    if given["state"] == "absent":
        return pf_ring.absent()
    wanted = Wanted(
        interfaces=tuple(
            port["interface"] for port in given["ports"] if port["method"] == "pf_ring" and port["interface"]
        ),
        slots=given["min_num_slots"],
        library=given["library"],
        zc=given["zc"],
        licences=given["licences"],
        files=tuple(given["files"]),
        repository=given["repository"],
        repository_key=given["repository_key"],
    )
    return pf_ring.ready(wanted) if given["state"] == "ready" else pf_ring.present(wanted, pending=given["pending"])


def message(outcome: Outcome) -> str:
    """What is there now, in one line."""
    version, kernel = outcome.facts.get("version"), outcome.facts.get("kernel")
    if version:
        return f"pf_ring {version} is loaded; the kernel {kernel} boots next"
    return "changed" if outcome.changed else "as wanted"


def lines(shown: list[str]) -> str:
    """Lines of the diff."""
    return "".join(f"{line}\n" for line in shown)


if __name__ == "__main__":
    main()
