/* SPDX-License-Identifier: Apache-2.0 */
/** @file A growing list of targets, with the memory that their terms lie in. */
#ifndef CAPSTAN_TARGET_LIST_H
#define CAPSTAN_TARGET_LIST_H

#include "error.h"
#include "target_walk.h"

#include <stddef.h>

struct cap_target_chunk;

/** All zero is an empty list. The terms of a target lie in this list's chunks, or are borrowed. */
struct cap_target_list {
	struct cap_target *targets;
	unsigned count, room;
	uint64_t terms; /**< prefixes, ranges, addresses and VLAN ids of all of them */
	struct cap_target_chunk *chunks;
};

/** Memory that goes with the list, aligned for every term. @return NULL when there is none */
void *cap_target_list_alloc(struct cap_target_list *list, size_t size);

/** Make room for @p room targets in all. @return 0, or -ENOMEM with a sentence */
int cap_target_list_reserve(struct cap_target_list *list, unsigned room, struct cap_error *err);

/**
 * Append @p target as it is: its terms are not copied.
 *
 * @return 0, or -E2BIG or -ENOMEM with a sentence: more than CAP_MAX_TARGETS, or CAP_MAX_TARGET_TERMS
 */
int cap_target_list_add(struct cap_target_list *list, const struct cap_target *target,
			struct cap_error *err);

/** @return 0, or -E2BIG with a sentence: more than there may be of targets or of their terms */
int cap_target_list_check(unsigned count, uint64_t terms, struct cap_error *err);

/** Append all of @p from with their terms, which are this list's own from then on. */
int cap_target_list_copy(struct cap_target_list *list, const struct cap_target_list *from,
			 struct cap_error *err);

/** Order by id. @return 0, or -EEXIST with a sentence: one id is there twice */
int cap_target_list_sort(struct cap_target_list *list, struct cap_error *err);

/** Through a list that is ordered by id. */
static inline struct cap_target_walk cap_target_list_walk(const struct cap_target_list *list)
{
	return (struct cap_target_walk){ .targets = list->targets,
					 .count = list->count,
					 .total = list->count,
					 .terms = list->terms };
}

void cap_target_list_free(struct cap_target_list *list);

/** Prefixes, ranges, addresses and VLAN ids of a target. */
unsigned cap_target_terms(const struct cap_target *target);

/** @return whether both say the same, term by term in the same order */
bool cap_target_same(const struct cap_target *a, const struct cap_target *b);

#endif
