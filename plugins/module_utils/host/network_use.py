"""What the host uses its interfaces for: addresses, default routes, the way back to the controller. Reads only.

By iproute2, which every host has; standard library only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError

Run = Callable[[list[str]], tuple[int, str, str]]
"""Runs a command and gives its status, output and errors."""


@dataclass(frozen=True)
class NetworkUse:
    """Interfaces by name."""

    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Addresses of global scope with their prefix length."""
    default_routes: frozenset[str] = frozenset()
    """Interfaces with a default route of IPv4 or IPv6, in any table."""
    controller_routes: frozenset[str] = frozenset()
    """Interfaces on the way back to the controller."""
    permanent_macs: Mapping[str, str] = field(default_factory=dict)
    """The address that the NIC was made with, where the interface has another one now."""


def read_network_use(run: Run, controller: str | None) -> NetworkUse:
    """Ask iproute2.

    Args:
        run: runs a command.
        controller: IP address that the play comes from; None for a local connection.

    Raises:
        HostError: it does not answer, so that nothing may be taken.

    """
    addresses = {
        entry["ifname"]: tuple(
            f"{address['local']}/{address['prefixlen']}"
            for address in entry.get("addr_info", ())
            if address.get("scope") == "global" and "local" in address
        )
        for entry in _ip(run, "address", "show")
    }
    return NetworkUse(
        addresses={name: found for name, found in addresses.items() if found},
        default_routes=frozenset(_interfaces(default_routes(run))),
        controller_routes=frozenset(_to_controller(run, controller)) if controller else frozenset(),
        permanent_macs={link["ifname"]: link["permaddr"] for link in _ip(run, "link", "show") if "permaddr" in link},
    )


def default_routes(run: Run) -> list[dict[str, Any]]:
    """Default routes of IPv4 and IPv6 in all tables, as iproute2 tells them.

    Raises:
        HostError: it does not answer, so that nothing may be taken.

    """
    return [route for family in ("-4", "-6") for route in _ip(run, family, "route", "show", "table", "all", "default")]


def _ip(run: Run, *arguments: str) -> list[dict[str, Any]]:
    command = ["ip", "-json", *arguments]
    rc, output, errors = run(command)
    if rc:
        raise HostError(
            f"{' '.join(command)} fails, so that nobody can tell which NICs the host needs: {errors.strip()}"
        )
    return [entry for entry in json.loads(output.strip() or "[]") if entry]


def _interfaces(routes: list[dict[str, Any]]) -> Iterator[str]:
    for route in routes:
        for hop in (route, *route.get("nexthops", ())):
            if "dev" in hop:
                yield hop["dev"]


def _to_controller(run: Run, controller: str) -> Iterator[str]:
    address, _, zone = controller.partition("%")
    if zone:  # a link-local address is on the interface that it names
        yield zone
        return
    yield from _interfaces(_ip(run, "route", "get", address))


def controller_address(procfs: Path = Path("/proc")) -> str | None:
    """Address of the controller, from the ssh session that this runs in; sudo hides it from us, not from parents."""
    pid = os.getpid()
    while pid > 1:
        try:
            environment = (procfs / str(pid) / "environ").read_bytes().split(b"\0")
            status = (procfs / str(pid) / "status").read_text(encoding="utf-8")
        except OSError:
            return None  # another user's session, in which we run without being root
        for entry in environment:
            if entry.startswith(b"SSH_CONNECTION="):
                return entry.decode().split("=", 1)[1].split(" ")[0]
        parent = re.search(r"^PPid:\s*(\d+)", status, re.MULTILINE)
        pid = int(parent[1]) if parent else 0
    return None
