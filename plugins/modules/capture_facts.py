#!/usr/bin/python
"""Collects what a host must be known for before anything is installed on it."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host import netns as namespaces
from ansible_collections.capstan.appliance.plugins.module_utils.host.ethtool import PCI_ADDRESS, Ethtool
from ansible_collections.capstan.appliance.plugins.module_utils.host.machine_read import is_wireless, read_machine
from ansible_collections.capstan.appliance.plugins.module_utils.host.means_read import read_means
from ansible_collections.capstan.appliance.plugins.module_utils.host.network_use import (
    controller_address,
    default_routes,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError
from ansible_collections.capstan.appliance.plugins.module_utils.host.xdp_drivers import features_of

DOCUMENTATION = r"""
module: capture_facts
short_description: Collect the facts that decide whether a host can capture
version_added: 0.1.0
description:
  - Reads interfaces, addresses and routes (of a network namespace, where one is named), CPUs, NUMA nodes, NICs, memory,
    what there is for each capture method (the kernel's sockets, the engine's parts, vendors' modules), what C(auto)
    chose before and what was measured, and the output directory. Reads only.
  - Needs nothing on the host but Python and iproute2. M(capstan.appliance.capture_plan) judges and plans, and
    calls this.
options:
  netns:
    description: Name of the network namespace of the capture ports; by default the host's own.
    type: str
  directory:
    description: Where the captures will go.
    type: path
    required: true
  user:
    description: The account that will write them.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: There is nothing to show.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Collect the facts of the capture ports
  capstan.appliance.capture_facts:
    directory: /var/lib/capstan/captures
    user: capstan
"""

RETURN = r"""
facts:
  description: The facts, as the kernel and iproute2 tell them.
  returned: always
  type: dict
"""

ENGINE_CONFIG = Path("/run/capstan/engine.json")
ENGINE_SOCKET = Path("/run/capstan/engine.sock")


def network(module: AnsibleModule, netns: str | None) -> dict[str, Any] | None:
    """Interfaces, addresses and routes, or None when the network namespace does not exist."""
    if netns is not None and not namespaces.exists(netns):
        return None
    inside = ["ip", "netns", "exec", netns] if netns else []

    def ip(*arguments: str) -> list[dict[str, Any]]:
        command = [*inside, "ip", "-json", *arguments]
        return list(json.loads(module.run_command(command, check_rc=True)[1] or "[]"))

    links = ip("-details", "link", "show")
    controller = None if netns else controller_address()
    return {
        "links": links,
        "addresses": ip("address", "show"),
        "default_routes": default_routes(lambda command: module.run_command([*inside, *command])),
        "controller_routes": ip("route", "get", controller) if controller else [],
        "pci": {link["ifname"]: address for link in links if (address := pci_address(link))},
        **devices({link["ifname"]: link["ifindex"] for link in links}, netns),
    }


def devices(indexes: dict[str, int], netns: str | None) -> dict[str, Any]:
    """Receive queues that there are, those of the interfaces whose drivers tell, speeds, drivers and their XDP."""
    names = list(indexes)

    def read(sysfs: Path) -> dict[str, Any]:
        with Ethtool() as ethtool:
            return {
                "rx_queues": {name: len(list((sysfs / "class/net" / name).glob("queues/rx-*"))) for name in names},
                "channels": {name: asdict(found) for name in names if (found := ethtool.channels(name)) is not None},
                "drivers": {name: driver for name in names if (driver := ethtool.identity(name).driver) is not None},
                "wireless": [name for name in names if is_wireless(name, sysfs)],
                "xdp": {name: told for name in names if (told := features_of(indexes[name])) is not None},
                "speeds": {name: speed for name in names if (speed := ethtool.speed(name)) is not None},
            }

    return namespaces.inside(netns, read)


def pci_address(link: dict[str, Any]) -> str | None:
    """PCI address of a NIC; that of a virtio NIC is its parent's, but that of a USB NIC is not its controller's."""
    if link.get("parentbus") not in {"pci", "virtio"}:
        return None
    device = Path("/sys/bus", link["parentbus"], "devices", link["parentdev"]).resolve()
    return next((part for part in reversed(device.parts) if PCI_ADDRESS.fullmatch(part)), None)


def output(directory: Path, user: str) -> dict[str, Any]:
    """The output directory, or the nearest one above that exists."""
    nearest = directory
    while not nearest.exists():
        nearest = nearest.parent
    disk = os.statvfs(nearest)
    found = {
        "nearest": str(nearest),
        "is_directory": nearest.is_dir(),
        "read_only": bool(disk.f_flag & os.ST_RDONLY),
        "free": disk.f_bavail * disk.f_frsize,
        "captures": 0,
        "strangers": 0,
        "writable": os.access(nearest, os.W_OK) and disk.f_blocks > 0,  # /proc and /sys have no blocks
    }
    if nearest == directory and nearest.is_dir():
        entries = list(directory.iterdir())
        captures = [entry for entry in entries if entry.name.lstrip(".").startswith("capstan-")]
        found["captures"] = sum(entry.lstat().st_size for entry in captures)
        found["strangers"] = len(entries) - len(captures)
        found["writable"] = writable_by(user, directory)
    return found


def writable_by(user: str, directory: Path) -> bool:
    """Ask the kernel as that user: modes, ACLs, parents and read-only mounts all have their say."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return False
    if os.geteuid() != 0:
        return os.access(directory, os.W_OK | os.X_OK)
    answer = subprocess.run(
        ["/usr/bin/test", "-w", str(directory), "-a", "-x", str(directory)],
        check=False,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=os.getgrouplist(user, account.pw_gid),
        cwd="/",
    )
    return answer.returncode == 0


def running_engine() -> dict[str, Any] | None:
    """The settings of the engine that runs now, whose memory a restart gives back; None where none does."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(ENGINE_SOCKET))
        except OSError:
            return None
    return dict(json.loads(ENGINE_CONFIG.read_text(encoding="utf-8")))


def told(module: AnsibleModule, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a reader finds, or the module's end where a record is damaged."""
    try:
        return read()
    except ValueError as error:
        module.fail_json(msg=str(error))
        raise


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "netns": {"type": "str"},
            "directory": {"type": "path", "required": True},
            "user": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    module.get_bin_path("ip", required=True)
    parameters = module.params
    try:
        found = network(module, parameters["netns"])
    except HostError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        facts={
            "root": os.geteuid() == 0,
            "network": found,
            "machine": told(module, lambda: read_machine().to_json()),
            "means": told(module, read_means),
            "engine": running_engine(),
            "output": output(Path(parameters["directory"]), parameters["user"]),
        },
    )


if __name__ == "__main__":
    main()
