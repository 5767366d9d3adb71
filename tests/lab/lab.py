"""A capture port and the wire into it: the veth lab of the package capstan, and what tests do to its link."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import programs
from traffic import GENTLE, SMALL, Sent, Shape
from waiting import wait_until

from capstan import lab as veth

_OFFLOADS = ("gro", "gso", "tso", "sg", "rx", "tx", "rxvlan", "txvlan")
_CPU = "0"


class Background:
    """Traffic that goes on while the test does something else."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def running(self) -> bool:
        """Whether there is more to come."""
        return self._process.poll() is None

    def finish(self) -> Sent:
        """Wait for the end of the traffic."""
        out, err = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, err
        return Sent.parse(json.loads(out))

    def end(self) -> Sent:
        """End the traffic before its time."""
        self._process.send_signal(signal.SIGINT)
        return self.finish()

    def abandon(self) -> None:
        """Leave no process behind, whatever became of the test."""
        if self.running():
            self._process.kill()
            self._process.communicate()


class Lab:
    """Two namespaces and the veth between them; no other traffic than the test's own is on it."""

    interface = veth.RECEIVER

    def __init__(self, queues: int, tag: str = "") -> None:
        self.queues = queues
        self.name = f"capstan-test-{os.getpid()}-{queues}{tag}"
        self.sender = f"{self.name}-tx"
        self.netns = f"/run/netns/{self.name}"

    def up(self) -> None:
        """Make it."""
        veth.up(self.name, self.queues)

    def down(self) -> None:
        """Remove it, whatever state it is in."""
        veth.down(self.name)

    def send(self, shape: Shape = SMALL, **words: Any) -> Sent:
        """Send frames to their end; `words` are options of capstan-gen."""
        return Sent.parse(json.loads(programs.run(*self._command(shape, words)).stdout))

    @contextmanager
    def sending(self, shape: Shape = SMALL, **words: Any) -> Iterator[Background]:
        """Send frames while something else happens."""
        background = Background(self._command(shape, words))
        try:
            yield background
        finally:
            background.abandon()

    def _command(self, shape: Shape, words: dict[str, Any]) -> list[str]:
        words = {"rate": GENTLE, "method": "af_packet", "stream": 1, **words}
        options = [word for key, value in words.items() for word in (f"--{key}", str(value))]
        # A sender that moves to another CPU may be overtaken by its own frames; by XDP it uses all of them.
        pinned = [] if words["method"] == "xdp" else ["taskset", "-c", _CPU]
        send = [str(programs.generator()), "send", "--netns", self.sender, "--interface", veth.SENDER, "--json"]
        return [*pinned, *send, *shape.words, *options]

    def link(self, *words: object) -> None:
        """Change the receiving interface with `ip link set`."""
        programs.run("ip", "-n", self.name, "link", "set", veth.RECEIVER, *words)

    def offload(self, *words: str) -> None:
        """Change the receiving interface's offloads with `ethtool -K`."""
        programs.run("nsenter", f"--net={self.netns}", "ethtool", "-K", veth.RECEIVER, *words)

    def wire(self, *words: object) -> None:
        """Change the sending interface with `ip link set`."""
        programs.run("ip", "-n", self.sender, "link", "set", veth.SENDER, *words)

    def received(self) -> int:
        """What the receiving interface has counted."""
        answer = programs.run("ip", "-n", self.name, "-j", "-s", "link", "show", veth.RECEIVER)
        count: int = json.loads(answer.stdout)[0]["stats64"]["rx"]["packets"]
        return count

    def promiscuity(self) -> int:
        """How many want the receiving interface promiscuous."""
        answer = programs.run("ip", "-n", self.name, "-d", "-j", "link", "show", self.interface)
        count: int = json.loads(answer.stdout)[0]["promiscuity"]
        return count

    def remove_link(self) -> None:
        """Take the interface away; the namespaces stay."""
        programs.run("ip", "-n", self.name, "link", "del", veth.RECEIVER)

    def make_link(self) -> None:
        """Make an interface of the same name anew."""
        ends = ("mtu", veth.MTU, "numrxqueues", self.queues, "numtxqueues", self.queues)
        peer = ("peer", "name", veth.SENDER, "netns", self.sender)
        programs.run("ip", "link", "add", veth.RECEIVER, "netns", self.name, *ends, "type", "veth", *peer, *ends)
        for netns, interface in ((self.name, veth.RECEIVER), (self.sender, veth.SENDER)):
            off = [word for name in _OFFLOADS for word in (name, "off")]
            programs.run("nsenter", f"--net=/run/netns/{netns}", "ethtool", "-K", interface, *off)
            programs.run("ip", "-n", netns, "link", "set", interface, "up")
        self.await_carrier()

    def await_carrier(self) -> None:
        """Wait until both ends carry."""
        for netns, interface in ((self.name, veth.RECEIVER), (self.sender, veth.SENDER)):
            show = ("ip", "-n", netns, "-j", "link", "show", interface)
            wait_until(lambda: '"operstate":"UP"' in programs.run(*show).stdout, f"{interface} is up")  # noqa: B023
