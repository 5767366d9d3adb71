// SPDX-License-Identifier: Apache-2.0
#include "crc32.h"

#include <endian.h>
#include <string.h>

#include "crc32_table.h"

static uint32_t load32(const uint8_t *bytes)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof(word));
	return le32toh(word);
}

/* The effect of four bytes that have @p zeros more bytes behind them in the same step. */
static uint32_t slice(uint32_t word, unsigned int zeros)
{
	return crc32_table[zeros + 3][word & 0xff] ^ crc32_table[zeros + 2][(word >> 8) & 0xff] ^
	       crc32_table[zeros + 1][(word >> 16) & 0xff] ^ crc32_table[zeros][word >> 24];
}

uint32_t crc32_update(uint32_t crc, const uint8_t *bytes, size_t length)
{
	crc = ~crc;
	for (; length >= 16; bytes += 16, length -= 16)
		crc = slice(crc ^ load32(bytes), 12) ^ slice(load32(bytes + 4), 8) ^
		      slice(load32(bytes + 8), 4) ^ slice(load32(bytes + 12), 0);
	for (; length >= 4; bytes += 4, length -= 4)
		crc = slice(crc ^ load32(bytes), 0);
	for (; length > 0; bytes++, length--)
		crc = (crc >> 8) ^ crc32_table[0][(crc ^ *bytes) & 0xff];
	return ~crc;
}
