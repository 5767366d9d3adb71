#!/usr/bin/python
"""Asks and writes the manifest of what build.yml made."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils import dist
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError

DOCUMENTATION = r"""
module: dist_part
short_description: Ask whether a part of dist/ is current, or record what was built
version_added: 0.1.0
description:
  - A dist folder holds what the hosts of one distribution install, in parts (the engine, its runtime packages, the
    wheelhouse). Its manifest.json names every file with its hash, and the digest of the sources of each part.
options:
  path:
    description: The dist folder, such as dist/debian-12.
    type: path
    required: true
  part:
    description: Folder of the part within it.
    type: str
    required: true
  sources:
    description: Digest of the part's sources.
    type: str
    required: true
  state:
    description:
      - V(asked) tells in RV(stale) whether the part must be built, and changes nothing.
      - V(recorded) writes the part's files into the manifest.
    type: str
    choices: [asked, recorded]
    default: asked
attributes:
  check_mode:
    support: full
    description: Writes nothing.
  diff_mode:
    support: none
    description: The manifest is no text for people.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Ask whether the engine must be built
  capstan.appliance.dist_part:
    path: dist/debian-12
    part: engine
    sources: "{{ lookup('capstan.appliance.source_digest', 'native') }}"
"""

RETURN = r"""
stale:
  description: Why the part must be built; empty when it is current.
  returned: always
  type: str
  sample: its sources changed
sources:
  description: The digest as it was given.
  returned: always
  type: str
files:
  description: The part's files, with hash, and package name and version of Debian packages.
  returned: always
  type: dict
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "part": {"type": "str", "required": True},
            "sources": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["asked", "recorded"], "default": "asked"},
        },
        supports_check_mode=True,
    )
    directory, part, sources = Path(module.params["path"]), module.params["part"], module.params["sources"]
    manifest = dist.read(directory)
    changed = False
    if module.params["state"] == "recorded" and not module.check_mode:
        recorded = dist.record(directory, manifest, part, sources)
        changed = recorded != manifest
        if changed:
            try:
                dist.write(directory, recorded)
            except HostError as error:
                module.fail_json(msg=str(error))
        manifest = recorded
    known = manifest["parts"].get(part, {})
    stale = dist.damage(directory, manifest, part) or ("" if known["sources"] == sources else "its sources changed")
    module.exit_json(changed=changed, stale=stale, sources=sources, files=known.get("files", {}))


if __name__ == "__main__":
    main()
