"""Settings that cannot be are refused before anything starts, in one sentence that names the key."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import programs
import pytest
from engine import Engine

REPLAY = {"interface": "memory", "method": "replay", "options": {"generate": {"packets": 10, "size": 64}}}
LIVE = {"interface": "cap0", "method": "af_packet"}
Change = Callable[[dict[str, Any]], None]


def put(path: str, value: Any) -> Change:
    """Give a setting, named by its path, a value."""

    def change(settings: dict[str, Any]) -> None:
        *parents, key = path.split(".")
        at: Any = settings
        for parent in parents:
            at = at[int(parent)] if isinstance(at, list) else at.setdefault(parent, {})
        at[int(key) if isinstance(at, list) else key] = value

    return change


def drop(key: str) -> Change:
    """Leave a setting out."""
    return lambda settings: settings.pop(key)


def ports(*entries: dict[str, Any]) -> Change:
    """Have these ports."""
    return put("ports", [copy.deepcopy(entry) for entry in entries])


def options(method: str, **given: Any) -> Change:
    """Have one port with these options of its method."""
    return ports({"interface": "cap0", "method": method, "options": given})


# What is wrong, and what the sentence must name.
REFUSED: list[tuple[str, Change, list[str]]] = [
    ("unknown key", put("speed", 9), ['unknown key "speed"']),
    ("unknown key that looks empty", put("\t", 9), ["unknown key"]),
    ("unknown key of a port", put("ports.0.filtre", "tcp"), ["ports[0]", "filtre"]),
    ("unknown key of the control socket", put("control.user", "x"), ["control", "user"]),
    ("unknown key of the output", put("output.compress", True), ["output", "compress"]),
    ("unknown key of the buffers", put("buffers.blocks", 9), ["buffers", "blocks"]),
    ("unknown key of the writer", put("writer.threads", 9), ["writer", "threads"]),
    ("another version", put("version", 2), ["version"]),
    ("no version", drop("version"), ["version"]),
    ("version as text", put("version", "1"), ["version"]),
    ("no ledger", drop("ledger"), ["ledger"]),
    ("no control socket", drop("control"), ["control.path"]),
    ("control socket as text", put("control", "/run/x"), ["control"]),
    ("control mode for all", put("control.mode", "0666"), ["control.mode"]),
    ("control mode in decimal", put("control.mode", 432), ["control.mode"]),
    ("control mode that is no number", put("control.mode", "rw"), ["control.mode"]),
    ("no ports", ports(), ["ports"]),
    ("ports as an object", put("ports", {}), ["ports"]),
    ("a port as text", put("ports", ["cap0"]), ["ports[0]"]),
    ("too many ports", ports(*({**REPLAY, "interface": f"m{n}"} for n in range(33))), ["ports"]),
    ("a port twice", ports(REPLAY, REPLAY), ["ports[1].interface", "memory"]),
    ("no interface", ports({"method": "replay"}), ["ports[0].interface"]),
    ("an interface name that is too long", ports({**LIVE, "interface": "x" * 16}), ["ports[0].interface"]),
    ("an interface name with a slash", ports({**LIVE, "interface": "../cap0"}), ["ports[0].interface"]),
    ("an empty interface name", ports({**LIVE, "interface": ""}), ["ports[0].interface"]),
    ("unknown method", ports({**LIVE, "method": "dpdk9"}), ["ports[0].method", "dpdk9"]),
    ("no method", ports({"interface": "cap0"}), ["ports[0].method"]),
    ("no queue", ports({**LIVE, "queues": 0}), ["ports[0].queues"]),
    ("too many queues", ports({**LIVE, "queues": 65}), ["ports[0].queues"]),
    ("queues of a method that has one", ports({**LIVE, "method": "pcap", "queues": 2}), ["ports[0].queues"]),
    ("queues as a fraction", ports({**LIVE, "queues": 1.5}), ["ports[0].queues"]),
    ("a number as truth", ports({**LIVE, "promiscuous": 1}), ["ports[0].promiscuous"]),
    ("a negative core", ports({**LIVE, "cores": [-1]}), ["ports[0].cores[0]"]),
    ("a core far too high", ports({**LIVE, "cores": [0, 99999]}), ["ports[0].cores[1]"]),
    ("cores as a number", ports({**LIVE, "cores": 1}), ["ports[0].cores"]),
    ("a tiny snap length", ports({**LIVE, "snaplen": 33}), ["ports[0].snaplen"]),
    ("a negative snap length", ports({**LIVE, "snaplen": -1}), ["ports[0].snaplen"]),
    ("a snap length beyond all readers", ports({**LIVE, "snaplen": 262145}), ["ports[0].snaplen"]),
    ("a filter that does not compile", ports({**LIVE, "filter": "tcp prot 80"}), ["ports[0]", "filter", "tcp prot 80"]),
    ("an empty filter", ports({**LIVE, "filter": ""}), ["ports[0].filter"]),
    ("a filter as a number", ports({**LIVE, "filter": 80}), ["ports[0].filter"]),
    ("unknown option of af_packet", options("af_packet", mode="copy"), ["ports[0]", "options", "mode"]),
    ("a ring that is not whole blocks", options("af_packet", ring_bytes=(1 << 20) + 4096), ["options.block_bytes"]),
    ("a ring beyond all memory", options("af_packet", ring_bytes=1 << 40), ["options.ring_bytes"]),
    ("an unknown fan-out", options("af_packet", fanout="rollover"), ["options.fanout", "hash"]),
    ("an unknown mode of af_xdp", options("af_xdp", mode="native"), ["options.mode", "zerocopy"]),
    ("frames that are no power of two", options("af_xdp", frames=1000), ["options.frames"]),
    ("a ring larger than its frames", options("af_xdp", frames=512, ring=1024), ["options.ring"]),
    ("a negative time-out", options("pcap", timeout_ms=-5), ["options.timeout_ms"]),
    ("options as a list", ports({**LIVE, "options": []}), ["ports[0]", "options"]),
    ("nothing to replay", options("replay"), ["options", "file", "generate"]),
    ("two things to replay", options("replay", file="x.pcap", generate={}), ["options", "file", "generate"]),
    ("frames too short to generate", options("replay", generate={"size": 41}), ["options.generate.size"]),
    ("one frame of several too short", options("replay", generate={"sizes": [64, 41]}), ["options.generate.sizes"]),
    ("no sizes at all", options("replay", generate={"sizes": []}), ["options.generate.sizes"]),
    ("a size beside sizes", options("replay", generate={"size": 64, "sizes": [64]}), ["size", "sizes"]),
    ("an unknown key of generate", options("replay", generate={"rate": 1}), ["options.generate", "rate"]),
    ("no output directory", put("output.directory", None), ["output.directory"]),
    ("a relative output directory", put("output.directory", "captures"), ["output.directory"]),
    ("a prefix with a slash", put("output.prefix", "../x"), ["output.prefix"]),
    ("a prefix that hides files", put("output.prefix", ".x"), ["output.prefix"]),
    ("files too small", put("output.rotate_bytes", 4096), ["output.rotate_bytes"]),
    ("a negative age", put("output.rotate_seconds", -1), ["output.rotate_seconds"]),
    ("negative free space", put("output.min_free_bytes", -1), ["output.min_free_bytes"]),
    ("an unknown sink", put("output.sink", "kafka"), ["output.sink", "file"]),
    ("an unknown switch", put("output.direct_io", "yes"), ["output.direct_io"]),
    ("blocks that are not whole pages", put("buffers.block_bytes", 524289), ["buffers.block_bytes"]),
    ("blocks too small for a packet", put("buffers.block_bytes", 4096), ["buffers.block_bytes"]),
    ("too few blocks", put("buffers.blocks_per_queue", 3), ["buffers.blocks_per_queue"]),
    ("blocks beyond number", put("buffers.blocks_per_queue", 1 << 62), ["buffers.blocks_per_queue"]),
    ("a flush in no time", put("writer.flush_ms", 0), ["writer.flush_ms"]),
    ("an unknown way to write", put("writer.io", "aio"), ["writer.io", "io_uring"]),
    ("writer cores as text", put("writer.cores", "0-1"), ["writer.cores"]),
]


def settings(place: Path) -> dict[str, Any]:
    """Settings that are right."""
    return copy.deepcopy(Engine(place, REPLAY).settings)


@pytest.mark.parametrize(("change", "named"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
@pytest.mark.parametrize("arguments", [[], ["--check"]], ids=["run", "check"])
def test_settings_that_cannot_be_are_refused(
    change: Change, named: list[str], arguments: list[str], place: Path
) -> None:
    chosen = settings(place)
    change(chosen)
    code, sentence = refuse(place, json.dumps(chosen), *arguments)
    assert code == 2
    assert sentence.startswith(f"{place}/engine.json: ")
    assert all(word in sentence for word in named), sentence
    assert not (place / "ledger").exists()
    assert not (place / "engine.sock").exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[]", "must be an object"),
        ('{"version": 1, "version": 1}', "duplicate"),
        ('{"version": 1} trailing', "not valid JSON"),
        ('{"version": 99999999999999999999999999}', "too big"),
        ('{"version": 1, "netns": "\\ud800"}', "not valid JSON"),
        ('{"version": 1, "netns": "a\\u0000b"}', "not valid JSON"),
        ("\x00\x01\x02", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
    ],
    ids=lambda text: text[:24].encode("unicode_escape").decode(),
)
def test_what_is_not_json_is_refused(text: str, named: str, place: Path) -> None:
    code, sentence = refuse(place, text)
    assert code == 2
    assert f"{place}/engine.json" in sentence
    assert named in sentence


def refuse(place: Path, text: str, *arguments: str) -> tuple[int, str]:
    """Give the engine settings; its exit code, and the one record that it writes."""
    path = place / "engine.json"
    path.write_text(text)
    done = programs.run(programs.engine(), "--config", path, *arguments, check=False)
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    record = json.loads(line)
    assert record["level"] == "error"
    return done.returncode, record["message"]


def test_settings_that_are_right_are_told_so_and_nothing_starts(place: Path) -> None:
    path = place / "engine.json"
    path.write_text(json.dumps(settings(place)))
    done = programs.run(programs.engine(), "--config", path, "--check")
    assert done.stdout == done.stderr == ""
    assert not (place / "ledger").exists()


@pytest.mark.parametrize(
    "words",
    [["--config"], ["--config", "/nonexistent/engine.json"], ["--frobnicate"], ["capture"], [], ["--log", "xml"]],
    ids=" ".join,
)
def test_a_wrong_command_line_is_refused(words: list[str]) -> None:
    done = programs.run(programs.engine(), *words, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


def test_the_engine_describes_itself() -> None:
    assert programs.run(programs.engine(), "--version").stdout.startswith("capstan-engine ")
    methods = json.loads(programs.run(programs.engine(), "--methods", "--json").stdout)
    assert {"pcap", "af_packet", "af_xdp", "replay"} <= {method["name"] for method in methods["methods"]}
    assert "--ledger-layout" in programs.run(programs.engine(), "--help").stdout
