#!/usr/bin/env python3
"""Speaks the engine's protocols and captures nothing: for tests of what surrounds the engine.

Beside the executable lies `script.json`: {"epoch": CLOCK_MONOTONIC, "rate": packets a second, "runs": [{...}, ...]}.
Run n behaves as runs[n] says, the last entry for all later ones:

    crash    seconds of capture before it kills itself     hang    seconds of capture before it stops to breathe
    refuse   sentence with which it fails to start         mute    never begins to capture
    slow     seconds that a clean stop takes                deaf    ignores every wish to stop
    degraded sentences of its port                          quit    seconds of capture before it exits with code 4
    own_nic  the NIC is reset with each engine: it counts from arm on, and nothing while no engine runs

Its "NIC" counts from the epoch on, with or without an engine: arrived = (now - epoch) * rate. By names of its own it
counts what it received as "good", and every tenth of that as "missed_by_card".
"""

import ctypes
import json
import mmap
import os
import signal
import socket
import struct
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

FIELDS = [
    ("interface", 0, "char[16]", "label", None, None),
    ("method", 16, "char[16]", "label", None, None),
    ("queue", 32, "u32", "label", None, None),
    ("cpu", 36, "i32", "label", None, None),
    ("wire_packets", 64, "u64", "wire", "kernel", "packets"),
    ("received_packets", 72, "u64", "received", "engine", "packets"),
    ("sieved", 80, "u64", "filtered", "engine", "packets"),
    ("ring_overrun", 88, "u64", "drop", "kernel", "packets"),
    ("shelf_full", 96, "u64", "drop", "engine", "packets"),
    ("delivered_packets", 104, "u64", "delivered", "engine", "packets"),
    ("delivered_bytes", 112, "u64", "info", None, "bytes"),
    ("nic_rx_packets", 120, "u64", "info", None, "packets"),
    ("nic_rx_at_arm", 128, "u64", "info", None, "packets"),
    ("nic_life", 144, "u64", "info", None, "flag"),
]
OFFSETS = {name: offset for name, offset, *_ in FIELDS}
HEADER = {
    "magic": 0,
    "version": 8,
    "pid": 12,
    "queues": 16,
    "state": 20,
    "started_realtime_ns": 24,
    "heartbeat_monotonic_ns": 32,
    "ports": 40,
}
HEADER_TYPES = {"magic": "char[8]", "started_realtime_ns": "u64", "heartbeat_monotonic_ns": "u64"}
HEADER_SIZE, STRIDE = 256, 192
DEVICE_FIELDS = [("interface", 0, "char[16]"), ("used", 16, "u32"), ("left_out", 24, "u64")]
SLOT_FIELDS = [("name", 0, "char[16]"), ("value", 16, "u64"), ("loss", 24, "u64")]
SLOTS_AT, SLOT_STRIDE, DEVICE_STRIDE = 32, 32, 96
SLOTS = {"good": 0, "missed_by_card": 1}
NO_CHANGE = {"added": 0, "removed": 0, "changed": 0}
STATES = ["starting", "capturing", "stopping", "stopped", "failed"]


def layout() -> dict:
    fields = [
        {k: v for k, v in zip(("name", "offset", "type", "role", "stage", "unit"), field, strict=True) if v is not None}
        for field in FIELDS
    ]
    header = [{"name": n, "offset": o, "type": HEADER_TYPES.get(n, "u32"), "role": "header"} for n, o in HEADER.items()]
    return {
        "version": 1,
        "magic": "CAPLEDGR",
        "byte_order": "little",
        "header": {"size": HEADER_SIZE, "fields": header},
        "states": {str(number): name for number, name in enumerate(STATES)},
        "queue": {"stride": STRIDE, "fields": fields},
        "device": {
            "stride": DEVICE_STRIDE,
            "fields": [{"name": n, "offset": o, "type": t} for n, o, t in DEVICE_FIELDS],
            "counters": {
                "offset": SLOTS_AT,
                "stride": SLOT_STRIDE,
                "slots": len(SLOTS),
                "fields": [{"name": n, "offset": o, "type": t} for n, o, t in SLOT_FIELDS],
            },
        },
    }


def log(level: str, event: str, message: str) -> None:
    record = {"time": datetime.now(UTC).isoformat(), "level": level, "event": event, "message": message}
    print(json.dumps(record), file=sys.stderr, flush=True)


class Ledger:
    def __init__(self, path: Path, interfaces: list[str]) -> None:
        fresh = path.with_suffix(".new")
        self.devices = HEADER_SIZE + STRIDE * len(interfaces)
        size = self.devices + DEVICE_STRIDE * len(interfaces)
        fresh.write_bytes(bytes(size))
        with fresh.open("r+b") as stream:
            self.memory = mmap.mmap(stream.fileno(), size)
        self.memory[0:8] = b"CAPLEDGR"
        for name, value in (
            ("version", 1),
            ("pid", os.getpid()),
            ("queues", len(interfaces)),
            ("ports", len(interfaces)),
        ):
            struct.pack_into("=I", self.memory, HEADER[name], value)
        struct.pack_into("=Q", self.memory, HEADER["started_realtime_ns"], time.time_ns())
        for index, interface in enumerate(interfaces):
            base = HEADER_SIZE + STRIDE * index
            self.memory[base : base + len(interface)] = interface.encode()
            self.memory[base + 16 : base + 20] = b"fake"
            device = self.devices + DEVICE_STRIDE * index
            self.memory[device : device + len(interface)] = interface.encode()
        fresh.rename(path)

    def state(self, name: str) -> None:
        struct.pack_into("=I", self.memory, HEADER["state"], STATES.index(name))

    def breathe(self) -> None:
        struct.pack_into("=Q", self.memory, HEADER["heartbeat_monotonic_ns"], time.monotonic_ns())

    def put(self, **values: int) -> None:
        for name, value in values.items():
            struct.pack_into("=Q", self.memory, HEADER_SIZE + OFFSETS[name], value)

    def count(self, **values: int) -> None:
        """Counters of the first port's device."""
        struct.pack_into("=I", self.memory, self.devices + 16, len(SLOTS))
        for name, value in values.items():
            slot = self.devices + SLOTS_AT + SLOT_STRIDE * SLOTS[name]
            self.memory[slot : slot + len(name)] = name.encode()
            struct.pack_into("=QQ", self.memory, slot + 16, value, "missed" in name)


def main() -> int:
    if "--ledger-layout" in sys.argv:
        print(json.dumps(layout()))
        return 0
    here = Path(sys.argv[0]).parent
    if "--targets" in sys.argv:
        change = json.load(sys.stdin)
        (here / "change").write_text(json.dumps(change))
        print(json.dumps({"ok": True, "dry_run": False, "serial": 1, "count": len(change["add"]), **NO_CHANGE}))
        return 0
    config = json.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
    if "--check" in sys.argv:
        for port in config["ports"]:
            if port.get("filter") == "not a filter":
                log("error", "config", "ports[0].filter: syntax error in filter expression")
                return 2
        return 0
    script = json.loads((here / "script.json").read_text())
    count = here / "runs"
    number = int(count.read_text()) if count.exists() else 0
    count.write_text(str(number + 1))
    behaviour = script["runs"][min(number, len(script["runs"]) - 1)]
    if "refuse" in behaviour:
        log("error", "setup", behaviour["refuse"])
        return 3

    if "netns" in config:
        descriptor = os.open(config["netns"], os.O_RDONLY)
        assert ctypes.CDLL(None).setns(descriptor, 0x40000000) == 0

    stop = False

    def ask_to_stop(*_: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour.get("deaf") else ask_to_stop)
    control = Path(config["control"]["path"])
    control.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(control))
    server.listen()
    server.settimeout(0.02)
    interface = config["ports"][0]["interface"]
    ledger = Ledger(Path(config["ledger"]), [port["interface"] for port in config["ports"]])
    ledger.breathe()

    def arrived() -> int:
        return int((time.monotonic() - script["epoch"]) * script["rate"])

    armed = arrived()
    own_nic = bool(behaviour.get("own_nic"))
    at_arm = 0 if own_nic else armed
    ledger.put(nic_rx_at_arm=at_arm, nic_life=2 if own_nic else 1)
    began = time.monotonic()
    if not behaviour.get("mute"):
        ledger.state("capturing")
    log("info", "capturing", f"capturing on {interface}")

    def count_up(pending: int, ring: int) -> None:
        wire = arrived() - armed
        received = max(0, wire - ring - wire // 100)  # one in a hundred is overrun in the ring
        sieved, full = received // 10, received // 50
        delivered = max(0, received - sieved - full - pending)
        ledger.put(
            nic_rx_packets=at_arm + wire, wire_packets=max(0, wire - ring), received_packets=received, sieved=sieved,
            shelf_full=full, ring_overrun=wire // 100, delivered_packets=delivered, delivered_bytes=delivered * 64,
        )  # fmt: skip
        ledger.count(good=wire, missed_by_card=wire // 10)

    while not stop or behaviour.get("deaf"):
        ran = time.monotonic() - began
        if ran < behaviour.get("hang", 1e9):
            ledger.breathe()
            count_up(pending=7, ring=5)
        if ran > behaviour.get("crash", 1e9):
            os.kill(os.getpid(), signal.SIGKILL)
        if ran > behaviour.get("quit", 1e9):
            ledger.state("failed")
            log("error", "failed", "the port went up in smoke")
            return 4
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        with connection, connection.makefile("rwb") as stream:
            command = json.loads(stream.readline())["cmd"]
            answer = {"ok": True}
            if command == "stop" and not behaviour.get("deaf"):
                stop = True
            if command == "status":
                port = {
                    "interface": interface, "method": "fake", "effective_mode": "fake mode", "filter": None,
                    "filter_in": "none", "link": "up", "queues": 1, "degraded": behaviour.get("degraded", []),
                }  # fmt: skip
                if "targets" in config:
                    held = len(json.loads((here / "change").read_text())["add"])
                    answer["targets"] = {"count": held, "active": held, "serial": 1, "file_is_behind": False}
                answer |= {"pid": os.getpid(), "state": "capturing", "ports": [port], "output": {"open_files": []}}
            stream.write(json.dumps(answer).encode() + b"\n")
    ledger.state("stopping")
    time.sleep(behaviour.get("slow", 0))
    count_up(pending=0, ring=0)
    name = Path(config["output"]["directory"]) / f"capstan-{interface}-q0-{time.time_ns()}.pcapng"
    name.write_bytes(b"")
    ledger.state("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
