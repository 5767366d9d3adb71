"""Keeps irqbalance off the capture ports: a drop-in for its unit, and a policy script about each interrupt.

Banned CPUs are not enough: irqbalance would move the capture ports' interrupts off them. Banned numbers are not either:
they change with each boot. Its policy script is asked by PCI address whenever it finds an interrupt (irqbalance(1),
--policyscript). The CPUs go into the command's environment, where no EnvironmentFile of the unit replaces them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host.irq_affinity import wants_something
from ansible_collections.capstan.appliance.plugins.module_utils.host.irq_names import cpus_of, list_of
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    below,
    durable_remove,
    durable_write,
    read_text,
    remove_empty,
)

UNIT = "irqbalance.service"
DROP_IN = "/etc/systemd/system/irqbalance.service.d/capstan.conf"
POLICY = "/etc/capstan-host/irqbalance-policy"
_UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_DEFAULTS = ("/usr/lib/irqbalance/defaults.env", "/etc/default/irqbalance")
_ISOLATED = ("/sys/devices/system/cpu/isolated", "/sys/devices/system/cpu/nohz_full")


def files(ports: Iterable[Mapping[str, Any]], root: Path = Path("/")) -> tuple[dict[str, str | None], list[str]]:
    """The drop-in and the script as they should be, None where there should be none; and notes."""
    wanted = [port for port in ports if wants_something(port)]
    command = _command(root)
    if not wanted or command is None:
        return {DROP_IN: None, POLICY: None}, []
    notes = []
    settings = _settings(root)
    if re.search(r"(^|\s)(-l|--policyscript)\b", settings.get("IRQBALANCE_ARGS", "")):
        notes.append("irqbalance has a policy script of its own (/etc/default/irqbalance), which is not asked now")
    cpus = {cpu for port in wanted for group in [*port["irq"], port["workers"]] for cpu in group}
    cpus |= set(cpus_of(settings.get("IRQBALANCE_BANNED_CPULIST", "")))
    for path in _ISOLATED:  # what irqbalance leaves alone by itself, as long as nobody tells it otherwise
        text = read_text(path, root) or ""
        cpus |= set(cpus_of(text if re.fullmatch(r"[\d,-]*", text) else ""))
    addresses = sorted({str(port["pci"]) for port in wanted})
    return {DROP_IN: drop_in(command, sorted(cpus)), POLICY: policy(addresses)}, notes


def drop_in(command: str, cpus: Iterable[int]) -> str:
    """What is added to the unit."""
    return (
        "# Written by the deployment: no interrupts on the capture's CPUs, and none of the capture ports' moved.\n"
        "[Service]\n"
        "ExecStart=\n"
        f"ExecStart=/usr/bin/env IRQBALANCE_BANNED_CPULIST={list_of(cpus)} {command} --policyscript={POLICY}\n"
    )


def policy(addresses: Iterable[str]) -> str:
    """The script: irqbalance calls it with the device's path and the interrupt's number."""
    pattern = "|".join(f"*/{address}" for address in addresses)
    return (
        "#!/bin/sh\n"
        "# Written by the deployment: interrupts of the capture ports stay where they were put.\n"
        'case "${1%/}" in\n'
        f"{pattern}) echo ban=true ;;\n"
        "esac\n"
    )


def put_in_place(wanted: Mapping[str, str | None], root: Path = Path("/")) -> None:
    """Write or remove the files."""
    for path, text in wanted.items():
        if text is not None:
            below(root, path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            durable_write(path, text, 0o755 if path == POLICY else 0o644, root)
        elif durable_remove(path, root):
            remove_empty(Path(path).parent, root)


def now(root: Path = Path("/")) -> dict[str, str | None]:
    """The files as they are."""
    found: dict[str, str | None] = {}
    for path in (DROP_IN, POLICY):
        file = below(root, path)
        found[path] = file.read_text(encoding="utf-8") if file.exists() else None
    return found


def runs_without_systemd(root: Path = Path("/")) -> bool:
    """Whether somebody started it by hand."""
    if below(root, "/run/systemd/system").is_dir():
        return False
    for path in below(root, "/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text(errors="replace").strip() == "irqbalance":
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue  # a process that has ended since
    return False


def _command(root: Path) -> str | None:
    """How its unit starts it; None where it is not installed."""
    for folder in _UNIT_FOLDERS:
        text = read_text(f"{folder}/{UNIT}", root)
        commands = re.findall(r"^ExecStart=(\S.*)$", text or "", re.MULTILINE)
        if commands:
            return str(commands[-1]).strip()
    return None


def _settings(root: Path) -> dict[str, str]:
    found = {}
    for path in _DEFAULTS:
        for line in (read_text(path, root) or "").splitlines():
            name, given, value = line.strip().partition("=")
            if given and not name.startswith("#"):
                found[name] = value.strip("\"'")
    return found
