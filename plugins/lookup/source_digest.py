"""The digest of source folders, by which the build knows whether anything changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: source_digest
short_description: SHA-256 over the names and contents of files and folders on the controller
version_added: 0.1.0
description:
  - Two trees have the same digest when they hold the same files with the same contents and executable bits.
  - Left out is what tools leave behind, such as byte code and caches.
options:
  _terms:
    description: Files and folders.
    required: true
  salt:
    description: Text that goes into the digest too.
    type: str
    default: ""
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Show whether the engine's sources changed
  ansible.builtin.debug:
    msg: "{{ lookup('capstan.appliance.source_digest', 'native') }}"
"""

RETURN = r"""
_raw:
  description: One digest over all the terms.
  type: list
  elements: str
"""

_LEFT_BEHIND = frozenset({"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"})


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for child in sorted(path.iterdir()) if path.is_dir() else ():
        if child.name not in _LEFT_BEHIND and child.suffix != ".egg-info":
            yield from _files(child)


def digest_of(paths: list[Path], salt: str = "") -> str:
    """SHA-256 over relative names, executable bits and contents."""
    total = hashlib.sha256(salt.encode())
    for path in paths:
        for file in _files(path):
            name = file.relative_to(path.parent)
            executable = bool(file.stat().st_mode & 0o100)
            total.update(f"{name}\0{executable}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


class LookupModule(LookupBase):
    """Reads files of the controller."""

    def run(
        self,
        terms: list[str],
        variables: dict[str, Any] | None = None,
        **options: Any,
    ) -> list[str]:
        """Return one digest."""
        self.set_options(var_options=variables, direct=options)
        paths = [Path(term) for term in terms]
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            raise AnsibleError(f"controller: {', '.join(missing)} is not there; run the playbook from a whole checkout")
        return [digest_of(paths, self.get_option("salt"))]
