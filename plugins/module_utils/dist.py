"""What build.yml left for one distribution, as dist/<distribution>-<major>/manifest.json tells it.

The manifest is the only description of a dist folder: the build asks it what is current, the deployment what to copy.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import durable_write

MANIFEST = "manifest.json"
FORMAT = 1


def read(directory: Path) -> dict[str, Any]:
    """The manifest, or an empty one where there is none yet."""
    try:
        text = (directory / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {"format": FORMAT, "parts": {}}
    manifest: dict[str, Any] = json.loads(text)
    return manifest


def write(directory: Path, manifest: dict[str, Any]) -> None:
    """Put the manifest in its place, whole or not at all.

    Raises:
        HostError: it can't be written.

    """
    durable_write(directory.absolute() / MANIFEST, json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def damage(directory: Path, manifest: dict[str, Any], part: str) -> str | None:
    """Why the files of a part can't be used, or None when each is there and whole."""
    if part not in manifest["parts"]:
        return f"{directory}/{part} was never built"
    for name, described in manifest["parts"][part]["files"].items():
        path = directory / part / name
        if not path.is_file():
            return f"{path} is missing"
        if sha256(path) != described["sha256"]:
            return f"{path} is not the file that was built"
    return None


def describe(path: Path) -> dict[str, str]:
    """What the manifest says of a file: its hash, and which version of which package it holds."""
    described = {"sha256": sha256(path)}
    if path.suffix == ".deb":
        shown = subprocess.run(
            ["/usr/bin/dpkg-deb", "--field", str(path), "Package", "Version", "Depends"],
            capture_output=True,
            text=True,
            check=True,
        )
        fields = dict(line.split(": ", 1) for line in shown.stdout.splitlines())
        described |= {"package": fields["Package"], "version": fields["Version"], "depends": fields.get("Depends", "")}
    elif path.suffix == ".whl":
        described["package"], described["version"] = path.name.split("-")[:2]
    return described


def record(directory: Path, manifest: dict[str, Any], part: str, sources: str) -> dict[str, Any]:
    """The manifest with the part's files as they are now."""
    files = {path.name: describe(path) for path in sorted((directory / part).iterdir())}
    return {**manifest, "parts": {**manifest["parts"], part: {"sources": sources, "files": files}}}


def sha256(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
