"""The service of the prepared host: sets everything at boot, and again whenever a link comes up or a NIC appears.

It works by the same passes as the modules, so it writes only what differs. It never fights:

- the modules: what is wanted is read anew in each pass, under the lock that they hold while they change it;
- the supervisor: it changes features and channels for a capture and restores what it found. Both follow one plan, so
  that it finds nothing to change where this service has been. Of a port that it did change, its snapshot is taken for
  the originals, and no setting is written that is as it is wanted;
- anybody else: a setting that somebody keeps changing back is left to him for a while, and told.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host import (
    host_pass,
    irq_affinity,
    link,
    netns,
    nic_tuning,
    wanted,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_port import interface_of
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, read_text

QUIET = 0.5  # seconds without word of a link before a pass: a NIC that comes up says so several times
LATEST = 5.0  # seconds after the first word at which the pass comes in any case
LOOK = 10.0  # seconds between looks at the wanted files and the namespaces, of which no link tells
NICS_AT_BOOT = 10.0  # seconds that the start waits for NICs whose drivers are still being loaded, and for their names
TOO_OFTEN = 5  # times that the same setting is written within a minute before it is left alone
TRUCE = 300.0  # seconds that it is left alone


class Peace:
    """Sees that nobody's change is answered by ours for ever."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._written: dict[str, list[float]] = {}
        self._until = 0.0

    @property
    def broken(self) -> bool:
        """Whether a truce is on: nothing is written now."""
        return self._clock() < self._until

    def wrote(self, settings: Iterable[str]) -> str | None:
        """Note what a pass wrote; the setting that was written too often, when there is one."""
        now = self._clock()
        for setting in settings:
            recent = [then for then in self._written.get(setting, []) if now - then < 60] + [now]  # noqa: PLR2004
            self._written[setting] = recent
            if len(recent) >= TOO_OFTEN:
                self._until = now + TRUCE
                self._written.clear()
                return setting
        return None


class Ears:
    """Hears of links in each namespace of a capture port."""

    def __init__(self) -> None:
        self._sockets: dict[str | None, tuple[int, socket.socket]] = {}

    def follow(self, namespaces: Iterable[str | None]) -> bool:
        """Listen in these; tells whether one is new, or was made anew under its old name."""
        names = set(namespaces)
        there = {name: netns.identity(name) for name in names if name is None or netns.exists(name)}
        for name, (inode, heard) in list(self._sockets.items()):
            if there.get(name) != inode:
                heard.close()
                del self._sockets[name]
        fresh = [name for name in there if name not in self._sockets]
        for name in fresh:
            self._sockets[name] = (there[name], netns.inside(name, lambda _: link.listener()))
        return bool(fresh)

    @property
    def sockets(self) -> list[socket.socket]:
        """To wait for."""
        return [heard for _, heard in self._sockets.values()]

    @staticmethod
    def heard(heard: socket.socket, names: set[str]) -> bool:
        """Whether what a socket says is about one of these interfaces."""
        about = False
        while True:
            try:
                message = heard.recv(1 << 16)
            except BlockingIOError:
                return about
            except OSError:
                return True  # more was said than the socket could hold (ENOBUFS): look at everything
            about = about or any(one.name in names for one in link.changed(message))


def names_of(ports: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names that the ports' interfaces have now, and those that the plan knew."""
    listed = list(ports)
    found = {interface_of(port, Path("/sys")) for port in listed if port["pci"] is not None and port["netns"] is None}
    return {name for name in {*found, *(port["interface"] for port in listed)} if name is not None}


class Watch:
    """The service's loop."""

    def __init__(self, root: Path = Path("/"), say: Callable[[str], None] | None = None) -> None:
        self._root = root
        self._say = say or _say
        self._ears = Ears()
        self._peace = Peace()
        self._told: set[str] = set()
        self._refused: dict[str, dict[str, Any]] = {name: {} for name in wanted.NAMES}
        self._ports: list[dict[str, Any]] = []
        self._seen: tuple[str | None, ...] = ()
        self._ends = False
        self._reload = False
        self._owed = False

    def end(self) -> None:
        """Leave the loop at the next turn."""
        self._ends = True

    def reload(self) -> None:
        """Read everything anew at the next turn, and forget what was refused and told."""
        self._reload = True

    def ports(self) -> list[dict[str, Any]]:
        """Every port of which anything is wanted."""
        found = [wanted.read(name, self._root) for name in wanted.NAMES]
        return [port for document in found if document is not None for port in document["ports"]]

    def run(self, wake: int) -> None:
        """Until end() is called.

        Args:
            wake: descriptor that becomes readable when a signal came.

        """
        ports = self._listen()
        self._wait_for_nics(ports)
        self.apply()
        notify("READY=1")
        first: float | None = None  # when the oldest unanswered word came
        latest = 0.0
        while not self._ends:
            now = time.monotonic()
            if self._reload:
                self._reload, first = False, now - LATEST
                self._refused = {name: {} for name in wanted.NAMES}
                self._told.clear()
                notify("READY=1")
            if first is not None and (now - latest >= QUIET or now - first >= LATEST):
                ports, first = self._listen(), None
                self.apply()
            heard: list[int | socket.socket] = [wake, *self._ears.sockets]
            pause = QUIET if first is not None else LOOK
            readable, _, _ = select.select(heard, [], [], pause)
            if wake in readable:
                os.read(wake, 64)
            names = names_of(ports) if readable else set()
            words = [self._ears.heard(one, names) for one in readable if isinstance(one, socket.socket)]
            if any(words) or (not readable and first is None and self._changed()):
                latest = time.monotonic()
                first = latest if first is None else first

    def _listen(self) -> list[dict[str, Any]]:
        """Read what is wanted, and hear of links in every namespace of it."""
        try:
            self._seen = self._texts()
            self._ports = self.ports()
            self._ears.follow({port["netns"] for port in self._ports} | {None})
        except (HostError, OSError) as error:
            self._tell(str(error))
        return self._ports

    def _texts(self) -> tuple[str | None, ...]:
        return tuple(read_text(wanted.path_of(name), self._root) for name in wanted.NAMES)

    def _changed(self) -> bool:
        """Whether the wanted files changed, a namespace came, or a truce ended in which a pass was left out."""
        if self._owed and not self._peace.broken:
            return True
        try:
            come = self._ears.follow({port["netns"] for port in self._ports} | {None})
            return come or self._texts() != self._seen
        except (HostError, OSError) as error:
            self._tell(str(error))
            return False

    def _wait_for_nics(self, ports: Iterable[Mapping[str, Any]]) -> None:
        """At boot drivers come later, and udev names their NICs then; one that never comes delays nobody for long."""
        missing = [port for port in ports if port["pci"] is not None and port["netns"] is None and _wants(port)]
        deadline = time.monotonic() + NICS_AT_BOOT
        while missing and time.monotonic() < deadline and not self._ends:
            missing = [port for port in missing if not _has_come(port)]
            if missing:
                time.sleep(0.2)

    def apply(self) -> None:
        """One pass of each kind. What goes wrong is told, once, and tried again at the next word of a link."""
        self._owed = self._peace.broken
        if self._owed:
            return
        for name in wanted.NAMES:
            try:
                with wanted.lock(self._root):
                    done, notes = self._pass(name)
            except (HostError, OSError) as error:
                self._tell(f"{name}: {error}")
                continue
            for what, sentence in done:
                self._say(f"{what}: {sentence}")
            for note in notes:
                self._tell(note)
            fought_over = self._peace.wrote(what for what, _ in done)
            if fought_over:
                self._say(f"{fought_over}: something else keeps changing it; nothing is written for {TRUCE:.0f} s")

    def _pass(self, name: str) -> tuple[list[tuple[str, str]], list[str]]:
        document = wanted.read(name, self._root)
        if document is None:
            return [], []
        known = {**host_pass.refused(name, self._root), **self._refused[name]}
        if name == "nic_features":
            nics = host_pass.nics(document["ports"], known, self._root, patient=True)
            self._refused[name] = nics.refused
            return [(f"{c.interface}: {c.setting}", f"{c.before} -> {c.after}") for c in nics.changes], nics.notes
        irqs = host_pass.interrupts(document["ports"], document["housekeeping"], known, self._root, patient=True)
        self._refused[name] = irqs.refused
        return [(c.label, f"CPU {c.before} -> {c.after}") for c in irqs.changes], irqs.notes

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            self._say(sentence)


def _has_come(port: Mapping[str, Any]) -> bool:
    """Whether the port's NIC is there, under the name that the plan knows."""
    name = interface_of(port, Path("/sys"))
    return name is not None and name == (port["interface"] or name)


def _wants(port: Mapping[str, Any]) -> bool:
    return nic_tuning.wants_something(port) if "nic" in port else irq_affinity.wants_something(port)


def notify(state: str) -> None:
    """Tell systemd, where it started us (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
            told.connect("\0" + address[1:] if address.startswith("@") else address)
            told.send(state.encode())


def _say(sentence: str) -> None:
    """A line for the journal."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def main(root: Path = Path("/")) -> int:
    """Run the service."""
    watch = Watch(root)
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(woken)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: watch.end())
    signal.signal(signal.SIGHUP, lambda *_: watch.reload())
    try:
        watch.run(wake)
    except (HostError, OSError, json.JSONDecodeError) as error:
        _say(f"capstan-host: {error}")
        return 1
    return 0
