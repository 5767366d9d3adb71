"""Reads what a host has for each capture method besides its NICs, and what an earlier deployment or measurement left.

Standard library only: hosts have this file too (`plugins/module_utils/host/`). `capstan.means` makes sense of it.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

ENGINE = Path("/usr/bin/capstan-engine")
ADVICE = Path("/var/lib/capstan/advice")
"""Folder of what `auto` chose here, and of what was measured here."""
CHOICES, MEASURED = "choices.json", "measured.json"
AF_XDP = 44  # linux/socket.h; Python has no name for it
_SOCKETS = {"pcap": socket.AF_PACKET, "af_packet": socket.AF_PACKET, "af_xdp": AF_XDP}
_ENGINE_SECONDS = 10
_ROOT = Path("/")


def read_means(engine: Path = ENGINE, advice: Path = ADVICE, root: Path = _ROOT) -> dict[str, Any]:
    """Read it all, as plain values.

    Args:
        engine: the program capstan-engine, which need not be there.
        advice: folder of the records.
        root: put before the paths of everything else.

    Raises:
        ValueError: a record is damaged; the sentence says which.

    """
    return {
        "distribution": _distribution(root),
        "engine": _engine(engine),
        "refused": refused_sockets(),
        "pf_ring": _pf_ring(root),
        "choices": read_record(advice / CHOICES),
        "measured": read_record(advice / MEASURED),
    }


def refused_sockets() -> dict[str, str]:
    """Why the kernel refuses the sockets of a method; empty where it gives them."""
    refused = {}
    for method, family in _SOCKETS.items():
        try:
            socket.socket(family, socket.SOCK_RAW).close()
            refused[method] = ""
        except OSError as error:
            refused[method] = error.strerror or str(error)
    return refused


def read_record(path: Path) -> dict[str, Any] | None:
    """A record of ours; None where there is none.

    Raises:
        ValueError: it is damaged.

    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("version") != 1:
        raise ValueError(f"{path} is no record of this version of Capstan's; remove it")
    return found


def _distribution(root: Path) -> str:
    """Identifier and release, such as debian-12; empty where nobody tells."""
    try:
        text = (root / "etc/os-release").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    told = {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in text.splitlines())}
    release = told.get("VERSION_ID", "").split(".")[0]
    return f"{told.get('ID', '')}-{release}" if release else ""


def _engine(program: Path) -> dict[str, Any] | None:
    """Version of the engine that is installed, and why each method cannot be loaded; None where there is no engine."""
    try:
        answer = subprocess.run(
            [program, "--methods", "--json"], capture_output=True, text=True, timeout=_ENGINE_SECONDS, check=True
        )
        told = json.loads(answer.stdout)
        return {
            "version": told["version"],
            "methods": {
                method["name"]: None if method["loadable"] else method["why_not"] for method in told["methods"]
            },
        }
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None  # there is none, or one of another time, which the deployment replaces


def _pf_ring(root: Path) -> dict[str, Any]:
    """Version of the loaded kernel module, or None; and MAC addresses that have a licence for zero-copy."""
    try:
        text = (root / "proc/net/pf_ring/info").read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    version = re.search(r"^PF_RING Version\s*:\s*(\S+)", text, re.MULTILINE)
    folder = root / "etc/pf_ring"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    # A licence's name is the MAC address in capital letters without colons.
    licences = [name.lower() for name in names if re.fullmatch(r"[0-9A-F]{12}", name)]
    return {
        "module": version[1] if version else None,
        "licences": sorted(":".join(re.findall("..", name)) for name in licences),
    }
