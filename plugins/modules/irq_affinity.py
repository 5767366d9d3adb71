#!/usr/bin/python
"""Gives the interrupts of capture queues to the CPUs of their workers, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host import host_pass, irqbalance, wanted
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError

DOCUMENTATION = r"""
module: irq_affinity
short_description: Give the interrupts of capture queues to CPUs, and back
version_added: 0.2.0
description:
  - Finds the interrupts of each queue of a PCI NIC by the names that its driver gave them, whatever the interface is
    called now, and gives them to the CPUs that the plan has for the queue. Reads the effective affinity back.
  - Switches receive packet steering (rps_cpus) off for these queues, which would hand packets to other CPUs. Leaves XPS
    as it is, because a capture port sends nothing, and interrupts of other devices where they are; new ones start on
    the housekeeping CPUs (default_smp_affinity).
  - Where irqbalance is installed, a drop-in for its unit bans the capture's CPUs, and a policy script the capture
    ports' interrupts; a running irqbalance is started anew.
  - Interrupts that the kernel assigns by itself (managed) and NICs whose interrupts do not tell their queue (hv_netvsc,
    xen-netfront, gve, a shared INTx) are told in RV(notes).
  - How everything was is written to /var/lib/capstan-host/irq_affinity.json before the first change, by PCI address
    and name of the interrupt, because numbers change. What is wanted is written to
    /etc/capstan-host/irq_affinity.json, from
    which the service of M(capstan.appliance.host_service) sets it again at boot and whenever a link comes up.
options:
  ports:
    description: The capture ports as C(capture_plan.ports) has them, in the inventory's order.
    type: list
    elements: dict
    default: []
  housekeeping:
    description: CPUs for what is not the capture's, as C(capture_plan.housekeeping) has them.
    type: list
    elements: int
    default: []
  state:
    description: V(absent) gives everything back as it was.
    type: str
    choices: [present, absent]
    default: present
  root:
    description: Folder that stands for the host's root; for tests.
    type: path
    default: /
attributes:
  check_mode:
    support: full
    description: Tells what would be changed.
  diff_mode:
    support: full
    description: Shows CPUs and files before and after.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Give the interrupts of the capture queues to the workers' CPUs
  capstan.appliance.irq_affinity:
    ports: "{{ capture_plan.ports }}"
    housekeeping: "{{ capture_plan.housekeeping }}"
"""

RETURN = r"""
changes:
  description: What was, or would be, given to other CPUs.
  returned: always
  type: list
  elements: dict
  contains:
    label: {description: What it is., type: str}
    before: {description: CPUs before., type: str}
    after: {description: CPUs now., type: str}
notes:
  description: Sentences about what can't be moved.
  returned: always
  type: list
  elements: str
wanted:
  description: Whether anything is wanted, and so has to be set again at boot.
  returned: always
  type: bool
due:
  description: The same as RV(changed), for tasks that only look.
  returned: always
  type: bool
reboot_reasons:
  description: Nothing here needs a reboot.
  returned: always
  type: list
  elements: dict
msg:
  description: One sentence.
  returned: always
  type: str
"""

NAME = "irq_affinity"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "dict", "default": []},
            "housekeeping": {"type": "list", "elements": "int", "default": []},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except HostError as error:
        module.fail_json(msg=str(error))


def run(module: AnsibleModule) -> dict[str, Any]:
    """What the module does."""
    root = Path(module.params["root"])
    present = module.params["state"] == "present"
    ports = module.params["ports"] if present else []
    housekeeping = sorted(module.params["housekeeping"]) if present else []
    with wanted.lock(root):
        known = host_pass.refused(NAME, root)
        before = wanted.read(NAME, root)
        after = host_pass.document(NAME, ports, known, housekeeping=housekeeping)
        files, notes = irqbalance.files(ports, root)
        files_before = irqbalance.now(root)
        outcome = host_pass.interrupts(ports, housekeeping, known, root, check=True)
        rest = files != files_before
        changed = rest or bool(outcome.changes) or wanted.differs(NAME, after, root)
        if outcome.wrong and module.check_mode:
            raise HostError("; ".join(outcome.wrong))
        if (changed or outcome.wrong) and not module.check_mode:
            if rest:
                irqbalance.put_in_place(files, root)
                start_anew(module, root)
            host_pass.keep(NAME, after, root)
            outcome = host_pass.interrupts(ports, housekeeping, known, root)
            after = host_pass.document(NAME, ports, outcome.refused, housekeeping=housekeeping)
            host_pass.keep(NAME, after, root)
            changed = rest or bool(outcome.changes) or after != before
    if after is not None and irqbalance.runs_without_systemd(root):
        notes.append("irqbalance runs without systemd and moves interrupts as it likes; stop it")
    return {
        "changed": changed,
        "changes": [{"label": one.label, "before": one.before, "after": one.after} for one in outcome.changes],
        "notes": list(dict.fromkeys(outcome.notes + notes)),
        "wanted": after is not None,
        "due": changed,
        "reboot_reasons": [],
        "msg": f"{len(outcome.changes)} interrupts or queues differ" if changed else "nothing to change",
        "diff": [
            {
                "before": "".join(f"{one.label}: CPU {one.before}\n" for one in outcome.changes),
                "after": "".join(f"{one.label}: CPU {one.after}\n" for one in outcome.changes),
            },
            *(
                {
                    "before_header": path,
                    "after_header": path,
                    "before": files_before[path] or "",
                    "after": files[path] or "",
                }
                for path in files
                if files[path] != files_before[path]
            ),
        ],
    }


def start_anew(module: AnsibleModule, root: Path) -> None:
    """Have a running irqbalance read its drop-in."""
    if not (root / "run/systemd/system").is_dir():
        return
    for arguments in (["daemon-reload"], ["try-restart", irqbalance.UNIT]):
        rc, output, errors = module.run_command(["systemctl", *arguments])
        if rc:
            raise HostError(f"systemctl {' '.join(arguments)} failed: {(errors or output).strip()}")


if __name__ == "__main__":
    main()
