"""The files of stenotype: blocks of the kernel's packet ring (TPACKET_V3), as linux/if_packet.h describes them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

_BLOCK = 1 << 20
_HEAD = struct.Struct("<IIIIII")  # version, offset_to_priv, block_status, num_pkts, offset_to_first_pkt, blk_len
_PACKET = struct.Struct("<IIIIIIHH")  # next_offset, sec, nsec, snaplen, len, status, mac, net
_PCAP = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)
_RECORD = struct.Struct("<IIII")


def convert(files: Iterable[Path], output: Path) -> Path:
    """Write their packets as pcap with nanoseconds."""
    with output.open("wb") as to:
        to.write(_PCAP)
        for file in sorted(files):
            content = file.read_bytes()
            for block in range(0, len(content) - _BLOCK + 1, _BLOCK):
                to.writelines(_packets(content, block))
    return output


def _packets(content: bytes, block: int) -> Iterable[bytes]:
    _, _, _, count, first, _ = _HEAD.unpack_from(content, block)
    at = block + first
    for _ in range(count):
        step, seconds, nanoseconds, kept, length, _, mac, _ = _PACKET.unpack_from(content, at)
        yield _RECORD.pack(seconds, nanoseconds, kept, length)
        yield content[at + mac : at + mac + kept]
        at += step
