"""Hugepages after a boot, and the hugetlbfs mounts: units of systemd, or lines of /etc/fstab where there is none.

A unit of our own, not tmpfiles.d: it runs after systemd-sysctl, so that a vm.nr_hugepages of the administrator's comes
first and can't take ours away; it only ever adds; and it fails, for all to see, where the kernel gives too few.
"""

from __future__ import annotations

import grp
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host import hugepages
from ansible_collections.capstan.appliance.plugins.module_utils.host.hugepages import Change
from ansible_collections.capstan.appliance.plugins.module_utils.host.program import output_of
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    below,
    durable_remove,
    durable_write,
    read_text,
    remove_empty,
)

UNITS = "/etc/systemd/system"
SERVICE = "capstan-hugepages.service"
WANTS = f"{UNITS}/sysinit.target.wants"
FSTAB = "/etc/fstab"
_MARK = "# Capstan: made by the role hugepages, removed by its rollback"
# Adds what each node lacks; never takes. One command, because systemd runs none after one that fails: a node that is
# short keeps nothing from the others. systemd turns $$ into $.
_AT_BOOT = (
    'short=0; while [ "$$#" -gt 0 ]; do '
    '[ "$$(cat "$$1/nr_hugepages")" -ge "$$2" ] || echo "$$2" >"$$1/nr_hugepages"; '
    'count=$$(cat "$$1/nr_hugepages"); [ "$$count" -ge "$$2" ] || '
    '{ echo "$$1 has $$count of $$2 pages" >&2; short=1; }; shift 2; done; exit "$$short"'
)
_SYSTEMD = "/run/systemd/system"
_SECONDS = 60


@dataclass(frozen=True)
class Mount:
    """A hugetlbfs that is to be at a path."""

    path: str
    size: int
    options: str
    there: bool  # mounted already, with pages of that size

    @property
    def unit(self) -> str:
        """Name of its unit."""
        escaped = "-".join(_escape(part) for part in self.path.strip("/").split("/"))
        return f"{escaped}.mount"


def _escape(part: str) -> str:
    """As systemd-escape --path does."""
    found = re.sub(r"[^A-Za-z0-9:_.]", lambda match: "".join(f"\\x{byte:02x}" for byte in match[0].encode()), part)
    return f"\\x2e{found[1:]}" if found.startswith(".") else found


def systemd(root: Path) -> bool:
    """Whether systemd is PID 1."""
    return below(root, _SYSTEMD).is_dir()


def mounts(root: Path, wanted: Sequence[Mapping[str, Any]]) -> list[Mount]:
    """The mounts as they are wanted, and whether they are there.

    Raises:
        HostError: something else is mounted at the path, or the group is not on this host.

    """
    there = mounted(root)
    found = []
    for entry in wanted:
        path, size = str(entry["path"]), int(entry["size"])
        kind, options = there.get(path, ("", ""))
        if kind and (kind != "hugetlbfs" or _size(root, options) != size):
            has = f"hugepages of {hugepages.spelt(_size(root, options))}" if kind == "hugetlbfs" else f"a {kind}"
            raise HostError(
                f"{path} is where pages of {hugepages.spelt(size)} are to be mounted, and has {has}; unmount it"
            )
        found.append(Mount(path, size, _options(entry, size), bool(kind)))
    return found


def mounted(root: Path) -> dict[str, tuple[str, str]]:
    """Kind and options of what is mounted at each path; the last one covers the others."""
    lines = (line.split() for line in (read_text("/proc/self/mounts", root) or "").splitlines())
    return {
        re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), words[1]): (words[2], words[3])
        for words in lines
        if len(words) > 3  # noqa: PLR2004 - device, path, kind, options
    }


def _size(root: Path, options: str) -> int:
    found = re.search(r"(?:^|,)pagesize=([^,]+)", options)
    if found:
        return hugepages.parse_size(found[1])
    memory = re.search(r"^Hugepagesize:\s+(\d+) kB", read_text("/proc/meminfo", root) or "", re.MULTILINE)
    return int(memory[1]) * 1024 if memory else 0


def _options(entry: Mapping[str, Any], size: int) -> str:
    unit, name = (hugepages.GIB, "G") if size % hugepages.GIB == 0 else (hugepages.MIB, "M")
    options = f"pagesize={size // unit}{name}"
    group = entry.get("group")
    if not group:
        return f"{options},mode=0700"
    try:
        number = grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise HostError(f"the group {group} of the mount {entry['path']} is not on this host; make it first") from error
    return f"{options},mode=0770,gid={number}"


def files(root: Path, changes: Sequence[Change], wanted: Sequence[Mount], ours: Sequence[str]) -> dict[str, str | None]:
    """What the files for the next boot are to be; None for those that must go.

    Args:
        root: put before the paths.
        changes: pages of each node.
        wanted: mounts that are wanted.
        ours: paths of mounts that are, or will be, ours.

    """
    mine = [mount for mount in wanted if mount.path in ours]
    kept = [change for change in changes if change.ours]
    if not systemd(root):
        return {FSTAB: _fstab(content(root, FSTAB) or "", mine)} if mine or _fstab_has_ours(root) else {}
    found: dict[str, str | None] = {f"{UNITS}/{path.name}": None for path in _our_units(root)}
    found |= {f"{UNITS}/{mount.unit}": _mount_unit(mount) for mount in mine}
    if kept:
        found[f"{UNITS}/{SERVICE}"] = _service(kept)
    return found


def _our_units(root: Path) -> list[Path]:
    units = [*below(root, UNITS).glob("*.mount"), below(root, f"{UNITS}/{SERVICE}")]
    return [path for path in units if path.is_file() and path.read_text(errors="replace").startswith(_MARK)]


def _service(changes: Sequence[Change]) -> str:
    wanted = " ".join(f"{change.pages.directory} {change.target}" for change in changes)
    return (
        f"{_MARK}\n[Unit]\nDescription=Hugepages of the Capstan capture appliance\nDefaultDependencies=no\n"
        "After=systemd-sysctl.service\nBefore=sysinit.target capstan.service\n\n"
        f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '{_AT_BOOT}' hugepages {wanted}\n\n"
        "[Install]\nWantedBy=sysinit.target\n"
    )


def _mount_unit(mount: Mount) -> str:
    return (
        f"{_MARK}\n[Unit]\nDescription=Hugepages of {hugepages.spelt(mount.size)}\nDefaultDependencies=no\n"
        "Before=sysinit.target\n\n"
        f"[Mount]\nWhat=hugetlbfs\nWhere={mount.path}\nType=hugetlbfs\nOptions={mount.options}\n\n"
        "[Install]\nWantedBy=sysinit.target\n"
    )


def content(root: Path, path: str) -> str | None:
    """The file as it is; None where there is none."""
    file = below(root, path)
    return file.read_text(encoding="utf-8", errors="surrogateescape") if file.is_file() else None


def _fstab_has_ours(root: Path) -> bool:
    return _MARK in (content(root, FSTAB) or "").splitlines()


def _fstab(text: str, mine: Sequence[Mount]) -> str:
    """The table with our lines, each behind its mark, and without those of earlier."""
    kept: list[str] = []
    lines = iter(text.splitlines(keepends=True))
    for line in lines:
        if line.rstrip("\n") == _MARK:
            next(lines, None)
        else:
            kept.append(line)
    if mine and kept and not kept[-1].endswith("\n"):
        kept.append("\n")
    for mount in mine:
        path = mount.path.replace(" ", "\\040")
        kept.append(f"{_MARK}\nhugetlbfs {path} hugetlbfs {mount.options} 0 0\n")
    return "".join(kept)


def write(root: Path, wanted: Mapping[str, str | None]) -> None:
    """Write and remove the files, with the links that have systemd start the units at boot.

    Raises:
        HostError: a file can't be written.

    """
    if not wanted:
        return
    for path, text in wanted.items():
        link = below(root, f"{WANTS}/{Path(path).name}")
        try:
            if text is None:
                link.unlink(missing_ok=True)
                durable_remove(path, root)
                continue
            there = below(root, path)
            durable_write(path, text, there.stat().st_mode & 0o7777 if there.is_file() else 0o644, root)
            if path != FSTAB and not link.is_symlink():
                link.parent.mkdir(mode=0o755, exist_ok=True)
                link.symlink_to(f"../{Path(path).name}")
        except OSError as error:
            raise HostError(f"{link} can't be made: {error.strerror}", error.errno) from error
    if systemd(root):
        _run(root, "/usr/bin/systemctl", ["daemon-reload"])


def linked(root: Path, path: str) -> bool:
    """Whether systemd starts that unit at boot; true of what is no unit."""
    return path == FSTAB or below(root, f"{WANTS}/{Path(path).name}").is_symlink()


def mount(root: Path, wanted: Mount) -> None:
    """Mount it and see that it is mounted.

    Raises:
        HostError: it is not.

    """
    if systemd(root):
        _run(root, "/usr/bin/systemctl", ["start", wanted.unit])
    else:
        try:
            below(root, wanted.path).mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            raise HostError(f"{wanted.path} can't be made: {error.strerror}", error.errno) from error
        _run(root, "/usr/bin/mount", ["-t", "hugetlbfs", "-o", wanted.options, "hugetlbfs", wanted.path])
    kind, options = mounted(root).get(wanted.path, ("", ""))
    if kind != "hugetlbfs" or _size(root, options) != wanted.size:
        raise HostError(f"{wanted.path} has no hugepages of {hugepages.spelt(wanted.size)} after it was mounted")


def unmount(root: Path, path: str, *, directory: bool) -> None:
    """Unmount what we mounted; the directory goes if it was not there before.

    Raises:
        HostError: a program uses it.

    """
    if mounted(root).get(path, ("", ""))[0] == "hugetlbfs":
        _run(root, "/usr/bin/umount", [path])
        if mounted(root).get(path, ("", ""))[0] == "hugetlbfs":
            raise HostError(f"{path} is still mounted; see what uses it (fuser -vm {path})")
    if not directory:
        remove_empty(path, root)


def _run(root: Path, program: str, arguments: list[str]) -> None:
    output_of(root, program, arguments, seconds=_SECONDS, advice="mend what it names, then deploy again")
