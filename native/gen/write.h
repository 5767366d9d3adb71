/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_WRITE_H
#define CAPSTAN_GEN_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "erf_write.h"
#include "fault.h"
#include "traffic.h"

/** No frame: the value of an unused number in struct damage. */
#define DAMAGE_NONE UINT64_MAX

/**
 * What to do wrong on purpose, for the tests of readers. Frames are given by their numbers.
 */
struct damage {
	bool truncate_last;	 /**< the file ends in the middle of its last frame */
	uint64_t corrupt;	 /**< flip one bit of this frame ... */
	uint32_t corrupt_bit;	 /**< ... counted from its first bit */
	uint64_t drop_a, drop_b; /**< leave these out, both included */
	uint64_t twice;		 /**< write this one two times */
	uint64_t swap;		 /**< write this one after its successor */
	uint32_t snap;		 /**< keep this many bytes of each frame; 0: all */
	uint64_t garbage;	 /**< give this one's record or block an absurd length */
};

struct write_order {
	const char *path;
	struct traffic traffic;
	uint64_t first, count;
	uint64_t rate; /**< spaces the time stamps, frames a second */
	struct damage damage;
	struct erf_look erf; /**< of a file in that format */
};

struct write_result {
	uint64_t frames, bytes; /**< written, with their damage */
};

/** Writes the file, replacing one that is there. @return 0, or -1 with a sentence */
int write_run(const struct write_order *order, struct write_result *result, struct fault *fault);

#endif
