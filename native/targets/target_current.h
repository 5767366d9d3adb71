/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file How workers come to the newest set without a lock.
 *
 * One thread publishes (target_force.h). Each worker has a reader and takes the newest set behind each
 * rx_burst, before it looks at the packets: then every packet that arrives after a publication is matched
 * against the new set, and none against one older than its burst. While it waits for packets it has none, so that
 * nobody waits for it. A set is freed once each reader has taken a newer one, or left it.
 */
#ifndef CAPSTAN_TARGET_CURRENT_H
#define CAPSTAN_TARGET_CURRENT_H

#include "target_set.h"

#include <stdbool.h>

/** Where the newest set is. Written by the publishing thread alone. */
struct cap_target_current {
	const struct cap_target_set *set; /**< not NULL from before the first worker starts */
};

/** One worker's view; written by that worker alone, but for `current`, which is set before it starts. */
struct cap_target_reader {
	const struct cap_target_current *current; /**< NULL: everything is captured */
	const void *taken; /**< the set that the worker may look at; NULL: none; the reader: any */
};

/**
 * Take the newest set; the one taken before may be gone from here on.
 *
 * @return valid until the next call, or NULL: everything is captured
 */
static inline const struct cap_target_set *cap_target_take(struct cap_target_reader *reader)
{
	const struct cap_target_set *newest;

	if (!reader->current)
		return NULL;
	/* Who publishes sees this, or what is published is seen here: of two such accesses one comes first. */
	if (!reader->taken)
		__atomic_store_n(&reader->taken, reader, __ATOMIC_SEQ_CST);
	newest = __atomic_load_n(&reader->current->set, __ATOMIC_SEQ_CST);
	if (newest != reader->taken)
		__atomic_store_n(&reader->taken, newest, __ATOMIC_RELEASE);
	return newest;
}

/** The worker looks at no set until it takes one. */
static inline void cap_target_leave(struct cap_target_reader *reader)
{
	__atomic_store_n(&reader->taken, NULL, __ATOMIC_RELEASE);
}

/** Publish @p set; the one before stays until each reader has passed it. */
static inline void cap_target_publish(struct cap_target_current *current,
				      const struct cap_target_set *set)
{
	__atomic_store_n(&current->set, set, __ATOMIC_SEQ_CST);
}

/** @return whether the worker can see no set but the newest. The publishing thread. */
static inline bool cap_target_passed(const struct cap_target_reader *reader)
{
	const void *taken = __atomic_load_n(&reader->taken, __ATOMIC_SEQ_CST);

	return !taken || taken == reader->current->set;
}

#endif
