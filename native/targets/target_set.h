/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The targets in force, as one immutable set that workers match bursts against.
 *
 * A change makes a new set beside the old one and publishes it; each worker takes the newest at its next
 * burst. No lock: the old set is freed once every worker has been seen past it (target_force.h).
 *
 * A set has one part with an index of all its targets; or shares that of the set before, marks which of them are
 * gone, and has those that were added since in a second, small part: then a change costs what it changes, and
 * packets are looked up twice until the parts are merged.
 */
#ifndef CAPSTAN_TARGET_SET_H
#define CAPSTAN_TARGET_SET_H

#include "error.h"
#include "target_index.h"
#include "target_walk.h"

#include <stddef.h>

#define CAP_SET_PARTS 2U

/** Targets that were indexed together, ordered by id where the set's are. */
struct cap_set_part {
	struct cap_target *targets;
	unsigned count;
	uint8_t *lists; /**< all of the targets' lists and notes, one after the other */
	size_t lists_size;
	struct cap_target_index index;
	unsigned sets; /**< that have it */
};

/** Read it by what is declared below. */
struct cap_target_set {
	struct cap_set_part *parts[CAP_SET_PARTS]; /**< the second: what was added since, or NULL */
	uint64_t *gone;	 /**< bit i: target i of the first part was removed since; NULL: none was */
	uint32_t *ranks; /**< how many of the first part come before each of the second */
	unsigned gone_count;
	uint64_t terms; /**< prefixes, ranges, addresses and VLAN ids of all its targets */
};

/**
 * Where both parts have targets, a position is how many of the first part come before, and behind these bits the
 * number in the second part, or all ones of a target of the first: so they ascend as ids do.
 */
#define CAP_SET_ADDED_BITS 13U
#define CAP_SET_FIRST_PART ((1U << CAP_SET_ADDED_BITS) - 1)
_Static_assert((uint64_t)(CAP_MAX_TARGETS + 1ULL) << CAP_SET_ADDED_BITS <= 1ULL << 32,
	       "a position has 32 bits");

/**
 * Build a set of one part. Any thread but a worker's.
 *
 * @param targets copied; valid (target_file.h checks them)
 * @return 0 with *set to be freed by cap_target_set_free, or negative errno with a sentence
 */
int cap_target_set_build(const struct cap_target *targets, unsigned count,
			 struct cap_target_set **set, struct cap_error *err);

/**
 * Make the set that @p before becomes by a change. Sets that share a part are made and freed by one thread.
 *
 * @param before ordered by id
 * @param added,removed ordered by id; the removed ones are those of @p before. A target that is changed is in both
 * @param most where more of a first part are gone, or more than that were added to it, the set is built of one part
 * @return as cap_target_set_build
 */
int cap_target_set_change(const struct cap_target_set *before,
			  const struct cap_target *const *added, unsigned added_count,
			  const struct cap_target *const *removed, unsigned removed_count,
			  unsigned most, struct cap_target_set **set, struct cap_error *err);

/** Build the same set of one part. Any thread but a worker's; @p set outlives the call. */
int cap_target_set_merge(const struct cap_target_set *set, struct cap_target_set **merged,
			 struct cap_error *err);

void cap_target_set_free(struct cap_target_set *set);

/** Bytes that the set takes. */
size_t cap_target_set_memory(const struct cap_target_set *set);

/** Through all of the set's targets. */
struct cap_target_walk cap_target_set_walk(const struct cap_target_set *set);

static inline bool cap_target_set_is_merged(const struct cap_target_set *set)
{
	return !set->parts[1] && !set->gone;
}

static inline unsigned cap_target_set_count(const struct cap_target_set *set)
{
	return set->parts[0]->count - set->gone_count + (set->parts[1] ? set->parts[1]->count : 0);
}

/** @return how a part's targets are found by what a packet shows, or NULL: the set has no such part */
static inline const struct cap_target_index *cap_target_set_index(const struct cap_target_set *set,
								  unsigned part)
{
	return set->parts[part] ? &set->parts[part]->index : NULL;
}

/** @return a target by its number in a part's index, borrowed, or NULL: it was removed since */
static inline const struct cap_target *cap_target_set_find(const struct cap_target_set *set,
							   unsigned part, uint32_t number)
{
	if (part == 0 && cap_target_is_gone(set->gone, number))
		return NULL;
	return &set->parts[part]->targets[number];
}

/** Positions are in the order of the set's targets; those of a set of one part count from 0. */
static inline uint32_t cap_target_set_position(const struct cap_target_set *set, unsigned part,
					       uint32_t number)
{
	if (!set->parts[1])
		return number;
	return part == 0 ? number << CAP_SET_ADDED_BITS | CAP_SET_FIRST_PART :
			   set->ranks[number] << CAP_SET_ADDED_BITS | number;
}

/** The target at a position, borrowed. */
static inline const struct cap_target *cap_target_set_at(const struct cap_target_set *set,
							 uint32_t position)
{
	const uint32_t number = position & CAP_SET_FIRST_PART;

	if (!set->parts[1])
		return &set->parts[0]->targets[position];
	return number == CAP_SET_FIRST_PART ?
		       &set->parts[0]->targets[position >> CAP_SET_ADDED_BITS] :
		       &set->parts[1]->targets[number];
}

#endif
