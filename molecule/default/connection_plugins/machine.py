# SPDX-License-Identifier: Apache-2.0
"""Ansible connection to a test machine: every command goes through the script `machine exec`."""

from __future__ import annotations

import shlex
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = """
name: machine
short_description: Run tasks in a molecule test machine
description: Enters the namespaces of the machine, so that a test host needs neither a network nor sshd.
author: Capstan developers
"""

MACHINE = Path(__file__).parents[1] / "machine"


class Connection(LocalConnection):
    """The local connection, with each command run inside the machine named like the inventory host."""

    transport = "machine"
    has_pipelining = True

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run the shell command in the machine."""
        inside = [str(MACHINE), "exec", self._play_context.remote_addr, "/bin/sh", "-c", cmd]
        return super().exec_command(shlex.join(inside), in_data=in_data, sudoable=sudoable)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the controller into the machine."""
        self._transfer(f"cat > {shlex.quote(out_path)}", out_path, Path(in_path).read_bytes())

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the machine to the controller."""
        Path(out_path).write_bytes(self._transfer(f"cat {shlex.quote(in_path)}", in_path, None))

    def _transfer(self, cmd: str, path: str, in_data: bytes | None) -> bytes:
        code, out, err = self.exec_command(cmd, in_data=in_data)
        if code != 0:
            raise AnsibleConnectionFailure(f"cannot transfer {path}: {err.decode().strip()}")
        return out
