/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_SIZES_H
#define CAPSTAN_GEN_SIZES_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"

/** The longest list of sizes a mix can cycle through. */
#define SIZES_MAX 64

/** The largest frame: a jumbo of MTU 9000 with room for two VLAN tags and then some. */
#define FRAME_MAX 9216

/**
 * Which size the frame of a number has. A pure function of the number, so that a stream can be
 * continued, repeated and checked without state. Sizes are in bytes and never include the FCS.
 */
struct size_mix {
	unsigned int count;	    /**< sizes cycled through; 0: a range */
	uint16_t cycle[SIZES_MAX];  /**< the sizes, in order, when count is not 0 */
	uint16_t smallest, largest; /**< bounds, both included; the range when count is 0 */
	bool may_grow;		    /**< "imix": its small frames grow to what the shape needs */
};

/**
 * Reads "64", "64,512,1514", "60-1514" (evenly spread) or "imix" (7 x 64, 4 x 570, 1 x 1514).
 * @return 0, or -1 with a sentence
 */
int size_mix_parse(const char *text, struct size_mix *mix, struct fault *fault);

/** Raises every size below @p minimum to it. */
void size_mix_raise(struct size_mix *mix, uint16_t minimum);

/** @return the size of frame @p number in bytes */
uint16_t size_mix_at(const struct size_mix *mix, uint64_t number);

#endif
