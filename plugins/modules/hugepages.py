#!/usr/bin/python
"""Reserves hugepages on each NUMA node, now and at every boot, and mounts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host import hugepages, hugepages_boot
from ansible_collections.capstan.appliance.plugins.module_utils.host.hugepages_boot import Mount
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    Record,
    below,
    remove_empty,
)

DOCUMENTATION = r"""
module: hugepages
short_description: Reserve hugepages of each NUMA node, and give them back
version_added: 0.1.0
description:
  - Pages that others use or have reserved when this module first comes to a host are theirs, and those of O(pages)
    come on top; pages that are free then count for us. A node never gets fewer than it had, and none that is in use is
    taken.
  - What the kernel grants is read back. Where it grants too few, memory is compacted, then the page cache dropped (told
    in RV(notes)), and when that does not help, every node gets back what it had and the figures are told.
  - Before that, the memory of each node is looked at, and so much of it that the system is left without is refused.
  - Pages of 1 GiB come by the kernel command line (M(capstan.appliance.kernel_cmdline)). Here they are counted; what is
    missing is a reason to reboot, or an error when the kernel was booted for them.
  - At boot a unit of systemd, C(capstan-hugepages.service), sets the same, after the sysctl settings.
options:
  pages:
    description: Hugepages of each size and node, as the plan has them; those of an earlier run that are not there any
      more are given back.
    type: list
    elements: dict
    default: []
    suboptions:
      size:
        description: Bytes of a page.
        type: int
        required: true
      node:
        description: NUMA node; 0 where there is one.
        type: int
        default: 0
      pages:
        description: How many.
        type: int
        required: true
  mounts:
    description: Where file systems of hugepages are wanted; one that is there stays as it is.
    type: list
    elements: dict
    default: []
    suboptions:
      size:
        description: Bytes of a page.
        type: int
        required: true
      path:
        description: The directory.
        type: path
        required: true
      group:
        description: Group that may use it besides root.
        type: str
  state:
    description: V(absent) gives back what the record names.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Tells what would be changed, and changes nothing.
  diff_mode:
    support: full
    description: Shows pages of each node, mounts and files.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Reserve 1 GiB on the first node
  capstan.appliance.hugepages:
    pages:
      - {size: 2097152, node: 0, pages: 512}
    mounts:
      - {size: 2097152, path: /dev/hugepages}
"""

RETURN = r"""
reboot_reasons:
  description: Pages of 1 GiB that are still to come.
  returned: always
  type: list
  elements: dict
notes:
  description: What is worth knowing, such as dropped caches.
  returned: always
  type: list
  elements: str
msg:
  description: One sentence.
  returned: always
  type: str
"""

Entries = Sequence[Mapping[str, Any]]
NO_SYSTEMD = "this host has no systemd: after a boot the hugepages come with the next deployment, not before"


class Host:
    """Pages, mounts and files of a host, as they are and as they are to be.

    Raises:
        HostError: what is wanted can't be had here.

    """

    def __init__(self, root: Path, pages: Entries, mounts: Entries) -> None:
        self.root = root
        self.record = Record("hugepages", root)
        known = self.record.read() or {}
        self.changes = hugepages.plan(root, pages, known)
        hugepages.check_memory(root, self.changes)
        self.reasons = hugepages.large(root, pages)
        self.mounts = hugepages_boot.mounts(root, mounts)
        wanted = {mount.path for mount in self.mounts}
        remembered = {key.removeprefix("mount "): value for key, value in known.items() if key.startswith("mount ")}
        self.unmounts = {path: value["directory"] for path, value in remembered.items() if path not in wanted}
        self.missing = [mount for mount in self.mounts if not mount.there]
        ours = [mount.path for mount in self.mounts if not mount.there or mount.path in remembered]
        self.files = hugepages_boot.files(root, self.changes, self.mounts, ours)
        self.before = {path: hugepages_boot.content(root, path) for path in self.files}
        self.forget = [
            *(change.pages.key for change in self.changes if not change.ours and change.pages.key in known),
            *(f"mount {path}" for path in self.unmounts),
        ]
        if not self.kept() and "wants" in known:
            self.forget.append("wants")

    def kept(self) -> bool:
        """Whether anything of ours stays."""
        return any(text is not None for text in self.files.values()) or any(change.ours for change in self.changes)

    def files_differ(self) -> bool:
        """Whether a file for the next boot is not as it is to be."""
        return any(
            self.before[path] != text or (text is not None and not hugepages_boot.linked(self.root, path))
            for path, text in self.files.items()
        )

    def changed(self) -> bool:
        """Whether anything is to be done."""
        return bool(
            any(change.more for change in self.changes)
            or self.missing
            or self.unmounts
            or self.forget
            or self.files_differ()
        )

    def diff(self) -> list[dict[str, str]]:
        """Before and after."""
        found = [
            part(
                f"{change.pages.directory}/nr_hugepages",
                f"{change.pages.count}\n",
                f"{change.target}\n",
            )
            for change in self.changes
            if change.more
        ]
        found += [part(mount.path, "", f"hugetlbfs {mount.options}\n") for mount in self.missing]
        found += [part(path, "hugetlbfs\n", "") for path in self.unmounts]
        return found + [
            part(path, self.before[path] or "", text or "")
            for path, text in self.files.items()
            if self.before[path] != text
        ]

    def apply(self) -> list[str]:
        """Do it; what is worth knowing.

        Raises:
            HostError: a step failed, and all is as it was but for what it names, which stays on record.

        """
        known = self.record.read() or {}
        self.record.remember(self.originals())
        done: list[Mount] = []
        try:
            notes = hugepages.apply(self.root, self.changes)
            try:
                hugepages_boot.write(self.root, self.files)
                for mount in self.missing:
                    done.append(mount)
                    hugepages_boot.mount(self.root, mount)
                for path, directory in self.unmounts.items():
                    hugepages_boot.unmount(self.root, path, directory=directory)
            except HostError as error:
                raise HostError(". ".join([str(error), *self.undo(done, known)])) from error
        except HostError as error:
            left = self.left(known)
            self.record.forget(set(self.record.read() or {}) - set(known) - left)
            if left:
                told = f"{error}. {self.record.path} remembers how it was: run again once the reason is gone"
                raise HostError(told, error.errno) from error
            raise
        if "wants" in self.forget:
            self.remove_wants()
        self.record.forget(self.forget)
        return notes

    def originals(self) -> dict[str, Any]:
        """What is remembered before anything is changed."""
        found: dict[str, Any] = {
            change.pages.key: hugepages.original(change.pages) for change in self.changes if change.ours
        }
        for mount in self.missing:
            found[f"mount {mount.path}"] = {"directory": below(self.root, mount.path).is_dir()}
        if hugepages_boot.systemd(self.root) and self.kept():
            found["wants"] = below(self.root, hugepages_boot.WANTS).is_dir()
        return found

    def undo(self, mounted: Sequence[Mount], known: Mapping[str, Any]) -> list[str]:
        """Mounts, files and pages as they were; tells what could not be."""
        left = []
        originals = self.record.read() or {}
        for mount in mounted:
            try:
                directory = bool(originals[f"mount {mount.path}"]["directory"])
                hugepages_boot.unmount(self.root, mount.path, directory=directory)
            except HostError as error:
                left.append(f"this could not be undone: {error}")
        try:
            hugepages_boot.write(self.root, self.before)
            if "wants" not in known:
                self.remove_wants()
        except HostError as error:
            left.append(f"this could not be undone: {error}")
        changed = [change for change in self.changes if change.more]
        return [*left, *hugepages.undo(self.root, changed)]

    def left(self, known: Mapping[str, Any]) -> set[str]:
        """What a run that failed could not undo, by its names in the record; `known` was there before the run."""
        found = set()
        for change in self.changes:
            now = hugepages.read_pages(self.root, change.pages.size, change.pages.node)
            if now is not None and now.count != change.pages.count:
                found.add(change.pages.key)
        there = hugepages_boot.mounted(self.root)
        originals = self.record.read() or {}
        for mount in self.missing:
            key = f"mount {mount.path}"
            made = key in originals and key not in known and not originals[key]["directory"]
            if mount.path in there or (made and below(self.root, mount.path).is_dir()):
                found.add(key)
        if "wants" not in known and originals.get("wants") is False and below(self.root, hugepages_boot.WANTS).is_dir():
            found.add("wants")
        return found

    def remove_wants(self) -> None:
        """The folder of links goes if it was made for ours alone."""
        if (self.record.read() or {}).get("wants") is False:
            remove_empty(hugepages_boot.WANTS, self.root)


def part(name: str, before: str, after: str) -> dict[str, str]:
    """A part of the diff."""
    return {"before_header": name, "after_header": name, "before": before, "after": after}


def run(root: Path, pages: Entries, mounts: Entries, *, check_mode: bool) -> dict[str, Any]:
    """Plan, and unless in check mode, act.

    Raises:
        HostError: it can't be done; all is as it was.

    """
    host = Host(root, pages, mounts)
    changed, diff = host.changed(), host.diff()
    notes = host.apply() if changed and not check_mode else []
    for change in host.changes:
        if change.more < 0 and change.target == change.pages.used:
            notes.append(
                f"node {change.pages.node} keeps {change.target} pages of {hugepages.spelt(change.pages.size)}, "
                "which are in use"
            )
    if host.kept() and not hugepages_boot.systemd(root):
        notes.append(NO_SYSTEMD)
    return {"changed": changed, "diff": diff, "notes": notes, "reboot_reasons": host.reasons, "msg": told(host)}


def told(host: Host) -> str:
    """One sentence."""
    there = [
        f"{change.target} pages of {hugepages.spelt(change.pages.size)} on node {change.pages.node}"
        for change in host.changes
    ]
    return f"hugepages: {', '.join(there)}" if there else "no hugepages are wanted of this host"


def main() -> None:
    """Run the module."""
    size = {"type": "int", "required": True}
    module = AnsibleModule(
        argument_spec={
            "pages": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"size": size, "node": {"type": "int", "default": 0}, "pages": size},
            },
            "mounts": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"size": size, "path": {"type": "path", "required": True}, "group": {"type": "str"}},
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    present = module.params["state"] == "present"
    try:
        result = run(
            Path("/"),
            module.params["pages"] if present else [],
            module.params["mounts"] if present else [],
            check_mode=module.check_mode,
        )
    except HostError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
