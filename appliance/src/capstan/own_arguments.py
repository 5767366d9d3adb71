"""Which arguments of the running kernel the preparation of this host gave it. Standard library only; also on hosts.

The module kernel_cmdline writes the files that are read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

DROPIN = "/etc/default/grub.d/zz-capstan.cfg"  # sorts behind all others, so that it sees what they set
SCRIPT = "/etc/grub.d/42_capstan_trial"  # behind 10_linux to 41_custom, so that no entry changes its number
LEFT = "/run/capstan-host/kernel_cmdline"
"""Holds arguments of ours that the running kernel has and the configuration has no more; gone with the next boot."""

_DROPIN_LINE = re.compile(r'^GRUB_CMDLINE_LINUX="\$GRUB_CMDLINE_LINUX (.+)"$', re.MULTILINE)
_SCRIPT_ARGUMENTS = re.compile(r"^# arguments: (.*)$", re.MULTILINE)


def of_dropin(text: str) -> list[str]:
    """Words that our drop-in adds to the command line."""
    return " ".join(_DROPIN_LINE.findall(text)).split()


def of_trial(text: str) -> list[str] | None:
    """Words that the trial's script has in their place; None where it is no script of ours."""
    found = _SCRIPT_ARGUMENTS.search(text)
    return found[1].split() if found else None


def own_arguments(running: Iterable[str], root: Path, remembered: Iterable[str]) -> tuple[str, ...]:
    """Of the running kernel's arguments, those that the preparation gave it.

    Args:
        running: words of /proc/cmdline.
        root: put before the paths.
        remembered: what the record of the kernel command line has; grubby's arguments are known by it alone.

    """
    ours = {
        *of_dropin(_text(root, DROPIN)),
        *(of_trial(_text(root, SCRIPT)) or ()),
        *_text(root, LEFT).split(),
        *" ".join(remembered).split(),
    }
    return tuple(word for word in running if word in ours)


def _text(root: Path, path: str) -> str:
    """Content of a small file; empty where there is none, or where it is root's alone and we are not."""
    try:
        return (root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
