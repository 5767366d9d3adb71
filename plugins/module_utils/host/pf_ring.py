"""What PF_RING needs on a host, and what of it is there: files, kernel module, library, zero-copy.

The vendor's service runs `pf_ringctl`, which also reserves and frees hugepages, mounts and unmounts /dev/hugepages,
sets the CPU governor and tunes every NIC of the host. Here the service does nothing but load the module, and
`pf_ringctl` called by hand is kept to the capture ports and off the hugepages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host import kernel_module
from ansible_collections.capstan.appliance.plugins.module_utils.host.kernel_module import Host
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import below, read_text

MODULE = "pf_ring"
DKMS_NAME = "pfring"
OLDEST_LIBRARY = 8
CONFIGURATION = "/etc/pf_ring"
DROP_IN = "/etc/systemd/system/pf_ring.service.d/capstan.conf"
SOURCE = "/etc/apt/sources.list.d/capstan-pf_ring.list"
KEY = "/etc/apt/keyrings/capstan-pf_ring.asc"
# What packages leave behind: the vendor's scripts a log, DKMS the key that it signs modules with.
LEFT = ("/var/log/ntop-systemd.log", "/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub")

_INFO = "/proc/net/pf_ring/info"
_BLOCK = re.compile(r"# Capstan: begin\n.*?# Capstan: end\n", re.DOTALL)
_SERVICE = """\
# Written by Capstan. pf_ringctl would manage hugepages and tune every NIC of the host; the module is all it takes.
[Service]
ExecStart=
ExecStart=-/sbin/modprobe pf_ring
ExecStop=
"""


@dataclass(frozen=True)
class Wanted:
    """What the inventory asks for."""

    interfaces: tuple[str, ...]
    slots: int
    library: str | None = None
    """Where the vendor's library is; None: where the loader looks."""
    zc: bool = False
    licences: Mapping[str, str] = field(default_factory=dict)
    """Licence of each NIC, by its MAC address."""
    files: tuple[Mapping[str, Any], ...] = ()
    """Package files, in the inventory's order: `key` in the inventory, `package`, `version`, `architecture`, `kernels`
    (those that it brings a module for) and `dkms` (whether it brings the module's source)."""
    repository: str | None = None
    """The line of sources.list."""
    repository_key: str | None = None
    """The key, in ASCII armour."""

    @property
    def parameters(self) -> dict[str, str]:
        """Of the kernel module. What the host itself sends on a capture port is not captured, as by all methods."""
        return {"min_num_slots": str(self.slots), "enable_tx_capture": "0"}


@dataclass(frozen=True)
class Info:
    """The loaded module, as /proc/net/pf_ring/info tells it."""

    version: str
    slots: str
    captures_tx: bool
    rings: int
    """Rings that programs hold open."""

    @property
    def parameters(self) -> dict[str, str]:
        """Those that Capstan sets."""
        return {"min_num_slots": self.slots, "enable_tx_capture": "1" if self.captures_tx else "0"}


def info(root: Path) -> Info | None:
    """The loaded module; None where none is loaded."""
    text = read_text(_INFO, root)
    if text is None:
        return None
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    return Info(
        version=known.get("PF_RING Version", "").split(" ")[0],
        slots=known.get("Ring slots", ""),
        captures_tx=known.get("Capture TX", "").startswith("Yes"),
        rings=int(known.get("Total rings", "0")),
    )


def place_of(line: str) -> str | None:
    """The address in a line of sources.list."""
    found = re.search(r"\s(\w+:/\S+)", line)
    return found[1] if found else None


def has_systemd(root: Path) -> bool:
    """Whether systemd is PID 1."""
    return below(root, "/run/systemd/system").is_dir()


def texts(root: Path, wanted: Wanted) -> dict[str, str]:
    """Every file that is wanted, by its path, and what must be in it."""
    line = _parameters(read_text(f"{CONFIGURATION}/pf_ring.conf", root), wanted)
    files = {
        f"{CONFIGURATION}/pf_ring.conf": f"{line}\n",
        f"{CONFIGURATION}/interfaces.conf": _interfaces(root, wanted),
        "/etc/modprobe.d/capstan-pf_ring.conf": f"# As in {CONFIGURATION}/pf_ring.conf.\noptions {MODULE} {line}\n",
    }
    if has_systemd(root):
        files["/etc/modules-load.d/capstan-pf_ring.conf"] = f"{MODULE}\n"
        files[DROP_IN] = _SERVICE
    if wanted.repository and wanted.repository_key:
        files[SOURCE] = f"{wanted.repository}\n"
        files[KEY] = wanted.repository_key
    return files | {licence_path(mac): text for mac, text in wanted.licences.items()}


def licence_path(mac: str) -> str:
    """Where the vendor's library looks for the licence of a NIC: capital letters, and no colons."""
    return f"{CONFIGURATION}/{mac.replace(':', '').upper()}"


def _parameters(present: str | None, wanted: Wanted) -> str:
    """Parameters of the module: ours, and those that the host has of its own. The vendor's file knows no comments."""
    own = [word for word in (present or "").split() if word.split("=")[0] not in wanted.parameters]
    return " ".join([f"{name}={value}" for name, value in wanted.parameters.items()] + own)


def _interfaces(root: Path, wanted: Wanted) -> str:
    """The vendor's file of shell variables, in which the last word counts."""
    path = below(root, f"{CONFIGURATION}/interfaces.conf")
    own = _BLOCK.sub("", path.read_text(encoding="utf-8")) if path.exists() else ""
    return (
        f"{own if not own or own.endswith(chr(10)) else own + chr(10)}"
        "# Capstan: begin\n"
        f'CAPTURE_INTERFACES="{" ".join(wanted.interfaces)}"\n'
        "# Capstan reserves hugepages; pf_ringctl neither takes nor frees any.\n"
        "DO_NOT_LOAD_HUGEPAGES=1\n"
        "HUGEPAGES_CONFIG=/nonexistent\n"
        "# Capstan: end\n"
    )


def library(root: Path, wanted: Wanted) -> str | None:
    """Path of the library that is named, or else of one of version 8 or later where the loader looks; or None."""
    if wanted.library is not None:
        return wanted.library if below(root, wanted.library).exists() else None
    found = [
        (int(match[1]), str(path.relative_to(root)))
        for folder in _library_folders(root)
        for path in below(root, folder).glob("libpfring.so.*")
        if (match := re.fullmatch(r"libpfring\.so\.(\d+)(\.\d+)*", path.name))
    ]
    good = [path for major, path in sorted(found) if major >= OLDEST_LIBRARY]
    return f"/{good[0]}" if good else None


def _library_folders(root: Path) -> list[str]:
    """Where the loader looks: its settings, and the folders of every Debian and EL."""
    settings = below(root, "/etc/ld.so.conf.d")
    files = sorted(settings.glob("*.conf")) if settings.is_dir() else []
    written = [line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    named = [line for line in written if line.startswith("/")]
    multiarch = sorted(f"/{path.relative_to(root)}" for path in below(root, "/usr/lib").glob("*-linux-gnu"))
    return list(dict.fromkeys([*named, *multiarch, "/usr/lib", "/usr/lib64", "/usr/local/lib"]))


def zero_copy(host: Host, wanted: Wanted) -> list[dict[str, Any]]:
    """Of each port: its driver, whether the vendor's driver is there and in use, and what is missing, in words."""
    return [_port(host, wanted, name) for name in wanted.interfaces] if wanted.zc else []


def _port(host: Host, wanted: Wanted, name: str) -> dict[str, Any]:
    driver_module = below(host.root, f"/sys/class/net/{name}/device/driver/module")
    driver = driver_module.readlink().name if driver_module.is_symlink() else None
    mac = (read_text(f"/sys/class/net/{name}/address", host.root) or "").lower()
    runs = driver is not None and driver.endswith("_zc")
    there = runs or (driver is not None and kernel_module.file_for(host.root, host.running, f"{driver}_zc") is not None)
    missing = []
    if mac not in wanted.licences:
        missing.append(f"{name} has the MAC address {mac or 'of nobody knows what'}, and no licence is for that")
    if not there:
        missing.append(
            f"{name} is driven by {driver or 'no driver of a NIC'}, for which no zero-copy driver is installed; add "
            f"the vendor's package {driver or 'DRIVER'}-zc-dkms"
        )
    elif not runs:
        missing.append(
            f"{name} is driven by {driver} and not by {driver}_zc, which would take all NICs of that driver, those of "
            f"the management among them; swap them yourself where that is right: modprobe -r {driver}, then modprobe "
            f"{driver}_zc"
        )
    return {"interface": name, "driver": driver, "available": there, "in_use": runs, "missing": missing}
