/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The targets in force, as one immutable set that workers match bursts against.
 *
 * A change makes a new set beside the old one and publishes it; each worker takes the newest at its next
 * burst. No lock: the old set is freed once every worker has been seen past it (target_force.h).
 */
#ifndef CAPSTAN_TARGET_SET_H
#define CAPSTAN_TARGET_SET_H

#include "error.h"
#include "target.h"

#include <stddef.h>

struct cap_target_set;
struct cap_target_index;

/**
 * Build a set. Any thread but a worker's.
 *
 * @param targets copied; valid (target_file.h checks them)
 * @return 0 with *set to be freed by cap_target_set_free, or negative errno with a sentence
 */
int cap_target_set_build(const struct cap_target *targets, unsigned count,
			 struct cap_target_set **set, struct cap_error *err);
void cap_target_set_free(struct cap_target_set *set);

unsigned cap_target_set_count(const struct cap_target_set *set);

/** Bytes that the set takes. */
size_t cap_target_set_memory(const struct cap_target_set *set);

/** Target @p index of the set, borrowed; those behind it follow, as in an array. */
const struct cap_target *cap_target_set_at(const struct cap_target_set *set, unsigned index);

/** How the set's targets are found by what a packet shows. */
const struct cap_target_index *cap_target_set_index(const struct cap_target_set *set);

#endif
