"""The files of capstan-host.service: the program, made of the modules' own code, and its unit. Pure texts."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host import wanted
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import below

UNIT_NAME = "capstan-host.service"
UNIT = f"/etc/systemd/system/{UNIT_NAME}"
FOLDER = "/usr/local/lib/capstan-host"
PROGRAM = f"{FOLDER}/capstan-host"
PACKAGE = "ansible_collections.capstan.appliance.plugins.module_utils.host"
PARTS = (
    "ethtool",
    "host_pass",
    "irq_affinity",
    "irq_names",
    "link",
    "machine",
    "netns",
    "nic_ethtool",
    "nic_features",
    "nic_port",
    "nic_tuning",
    "record",
    "wanted",
    "watch",
)
"""All that the program imports; the same code as the modules run."""

PROGRAM_TEXT = f"""\
#!/usr/bin/python3
# Written by the deployment. Sets NICs and interrupts of the capture ports at boot and whenever a link comes up, as
# {wanted.DIRECTORY} has it. The folder beside this holds the same code that the deployment runs.
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from {PACKAGE}.watch import main  # noqa: E402

sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else Path("/")))
"""

UNIT_TEXT = f"""\
# Written by the deployment.
[Unit]
Description=NICs and interrupts of the Capstan capture ports
# The capture finds its ports as they should be; a NIC that never comes delays it by ten seconds at most.
Before=capstan.service
After=systemd-udevd.service irqbalance.service
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/bin/python3 -I -B {PROGRAM}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
TimeoutStartSec=60
TimeoutStopSec=30

# What it may do: set NICs (NET_ADMIN), enter network namespaces and see their sysfs (SYS_ADMIN), read the supervisor's
# notes (DAC_READ_SEARCH).
CapabilityBoundingSet=CAP_NET_ADMIN CAP_SYS_ADMIN CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK
RestrictNamespaces=net
SystemCallArchitectures=native
SystemCallFilter=@system-service setns fsopen fsconfig fsmount
SystemCallErrorNumber=EPERM

# What it may see and write: its record, and the kernel's nodes below /sys and /proc/irq.
StateDirectory=capstan-host
StateDirectoryMode=0700
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictSUIDSGID=yes
UMask=0077

[Install]
WantedBy=multi-user.target
"""


def source_of(part: str) -> str:
    """Code of one of the parts, from wherever this runs: a checkout or the archive that Ansible made of a module."""
    name = f"{PACKAGE}.{part}"
    loader: Any = importlib.import_module(name).__loader__
    text: str | None = loader.get_source(name)
    if text is None:
        raise ImportError(f"{name} has no source")
    return text


def files(source: Callable[[str], str] = source_of) -> dict[str, tuple[str, int]]:
    """Every file with its mode."""
    folder = f"{FOLDER}/{PACKAGE.replace('.', '/')}"
    found = {f"{folder}/{part}.py": (source(part), 0o644) for part in PARTS}
    return found | {PROGRAM: (PROGRAM_TEXT, 0o755), UNIT: (UNIT_TEXT, 0o644)}


def there(root: Path = Path("/")) -> set[str]:
    """Files of the service that are on the host, whether they still belong to it or not."""
    found = {
        f"{FOLDER}/{path.relative_to(below(root, FOLDER))}" for path in below(root, FOLDER).rglob("*") if path.is_file()
    }
    return found | ({UNIT} if below(root, UNIT).exists() else set())
