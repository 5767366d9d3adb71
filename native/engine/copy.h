/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Copying a packet. Half of the Internet's packets are shorter than 128 bytes; for those a call of
 * memcpy costs more than the copy.
 */
#ifndef CAPSTAN_COPY_H
#define CAPSTAN_COPY_H

#include <stdint.h>
#include <string.h>

/** From here on the library's copy, which is made for the processor at hand, is the faster one. */
#define CAP_COPY_SHORT 128U

/** Copy @p len bytes. Nothing beyond them is read or written. */
static inline void cap_copy(uint8_t *restrict to, const uint8_t *restrict from, uint32_t len)
{
	const uint8_t *from_end = from + len;
	uint8_t *to_end = to + len;

	/* Two pieces of a fixed length that overlap as far as the packet is shorter. */
	if (len > CAP_COPY_SHORT || len < 16) {
		memcpy(to, from, len);
	} else if (len > 64) {
		memcpy(to, from, 64);
		memcpy(to_end - 64, from_end - 64, 64);
	} else if (len > 32) {
		memcpy(to, from, 32);
		memcpy(to_end - 32, from_end - 32, 32);
	} else {
		memcpy(to, from, 16);
		memcpy(to_end - 16, from_end - 16, 16);
	}
}

#endif
