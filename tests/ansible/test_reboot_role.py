"""The role reboot on a machine that only seems to reboot: reasons, policy, one reboot a run, and what is verified.

The connection runs everything here but what would end this machine: it counts the reboots and changes the boot id.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import CHECKOUT, Run

CONNECTION = '''
"""This machine, as one that reboots: the boot id and the reboots are files in the folder REBOOT_TEST."""

import json
import os
import re
import uuid
from pathlib import Path

from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = """
name: rebooting
short_description: This machine, as one that reboots
description: Ends nothing.
author: The Capstan authors
"""

FOLDER = Path(os.environ["REBOOT_TEST"])


class Connection(LocalConnection):
    transport = "rebooting"
    has_pipelining = True

    def reset(self):
        pass

    def exec_command(self, cmd, in_data=None, sudoable=True):
        if re.search(r"shutdown|reboot|poweroff", cmd):
            with (FOLDER / "reboots").open("a") as reboots:
                reboots.write(cmd + "\\n")
            if not (FOLDER / "stuck").exists():
                (FOLDER / "boot_id").write_text(str(uuid.uuid4()))
            return 0, b"", b""
        if "/proc/sys/kernel/random/boot_id" in cmd:
            return 0, (FOLDER / "boot_id").read_bytes(), b""
        code, out, err = super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        if not (FOLDER / "container").exists():
            out = re.sub(rb'"(docker|container|containerd|podman|lxc)"', b'"kvm"', out)
        else:
            out = re.sub(rb'(virtualization_tech_guest": *)\\[[^]]*\\]', rb'\\1["container"]', out)
        if b'"examined"' in out and b'"files": []' in out:  # the action looks for the program
            out = json.dumps({**json.loads(out), "files": [{"path": "/sbin/shutdown"}]}).encode()
        return code, out, err
'''

SLOW = {"reason": "the running kernel lacks nohz_full=2-3 (capture_kernel.isolate_cpus)", "essential": False}
NEEDED = {"reason": "the running kernel lacks intel_iommu=on (capture_kernel.iommu)", "essential": True}
NOTHING: dict[str, Any] = {"kernel_arguments": [], "hugepages": [], "hugepages_mounts": []}
# More pages of 1 GiB than any machine of these tests has.
STILL_DUE = {**NOTHING, "hugepages": [{"size": 1 << 30, "node": 0, "pages": 1_000_000}]}


class Host:
    """Runs the role and tells what came of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "connection_plugins").mkdir()
        (folder / "connection_plugins/rebooting.py").write_text(CONNECTION)
        (folder / "boot_id").write_text("first")

    @property
    def reboots(self) -> int:
        """How often it was told to reboot."""
        path = self.folder / "reboots"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def run(
        self,
        policy: str | None,
        reasons: list[dict[str, Any]],
        plan: dict[str, Any] = NOTHING,
        *arguments: str,
        entry: str = "main",
        times: int = 1,
        before: tuple[str, ...] = (),
    ) -> Run:
        """Include the role so many times, behind other roles."""
        others = tuple({"ansible.builtin.include_role": {"name": f"capstan.appliance.{name}"}} for name in before)
        role = {"ansible.builtin.include_role": {"name": "capstan.appliance.reboot", "tasks_from": entry}}
        remember = {"ansible.builtin.set_fact": {"capture_reboot_reasons": reasons}}
        play = {
            "hosts": "all",
            "gather_facts": False,
            "vars": {"capture_plan": plan, "reboot_timeout": 5} | ({"capture_reboot": policy} if policy else {}),
            "tasks": [{"name": "Again", **task} for task in (remember, *others, role) * times],
        }
        (self.folder / "play.yml").write_text(yaml.safe_dump([play]))
        host = {"ansible_connection": "rebooting", "ansible_python_interpreter": sys.executable}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"probe1": host}}}))
        done = subprocess.run(
            [
                Path(sys.executable).parent / "ansible-playbook",
                "-i",
                self.folder / "hosts.yml",
                self.folder / "play.yml",
                *arguments,
            ],
            cwd=CHECKOUT,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
                "ANSIBLE_CONNECTION_PLUGINS": str(self.folder / "connection_plugins"),
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_HOME": str(self.folder / "ansible-home"),
                "REBOOT_TEST": str(self.folder),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_without_a_reason_nothing_happens(host: Host) -> None:
    run = host.run("auto", [])
    assert (run.rc, host.reboots) == (0, 0), run.output


def test_never_tells_the_reasons_and_goes_on(host: Host) -> None:
    run = host.run(None, [SLOW])
    assert (run.rc, host.reboots) == (0, 0), run.output
    assert f"host probe1: a reboot is due: {SLOW['reason']}" in run.output


def test_never_stops_where_nothing_works_before_the_reboot(host: Host) -> None:
    run = host.run("never", [SLOW, NEEDED])
    assert (run.rc, host.reboots) == (2, 0), run.output
    assert run.sentences == [
        f"host probe1: a reboot is due before the host can capture as asked ({NEEDED['reason']}), and capture_reboot "
        "is never; reboot the host and deploy again, or write capture_reboot: auto"
    ]


def test_auto_reboots_once_and_sees_that_nothing_is_left(host: Host) -> None:
    run = host.run("auto", [SLOW, NEEDED])
    assert (run.rc, host.reboots) == (0, 1), run.output
    assert "nohz_full" in (host.folder / "reboots").read_text(), "the reason is told to who is logged in"


def test_check_mode_only_tells(host: Host) -> None:
    run = host.run("auto", [NEEDED], STILL_DUE, "--check")
    assert (run.rc, host.reboots) == (0, 0), run.output
    assert run.count("changed") == 1


def test_a_reason_that_a_reboot_leaves_is_an_error_and_no_reason_for_another(host: Host) -> None:
    run = host.run("auto", [NEEDED], STILL_DUE)
    assert (run.rc, host.reboots) == (2, 1), run.output
    assert run.sentences[0].startswith("host probe1: it was rebooted, and that has not brought what was asked for")
    assert "of 1000000 pages of 1 GiB" in run.sentences[0]


def test_a_host_is_rebooted_once_in_a_run(host: Host) -> None:
    run = host.run("auto", [SLOW], times=2)
    assert (run.rc, host.reboots) == (2, 1), run.output
    assert run.sentences[0].startswith("host probe1: it was rebooted in this run already and is not rebooted again")


def test_a_host_that_does_not_come_back_is_an_error(host: Host) -> None:
    (host.folder / "stuck").touch()
    run = host.run("auto", [SLOW])
    assert (run.rc, host.reboots) == (2, 1), run.output
    assert "Timed out waiting" in run.output


def test_a_container_is_refused(host: Host) -> None:
    (host.folder / "container").touch()
    run = host.run("auto", [SLOW])
    assert (run.rc, host.reboots) == (2, 0), run.output
    assert run.sentences[0].startswith("host probe1: a container has the kernel of its host")


def test_the_controller_is_refused(host: Host) -> None:
    run = host.run("auto", [SLOW], NOTHING, "-e", "ansible_connection=local")
    assert (run.rc, host.reboots) == (2, 0), run.output
    assert "host probe1: " in run.sentences[0]


def test_a_rollback_asks_the_inventory_for_no_plan(host: Host) -> None:
    run = host.run("auto", [SLOW], STILL_DUE, entry="rollback")
    assert (run.rc, host.reboots) == (0, 1), run.output


def test_the_roles_leave_their_reasons_and_are_skipped_where_nothing_is_wanted(host: Host) -> None:
    roles = ("kernel_cmdline", "hugepages")
    run = host.run("never", [SLOW], NOTHING, before=roles)
    assert (run.rc, run.count("changed")) == (0, 0), run.output
    run = host.run("never", [SLOW], STILL_DUE, before=roles)
    assert run.rc == 2, run.output
    assert "of 1000000 pages of 1 GiB (capture_hugepages.per_node), which come with a boot" in run.sentences[0]
    assert SLOW["reason"] in run.output
