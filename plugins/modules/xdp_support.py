#!/usr/bin/python
"""Reports what kernel and drivers have for AF_XDP, and mounts bpffs where it is not."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host import link, netns, xdp, xdp_drivers
from ansible_collections.capstan.appliance.plugins.module_utils.host.bpffs import PATH, Bpffs
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_ethtool import NicEthtool
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_port import interface_of, waits_for_its_driver
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError

DOCUMENTATION = r"""
module: xdp_support
short_description: See whether a host is fit for AF_XDP
version_added: 0.2.0
description:
  - Reports of the kernel its release, BTF, bpffs and AF_XDP sockets, and of each port that captures by af_xdp whether
    its driver has native XDP and zero-copy, and what its MTU and queues mean for them.
  - Kernels since 6.3 tell what a driver has (generic netlink, family netdev); for older ones a table of drivers is
    asked. No program is attached, because that interrupts the link of many NICs; the engine reports at its start which
    mode it got.
  - Mounts bpffs on /sys/fs/bpf where it is not mounted. At boot systemd mounts it by itself.
options:
  ports:
    description: The capture ports as C(capture_plan.ports) has them, in the inventory's order.
    type: list
    elements: dict
    default: []
  mode:
    description: The mode that was asked for, as in C(capture_af_xdp.mode).
    type: str
    choices: [auto, zerocopy, copy, skb]
    default: auto
  strict:
    description: Fail where a mode that was asked for by name can't be had.
    type: bool
    default: false
  state:
    description: V(absent) unmounts bpffs where this module mounted it in this boot. What is mounted since another one
      is somebody else's.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Tells whether bpffs would be mounted or unmounted.
  diff_mode:
    support: full
    description: Shows the mount.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: See what the host has for AF_XDP
  capstan.appliance.xdp_support:
    ports: "{{ capture_plan.ports }}"
    mode: zerocopy
    strict: true
"""

RETURN = r"""
host:
  description: What the kernel has.
  returned: when O(state=present)
  type: dict
  sample: {release: 6.1.0-40-amd64, btf: true, bpffs: true, sockets: true}
drivers:
  description: Of each port that captures by af_xdp what its driver has.
  returned: when O(state=present)
  type: dict
notes:
  description: All of it in words.
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

NO_SOCKETS = "this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS); write capture_method: af_packet"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "dict", "default": []},
            "mode": {"type": "str", "choices": ["auto", "zerocopy", "copy", "skb"], "default": "auto"},
            "strict": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**{"present": present, "absent": absent}[module.params["state"]](module))
    except HostError as error:
        module.fail_json(msg=str(error))


def present(module: AnsibleModule) -> dict[str, Any]:
    """Look at everything, refuse what can't be had, mount bpffs."""
    host = xdp.look()
    ports = [(index, port) for index, port in enumerate(module.params["ports"]) if port["method"] == "af_xdp"]
    if ports and not host.sockets:
        raise HostError(f"capture_method: {NO_SOCKETS}")
    notes, drivers, problems = xdp.host_notes(host), {}, []
    for index, port in ports:
        where = f"capture_interfaces[{index}]"
        name, found, told = netns.inside(port["netns"], partial(of_port, port, host))
        if found is None and module.check_mode and (note := waits_for_its_driver(port)):
            notes.append(note)
            continue
        if found is None:
            raise HostError(
                f"{where}: {port['interface'] or port['pci']} has no interface in the kernel now; see ip link"
            )
        drivers[name] = asdict(found)
        notes += told
        problems += xdp.refusals(name, where, found, module.params["mode"])
    if problems and module.params["strict"]:
        raise HostError("\n".join(problems))
    mount = bool(ports) and not host.bpffs
    if mount and not module.check_mode:
        Bpffs().mount()
    return {
        "changed": mount,
        "host": asdict(host),
        "drivers": drivers,
        "notes": notes + problems,
        "reboot_reasons": [],
        "msg": f"kernel {host.release}, BTF {'there' if host.btf else 'missing'}",
        "diff": {"before": "", "after": f"{PATH} mounted\n" if mount else ""},
    }


def of_port(port: dict[str, Any], host: xdp.Host, sysfs: Path) -> tuple[str, xdp_drivers.Support | None, list[str]]:
    """One port, seen from its namespace."""
    name = interface_of(port, sysfs)
    if name is None:
        return "", None, []
    here = link.links()[name]
    with NicEthtool() as ethtool:
        driver, channels = ethtool.driver(name), ethtool.channels(name)
    features = xdp_drivers.features_of(here.index) if host.version >= xdp_drivers.TELLS_SINCE else None
    found = xdp_drivers.support(driver, features, host.version)
    spare = None if channels is None else channels.max_combined - channels.combined
    return name, found, xdp.report(name, found, here.mtu, spare, os.cpu_count() or 1)


def absent(module: AnsibleModule) -> dict[str, Any]:
    """Unmount what was mounted."""
    bpffs = Bpffs()
    known, ours, mounted = bpffs.remembered, bpffs.ours, bpffs.mounted
    if known and not module.check_mode:
        bpffs.give_back()
    strangers = known and mounted and not ours
    return {
        "changed": known,
        "notes": [f"{PATH} stays mounted: it was mounted since, and not by Capstan"] if strangers else [],
        "reboot_reasons": [],
        "msg": f"{PATH} is left as it was found",
        "diff": {"before": f"{PATH} mounted\n" if ours else "", "after": ""},
    }


if __name__ == "__main__":
    main()
