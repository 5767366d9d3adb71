"""Which kernel the host boots next: that of GRUB's default entry, else the newest one that is installed.

Standard library only; `root` is put before every path, so that tests act on trees.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host import grub_config
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import below, read_text

_GRUB = "/boot/grub"
# Ids that grub-mkconfig gives; the simple entry, first of the menu, is the newest kernel's.
_OF_A_KERNEL = re.compile(r"gnulinux-(?P<release>.+)-(?:advanced|init-\w+|recovery)-")


@dataclass(frozen=True)
class BootKernel:
    """The kernel that boots next, and how that is known."""

    release: str
    known_by: str


def boot_kernel(root: Path, running: str) -> BootKernel:
    """The kernel that the next boot starts.

    Args:
        root: put before every path.
        running: release of the running kernel, which is the answer where no kernel is installed (a container).

    """
    installed = installed_kernels(root)
    if not installed:
        return BootKernel(running, "the running kernel, since none is installed")
    menu = read_text(f"{_GRUB}/grub.cfg", root)
    environment = grub_config.environment(read_text(f"{_GRUB}/grubenv", root))
    entry = grub_config.default_entry(menu, environment) if menu else None
    if entry is not None and entry.id.startswith("gnulinux-simple-"):
        return BootKernel(installed[0], "GRUB's first entry")
    match = _OF_A_KERNEL.match(entry.id) if entry is not None else None
    if match and match["release"] in installed:
        return BootKernel(match["release"], "GRUB's default entry")
    return BootKernel(installed[0], "the newest installed kernel")


def installed_kernels(root: Path) -> list[str]:
    """Releases of the installed kernels, newest first."""
    names = [path.name for path in below(root, "/boot").glob("vmlinuz-*")]
    return sorted((name.removeprefix("vmlinuz-") for name in names), key=natural)[::-1]


def natural(version: str) -> list[tuple[int, int, str]]:
    """Sorts 6.1.0-9 before 6.1.0-40, as GRUB does."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|\D+", version)]
