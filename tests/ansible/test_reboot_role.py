"""The role reboot on a machine that only seems to reboot: reasons, policy, one reboot a run, and what is verified.

The connection runs everything here but what would end this machine: it counts the reboots and changes the boot id. Each
case is a host of its own, and all hosts are in one play: a program start costs more than a case.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import CHECKOUT, Run

CONNECTION = '''
"""This machine, as one that reboots: the boot id and the reboots are files in its folder."""

import json
import re
import uuid
from pathlib import Path

from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = """
name: rebooting
short_description: This machine, as one that reboots
description: Ends nothing.
author: The Capstan authors
options:
  folder:
    description: Where it keeps what happened to it.
    required: true
    vars: [{name: rebooting_folder}]
"""

class Connection(LocalConnection):
    transport = "rebooting"
    has_pipelining = True

    def reset(self):
        pass

    def exec_command(self, cmd, in_data=None, sudoable=True):
        folder = Path(self.get_option("folder"))
        if re.search(r"shutdown|reboot|poweroff", cmd):
            with (folder / "reboots").open("a") as reboots:
                reboots.write(cmd + "\\n")
            if not (folder / "stuck").exists():
                (folder / "boot_id").write_text(str(uuid.uuid4()))
            return 0, b"", b""
        if "/proc/sys/kernel/random/boot_id" in cmd:
            return 0, (folder / "boot_id").read_bytes(), b""
        code, out, err = super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        if not (folder / "container").exists():
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


@dataclass(frozen=True)
class Case:
    """What a host is told to be, and how it runs the role."""

    policy: str | None
    reasons: list[dict[str, Any]]
    plan: dict[str, Any] = field(default_factory=lambda: NOTHING)
    entry: str = "main"
    again: bool = False
    """Once more, as if the first reboot had not helped."""
    before: tuple[str, ...] = ()
    """Roles that run before it."""
    marks: tuple[str, ...] = ()
    connection: str = "rebooting"


CASES = {
    "no-reason": Case("auto", []),
    "never": Case(None, [SLOW]),
    "never-essential": Case("never", [SLOW, NEEDED]),
    "auto": Case("auto", [SLOW, NEEDED]),
    "no-help": Case("auto", [NEEDED], STILL_DUE),
    "twice": Case("auto", [SLOW], again=True),
    "gone": Case("auto", [SLOW], marks=("stuck",)),
    "container": Case("auto", [SLOW], marks=("container",)),
    "controller": Case("auto", [SLOW], connection="local"),
    "roles-idle": Case("never", [SLOW], before=("kernel_cmdline", "hugepages")),
    "roles-due": Case("never", [SLOW], STILL_DUE, before=("kernel_cmdline", "hugepages")),
}
# A play of its own, as an operator's rollback is: its hosts all run the same entry.
ROLLED_BACK = {"rollback": Case("auto", [SLOW], STILL_DUE, entry="rollback")}
CHECKED = {"checked": Case("auto", [NEEDED], STILL_DUE)}

REMEMBER = {"ansible.builtin.set_fact": {"capture_reboot_reasons": "{{ reasons }}"}}
ROLE = {"ansible.builtin.include_role": {"name": "capstan.appliance.reboot", "tasks_from": "{{ entry }}"}}
OTHERS = {"ansible.builtin.include_role": {"name": "capstan.appliance.{{ item }}"}, "loop": "{{ before }}"}
PLAY = {
    "hosts": "all",
    "gather_facts": False,
    "strategy": "free",
    "vars": {"reboot_timeout": 5},
    "tasks": [
        {"name": "Reasons", **REMEMBER},
        {"name": "Other roles", **OTHERS},
        {"name": "Reboot", **ROLE},
        {"name": "Reasons again", **REMEMBER, "when": "again"},
        {"name": "Reboot again", **ROLE, "when": "again"},
    ],
}


def run_all(folder: Path, cases: dict[str, Case], *arguments: str) -> Run:
    """Every case as a host of one play."""
    (folder / "connection_plugins").mkdir()
    (folder / "connection_plugins/rebooting.py").write_text(CONNECTION)
    (folder / "play.yml").write_text(yaml.safe_dump([PLAY]))
    hosts = {}
    for name, case in cases.items():
        place = folder / name
        place.mkdir()
        (place / "boot_id").write_text("first")
        for mark in case.marks:
            (place / mark).touch()
        hosts[name] = {
            "ansible_connection": case.connection,
            "ansible_python_interpreter": sys.executable,
            "rebooting_folder": str(place),
            "reasons": case.reasons,
            "capture_plan": case.plan,
            "entry": case.entry,
            "again": case.again,
            "before": list(case.before),
        } | ({"capture_reboot": case.policy} if case.policy else {})
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    program = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run(
        [program, "-i", folder / "hosts.json", folder / "play.yml", "--forks", str(len(cases)), *arguments],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_CONNECTION_PLUGINS": str(folder / "connection_plugins"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(folder / "ansible-home"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout + done.stderr)


@dataclass(frozen=True)
class Told:
    """What came of one host."""

    name: str
    folder: Path
    run: Run

    @property
    def reboots(self) -> int:
        """How often it was told to reboot."""
        path = self.folder / "reboots"
        return len(path.read_text().splitlines()) if path.exists() else 0

    @property
    def sentences(self) -> list[str]:
        """Why it failed."""
        return self.run.sentences_of(self.name)

    @property
    def changed(self) -> int:
        """Tasks that changed something."""
        return self.run.count("changed", self.name)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    found = {}
    for cases, arguments in ((CASES, ()), (ROLLED_BACK, ()), (CHECKED, ("--check",))):
        folder = tmp_path_factory.mktemp("reboot")
        run = run_all(folder, cases, *arguments)
        found |= {name: Told(name, folder / name, run) for name in cases}
        assert re.findall(r"^(\S+) +: ok=[1-9]", run.output, re.MULTILINE) == sorted(cases), run.output
    return found


def test_without_a_reason_nothing_happens(hosts: dict[str, Told]) -> None:
    host = hosts["no-reason"]
    assert (host.sentences, host.reboots) == ([], 0)


def test_never_tells_the_reasons_and_goes_on(hosts: dict[str, Told]) -> None:
    host = hosts["never"]
    assert (host.sentences, host.reboots) == ([], 0)
    assert f"host never: a reboot is due: {SLOW['reason']}" in host.run.output


def test_never_stops_where_nothing_works_before_the_reboot(hosts: dict[str, Told]) -> None:
    host = hosts["never-essential"]
    assert host.reboots == 0
    assert host.sentences == [
        f"host never-essential: a reboot is due before the host can capture as asked ({NEEDED['reason']}), and "
        "capture_reboot is never; reboot the host and deploy again, or write capture_reboot: auto"
    ]


def test_auto_reboots_once_and_sees_that_nothing_is_left(hosts: dict[str, Told]) -> None:
    host = hosts["auto"]
    assert (host.sentences, host.reboots) == ([], 1), host.run.output
    assert "nohz_full" in (host.folder / "reboots").read_text(), "the reason is told to who is logged in"


def test_check_mode_only_tells(hosts: dict[str, Told]) -> None:
    host = hosts["checked"]
    assert (host.sentences, host.reboots, host.run.rc) == ([], 0, 0), host.run.output
    assert host.changed == 1


def test_a_reason_that_a_reboot_leaves_is_an_error_and_no_reason_for_another(hosts: dict[str, Told]) -> None:
    host = hosts["no-help"]
    assert host.reboots == 1
    assert host.sentences[0].startswith("host no-help: it was rebooted, and that has not brought what was asked for")
    assert "of 1000000 pages of 1 GiB" in host.sentences[0]


def test_a_host_is_rebooted_once_in_a_run(hosts: dict[str, Told]) -> None:
    host = hosts["twice"]
    assert host.reboots == 1
    assert host.sentences[0].startswith("host twice: it was rebooted in this run already and is not rebooted again")


def test_a_host_that_does_not_come_back_is_an_error(hosts: dict[str, Told]) -> None:
    host = hosts["gone"]
    assert host.reboots == 1
    assert "Timed out waiting" in host.sentences[0]


def test_a_container_is_refused(hosts: dict[str, Told]) -> None:
    host = hosts["container"]
    assert host.reboots == 0
    assert host.sentences[0].startswith("host container: a container has the kernel of its host")


def test_the_controller_is_refused(hosts: dict[str, Told]) -> None:
    host = hosts["controller"]
    assert host.reboots == 0
    assert host.sentences[0].startswith("host controller: ")


def test_a_rollback_asks_the_inventory_for_no_plan(hosts: dict[str, Told]) -> None:
    host = hosts["rollback"]
    assert (host.sentences, host.reboots) == ([], 1), host.run.output


def test_the_roles_leave_their_reasons_and_are_skipped_where_nothing_is_wanted(hosts: dict[str, Told]) -> None:
    idle, due = hosts["roles-idle"], hosts["roles-due"]
    assert (idle.sentences, idle.changed, due.reboots) == ([], 0, 0)
    assert "of 1000000 pages of 1 GiB (capture_hugepages.per_node), which come with a boot" in due.sentences[0]
    assert f"host roles-due: a reboot is due: {SLOW['reason']}" in due.run.output
