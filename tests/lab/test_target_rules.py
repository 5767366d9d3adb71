"""The model of the settings and the engine read targets by the same rules: what one takes, the other takes alike."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import programs
import pytest

from capstan.targets import TargetError, parse

ID = "01234567-89ab-cdef-0123-456789abcdef"

# Each is what a target says beside its id; what stands below as bad is refused by both.
GOOD: list[dict[str, Any]] = [
    {"prefixes": ["192.0.2.1"]},
    {"prefixes": ["0.0.0.0/0", "::/0", "255.255.255.255/32", "2001:db8::/48", "2001:DB8:0:0:0:0:0:1"]},
    {"prefixes": ["10.0.0.0/8"], "protocol": "tcp", "ports": [0, 65535, "1-2", "443", "0-65535"]},
    {"prefixes": ["::ffff:0:0:0/96", "::1.2.3.4", "64:ff9b::/96"]},
    {"macs": ["52:54:00:00:00:01", "52-54-00-00-00-0A", "AA:BB:CC:DD:EE:FF"]},
    {"vlans": [0, 4095], "inner_vlans": [7]},
    {"ports": ["53"], "protocol": "udp"},
    {"ports": ["53"], "protocol": 17},
    {"vlans": [1], "protocol": 0},
    {"vlans": [1], "protocol": 255},
    {"vlans": [1], "protocol": "icmpv6"},
    {"vlans": [1], "direction": "both"},
    {"vlans": [1], "direction": "from"},
    {"vlans": [1], "start": "2026-12-01T00:00:00Z", "end": "2026-12-01T00:00:00.000000001Z"},
    {"vlans": [1], "start": "1970-01-01T00:00:00Z"},
    {"vlans": [1], "start": "2024-02-29T23:59:59.5+14:00", "end": "2261-12-31T23:59:59.999999999Z"},
    {"vlans": [1], "start": "1970-01-01T01:00:00+01:00"},
    {"vlans": [1], "note": "Zürich \\ \"7\" €"},
    {"vlans": [1], "note": "x" * 255},
    {"vlans": [1], "prefixes": None, "ports": None, "macs": None, "inner_vlans": None, "protocol": None},
    {"vlans": [1], "direction": None, "start": None, "end": None, "note": None},
]  # fmt: skip

BAD: list[Any] = [
    {},
    7,
    "text",
    {"protocol": "tcp"},
    {"vlans": None},
    {"prefixes": []},
    {"prefixes": "192.0.2.1"},
    {"prefixes": [None]},
    {"prefixes": [3221225985]},
    *({"prefixes": [text]} for text in (
        "", "/", "/24", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/ 24", "192.0.2.0/+24", "192.0.2.0/024",
        "192.0.2.0/255.255.255.0", "192.0.2", "192.0.2.01", "192.0.2.256", " 192.0.2.1", "192.0.2.1 ", "0x7f000001",
        "fe80::1%eth0", "::ffff:192.0.2.7", "::ffff:0:0/96", "::ffff:192.0.2.0/120", "2001:db8::1/32", "2001:db8::/129",
        "2001:db8", ":::", "1::2::3", "host.example", "192.0.2.1/32/32",
        "\u0661\u0669\u0662.0.2.1", "192.0.2.0/\uff12\uff14",
    )),
    *({"ports": [port]} for port in (
        -1, 65536, 80.0, True, None, "", "80-", "-80", "90-80", " 80", "080", "+80", "80 - 90", "http", "1-2-3",
        "65536", "\u0668\u0660", [80],
    )),
    {"ports": [80], "protocol": "icmp"},
    {"ports": [80], "protocol": 1},
    *({"vlans": [vlan]} for vlan in (-1, 4096, "7", 7.0, True, None)),
    {"inner_vlans": []},
    *({"macs": [mac]} for mac in (
        "52:54:00:00:00", "52:54:00:00:00:01:02", "52:54:00:00:00:0g", "525400000001", "52 54 00 00 00 01", 11410, None,
        "5:54:00:00:00:01",
    )),
    *({"vlans": [1], "protocol": protocol} for protocol in ("TCP", "", "6", -1, 256, 6.0, True, ["tcp"])),
    *({"vlans": [1], "direction": direction} for direction in ("in", "", "FROM", 1, True, ["to"])),
    *({"vlans": [1], "start": time} for time in (
        "2026-12-01", "2026-12-01T00:00:00", "2026-12-01 00:00:00Z", "2026-12-01T00:00:00z", "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z", "2026-12-01T24:00:00Z", "2026-12-01T00:60:00Z", "2026-12-01T23:59:60Z",
        "2026-12-01T00:00:00.Z", "2026-12-01T00:00:00.0000000001Z", "2026-12-01T00:00:00+0100",
        "2026-12-01T00:00:00+24:00", "2026-12-01T00:00:00+00:60", "1969-12-31T23:59:59Z", "2262-01-01T00:00:00Z",
        "1970-01-01T00:00:00+01:00", "", 1796083200, True, "\u0662\u0660\u0662\u0666-12-01T00:00:00Z",
    )),
    {"vlans": [1], "end": "1970-01-01T00:00:00Z"},
    {"vlans": [1], "start": "2026-12-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"},
    {"vlans": [1], "start": "2026-12-02T00:00:00Z", "end": "2026-12-01T00:00:00Z"},
    *({"vlans": [1], "note": note} for note in ("", "x" * 256, "é" * 128, "a\nb", "a\x7fb", "a\tb", 7, True, ["x"])),
    {"vlans": [1], "prefix": ["192.0.2.1"]},
    *({"vlans": [1], "id": identity} for identity in (
        None, 7, "", "0123", ID[:-1], ID + "0", ID.replace("-", ""), "{" + ID + "}", ID.replace("a", "g"), " " + ID,
    )),
]  # fmt: skip


def with_id(says: Any) -> Any:
    """A target; what says its own id keeps it."""
    return {"id": ID, **says} if isinstance(says, dict) else says


def engine_takes(place: Path, target: Any) -> tuple[dict[str, Any] | None, str]:
    """What the engine has in force when it is asked for a target, or why it refuses."""
    directory = place / "targets"
    directory.mkdir(exist_ok=True)
    (directory / "targets.json").unlink(missing_ok=True)
    (directory / "log.jsonl").unlink(missing_ok=True)
    done = subprocess.run(
        [str(programs.engine()), "--targets", str(directory), "--change", "-"],
        input=json.dumps({"add": [target]}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return None, done.stderr
    (entry,) = json.loads((directory / "targets.json").read_text())["targets"]
    del entry["origin"]
    return entry, ""


@pytest.mark.parametrize("says", GOOD, ids=lambda says: json.dumps(says)[:60])
def test_what_one_takes_the_other_takes_to_mean_the_same(place: Path, says: dict[str, Any]) -> None:
    entry, refusal = engine_takes(place, with_id(says))
    assert entry is not None, refusal
    (by_model,) = parse([with_id(says)], "x")
    (again,) = parse([entry], "x")
    assert again == by_model
    # And the engine takes the model's own form, to mean the same once more.
    assert engine_takes(place, by_model.as_json())[0] == entry


@pytest.mark.parametrize("says", BAD, ids=lambda says: json.dumps(says)[:60])
def test_what_one_refuses_the_other_refuses(place: Path, says: Any) -> None:
    entry, refusal = engine_takes(place, with_id(says))
    assert entry is None
    assert json.loads(refusal.splitlines()[-1])["message"].startswith(("add[0]", "target")), refusal
    with pytest.raises(TargetError):
        parse([with_id(says)], "x")
