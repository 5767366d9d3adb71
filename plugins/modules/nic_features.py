#!/usr/bin/python
"""Sets the NICs of capture ports up for capture, and gives them back as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host import host_pass, wanted
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError

DOCUMENTATION = r"""
module: nic_features
short_description: Set the NICs of capture ports up for capture, and give them back as they were
version_added: 0.2.0
description:
  - Channels, receive ring, offloads, RSS (key, table and hashed fields), steering rules, interrupt coalescing, MTU,
    promiscuous mode, private flags and the busy-poll attributes of capture ports, by the ethtool ioctl, rtnetlink and
    sysfs. Needs no program on the host but Python. Ports in network namespaces are set there.
  - Only what differs is written, in an order in which no step is refused because of another (the RSS table goes back to
    the driver's own before queues are taken away that it names). Everything is read back; a NIC that keeps another
    value is an error. What a NIC has not, or refuses in principle, is told in RV(notes) and passed over.
  - Most NICs interrupt their link for a second or so when channels, ring, MTU or private flags change. RV(resets) names
    the interfaces; stop a running capture first, so that what is lost meanwhile is on nobody's account.
  - How each setting was is written to /var/lib/capstan-host/nic_features.json before the first change. Settings and
    ports that are not wanted any longer are given back as they were.
  - What is wanted is written to /etc/capstan-host/nic_features.json, from which the service of
    M(capstan.appliance.host_service) sets it again at boot and whenever a link comes up.
  - Both directions of a flow come by the same queue through a Toeplitz key of period two (0x6d5a), or, where the NIC
    keeps its key, the kernel's symmetric transform. UDP is hashed by addresses alone, so that fragments, of which only
    the first has ports, do not part a flow; TCP and SCTP keep their ports. The price is that all UDP between two hosts
    comes by one queue.
  - C(flow_director_off) removes steering rules and switches ntuple filters and flow-director-atr off. With ixgbe it
    switches ntuple on, without rules, because that is what switches its own steering (ATR) off there.
options:
  ports:
    description: The capture ports as C(capture_plan.ports) has them, in the inventory's order.
    type: list
    elements: dict
    default: []
  state:
    description: V(absent) gives everything back as it was.
    type: str
    choices: [present, absent]
    default: present
  root:
    description: Folder below which record and wanted settings are kept; for tests.
    type: path
    default: /
attributes:
  check_mode:
    support: full
    description: Reads the NICs and tells what would be changed.
  diff_mode:
    support: full
    description: Shows each setting before and after.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Tune the capture ports
  capstan.appliance.nic_features:
    ports: "{{ capture_plan.ports }}"

- name: Give them back
  capstan.appliance.nic_features:
    state: absent
"""

RETURN = r"""
changes:
  description: What was, or would be, changed.
  returned: always
  type: list
  elements: dict
  contains:
    interface: {description: The interface., type: str}
    setting: {description: The setting, such as C(rx ring)., type: str}
    before: {description: What it was., type: raw}
    after: {description: What it is now., type: raw}
notes:
  description: Sentences about what a NIC has not or keeps.
  returned: always
  type: list
  elements: str
resets:
  description: Interfaces whose link was, or would be, interrupted for a moment.
  returned: always
  type: list
  elements: str
wanted:
  description: Whether anything is wanted of any port, and so has to be set again at boot.
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

NAME = "nic_features"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "dict", "default": []},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params, check=module.check_mode))
    except HostError as error:
        module.fail_json(msg=str(error))


def run(parameters: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """What the module does."""
    root = Path(parameters["root"])
    ports = parameters["ports"] if parameters["state"] == "present" else []
    with wanted.lock(root):
        known = host_pass.refused(NAME, root)
        before = wanted.read(NAME, root)
        after = host_pass.document(NAME, ports, known)
        outcome = host_pass.nics(ports, known, root, check=True)
        changed = bool(outcome.changes) or wanted.differs(NAME, after, root)
        if outcome.wrong and check:
            raise HostError("; ".join(outcome.wrong))
        if (changed or outcome.wrong) and not check:
            # First what is wanted: a pass of the service in between then works towards the same.
            host_pass.keep(NAME, after, root)
            outcome = host_pass.nics(ports, known, root)
            after = host_pass.document(NAME, ports, outcome.refused)
            host_pass.keep(NAME, after, root)
            changed = bool(outcome.changes) or after != before
    return {
        "changed": changed,
        "changes": [
            {"interface": one.interface, "setting": one.setting, "before": one.before, "after": one.after}
            for one in outcome.changes
        ],
        "notes": list(dict.fromkeys(outcome.notes)),
        "resets": outcome.resets,
        "wanted": after is not None,
        "due": changed,
        "reboot_reasons": [],
        "msg": f"{len(outcome.changes)} settings of the capture ports' NICs differ" if changed else "nothing to change",
        "diff": {
            "before": "".join(f"{one.interface}: {one.setting}: {one.before}\n" for one in outcome.changes),
            "after": "".join(f"{one.interface}: {one.setting}: {one.after}\n" for one in outcome.changes),
        },
    }


if __name__ == "__main__":
    main()
