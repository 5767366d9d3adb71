#!/usr/bin/python
"""Gives the kernel the arguments that a capture host needs, from the next boot on, and takes them away again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host import (
    boot_loader,
    grub_config,
    grub_update,
    kernel_arguments,
    kernel_cmdline,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.grubby import Grubby
from ansible_collections.capstan.appliance.plugins.module_utils.host.kernel_arguments import Wanted
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, read_text

DOCUMENTATION = r"""
module: kernel_cmdline
short_description: Set arguments of the kernel command line, and take them away again
version_added: 0.1.0
description:
  - Keeps the arguments in one drop-in of its own, C(/etc/default/grub.d/zz-capstan.cfg), and has C(update-grub) make
    C(grub.cfg) of it. Kernels that come later have them, too. Arguments are compared whole, never as parts
    of a text.
  - What the administrator's own files give the kernel already is left there, and what they give it later becomes his.
    What they contradict is refused, with file and line, before anything is changed.
  - C(grub.cfg) is made beside the one in place, read back, and put in its place by renaming. When C(update-grub) fails,
    everything is as it was.
  - What is configured and what runs are told apart each time; RV(reboot_reasons) says what is between the two.
  - Where C(grubby) sets the command line (Enterprise Linux), it is called. Other boot loaders are refused, unless
    the running kernel has the arguments already.
options:
  arguments:
    description: The arguments, as the plan has them; an empty list takes those of an earlier run away.
    type: list
    elements: dict
    default: []
    suboptions:
      argument:
        description: C(NAME) or C(NAME=VALUE).
        type: str
        required: true
      reason:
        description: What asks for it, such as a key of the inventory.
        type: str
        required: true
      essential:
        description: Nothing that the host is prepared for works without it.
        type: bool
        default: false
  trial:
    description:
      - Boot a changed line once, from a menu entry of its own (C(grub-reboot)), and make it the default's only when
        this module runs on the booted host. A host that does not come back boots its former line at the next reset.
    type: bool
    default: false
  state:
    description: V(absent) removes all that the module made.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Tells what would be changed, and changes nothing.
  diff_mode:
    support: full
    description: Shows the files and the default entry's command line.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Isolate two CPUs from the next boot on
  capstan.appliance.kernel_cmdline:
    arguments:
      - argument: isolcpus=managed_irq,domain,2-3
        reason: capture_kernel.isolate_cpus
  register: kernel_cmdline
"""

RETURN = r"""
configured:
  description: The command line of the default boot entry, before a change in check mode.
  returned: always
  type: str
running:
  description: The command line of the running kernel.
  returned: always
  type: str
reboot_required:
  description: Whether RV(reboot_reasons) has any.
  returned: always
  type: bool
reboot_reasons:
  description: What the running kernel has not as it is configured.
  returned: always
  type: list
  elements: dict
notes:
  description: What is worth knowing.
  returned: always
  type: list
  elements: str
msg:
  description: One sentence.
  returned: always
  type: str
"""

Result = dict[str, Any]
DEFAULT = "default boot entry"  # in the diff


def through_grub(root: Path, wanted: Sequence[Wanted], *, trial: bool, check_mode: bool) -> Result:
    """Plan, and unless in check mode, act."""
    state = kernel_cmdline.read_state(root)
    plan = kernel_cmdline.decide(state, wanted, trial=trial, root=root)
    if plan.arm:
        grub_update.trial_possible(root)
    before = after = shown(state)
    if check_mode:
        after = expected(state, plan)
    elif plan.changes:
        grub_update.apply(root, state, plan, keep_record=bool(wanted))
        state = kernel_cmdline.read_state(root)
        left = kernel_cmdline.mistakes(plan, state.config, state.environment)
        if left:
            raise HostError(
                f"/boot/grub/grub.cfg is not as it was written: {'; '.join(left)}; look at the disk of /boot"
            )
        after = shown(state)
    notes = []
    if plan.trial is not None:
        notes.append("the next boot is a trial: this module makes its command line the default's when the host is back")
    return {
        "changed": plan.changes,
        "diff": [
            {"before_header": name, "after_header": name, "before": before[name], "after": after[name]}
            for name in before
            if before[name] != after[name]
        ],
        "configured": " ".join((before if check_mode else after)[DEFAULT].split()),
        "reboot_reasons": list(plan.reasons),
        "notes": notes,
    }


def shown(state: kernel_cmdline.State) -> dict[str, str]:
    """Files and default command line, for the diff."""
    entry = grub_config.default_entry(state.config, state.environment)
    return {
        **{path: text or "" for path, text in state.files.items()},
        "next boot": f"{state.environment.get(kernel_cmdline.NEXT_ENTRY) or DEFAULT}\n",
        DEFAULT: "".join(f"{word}\n" for word in entry.line) if entry else "",
    }


def expected(state: kernel_cmdline.State, plan: kernel_cmdline.Plan) -> dict[str, str]:
    """The same after the plan, as far as it can be known before update-grub has run."""
    then = shown(state)
    line = then[DEFAULT].splitlines()
    if plan.trial is None:
        for argument in plan.gone:
            line = [word for word in line if word not in argument.text.split()]
    lost = kernel_arguments.lacking(plan.line, kernel_arguments.read(line))
    # GRUB_CMDLINE_LINUX, to which ours are appended, stands before GRUB_CMDLINE_LINUX_DEFAULT.
    behind = len(kernel_arguments.split(state.administrator[-1].default)) if state.administrator else 0
    line[len(line) - behind : len(line) - behind] = [word for argument in lost for word in argument.text.split()]
    if plan.generate:
        then[DEFAULT] = "".join(f"{word}\n" for word in line)
    if plan.arm or plan.disarm:
        then["next boot"] = f"{kernel_cmdline.TRIAL if plan.arm else DEFAULT}\n"
    return {**then, **{path: text or "" for path, text in plan.files.items()}}


def through_grubby(root: Path, wanted: Sequence[Wanted], *, check_mode: bool) -> Result:
    """Plan, and unless in check mode, act."""
    grubby = Grubby(root)
    add, remove = grubby.plan(wanted)
    if (add or remove) and not check_mode:
        grubby.apply(add, remove)
    running = kernel_arguments.read(kernel_arguments.split(read_text("/proc/cmdline", root) or ""))
    arguments = [item.argument for item in wanted]
    return {
        "changed": bool(add or remove),
        "diff": {"before": listed(grubby.ours), "after": listed([*add, *(a for a in grubby.ours if a not in remove)])},
        "configured": kernel_arguments.shown(next(iter(Grubby(root).lines.values()))),
        "reboot_reasons": [
            *(lacks(item) for item in wanted if kernel_arguments.lacking([item.argument], running)),
            *(
                {"reason": f"the running kernel still has {argument.text}", "essential": False}
                for argument in remove
                if argument not in arguments and not kernel_arguments.lacking([argument], running)
            ),
        ],
        "notes": [],
    }


def listed(arguments: Sequence[kernel_arguments.Argument]) -> str:
    """One argument a line, for the diff."""
    return "".join(f"{argument.text}\n" for argument in arguments)


def lacks(item: Wanted) -> dict[str, object]:
    """The reason for a reboot that an argument is."""
    reason = f"the running kernel lacks {item.argument.text} ({item.reason}); the next boot brings it"
    return {"reason": reason, "essential": item.essential}


def run(root: Path, entries: Sequence[dict[str, Any]], *, trial: bool, check_mode: bool) -> Result:
    """Do it by whichever boot loader the host has.

    Raises:
        HostError: it can't be done; nothing is changed then.

    """
    wanted = kernel_arguments.read_wanted(entries)
    running = read_text("/proc/cmdline", root) or ""
    line = kernel_arguments.read(kernel_arguments.split(running))
    missing = kernel_arguments.lacking([item.argument for item in wanted], line)
    untouched = kernel_cmdline.untouched(root)
    try:
        loader = "" if untouched and not wanted else boot_loader.find(root)
    except HostError:
        if missing or not untouched:
            raise
        loader = ""
    if not loader:
        notes = ["the running kernel has the arguments by other means than GRUB"] if wanted else []
        result: Result = {"changed": False, "diff": [], "configured": "", "reboot_reasons": [], "notes": notes}
    elif loader == boot_loader.GRUB:
        result = through_grub(root, wanted, trial=trial, check_mode=check_mode)
    elif trial and missing:
        raise HostError("capture_kernel.trial: there is no trial boot where grubby is in charge; write trial: false")
    else:
        result = through_grubby(root, wanted, check_mode=check_mode)
    told = kernel_arguments.shown([item.argument for item in wanted]) or "none of ours"
    return {
        **result,
        "running": running,
        "reboot_required": bool(result["reboot_reasons"]),
        "msg": f"kernel arguments: {told}",
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "arguments": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "argument": {"type": "str", "required": True},
                    "reason": {"type": "str", "required": True},
                    "essential": {"type": "bool", "default": False},
                },
            },
            "trial": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    present = module.params["state"] == "present"
    try:
        result = run(
            Path("/"),
            module.params["arguments"] if present else [],
            trial=present and module.params["trial"],
            check_mode=module.check_mode,
        )
    except HostError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
