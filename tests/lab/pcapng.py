"""Blocks of a pcapng file: what other people's readers do not show."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STATISTICS = 5
PACKET = 6
_COMMENT = 1
_USER_DELIVERED = 8


@dataclass(frozen=True)
class Block:
    """One block of a file in little-endian order."""

    type: int
    body: bytes

    def options(self, fixed: int) -> dict[int, bytes]:
        """Options by their code, behind the block's `fixed` bytes."""
        found, at = {}, fixed
        while at + 4 <= len(self.body):
            code, length = struct.unpack_from("<HH", self.body, at)
            if code == 0:
                break
            found[code] = self.body[at + 4 : at + 4 + length]
            at += 4 + (length + 3) // 4 * 4
        return found


def blocks(path: Path) -> Iterator[Block]:
    """Every block of a file, which must end where its last block ends."""
    content = path.read_bytes()
    at = 0
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        (again,) = struct.unpack_from("<I", content, at + length - 4)
        assert length == again, f"{path}: the block at {at} has two lengths"
        yield Block(kind, content[at + 8 : at + length - 4])
        at += length


def last_statistics(path: Path) -> tuple[str, int]:
    """Comment and packets delivered of the statistics block that ends a file."""
    last = list(blocks(path))[-1]
    assert last.type == STATISTICS
    options = last.options(12)
    return options[_COMMENT].decode(), struct.unpack("<Q", options[_USER_DELIVERED])[0]
