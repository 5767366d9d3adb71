#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the slicing tables of CRC-32 (IEEE 802.3, reflected) as a C initialiser.

Table k, entry b is the effect of byte b when k more zero bytes follow it.
"""

POLYNOMIAL = 0xEDB88320
SLICES = 16


def after_zero_byte(crc: int) -> int:
    """Carry @crc through one more byte of zeros."""
    for _ in range(8):
        crc = (crc >> 1) ^ (POLYNOMIAL if crc & 1 else 0)
    return crc


row = [after_zero_byte(byte) for byte in range(256)]
print(f"static const uint32_t crc32_table[{SLICES}][256] = {{")
for _ in range(SLICES):
    print("\t{ " + ", ".join(f"0x{entry:08x}u" for entry in row) + " },")
    row = [after_zero_byte(entry) for entry in row]
print("};")
