"""Brings files of dist/ to a host as one archive; see the module of the same name."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Packs on the controller; the module unpacks and checks on the host."""

    TRANSFERS_FILES = True
    _VALID_ARGS = frozenset({"path", "files", "dest"})

    def run(self, tmp: None = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send the files of each part, in one transfer."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        directory, parts = Path(self._task.args["path"]), self._task.args["files"]
        sums = {
            f"{part}/{name}": described["sha256"] for part, files in parts.items() for name, described in files.items()
        }
        missing = [name for name in sums if not (directory / name).is_file()]
        if missing:
            return {
                **result,
                "failed": True,
                "msg": f"{directory / missing[0]} is missing on the controller; "
                "run ansible-playbook playbooks/build.yml, which builds it again",
            }
        if self._task.check_mode or not sums:
            return {**result, "changed": bool(sums), "files": sorted(sums)}
        self._make_tmp_path()
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "files.tar")  # noqa: SLF001
        with tempfile.NamedTemporaryFile(prefix="capstan-") as archive:
            pack(directory, sorted(sums), Path(archive.name))
            self._transfer_file(archive.name, remote)
        answer = self._execute_module(
            module_name="capstan.appliance.dist_files",
            module_args={"archive": remote, "sums": sums, "dest": self._task.args["dest"]},
            task_vars=task_vars,
        )
        return {**result, **answer}


def pack(directory: Path, names: list[str], archive: Path) -> None:
    """Write a tar of these files, without owners and dates: the same files give the same archive."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            content = (directory / name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
