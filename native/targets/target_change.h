/* SPDX-License-Identifier: Apache-2.0 */
/** @file A change of the targets in force: read whole, judged whole, and what it comes to. */
#ifndef CAPSTAN_TARGET_CHANGE_H
#define CAPSTAN_TARGET_CHANGE_H

#include "target_list.h"

/** Longest claim of who asks, with its terminator. */
#define CAP_WHO_LEN 128U

/** Where a change is written. */
enum cap_change_form {
	CAP_CHANGE_ASKED,  /**< by a person: {"add": [...], "remove": [...], ...} */
	CAP_CHANGE_LOGGED, /**< in the log: the same with time, serial and who */
};

/** All zero is a change of nothing. */
struct cap_target_change {
	char who[CAP_WHO_LEN]; /**< who asks by the caller's own words; empty: it does not say */
	uint8_t origin;	 /**< enum cap_target_origin; it touches targets of this origin alone */
	bool replace;	 /**< those of its origin that are not in `add` go */
	bool dry_run;	 /**< to be judged, and not carried out */
	uint64_t serial; /**< of a logged one */
	struct cap_target_list add;	      /**< ordered by id */
	uint8_t (*remove)[CAP_TARGET_ID_LEN]; /**< ordered */
	unsigned remove_count, remove_room;
};

/**
 * Read a change. A key "cmd" is passed over.
 *
 * @return 0, or negative errno with a sentence that names target, key and what to write. The caller frees it,
 *         also after an error
 */
int cap_target_change_read(const char *text, size_t len, enum cap_change_form form,
			   struct cap_target_change *change, struct cap_error *err);
void cap_target_change_free(struct cap_target_change *change);

/** What a change comes to. Terms are borrowed from the change and from the set before it. */
struct cap_target_outcome {
	unsigned count;			   /**< of the whole set afterwards */
	const struct cap_target **added;   /**< new ones, and changed ones as they are now */
	const struct cap_target **removed; /**< gone ones, and changed ones as they were */
	unsigned added_count, removed_count;
	unsigned changed; /**< in both of the above */
};

/**
 * Judge @p change against the set in force, and work out what it comes to.
 *
 * @param before its targets outlive @p outcome, as does @p change
 * @param list all zero, or NULL: the whole set afterwards, ordered by id, its terms borrowed; the caller frees it,
 *        also after an error
 * @return 0, or negative errno with a sentence: an id that is there already, or is not; too many
 */
int cap_target_change_apply(const struct cap_target_change *change, struct cap_target_walk before,
			    struct cap_target_outcome *outcome, struct cap_target_list *list,
			    struct cap_error *err);
void cap_target_outcome_free(struct cap_target_outcome *outcome);

#endif
