/* SPDX-License-Identifier: Apache-2.0 */
/** @file A walk through targets in the order of their ids: those of a list, or of a set and what was changed in it. */
#ifndef CAPSTAN_TARGET_WALK_H
#define CAPSTAN_TARGET_WALK_H

#include "target.h"

#include <stddef.h>
#include <string.h>

/** Both arrays are ordered by id, and borrowed. */
struct cap_target_walk {
	const struct cap_target *targets, *added;
	unsigned count, added_count;
	const uint64_t *gone; /**< bit i: targets[i] is passed over; NULL: none is */
	unsigned at, added_at;
	unsigned total; /**< targets that it passes */
	uint64_t terms; /**< of all of them */
};

static inline bool cap_target_is_gone(const uint64_t *gone, unsigned number)
{
	return gone && gone[number / 64] >> number % 64 & 1;
}

/** @return the next target, or NULL behind the last */
static inline const struct cap_target *cap_target_walk_next(struct cap_target_walk *walk)
{
	const struct cap_target *next, *added;

	while (walk->at < walk->count && cap_target_is_gone(walk->gone, walk->at))
		walk->at++;
	next = walk->at < walk->count ? &walk->targets[walk->at] : NULL;
	added = walk->added_at < walk->added_count ? &walk->added[walk->added_at] : NULL;
	if (added && (!next || memcmp(added->id, next->id, CAP_TARGET_ID_LEN) < 0)) {
		walk->added_at++;
		return added;
	}
	walk->at += next != NULL;
	return next;
}

/** @return the first of @p targets from @p from on whose id is not below @p id */
static inline unsigned cap_target_not_below(const struct cap_target *targets, unsigned from,
					    unsigned count, const uint8_t *id)
{
	while (from < count) {
		const unsigned middle = from + (count - from) / 2;

		if (memcmp(targets[middle].id, id, CAP_TARGET_ID_LEN) < 0)
			from = middle + 1;
		else
			count = middle;
	}
	return from;
}

/** @return the target with an id among those that are still to come, or NULL */
static inline const struct cap_target *cap_target_walk_find(struct cap_target_walk walk,
							    const uint8_t *id)
{
	const struct cap_target *found;

	walk.at = cap_target_not_below(walk.targets, walk.at, walk.count, id);
	walk.added_at = cap_target_not_below(walk.added, walk.added_at, walk.added_count, id);
	found = cap_target_walk_next(&walk);
	return found && !memcmp(found->id, id, CAP_TARGET_ID_LEN) ? found : NULL;
}

#endif
