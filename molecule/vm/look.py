#!/usr/bin/python3
"""Runs on a machine under test: prints, as one JSON object, what the kernel says of what was prepared.

look.py [PCI ADDRESS...]: of the NICs at these addresses, what ethtool says, too.

Independent of the roles and modules under test: plain reads of sysfs and procfs, and of what ethtool and
`capstan status` say.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

SYS, PROC = Path("/sys"), Path("/proc")
CLASS_ETHERNET = "0x020000"
CAPSTAN, ETHTOOL = "/usr/local/bin/capstan", "/usr/sbin/ethtool"
IFF_PROMISC = 0x100
# What merges, alters or hides frames.
FALSIFYING = ("generic-receive-offload", "large-receive-offload", "rx-vlan-offload", "rx-vlan-filter", "ntuple-filters")


def text(path: Path) -> str | None:
    """Content, stripped; None where there is no such file."""
    return path.read_text().strip() if path.exists() else None


def interrupts() -> dict[str, dict[str, Any]]:
    """Of each interrupt's number: its name, and how often each CPU took it."""
    heading, *rows = (PROC / "interrupts").read_text().splitlines()
    cpus = [name.removeprefix("CPU") for name in heading.split()]
    found = {}
    for row in rows:
        number, _, rest = row.strip().partition(":")
        words = rest.split()
        if number.isdecimal():
            counts = dict(zip(cpus, map(int, words[: len(cpus)]), strict=True))
            found[number] = {"name": words[-1], "counts": counts}
    return found


def queue_interrupts(device: Path) -> list[dict[str, Any]]:
    """A NIC's interrupts, with the CPUs that they go to and the CPUs that took them."""
    # The interrupts of a virtio NIC belong to the PCI device below.
    numbers = sorted(path.name for path in (device / "msi_irqs").glob("*"))
    known = interrupts()
    return [
        {**known[number], "cpus": text(PROC / "irq" / number / "effective_affinity_list")}
        for number in numbers
        if number in known
    ]


def ethtool(option: str, name: str) -> str:
    """What it says; nothing where the NIC has no such thing."""
    return subprocess.run([ETHTOOL, option, name], check=False, capture_output=True, text=True).stdout


def tuning(name: str, net: Path) -> dict[str, Any]:
    """The settings of one interface that capture depends on."""
    rings = re.findall(r"^RX:\s+(\d+)$", ethtool("-g", name), re.MULTILINE)
    switched_on = re.findall(r"^([\w-]+): on$", ethtool("-k", name), re.MULTILINE)  # not what is fixed
    spread = ethtool("-x", name)
    key = re.search(r"^(?:\w\w:)+\w\w$", spread, re.MULTILINE)
    rows = re.findall(r"^ +\d+: +(.*)$", spread, re.MULTILINE)
    table = [queue for row in rows for queue in row.split()]
    usecs = re.search(r"^rx-usecs:\s+(\d+)$", ethtool("-c", name), re.MULTILINE)
    return {
        "ring": dict(zip(("most", "now"), map(int, rings), strict=True)) if rings else None,
        "falsifying": [feature for feature in FALSIFYING if feature in switched_on],
        "key": key.group() if key else None,
        "table": {queue: table.count(queue) for queue in sorted(set(table))},
        "rx_usecs": int(usecs.group(1)) if usecs else None,
        "promiscuous": bool(int((net / "flags").read_text(), 16) & IFF_PROMISC),
        "mtu": int((net / "mtu").read_text()),
        "gro_flush_timeout": int((net / "gro_flush_timeout").read_text()),
        "napi_defer_hard_irqs": int((net / "napi_defer_hard_irqs").read_text()),
    }


def nic(device: Path, closely: bool) -> dict[str, Any]:
    """One NIC."""
    driver = device / "driver"
    interfaces = [path.name for path in device.glob("**/net/*")]
    name = interfaces[0] if interfaces else None
    net = SYS / "class/net" / str(name)
    return {
        "driver": driver.resolve().name if driver.exists() else None,
        "override": text(device / "driver_override"),
        "name": name,
        "queues": len(list((net / "queues").glob("rx-*"))) if name else None,
        "up": text(net / "operstate") if name else None,
        "interrupts": queue_interrupts(device),
        "tuning": tuning(name, net) if name and closely else None,
    }


def hugepages() -> dict[str, int]:
    """Pages by "NODE/KIBIBYTES", where there are any."""
    found = {}
    for path in (SYS / "devices/system/node").glob("node*/hugepages/hugepages-*kB/nr_hugepages"):
        pages = int(path.read_text())
        if pages:
            node, size = path.parts[-4].removeprefix("node"), re.sub(r"\D", "", path.parts[-2])
            found[f"{node}/{size}"] = pages
    return found


def capstan(*arguments: str) -> dict[str, Any] | None:
    """What the command says; None where there is no such command or it has nothing to say."""
    if not Path(CAPSTAN).exists():
        return None
    done = subprocess.run([CAPSTAN, *arguments], check=False, capture_output=True, text=True)
    return dict(json.loads(done.stdout)) if done.stdout.startswith("{") else None


def main() -> None:
    """Print it all."""
    devices = (SYS / "bus/pci/devices").iterdir()
    found = {
        "kernel": os.uname().release,
        "command_line": (PROC / "cmdline").read_text().split(),
        "isolated": text(SYS / "devices/system/cpu/isolated"),
        "hugepages": hugepages(),
        "nics": {
            path.name: nic(path, path.name in sys.argv) for path in devices if text(path / "class") == CLASS_ETHERNET
        },
        "status": capstan("status", "--json"),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
