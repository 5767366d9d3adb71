#!/usr/bin/python
"""Installs and removes the service that sets NICs and interrupts of the capture ports at boot and on link-up."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host import host_service, wanted, watch
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    below,
    durable_remove,
    durable_write,
)

DOCUMENTATION = r"""
module: host_service
short_description: Have NICs and interrupts of the capture ports set at boot and on link-up
version_added: 0.2.0
description:
  - Installs C(capstan-host.service) and its program in /usr/local/lib/capstan-host, which is plain Python and consists
    of the very code of M(capstan.appliance.nic_features) and M(capstan.appliance.irq_affinity). It sets at boot, before
    the capture starts, what these modules left in /etc/capstan-host, and again when a link comes up or a NIC appears.
  - One service for both parts; it goes with the last of them.
  - A host without systemd gets no service, which RV(notes) tells.
options:
  part:
    description: For which module's settings the service is needed, or no longer.
    type: str
    choices: [nic_features, irq_affinity]
    required: true
  state:
    description: V(absent) removes the service unless the other part needs it.
    type: str
    choices: [present, absent]
    default: present
  reload:
    description: Have a service that runs read what is wanted anew.
    type: bool
    default: false
  root:
    description: Folder that stands for the host's root; for tests.
    type: path
    default: /
attributes:
  check_mode:
    support: full
    description: Tells whether the service would be installed, brought up to date or removed.
  diff_mode:
    support: full
    description: Shows which files would change.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Set the NICs again at boot and on link-up
  capstan.appliance.host_service:
    part: nic_features
"""

RETURN = r"""
notes:
  description: Sentences about what the host has not.
  returned: always
  type: list
  elements: str
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

# What the service has to be, and what makes it so.
STATES = {"enabled": "enable", "active": "start"}
NO_SYSTEMD = "nothing sets NICs and interrupts again at boot or on link-up, because this host has no systemd"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "part": {"type": "str", "choices": list(wanted.NAMES), "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "reload": {"type": "bool", "default": False},
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
    others = [name for name in wanted.NAMES if name != module.params["part"]]
    needed = module.params["state"] == "present" or any(wanted.read(name, root) is not None for name in others)
    systemd = below(root, "/run/systemd/system").is_dir()
    files = host_service.files() if needed and systemd else {}
    here = host_service.there(root)
    stale = sorted(path for path, (text, _) in files.items() if path not in here or not _holds(root, path, text))
    gone = sorted(here - set(files))
    lacks = [] if stale or gone or not files else states_lacking(module)
    changed = bool(stale or gone or lacks)
    if not module.check_mode:
        if not files and here:
            remove(module, root, systemd=systemd)
        elif stale or gone:
            install(module, root, files, gone)
        elif files and module.params["reload"] and "active" not in lacks:
            systemctl(module, "reload-or-restart", host_service.UNIT_NAME)
        for state in lacks:
            systemctl(module, STATES[state], host_service.UNIT_NAME)
    notes = [] if systemd or not needed else [NO_SYSTEMD]
    return {
        "changed": changed,
        "notes": notes,
        "reboot_reasons": [],
        "msg": notes[0] if notes else f"{host_service.UNIT_NAME} is {'there' if files else 'not needed'}",
        "diff": {
            "before": "".join(f"{path}\n" for path in gone),
            "after": "".join(f"{line}\n" for line in (*stale, *(f"{host_service.UNIT_NAME}: {it}" for it in lacks))),
        },
    }


def states_lacking(module: AnsibleModule) -> list[str]:
    """Of a service whose files are as they should be: what somebody took from it."""
    return [state for state in STATES if systemctl(module, f"is-{state}", host_service.UNIT_NAME, check=False) != 0]


def _holds(root: Path, path: str, text: str) -> bool:
    return below(root, path).read_text(encoding="utf-8") == text


def install(module: AnsibleModule, root: Path, files: dict[str, tuple[str, int]], gone: list[str]) -> None:
    """Write the files and have systemd start the service, now and at boot."""
    for path in gone:
        durable_remove(path, root)
    for path, (text, mode) in files.items():
        below(root, path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        durable_write(path, text, mode, root)
    systemctl(module, "daemon-reload")
    systemctl(module, "enable", host_service.UNIT_NAME)
    systemctl(module, "restart", host_service.UNIT_NAME)


def remove(module: AnsibleModule, root: Path, *, systemd: bool) -> None:
    """End the service and remove its files."""
    if systemd:
        systemctl(module, "disable", "--now", host_service.UNIT_NAME)
    durable_remove(host_service.UNIT, root)
    if below(root, host_service.FOLDER).exists():
        shutil.rmtree(below(root, host_service.FOLDER))
    if systemd:
        systemctl(module, "daemon-reload")
        systemctl(module, "reset-failed", host_service.UNIT_NAME, check=False)


def systemctl(module: AnsibleModule, *arguments: str, check: bool = True) -> int:
    """Ask systemd; the exit status."""
    rc, output, errors = module.run_command(["systemctl", *arguments])
    if rc and check:
        reason = (errors or output).strip()
        raise HostError(
            f"systemctl {' '.join(arguments)} failed ({reason}); see journalctl -u {host_service.UNIT_NAME}"
        )
    return int(rc)


# The archive that Ansible sends holds what is imported: the service's code comes along by this name.
PROGRAM = watch.main


if __name__ == "__main__":
    main()
