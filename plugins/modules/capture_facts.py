#!/usr/bin/python
"""Collects what a host must be known for before anything is installed on it."""

from __future__ import annotations

import errno
import json
import os
import pwd
import shutil
import socket
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: capture_facts
short_description: Collect the facts that decide whether a host can capture
version_added: 0.1.0
description:
  - Reads interfaces, addresses and routes (of a network namespace, where one is named), memory, CPUs, the sockets that
    the kernel gives, and the output directory. Reads only.
  - Needs nothing on the host but Python and iproute2. The judgement is M(capstan.appliance.capture_preflight)'s, which
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

AF_XDP = 44  # linux/socket.h; Python has no name for it


def network(module: AnsibleModule, netns: str | None) -> dict[str, Any] | None:
    """Interfaces and routes, or None when the network namespace does not exist."""
    if netns is not None and not _mounted(Path("/run/netns", netns)):
        return None
    inside = ["ip", "netns", "exec", netns] if netns else []

    def ip(*arguments: str) -> Any:  # noqa: ANN401 - JSON
        _, output, _ = module.run_command([*inside, "ip", "-json", *arguments], check_rc=True)
        return json.loads(output or "[]")

    # The sysfs of a namespace is seen from inside it alone.
    _, queues, _ = module.run_command([*inside, "find", "-L", "/sys/class/net", "-maxdepth", "3", "-name", "rx-[0-9]*"])
    _, devices, _ = module.run_command(
        [*inside, "find", "/sys/class/net/", "-mindepth", "2", "-maxdepth", "2", "-follow", "-name", "device", "-printf", "%p\n"]
    )
    controller = None if netns else controller_address()
    return {
        "links": ip("-details", "link", "show"),
        "addresses": ip("address", "show"),
        "default_routes": [route for family in ("-4", "-6") for route in ip(family, "route", "show", "table", "all", "default")],
        "controller": controller,
        "controller_routes": _route_to(module, controller) if controller else [],
        "rx_queues": [Path(line).parts[4] for line in queues.splitlines()],
        "devices": devices.splitlines(),
    }
