#!/usr/bin/python
"""Makes the directory of the captures, and gives it back as it was."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, durable_write

DOCUMENTATION = r"""
module: capture_output
short_description: Make the directory of the captures, and give it back
version_added: 0.2.0
description:
  - Makes the output directory and the folders above it that are not there, and gives it to the engine's account, unless
    it holds files of others. What was made, and whose an existing directory was, is remembered first.
  - O(state=absent) gives every directory of the record back as it was found. Captures stay, given to root, because the
    account that they belong to goes and another could get its number; with O(purge) they are removed.
options:
  directory:
    description: The output directory.
    type: path
  user:
    description: The engine's account.
    type: str
  group:
    description: Its group.
    type: str
  record:
    description: Folder of the record.
    type: path
    required: true
  purge:
    description: Remove the captures, too.
    type: bool
    default: false
  state:
    description: Whether there is to be an output directory of ours.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Tells what would be made, given away or removed.
  diff_mode:
    support: full
    description: Shows owners and modes.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Make the output directory
  capstan.appliance.capture_output:
    directory: /srv/captures
    user: capstan
    group: capstan
    record: /var/lib/capstan/deployed
"""

RETURN = r"""
captures_left:
  description: Directories in which captures stay.
  returned: when O(state=absent)
  type: list
  elements: str
"""

CAPTURES = ("capstan-*.pcapng", ".capstan-*.pcapng.part")
# A target's folder has its UUID for its name.
TARGET = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MADE, MADE_ABOVE = 0o750, 0o755


class Record:
    """What was found, a line an entry: `directories` that we made, `outputs`, `owners` of those that were there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lines(self, kind: str) -> list[str]:
        """The entries; none where a deployment was cut off before it wrote them."""
        path = self._folder / kind
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def add(self, kind: str, entries: Iterable[str]) -> None:
        """Add what is not there yet."""
        known = self.lines(kind)
        new = [entry for entry in entries if entry not in known]
        if new:
            self._folder.mkdir(mode=MADE_ABOVE, parents=True, exist_ok=True)
            durable_write(self._folder / kind, "".join(f"{entry}\n" for entry in known + new))

    def remove(self) -> None:
        """Forget it all."""
        if self._folder.exists():
            shutil.rmtree(self._folder)


@dataclass(frozen=True)
class Access:
    """Whose a directory is."""

    uid: int
    gid: int
    mode: int

    @classmethod
    def of(cls, path: Path) -> Access:
        """As it is now."""
        found = path.stat()
        return cls(found.st_uid, found.st_gid, found.st_mode & 0o7777)

    def give(self, path: Path) -> None:
        """Make it so."""
        os.chown(path, self.uid, self.gid)
        path.chmod(self.mode)

    def __str__(self) -> str:
        """As the record and the diff write it: uid gid mode."""
        return f"{self.uid} {self.gid} {self.mode:04o}"


def captures(directory: Path) -> Iterator[Path]:
    """Capture files in a directory, whole ones and ones being written; folders of targets come behind their own."""
    for folder in folders(directory):
        yield from captures(folder)
        yield folder
    for pattern in CAPTURES:
        yield from directory.glob(pattern)


def folders(directory: Path) -> list[Path]:
    """Targets' folders in a directory."""
    return [path for path in directory.iterdir() if TARGET.fullmatch(path.name) and is_folder(path)]


def is_folder(path: Path) -> bool:
    """Whether it is one itself, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def is_ours(directory: Path) -> bool:
    """Whether nothing but captures is in a directory."""
    return {*directory.iterdir()} <= {*captures(directory)} and all(map(is_ours, folders(directory)))


def shown(paths: Iterable[Path]) -> str:
    """The directories for the diff."""
    return "".join(f"{path}: {Access.of(path)}\n" if path.is_dir() else f"{path}: absent\n" for path in paths)


def present(module: AnsibleModule, record: Record) -> None:
    """Make the directory and remember."""
    directory = Path(module.params["directory"])
    missing = [path for path in (*reversed(directory.parents), directory) if not path.exists()]
    ours = not directory.exists() or is_ours(directory)
    try:
        owner = pwd.getpwnam(module.params["user"]).pw_uid
        wanted = Access(owner, grp.getgrnam(module.params["group"]).gr_gid, MADE)
    except KeyError as error:
        if not module.check_mode:
            module.fail_json(msg=f"{directory} can't be given to an account that is not there: {error.args[0]}")
        module.exit_json(changed=True)
    # A rollback has given those of an earlier deployment to root.
    foreign = (
        [path for path in folders(directory) if is_ours(path) and Access.of(path) != wanted] if not missing else []
    )
    changed = bool(missing) or (ours and Access.of(directory) != wanted) or bool(foreign)
    before = shown([*missing, directory] if directory not in missing else missing)
    if not module.check_mode:
        record.add("directories", map(str, missing))
        record.add("outputs", [str(directory)])
        if directory not in missing and ours and Access.of(directory).uid != wanted.uid:
            record.add("owners", [f"{Access.of(directory)} {directory}"])
        for path in missing:
            path.mkdir()
            path.chmod(MADE_ABOVE)
        # One that holds files of others is theirs; that the engine may write there, the preflight saw.
        if ours:
            wanted.give(directory)
        for path in foreign:
            wanted.give(path)
    after = "".join(f"{path}: 0 0 {MADE_ABOVE:04o}\n" for path in missing if path != directory)
    after += f"{directory}: {wanted if ours else Access.of(directory)}\n"
    module.exit_json(changed=changed, diff={"before": before, "after": after})


def absent(module: AnsibleModule, record: Record) -> None:
    """Give the directories back."""
    outputs = [Path(line) for line in record.lines("outputs") if Path(line).is_dir()]
    made = [Path(line) for line in record.lines("directories")]
    owners = [line.split(" ", 3) for line in record.lines("owners")]
    before, changed = shown(outputs), False
    for directory in outputs:
        changed |= free(module, directory, root_owned=directory in made)
    for uid, gid, mode, name in owners:
        access, path = Access(int(uid), int(gid), int(mode, 8)), Path(name)
        if path.is_dir() and Access.of(path) != access:
            changed = True
            if not module.check_mode:
                access.give(path)
    for path in sorted(made, reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            changed = True
            if not module.check_mode:
                path.rmdir()
    left = [str(path) for path in outputs if path.is_dir()]
    purged = module.params["purge"] or not left
    # A later run that removes the captures has to know where they are.
    if purged and not module.check_mode:
        record.remove()
    module.exit_json(
        changed=changed,
        captures_left=[] if purged else left,
        diff={"before": before, "after": shown(outputs) if not module.check_mode else before},
    )


def holds_others(folder: Path) -> bool:
    """Whether a target's folder has files that are no captures: it stays with them."""
    return not {*folder.iterdir()} <= {*captures(folder)}


def free(module: AnsibleModule, directory: Path, *, root_owned: bool) -> bool:
    """Remove a directory's captures or give them to root; whether something was done."""
    purge, changed = module.params["purge"], False
    for path in captures(directory):
        foreign = path.lstat().st_uid != 0
        removed = purge and not (is_folder(path) and holds_others(path))
        changed |= removed or foreign
        if module.check_mode:
            continue
        if removed and is_folder(path):
            path.rmdir()
        elif removed:
            path.unlink()
        elif foreign:
            os.chown(path, 0, 0, follow_symlinks=False)
    roots = Access(0, 0, MADE)
    if root_owned and not purge and Access.of(directory) != roots:
        changed = True
        if not module.check_mode:
            roots.give(directory)
    return changed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path"},
            "user": {"type": "str"},
            "group": {"type": "str"},
            "record": {"type": "path", "required": True},
            "purge": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["directory", "user", "group"])],
        supports_check_mode=True,
    )
    record = Record(Path(module.params["record"]))
    try:
        {"present": present, "absent": absent}[module.params["state"]](module, record)
    except HostError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
