/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file What follows a change, in a thread of its own while the next may come: the set is built of one part, and
 * targets.json is written. Nobody waits for either: the set is in force, and its changes are in the log.
 */
#ifndef CAPSTAN_TARGET_SETTLE_H
#define CAPSTAN_TARGET_SETTLE_H

#include "target_set.h"
#include "target_store.h"

#include <pthread.h>

struct cap_target_settling {
	const struct cap_target_set *set; /**< in hand; outlives it. NULL: there is none */
	const struct cap_target_store *store;
	uint64_t serial; /**< of the set */
	void (*tell)(void *context);
	void *context;
	pthread_t thread;
	bool done; /**< the thread's, told by `tell` */

	struct cap_target_set
		*merged; /**< NULL: the set was of one part, or `merge_error` says why */
	int merge_error, write_error;
	struct cap_error why; /**< of write_error */
};

/**
 * Begin. None is in hand.
 *
 * @param tell called from the thread when all is done
 * @return 0, or negative errno: there is no thread
 */
int cap_target_settle_begin(struct cap_target_settling *settling, const struct cap_target_set *set,
			    const struct cap_target_store *store, uint64_t serial,
			    void (*tell)(void *context), void *context);

/** @return whether there is one in hand and it is done: the end will not wait */
bool cap_target_settle_is_done(const struct cap_target_settling *settling);

/** Wait for the one in hand. What came of it stands until the next one begins; `merged` is the caller's. */
void cap_target_settle_end(struct cap_target_settling *settling);

#endif
