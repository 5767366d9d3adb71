#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""capstan-gen end to end: through a veth between two network namespaces of its own, and into tcpdump.

Usage: smoke.py PATH_OF_CAPSTAN_GEN. Exits 77 (skipped) when not root.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

GEN = sys.argv[1]
SENDER = f"capgen-{os.getpid()}-tx"
RECEIVER = f"capgen-{os.getpid()}-rx"
QUEUES = 2


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def gen(*words: str, status: int = 0) -> tuple[dict, str]:
    """Runs capstan-gen and asserts its exit status; returns its JSON and its stderr."""
    done = subprocess.run([GEN, *words], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout) if "--json" in words else {}, done.stderr


def make_link() -> None:
    queues = ["numtxqueues", str(QUEUES), "numrxqueues", str(QUEUES)]
    for name in (SENDER, RECEIVER):
        run("ip", "netns", "add", name)
        run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    run(
        "ip",
        "link",
        "add",
        "wire0",
        "netns",
        SENDER,
        *queues,
        "type",
        "veth",
        "peer",
        "name",
        "cap0",
        "netns",
        RECEIVER,
        *queues,
    )
    for name, device in ((SENDER, "wire0"), (RECEIVER, "cap0")):
        run("ip", "-n", name, "link", "set", device, "mtu", "9000", "up")


def remove_link() -> None:
    for name in (SENDER, RECEIVER):
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


class Capture:
    """tcpdump on the receiving end, for the time of a `with`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                RECEIVER,
                "tcpdump",
                "-i",
                "cap0",
                "-U",
                "-B",
                "65536",
                "-Z",
                "root",
                "-w",
                str(self.path),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "listening on" in self.process.stderr.readline()
        # tcpdump says so before it has emptied its socket of what came before the filter.
        time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(1)
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=20)


def send(*words: str) -> dict:
    result, _ = gen("send", "--netns", SENDER, "--interface", "wire0", "--json", *words)
    return result


def every_shape_arrives_whole_by_every_method(folder: Path) -> None:
    traffic = [
        ["--size", "imix"],
        ["--size", "86-3000", "--vlan", "5,0x2007", "--flows", "16"],
        ["--shape", "udp6", "--size", "86,1514", "--vlan", "0xf064"],
        ["--shape", "fragments", "--size", "imix"],
        ["--shape", "raw", "--size", "34-1514", "--flows", "4"],
        ["--shape", "raw", "--size", "9014"],
    ]
    stream = 0
    with Capture(folder / "all.pcap"):
        for method in ("af_packet", "xdp"):
            for words in traffic:
                if method == "xdp" and "9014" in words:
                    continue
                stream += 1
                result = send("--method", method, "--count", "500", "--rate", "5000", "--stream", str(stream), *words)
                assert result["method"] == method, result
                assert result["frames"] == 500, result
                assert result["accepted"] == 500, result
                assert result["refused"] == 0, result
    for number in range(1, stream + 1):
        found, _ = gen(
            "check", str(folder / "all.pcap"), "--json", "--stream", str(number), "--first", "0", "--count", "500"
        )
        assert found["distinct"] == 500, found
        assert found["complete"], found


def what_the_link_accepted_is_what_the_receiver_got(_: Path) -> None:
    def received() -> int:
        links = json.loads(run("ip", "-j", "-s", "-n", RECEIVER, "link", "show", "cap0"))
        return links[0]["stats64"]["rx"]["packets"]

    # A receiver in a thread of its own is slower than the sender: its ring overflows.
    run("ip", "netns", "exec", RECEIVER, "sh", "-c", "echo 1 >/sys/class/net/cap0/threaded")
    refused = 0
    for method, flows in (("af_packet", "1"), ("af_packet", "32"), ("xdp", "1"), ("xdp", "32")):
        before = received()
        result = send("--method", method, "--seconds", "0.5", "--flows", flows)
        assert result["accepted"] + result["refused"] == result["frames"], result
        assert not result["disturbed"], result
        assert received() - before == result["accepted"], result
        refused += result["refused"]
    run("ip", "netns", "exec", RECEIVER, "sh", "-c", "echo 0 >/sys/class/net/cap0/threaded")
    assert refused > 0, "no overload came about, so nothing was shown"


def flows_reach_every_queue(_: Path) -> None:
    def packets() -> list[int]:
        lines = run("ip", "netns", "exec", RECEIVER, "ethtool", "-S", "cap0").splitlines()
        counts = dict(line.split(":") for line in lines if "_xdp_packets" in line)
        return [int(counts[f"     rx_queue_{n}_xdp_packets"]) for n in range(QUEUES)]

    for method in ("af_packet", "xdp"):
        if method == "xdp" and len(os.sched_getaffinity(0)) < QUEUES:
            continue
        before = packets()
        send("--method", method, "--count", "2000", "--rate", "20000", "--flows", "64")
        gained = [now - then for now, then in zip(packets(), before, strict=True)]
        assert sum(gained) == 2000, (method, gained)
        assert min(gained) > 200, (method, gained)


def a_pace_is_kept(_: Path) -> None:
    result = send("--rate", "2000", "--seconds", "1")
    # A machine busy with other tests may stall the sender, which then forgets; it never hurries.
    assert 1000 < result["frames"] <= 2001, result


def auto_takes_xdp_only_where_the_peer_does(_: Path) -> None:
    assert send("--count", "1000", "--rate", "1000")["method"] == "af_packet"
    assert send("--count", "1000", "--rate", "5000000")["method"] == "xdp"
    run("ip", "netns", "exec", RECEIVER, "ethtool", "-K", "cap0", "gro", "off")
    try:
        result = send("--count", "1000", "--rate", "5000000")
        assert result["method"] == "af_packet", result
        assert result["first"] == 0, result
        assert result["frames"] == 1000, result
        _, said = gen("send", "--netns", SENDER, "--interface", "wire0", "--method", "xdp", "--count", "5", status=2)
        assert "gro on" in said, said
    finally:
        run("ip", "netns", "exec", RECEIVER, "ethtool", "-K", "cap0", "gro", "on")


def an_interrupt_ends_with_a_report(_: Path) -> None:
    for method in ("af_packet", "xdp"):
        process = subprocess.Popen(
            [
                GEN,
                "send",
                "--netns",
                SENDER,
                "--interface",
                "wire0",
                "--method",
                method,
                "--seconds",
                "60",
                "--rate",
                "1000",
                "--json",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=15)
        result = json.loads(out)
        assert process.returncode == 0, result
        assert result["interrupted"], result
        assert 0 < result["frames"] == result["accepted"], result


def errors_are_one_sentence_with_a_remedy(folder: Path) -> None:
    link = ["--netns", SENDER, "--interface", "wire0"]
    cases = [
        (["send", *link], "--count"),
        (["send", "--netns", SENDER, "--interface", "nix0", "--count", "1"], "ip link"),
        (["send", "--netns", "nix", "--interface", "wire0", "--count", "1"], "ip netns"),
        (["send", *link, "--count", "1", "--size", "20"], "62 bytes"),
        (["send", *link, "--count", "1", "--size", "9100"], "mtu"),
        (["send", *link, "--count", "1", "--size", "5000", "--method", "xdp"], "af_packet"),
        (["send", *link, "--count", "1", "--method", "pigeon"], "af_packet"),
        (["send", *link, "--count", "x"], "whole number"),
        (["send", *link, "--count"], "needs a value"),
        (["send", *link, "--nonsense"], "--help"),
        (["write", str(folder / "x.txt"), "--count", "1"], ".pcapng"),
        (["write", "/nowhere/x.pcap", "--count", "1"], "No such file"),
        (["check"], "file"),
        (["nonsense"], "nonsense"),
    ]
    for words, remedy in cases:
        _, said = gen(*words, status=2)
        assert remedy in said, (words, said)
    found, _ = gen("check", str(folder / "missing.pcap"), "--json", status=2)
    assert found["unreadable"][0]["why"] == "No such file or directory", found


def a_link_that_is_down_is_refused(_: Path) -> None:
    words = ["send", "--netns", SENDER, "--interface", "wire0", "--count", "1"]
    run("ip", "-n", RECEIVER, "link", "set", "cap0", "down")
    _, said = gen(*words, status=2)
    assert "carrier" in said, said
    run("ip", "-n", SENDER, "link", "set", "wire0", "down")
    _, said = gen(*words, status=2)
    assert "ip link set wire0 up" in said, said


def main() -> int:
    if os.geteuid() != 0:
        print("skipped: network namespaces need root")
        return 77
    tests = [
        every_shape_arrives_whole_by_every_method,
        what_the_link_accepted_is_what_the_receiver_got,
        flows_reach_every_queue,
        a_pace_is_kept,
        auto_takes_xdp_only_where_the_peer_does,
        an_interrupt_ends_with_a_report,
        errors_are_one_sentence_with_a_remedy,
        a_link_that_is_down_is_refused,
    ]
    try:
        make_link()
        # Only so do frames from a socket take the receiver's queues, which count them.
        run("ip", "netns", "exec", RECEIVER, "ethtool", "-K", "cap0", "gro", "on")
        run("ip", "netns", "exec", SENDER, "ethtool", "-K", "wire0", "tso", "off")
        with tempfile.TemporaryDirectory(prefix="capstan-gen-") as folder:
            for test in tests:
                test(Path(folder))
                print("holds:", test.__name__.replace("_", " "), flush=True)
    finally:
        remove_link()
    return 0


if __name__ == "__main__":
    sys.exit(main())
