"""Targets that the traffic hits, the peers' descriptions, and stenotype's files."""

from __future__ import annotations

import json
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest
from benchmarks import peers, stenotype
from benchmarks.errors import BenchmarkError
from benchmarks.targets import hits, hitting, hosts, write_filter, write_targets
from benchmarks.traffic import FLOWS

WORDS = {"input": "i", "output": "o", "filter": "f", "interface": "x", "folder": "d", "core": 1}
ENTRY = '[[peer]]\ntool = "t"\npackage = "p"\nprogram = "sh"\n'


@pytest.mark.parametrize("count", [1, 100, 1000, 100_000])
def test_hosts_are_different_and_one_in_a_hundred_is_in_the_traffic(count: int) -> None:
    chosen = set(hosts(count))
    traffic = {str(ip_address("198.18.0.0") + flow) for flow in range(FLOWS)}
    assert len(chosen) == count
    assert len(chosen & traffic) == hitting(count) == min(count, 655)


@pytest.mark.parametrize("packets", [0, 1, 500, FLOWS, FLOWS + 98, 3 * FLOWS + 40_000])
def test_hits_are_counted_as_the_generator_makes_them(packets: int) -> None:
    chosen = set(hosts(1000))
    sources = (str(ip_address("198.18.0.0") + number % FLOWS) for number in range(packets))
    assert hits(1000, packets) == sum(source in chosen for source in sources)


def test_a_filter_and_a_set_of_targets_name_the_same_hosts(tmp_path: Path) -> None:
    expression = write_filter(tmp_path / "filter", 50).read_text()
    targets = json.loads(write_targets(tmp_path / "targets", 50).read_text())["targets"]
    assert expression.split(" or ") == [f"host {target['prefixes'][0]}" for target in targets[:-1]] + [
        f"host {targets[-1]['prefixes'][0]}\n"
    ]
    assert len({target["id"] for target in targets}) == 50


def test_every_command_of_a_peer_can_be_filled_in() -> None:
    for peer in peers.read([peers.OWN]):
        assert peer.file or peer.live
        for command in (peer.file, peer.hosts, peer.live, peer.primary):
            assert "{" not in " ".join(peers.filled(command, **WORDS))


def test_a_peer_of_ones_own_is_one_more(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(ENTRY + 'live = ["t", "{interface}"]\n')
    mine = peers.read([peers.OWN, tmp_path / "mine.toml"])[-1]
    assert (mine.tool, mine.live, mine.installed, mine.version) == ("t", ("t", "{interface}"), True, None)


@pytest.mark.parametrize(
    ("text", "told"), [("x", "mine.toml"), (ENTRY + "speed = 9\n", "speed is unknown"), ("[[peer]]\n", "is missing")]
)
def test_a_description_that_is_wrong_is_told(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(BenchmarkError, match=told):
        peers.read([tmp_path / "mine.toml"])


def test_packets_of_stenotype_are_read_out_of_its_blocks(tmp_path: Path) -> None:
    frames = [bytes([number]) * (60 + number) for number in range(3)]
    packets = b""
    for frame in frames:
        step = 48 + len(frame)
        packets += struct.pack("<IIIIIIHH", step, 7, 9, len(frame), len(frame), 0, 48, 62).ljust(48, b"\0") + frame
    block = struct.pack("<IIIIII", 2, 48, 1, len(frames), 48, 48 + len(packets)).ljust(48, b"\0") + packets
    (tmp_path / "in").write_bytes(block.ljust(1 << 20, b"\0") + bytes(1 << 20) + b"cut")
    out = stenotype.convert([tmp_path / "in"], tmp_path / "out.pcap").read_bytes()
    assert out[24:] == b"".join(struct.pack("<IIII", 7, 9, len(frame), len(frame)) + frame for frame in frames)
