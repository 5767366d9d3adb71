"""Programs of others that read capture files, and what each says of the packets in one: all in the same form."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import programs
from readers import tcpdump, tshark

NANOSECOND, MICROSECOND = 1, 1000
_DEBIANS_PYTHON = "/usr/bin/python3"


class Packet(NamedTuple):
    """What a reader says of one packet."""

    time: int
    """Nanoseconds since the epoch."""
    length: int
    """On the wire."""
    present: int
    """Bytes of it in the file."""


@dataclass(frozen=True)
class Reader:
    """A program, and how finely it tells the time of a packet."""

    name: str
    read: Callable[[Path, Path], list[Packet]]
    """Of a file, with a directory for what it writes."""
    unit: int = NANOSECOND


def _nanoseconds(text: str) -> int:
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0"))


def _by_tshark(path: Path, _: Path | None = None) -> list[Packet]:
    rows = tshark(path, "frame.time_epoch", "frame.len", "frame.cap_len")
    return [Packet(_nanoseconds(time), int(length), int(present)) for time, length, present in rows]


def _by_tcpdump(path: Path, _: Path) -> list[Packet]:
    # Bytes present it tells by printing them.
    packets: list[Packet] = []
    for line in tcpdump(path, "--nano", "-tt", "-e", "-xx"):
        if line.startswith("\t0x"):
            last = packets[-1]
            packets[-1] = last._replace(present=last.present + len(line.split(":", 1)[1].replace(" ", "")) // 2)
        elif found := re.match(r"(\d+\.\d+) .*?, length (\d+): ", line):
            packets.append(Packet(_nanoseconds(found[1]), int(found[2]), 0))
    return packets


def _written_by(*words: str) -> Callable[[Path, Path], list[Packet]]:
    """What is in the file that a program of Wireshark's writes of another; `IN` and `OUT` stand for the two."""

    def read(path: Path, place: Path) -> list[Packet]:
        out = place / "out"
        programs.run(*({"IN": path, "OUT": out}.get(word, word) for word in words))
        return _by_tshark(out)

    return read


def _by_script(python: str, script: str) -> Callable[[Path, Path], list[Packet]]:
    """A library of Python's, in a process where nothing of the tests is in its way."""

    def read(path: Path, _: Path) -> list[Packet]:
        lines = programs.run(python, "-I", "-c", script, path).stdout.splitlines()
        return [Packet(*map(int, line.split())) for line in lines]

    return read


_PYTHON_PCAPNG = """
import sys
from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket
with open(sys.argv[1], "rb") as file:
    for block in FileScanner(file):
        if isinstance(block, EnhancedPacket):
            assert block.interface.timestamp_resolution == 1e-9
            print((block.timestamp_high << 32) | block.timestamp_low, block.packet_len, block.captured_len)
"""

_SCAPY = """
import sys
from scapy.utils import RawPcapNgReader
for data, about in RawPcapNgReader(sys.argv[1]):
    assert about.tsresol == 10**9
    print((about.tshigh << 32) | about.tslow, about.wirelen, len(data))
"""


def tracesplit(source: str, out: Path) -> list[Packet]:
    """What libtrace's splitter makes of a source, as a pcap file."""
    programs.run("tracesplit", "-Z", "none", source, f"pcapfile:{out}")
    return _by_tshark(out)


def _by_libtrace(path: Path, place: Path) -> list[Packet]:
    return tracesplit(f"pcap:{path}", place / "split.pcap")


READERS = (
    Reader("tcpdump", _by_tcpdump),
    Reader("tshark", _by_tshark),
    Reader("editcap to pcapng", _written_by("editcap", "-F", "pcapng", "IN", "OUT")),
    Reader("editcap to pcap with nanoseconds", _written_by("editcap", "-F", "nsecpcap", "IN", "OUT")),
    Reader("editcap to pcap", _written_by("editcap", "-F", "pcap", "IN", "OUT"), MICROSECOND),
    Reader("mergecap", _written_by("mergecap", "-w", "OUT", "IN")),
    Reader("reordercap", _written_by("reordercap", "IN", "OUT")),
    Reader("python-pcapng", _by_script(sys.executable, _PYTHON_PCAPNG)),
    Reader("scapy", _by_script(_DEBIANS_PYTHON, _SCAPY)),
    Reader("libtrace", _by_libtrace, MICROSECOND),
)


def coarse(packets: Iterable[Packet], unit: int) -> list[Packet]:
    """The same with times cut to a unit of so many nanoseconds."""
    return [packet._replace(time=packet.time - packet.time % unit) for packet in packets]
