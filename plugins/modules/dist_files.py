#!/usr/bin/python
"""Unpacks files of dist/ on a host, and checks each of them."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: dist_files
short_description: Bring files of dist/ to a host in one transfer
version_added: 0.2.0
description:
  - Packs files of the controller's dist folder into one archive, sends it, unpacks it into a directory that root alone
    can enter, and compares each file with the hash that the manifest has of it.
options:
  path:
    description: The dist folder on the controller, such as dist/debian-12.
    type: path
  files:
    description: Of each part, the files to bring as the manifest describes them.
    type: dict
  dest:
    description: Directory on the host; each part becomes a folder in it.
    type: path
    required: true
  archive:
    description: Set by the action of the same name.
    type: path
  sums:
    description: Set by the action of the same name.
    type: dict
attributes:
  check_mode:
    support: full
    description: Tells what would be brought.
  diff_mode:
    support: none
    description: The files are no text for people.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Bring the engine's package
  capstan.appliance.dist_files:
    path: dist/debian-12
    files:
      engine: {capstan-engine_0.1.0_amd64.deb: {sha256: 6f1e...}}
    dest: /var/cache/capstan
"""

RETURN = r"""
files:
  description: Names below O(dest).
  returned: always
  type: list
  elements: str
"""


def unpack(archive: Path, sums: dict[str, str], dest: Path) -> str | None:
    """Unpack into a fresh directory; what is wrong with a file, or None."""
    if dest.exists():
        shutil.rmtree(dest)
    dest.mkdir(mode=0o700, parents=True)
    with tarfile.open(archive) as tar:
        for name, wanted in sums.items():
            member = tar.extractfile(name) if name in tar.getnames() else None
            if member is None:
                return f"{name} is not in the archive"
            path = dest / name
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(member, file)
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
                    return f"{name} arrived as another file than the one that was built"
    return None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "files": {"type": "dict"},
            "dest": {"type": "path", "required": True},
            "archive": {"type": "path", "required": True},
            "sums": {"type": "dict", "required": True},
        },
    )
    parameters = module.params
    wrong = unpack(Path(parameters["archive"]), parameters["sums"], Path(parameters["dest"]))
    if wrong:
        module.fail_json(
            msg=f"{wrong}; see that {parameters['dest']} has free space and deploy again, "
            "or run ansible-playbook playbooks/build.yml if it stays so"
        )
    module.exit_json(changed=True, files=sorted(parameters["sums"]))


if __name__ == "__main__":
    main()
