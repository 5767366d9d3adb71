"""Judges on the controller what the inventory gives for PF_RING; see the module of the same name."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

_MODULE = re.compile(r"\./(?:usr/)?lib/modules/(?P<kernel>[^/]+)/(?:.*/)?pf_ring\.ko(?:\.\w+)?$")
_SOURCE = re.compile(r"\./usr/src/pf_?ring-[^/]+/dkms\.conf$")
_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<place>\w+:/\S+)\s+(?P<rest>\S.*)$")
_SIGNED_BY = "signed-by=/etc/apt/keyrings/capstan-pf_ring.asc"
_ARMOUR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_PACKET = 0x80  # set in the first byte of every binary OpenPGP packet


class InventoryError(Exception):
    """A sentence for the operator, beginning with the key."""


class ActionModule(ActionBase):
    """Never connects to a host."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"settings", "ports"})

    def run(self, tmp: None = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Read files, key and licences; fail with all the sentences at once."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        settings, given = self._task.args["settings"], self._task.args["settings"]["pf_ring"]
        ports = [port for port in self._task.args["ports"] if port["method"] == "pf_ring"]
        found: dict[str, Any] = {}
        mistakes = list(contradictions(settings))
        parts: dict[str, Callable[[], Any]] = {
            "files": lambda: described(given["packages"]),
            "repository": lambda: signed_line(given["repository"]),
            "repository_key": lambda: armoured(given["repository_key"]),
            "licences": lambda: licences(given, ports),
        }
        for name, read in parts.items():
            try:
                found[name] = read()
            except InventoryError as mistake:
                mistakes.extend(str(mistake).splitlines())
        sentences = [f"host {settings['host']}: {mistake}" for mistake in mistakes]
        result.update(changed=False, failed=bool(sentences), **({} if sentences else found))
        result["msg"] = "\n".join(sentences) or "what the inventory gives for PF_RING is in order"
        return result


def contradictions(settings: Mapping[str, Any]) -> Iterator[str]:
    """Settings that are right alone and wrong together."""
    given = settings["pf_ring"]
    if settings["netns"] is not None:
        yield (
            "capture_netns: PF_RING captures in the host's own network namespace; remove capture_netns, or write "
            "another method such as af_packet"
        )
    if given["packages"] and given["repository"]:
        yield "capture_pf_ring.repository: capture_pf_ring.packages are given as well; write one of the two"
    if given["repository"] and not given["repository_key"]:
        yield (
            "capture_pf_ring.repository_key: is missing, and packages of an unsigned repository are not installed; "
            "write the path of the vendor's key on the controller"
        )
    if given["zc"] and not given["licence"]:
        yield (
            "capture_pf_ring.licence: is missing, and zero-copy needs one for each NIC; write its path on the "
            "controller, or zc: false"
        )


def described(paths: list[str]) -> list[dict[str, Any]]:
    """What is in each package file.

    Raises:
        InventoryError: with a line for each file that is missing or no package for Debian.

    """
    files, mistakes = [], []
    for index, path in enumerate(paths):
        key = f"capture_pf_ring.packages[{index}]"
        try:
            files.append({"key": key, "path": path, **package(key, Path(path))})
        except InventoryError as mistake:
            mistakes.append(str(mistake))
            continue
        twin = next((file for file in files[:-1] if file["package"] == files[-1]["package"]), None)
        if twin:
            mistakes.append(f"{key}: holds {twin['package']} as {twin['path']} does; name one of the two")
    if mistakes:
        raise InventoryError("\n".join(mistakes))
    return files


def package(key: str, path: Path) -> dict[str, Any]:
    """Name, version and architecture of a package, and which kernels it brings pf_ring for."""
    if not path.is_file():
        raise InventoryError(
            f"{key}: {path} is not on the controller; copy the vendor's .deb file there, or correct the path"
        )
    try:
        fields = dpkg_deb("--field", str(path), "Package", "Version", "Architecture")
        contents = dpkg_deb("--contents", str(path))
    except FileNotFoundError:
        raise InventoryError(
            f"{key}: the controller has no dpkg-deb to read {path.name} with; apt install dpkg"
        ) from None
    except subprocess.CalledProcessError:
        raise InventoryError(f"{key}: {path} is not a package for Debian; name the vendor's .deb file") from None
    control = dict(line.split(": ", 1) for line in fields.splitlines())
    names = [line.split(" -> ")[0].split(maxsplit=5)[-1] for line in contents.splitlines()]
    kernels = {match["kernel"] for name in names if (match := _MODULE.search(name))}
    return {
        "file": path.name,
        "package": control["Package"],
        "version": control["Version"],
        "architecture": control["Architecture"],
        "kernels": sorted(kernels),
        "dkms": any(_SOURCE.search(name) for name in names),
    }


def dpkg_deb(*arguments: str) -> str:
    """What dpkg-deb shows."""
    command = ["dpkg-deb", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def signed_line(line: str | None) -> str | None:
    """The line of sources.list, with the key that must have signed what comes from there."""
    if line is None:
        return None
    match = _LINE.match(line.strip())
    if match is None:
        raise InventoryError(
            f"capture_pf_ring.repository: is {line!r}; write a line as in sources.list, such as "
            '"deb https://packages.example.net/apt bookworm main"'
        )
    options = [word for word in (match["options"] or "").split() if not word.startswith("signed-by=")]
    return f"deb [{' '.join([*options, _SIGNED_BY])}] {match['place']} {match['rest']}"


def armoured(path: str | None) -> str | None:
    """The key as text, whichever way it was stored."""
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InventoryError(
            f"capture_pf_ring.repository_key: {path} can't be read on the controller ({error.strerror}); correct it"
        ) from None
    if content.lstrip().startswith(_ARMOUR.encode()):
        return content.decode("ascii", "replace").strip() + "\n"
    if not content or not content[0] & _PACKET:
        raise InventoryError(f"capture_pf_ring.repository_key: {path} is no OpenPGP key; fetch the vendor's key again")
    text = base64.encodebytes(content).decode()
    checksum = base64.b64encode(crc24(content).to_bytes(3, "big")).decode()
    return f"{_ARMOUR}\n\n{text}={checksum}\n-----END PGP PUBLIC KEY BLOCK-----\n"


def crc24(content: bytes) -> int:
    """The check sum of ASCII armour (RFC 4880, section 6.1)."""
    value = 0xB704CE
    for byte in content:
        value ^= byte << 16
        for _ in range(8):
            value <<= 1
            if value & 0x1000000:
                value ^= 0x1864CFB
    return value


def licences(given: Mapping[str, Any], ports: list[Mapping[str, Any]]) -> dict[str, str]:
    """Of each port's MAC address the licence's path: one file for one port, a folder with a file for each for more."""
    if not given["zc"] or not given["licence"]:
        return {}
    place = Path(given["licence"])
    unknown = [port["interface"] for port in ports if not port["mac"]]
    if unknown:
        raise InventoryError(
            f"capture_pf_ring.zc: {unknown[0]} has no MAC address, and a licence is for one; write zc: false"
        )
    addresses = [port["mac"].lower() for port in ports]
    if place.is_dir():
        files = {path.name.lower(): path for path in place.iterdir()}
        lacking = [mac for mac in addresses if mac not in files]
        if lacking:
            raise InventoryError(f"capture_pf_ring.licence: {place} holds no file {lacking[0]}; add that NIC's licence")
        return {mac: str(files[mac]) for mac in addresses}
    if not place.is_file():
        raise InventoryError(
            f"capture_pf_ring.licence: {place} is not on the controller; copy it there, or correct the path"
        )
    if len(addresses) > 1:
        raise InventoryError(
            f"capture_pf_ring.licence: {place} is one licence for {len(addresses)} NICs; write a folder that holds a "
            f"file for each, named by its MAC address ({', '.join(addresses)})"
        )
    return dict.fromkeys(addresses, str(place))
