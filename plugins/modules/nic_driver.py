#!/usr/bin/python
"""Binds NICs to a driver that hands them to user space, and gives them back."""

from __future__ import annotations

import grp
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host import nic_driver, nic_guard
from ansible_collections.capstan.appliance.plugins.module_utils.host.ethtool import Ethtool
from ansible_collections.capstan.appliance.plugins.module_utils.host.network_use import (
    controller_address,
    read_network_use,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_binding import Host
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, Record

DOCUMENTATION = r"""
module: nic_driver
short_description: Bind NICs to vfio-pci for DPDK, and give them back to their kernel drivers
version_added: 0.2.0
description:
  - Binds NICs by PCI address, now and at every boot. Every NIC is judged before the first is touched; the sentence of
    a refusal names the inventory's key and what to write instead.
  - Refuses a NIC that carries a default route or the route back to the controller, has an address of global scope, is
    a member of a bond, bridge or team, has a VLAN or the like on it, has virtual functions, is bound by another
    program, or shares its IOMMU group with a device that must stay.
  - How a NIC was before its first bind (driver, interfaces with names, MAC addresses, queues, MTU and state) is on disk
    in C(/var/lib/capstan-host/nic_driver.json) before anything is changed. A NIC in that record that O(ports) does not
    ask for any more is given back, and forgotten when all is as it was.
  - When one NIC fails, all that this run had touched go back, those of an earlier run to what that had made of them,
    and the same NICs are bound at the next boot as before. A run that was cut off is completed by the next one, in
    whichever direction that is asked for.
  - NICs of the drivers mlx4_core and mlx5_core stay on them, because DPDK works beside these.
options:
  ports:
    description:
      - The capture ports of the plan in the inventory's order. Those with C(pci) and C(driver) are bound; C(mac) and
        C(expected_name) are compared with the NIC first.
    type: list
    elements: dict
    default: []
  through:
    description:
      - What binds again at boot. V(driverctl) is that program; V(driver_override) is a udev rule of Capstan's, which
        binds no other card that has come to the address; V(auto) takes the rule, but leaves a NIC to driverctl that
        keeps it already.
    type: str
    choices: [auto, driverctl, driver_override]
    default: auto
  keep:
    description: Interfaces that must stay with the host whatever else is known of them.
    type: list
    elements: str
    default: []
  group:
    description: Accounts of this group may open the VFIO device files of the bound NICs; by default root alone.
    type: str
  allow_reboot_pending:
    description: The command line to come switches the IOMMU on, so its absence is a reason to reboot and not to refuse.
    type: bool
    default: false
  state:
    description: V(absent) gives back every NIC in the record.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Judges and tells what would be bound and given back. Writes nothing.
  diff_mode:
    support: full
    description: Shows each NIC's driver, interfaces and what keeps it at boot, and the files of ours.
notes:
  - Needs iproute2 on the host. Acts in the host's own network namespace.
  - Fails when a program has a NIC open that is to change hands; stop the capture before.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Bind the capture ports
  capstan.appliance.nic_driver:
    ports: "{{ capture_plan.ports }}"
    group: capstan

- name: Give back every NIC
  capstan.appliance.nic_driver:
    state: absent
"""

RETURN = r"""
nics:
  description: Of each NIC that is bound or was given back, by PCI address, how it was and how it is or would be.
  returned: success
  type: dict
  sample:
    "0000:03:00.0":
      before: driver ixgbe, interface ens3f0 (3c:fd:fe:00:00:10, up)
      after: driver vfio-pci, override vfio-pci, kept at boot by udev
due:
  description: As C(changed), for a play that asks in check mode with C(changed_when) false.
  returned: success
  type: bool
moves:
  description: Addresses of the NICs that change hands, for which a capture must be stopped before.
  returned: success
  type: list
  elements: str
group_missing:
  description: Whether O(group) is no group of this host yet.
  returned: success
  type: bool
notes:
  description: What is worth knowing, a sentence each.
  returned: success
  type: list
  elements: str
reboot_reasons:
  description: Why the host must be started again before all is as asked for.
  returned: success
  type: list
  elements: dict
  contains:
    reason:
      description: A sentence.
      type: str
    essential:
      description: Whether the capture cannot work before.
      type: bool
"""


def group_of(name: str | None) -> tuple[str, int | None] | None:
    """The group with its number; None for the number of one that is not there."""
    if name is None:
        return None
    try:
        return name, grp.getgrnam(name).gr_gid
    except KeyError:
        return name, None


def shown(lines: dict[str, str]) -> str:
    """The NICs for the diff."""
    return "".join(f"{name}: {line.rstrip()}\n" for name, line in sorted(lines.items()))


def act(module: AnsibleModule) -> dict[str, Any]:
    """Judge, bind and give back; the module's answer."""
    root, parameters = Path("/"), module.params
    ports = nic_guard.ports_of(parameters["ports"]) if parameters["state"] == "present" else []
    group = group_of(parameters["group"])
    request = nic_driver.Request(ports=tuple(ports), through=parameters["through"], group=group)
    with Ethtool() as ethtool:
        host = Host(root, run=lambda command: module.run_command(command, handle_exceptions=False), ethtool=ethtool)
        situation = nic_guard.Situation(
            root=root,
            network=read_network_use(host.run, controller_address()),
            remembered=Record(nic_driver.RECORD, root).read() or {},
            keep=tuple(parameters["keep"]),
            reboot_pending=parameters["allow_reboot_pending"],
        )
        done = nic_driver.run(request, situation, host, check_mode=module.check_mode)
    return {
        "changed": done.changed,
        "diff": {"before": shown(done.before), "after": shown(done.after)},
        "nics": {
            address: {"before": line, "after": done.after[address]}
            for address, line in done.before.items()
            if not address.startswith("/")
        },
        "due": done.changed,
        "moves": done.moves,
        "group_missing": group is not None and group[1] is None,
        "notes": done.notes,
        "reboot_reasons": done.reboot_reasons,
        "msg": "",
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "dict", "default": []},
            "through": {"type": "str", "choices": ["auto", "driverctl", "driver_override"], "default": "auto"},
            "keep": {"type": "list", "elements": "str", "default": []},
            "group": {"type": "str"},
            "allow_reboot_pending": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    module.get_bin_path("ip", required=True)
    try:
        answer = act(module)
    except HostError as error:
        module.fail_json(msg=str(error))
        raise
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'a program'} can't be used: {error.strerror}")
        raise
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
