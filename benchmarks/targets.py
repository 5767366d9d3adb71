"""Sets of hosts of which about one packet in a hundred is: the same for every tool."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

from benchmarks.traffic import FLOWS

HIT_SHARE = 0.01
_TRAFFIC = int(IPv4Address("198.18.0.0"))
_ELSEWHERE = int(IPv4Address("10.0.0.0"))
_STRIDE = 97
"""Between neighbours: hits are spread over the addresses, and no two targets are one prefix."""
_ROOM = 1 << 24


def hitting(count: int) -> int:
    """How many of `count` hosts are in the traffic: as many as make 1 % of its packets, if there are that many."""
    return min(count, int(FLOWS * HIT_SHARE))


def hosts(count: int) -> Iterator[str]:
    """Different addresses; the first `hitting` are sources of the traffic, the rest is elsewhere."""
    for number in range(count):
        if number < hitting(count):
            yield str(IPv4Address(_TRAFFIC + number * _STRIDE % FLOWS))
        else:
            yield str(IPv4Address(_ELSEWHERE + number * _STRIDE % _ROOM))


def hits(count: int, packets: int) -> int:
    """How many of the first packets of the traffic are of such a set: capstan-gen takes its flows in turn."""
    rounds, rest = divmod(packets, FLOWS)
    offsets = [number * _STRIDE % FLOWS for number in range(hitting(count))]
    return rounds * len(offsets) + sum(offset < rest for offset in offsets)


def write_targets(path: Path, count: int) -> Path:
    """A set of targets as the engine reads it."""
    targets = [
        {"id": f"00000000-0000-4000-8000-{number:012x}", "prefixes": [host]} for number, host in enumerate(hosts(count))
    ]
    path.write_text(json.dumps({"version": 1, "serial": 1, "targets": targets}))
    return path


def write_filter(path: Path, count: int) -> Path:
    """The same as a filter expression of libpcap, for -F."""
    path.write_text(" or ".join(f"host {host}" for host in hosts(count)) + "\n")
    return path
