"""The service sets ports at boot and on link-up, delays nobody, fights nobody, and comes and goes with its settings."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.capstan.appliance.plugins.module_utils.host import host_pass, host_service, wanted, watch
from ansible_collections.capstan.appliance.plugins.modules import host_service as module
from test_nic_features import LEAVE, STILL, port

SECONDS = 20.0  # patience with a machine that has other things to do


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def want(root: Path, *ports: dict[str, Any]) -> None:
    document = host_pass.document("nic_features", ports, {})
    wanted.keep("nic_features", document, root)


def of(name: str, netns: str, **nic: Any) -> dict[str, Any]:
    return port({**LEAVE, **nic}, STILL, pci=None, netns=netns, interface=name, queues=1)


@dataclass
class Service:
    """The installed program, run as systemd would."""

    root: Path
    told: list[str] = field(default_factory=list)

    def start(self, look: float = watch.LOOK) -> None:
        """Install what the module installs, and run it without anything of this checkout in reach.

        `look`: seconds between its looks at what no link tells of.
        """
        files = host_service.files()
        (watcher,) = (path for path in files if path.endswith("/watch.py"))
        assert f"LOOK = {watch.LOOK} " in files[watcher][0]
        files[watcher] = (files[watcher][0].replace(f"LOOK = {watch.LOOK} ", f"LOOK = {look} "), files[watcher][1])
        for path, (text, mode) in files.items():
            place = self.root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
            place.chmod(mode)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.settimeout(SECONDS)
        self.notified.bind(str(self.root / "notify"))
        program = self.root / host_service.PROGRAM.lstrip("/")
        self.output = (self.root / "log").open("w+")
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-I", "-B", program, self.root],
            env={"NOTIFY_SOCKET": str(self.root / "notify"), "PATH": "/nowhere"},
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        assert self.notified.recv(64) == b"READY=1", self.log()

    def log(self) -> str:
        """What it said so far."""
        return (self.root / "log").read_text()

    def end(self) -> int:
        """Stop it as systemd does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("run", "etc", "var/lib"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def service(root: Path, needs_root: None) -> Iterator[Service]:
    made = Service(root)
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    made.notified.close()
    made.output.close()


@pytest.fixture
def namespace(needs_root: None) -> Iterator[str]:
    name = f"caphs{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=False)


def ip(netns: str, *words: str) -> None:
    subprocess.run(["ip", "-n", netns, *words], check=True)


def mtu(netns: str, name: str = "cap0") -> int:
    shown = subprocess.run(["ip", "-n", netns, "-j", "link", "show", name], capture_output=True, check=False).stdout
    return int(json.loads(shown)[0]["mtu"]) if shown else 0


def make_port(netns: str) -> None:
    ip(netns, "link", "add", "cap0", "type", "veth", "peer", "name", "gen0")
    ip(netns, "link", "set", "cap0", "up")
    ip(netns, "link", "set", "gen0", "up")


# The program


def test_a_port_is_set_before_the_start_is_done_and_again_when_it_is_changed_or_made_anew(
    root: Path, namespace: str, service: Service
) -> None:
    make_port(namespace)
    want(root, of("cap0", namespace, mtu=9000))
    service.start()
    assert mtu(namespace) == 9000
    assert "cap0: mtu: 1500 -> 9000\n" in service.log()
    ip(namespace, "link", "set", "cap0", "mtu", "1300")
    until(lambda: mtu(namespace) == 9000, service.log())
    ip(namespace, "link", "del", "cap0")
    make_port(namespace)
    until(lambda: mtu(namespace) == 9000, service.log())
    originals = json.loads((root / "var/lib/capstan-host/nic_features.json").read_text())
    assert {entry["value"] for entry in originals.values()} == {1500}
    assert service.end() == 0


def test_a_link_that_flaps_is_left_alone_where_nothing_differs(root: Path, namespace: str, service: Service) -> None:
    make_port(namespace)
    want(root, of("cap0", namespace, mtu=9000))
    service.start()
    lines = service.log().splitlines()
    for _ in range(3):
        ip(namespace, "link", "set", "cap0", "down")
        ip(namespace, "link", "set", "cap0", "up")
    time.sleep(3 * watch.QUIET)
    assert service.log().splitlines() == lines == ["cap0: mtu: 1500 -> 9000"]


def test_new_wishes_come_by_sighup_and_none_are_followed_after_their_end(
    root: Path, namespace: str, service: Service
) -> None:
    make_port(namespace)
    want(root, of("cap0", namespace, mtu=9000))
    service.start()
    want(root, of("cap0", namespace, mtu=4000))
    service.process.send_signal(signal.SIGHUP)
    until(lambda: mtu(namespace) == 4000, service.log())
    wanted.keep("nic_features", None, root)
    ip(namespace, "link", "set", "cap0", "mtu", "1300")
    time.sleep(3 * watch.QUIET)
    assert mtu(namespace) == 1300


def test_one_who_keeps_changing_a_setting_back_is_left_alone_and_told_of(
    root: Path, namespace: str, service: Service
) -> None:
    make_port(namespace)
    want(root, of("cap0", namespace, mtu=9000))
    service.start()
    for _ in range(watch.TOO_OFTEN - 1):
        ip(namespace, "link", "set", "cap0", "mtu", "1300")
        until(lambda: mtu(namespace) == 9000, service.log())
    until(lambda: "something else keeps changing it" in service.log(), service.log())
    ip(namespace, "link", "set", "cap0", "mtu", "1300")
    time.sleep(3 * watch.QUIET)
    assert mtu(namespace) == 1300
    assert service.end() == 0


def test_a_port_that_is_not_there_keeps_nobody_from_starting(root: Path, namespace: str, service: Service) -> None:
    make_port(namespace)
    want(root, of("cap9", namespace, mtu=9000), of("cap0", namespace, mtu=9000), of("cap0", "nowhere", mtu=9000))
    service.start()
    assert mtu(namespace) == 9000
    assert "capture_interfaces[0]: cap9 has no interface in the kernel now" in service.log()
    assert "the network namespace nowhere does not exist" in service.log()


def test_a_namespace_may_come_later(root: Path, service: Service) -> None:
    name = f"caphl{os.getpid()}"
    want(root, of("cap0", name, mtu=9000))
    service.start(look=0.5)
    try:
        subprocess.run(["ip", "netns", "add", name], check=True)
        make_port(name)
        until(lambda: mtu(name) == 9000, service.log())
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def test_the_start_waits_for_nics_only_so_long(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "NICS_AT_BOOT", 0.3)
    absent = port({**LEAVE, "mtu": 9000}, STILL, pci="ffff:1f:1f.7")
    bound = port(LEAVE, STILL, pci="ffff:1f:1f.6")
    watched = watch.Watch(root, lambda _: None)
    for ports, shortest, longest in (([absent], 0.3, 5), ([bound], 0, 0.2)):
        start = time.monotonic()
        watched._wait_for_nics(ports)  # noqa: SLF001 - the part of the start that could last
        assert shortest <= time.monotonic() - start < longest


def test_the_start_waits_until_a_nic_has_its_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter((None, "eth0", "eth0", "cap"))
    monkeypatch.setattr(watch, "interface_of", lambda *_: next(names))
    watch.Watch(root, lambda _: None)._wait_for_nics([port({**LEAVE, "mtu": 9000}, STILL)])  # noqa: SLF001 - as above
    assert next(names, "no more") == "no more"


def test_settings_that_nobody_can_read_are_told(root: Path, service: Service) -> None:
    (root / "etc/capstan-host").mkdir()
    (root / "etc/capstan-host/nic_features.json").write_text("{")
    service.start()
    assert "/etc/capstan-host/nic_features.json can't be understood; deploy again" in service.log()
    assert service.end() == 0


def test_peace_is_broken_by_frequency_and_restored_by_time() -> None:
    now = [0.0]
    peace = watch.Peace(lambda: now[0])
    for _ in range(watch.TOO_OFTEN - 1):
        now[0] += 61
        assert peace.wrote(["a", "b"]) is None
    for _ in range(watch.TOO_OFTEN - 2):
        assert peace.wrote(["a"]) is None
    assert peace.wrote(["a"]) == "a"
    assert peace.broken
    now[0] += watch.TRUCE
    assert not peace.broken


def test_what_a_truce_left_undone_is_done_after_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a port that flapped often and is quiet now, no link tells any more."""
    monkeypatch.setattr(watch, "LOOK", 0.1)
    monkeypatch.setattr(watch, "TRUCE", 1.0)
    want(root, of("none", "caphs-none", mtu=9000))
    passes: list[float] = []
    peace = watch.Peace()
    monkeypatch.setattr(watch, "Peace", lambda: peace)
    service = watch.Watch(root, lambda _: None)
    broken = time.monotonic()
    assert peace.wrote(["mtu"] * watch.TOO_OFTEN) == "mtu"

    def work(_: str) -> tuple[list[tuple[str, str]], list[str]]:
        passes.append(time.monotonic())
        service.end()
        return [], []

    monkeypatch.setattr(service, "_pass", work)
    killer = threading.Timer(SECONDS, service.end)
    killer.start()
    wake, _ = os.pipe()
    service.run(wake)
    killer.cancel()
    assert passes
    assert passes[0] - broken >= watch.TRUCE


# What is installed


def test_the_parts_are_all_that_the_program_imports(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path('collections').resolve())!r}); import {host_service.PACKAGE}.watch; "
    )
    code += f"print(*(name for name in sys.modules if name.startswith({host_service.PACKAGE!r} + '.')))"
    imported = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert {name.rsplit(".", 1)[1] for name in imported.split()} == set(host_service.PARTS)


def test_the_unit_starts_before_the_capture_and_may_do_what_it_has_to() -> None:
    unit = host_service.UNIT_TEXT
    assert "Before=capstan.service" in unit
    assert re.search(r"^ExecStart=/usr/bin/python3 -I -B /usr/local/lib/capstan-host/capstan-host$", unit, re.MULTILINE)
    assert "ProtectKernelTunables" not in unit  # it writes below /sys and /proc/irq
    assert "CAP_NET_ADMIN CAP_SYS_ADMIN" in unit


class Ansible:
    """Stands for AnsibleModule: remembers what systemd is asked for."""

    def __init__(self, root: Path, part: str, state: str, *, check: bool = False) -> None:
        self.params = {"root": str(root), "part": part, "state": state, "reload": False}
        self.check_mode = check
        self.commands: list[str] = []
        self.lacks = ""

    def run_command(self, command: list[str]) -> tuple[int, str, str]:
        """As AnsibleModule.run_command."""
        self.commands.append(" ".join(command))
        return int(command[1] == f"is-{self.lacks}"), "", ""


def installed(
    root: Path, part: str, state: str, *, check: bool = False, lacks: str = ""
) -> tuple[dict[str, Any], list[str]]:
    ansible = Ansible(root, part, state, check=check)
    ansible.lacks = lacks
    return module.run(ansible), ansible.commands


def test_the_service_comes_once_and_goes_with_the_last_that_needs_it(root: Path) -> None:
    (root / "run/systemd/system").mkdir(parents=True)
    before = sorted(root.rglob("*"))
    assert installed(root, "nic_features", "present", check=True)[0]["changed"] is True
    assert sorted(root.rglob("*")) == before
    done, commands = installed(root, "nic_features", "present")
    assert done["changed"] is True
    assert commands[:3] == [
        "systemctl daemon-reload",
        "systemctl enable capstan-host.service",
        "systemctl restart capstan-host.service",
    ]
    want(root, of("cap0", "x", mtu=9000))
    assert installed(root, "irq_affinity", "present") == (
        {**done, "changed": False, "diff": {"before": "", "after": ""}},
        ["systemctl is-enabled capstan-host.service", "systemctl is-active capstan-host.service"],
    )
    assert installed(root, "irq_affinity", "absent")[0]["changed"] is False
    wanted.keep("nic_features", None, root)
    gone, commands = installed(root, "nic_features", "absent")
    assert gone["changed"] is True
    assert commands[0] == "systemctl disable --now capstan-host.service"
    left = [path for path in root.rglob("*") if path.is_file()]
    assert left == []
    assert installed(root, "nic_features", "absent") == ({**gone, "changed": False, **NOTHING}, [])


NOTHING = {"diff": {"before": "", "after": ""}}


def test_an_old_program_is_brought_up_to_date_and_started_anew(root: Path) -> None:
    (root / "run/systemd/system").mkdir(parents=True)
    installed(root, "nic_features", "present")
    folder = root / host_service.FOLDER.lstrip("/")
    (folder / "old.py").write_text("")
    (folder / "capstan-host").write_text("")
    done, commands = installed(root, "nic_features", "present")
    assert done["changed"] is True
    assert "systemctl restart capstan-host.service" in commands
    assert not (folder / "old.py").exists()


@pytest.mark.parametrize(("lacks", "remedy"), [("enabled", "enable"), ("active", "start")])
def test_a_service_that_somebody_stopped_or_disabled_comes_again(root: Path, lacks: str, remedy: str) -> None:
    (root / "run/systemd/system").mkdir(parents=True)
    installed(root, "nic_features", "present")
    told, commands = installed(root, "nic_features", "present", check=True, lacks=lacks)
    assert (told["changed"], told["diff"]["after"]) == (True, f"capstan-host.service: {lacks}\n")
    assert [command.split()[1] for command in commands] == ["is-enabled", "is-active"]
    done, commands = installed(root, "nic_features", "present", lacks=lacks)
    assert done == told
    assert commands[2:] == [f"systemctl {remedy} capstan-host.service"]


def test_a_host_without_systemd_is_told_that_nothing_is_set_again(root: Path) -> None:
    done, commands = installed(root, "nic_features", "present")
    assert (done["changed"], done["notes"], commands) == (False, [module.NO_SYSTEMD], [])


def test_the_lock_leaves_no_file_and_lets_one_in_at_a_time(root: Path) -> None:
    entered = threading.Event()

    def second() -> None:
        with wanted.lock(root):
            entered.set()

    waiting = threading.Thread(target=second, daemon=True)
    with wanted.lock(root):
        waiting.start()
        assert not entered.wait(0.2)
    assert entered.wait(SECONDS)
    waiting.join()
    assert list((root / "run").iterdir()) == []
