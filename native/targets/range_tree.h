/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Which of consecutive ranges of numbers a number is in: a B-tree in one array, one cache line a node.
 *
 * Nested prefixes cut the space of addresses into ranges, in each of which one prefix is the longest. A search
 * among ranges costs the same whatever lengths the prefixes have and however they are nested.
 */
#ifndef CAPSTAN_RANGE_TREE_H
#define CAPSTAN_RANGE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAP_RANGE_KEYS 8U

struct cap_range {
	uint64_t last; /**< in it; the range begins behind the one before */
	uint32_t value;
};

struct cap_range_tree {
	uint64_t *lasts; /**< CAP_RANGE_KEYS for each node, the children of node n at 9n + 1 */
	uint32_t *values;
	uint32_t nodes;
};

/** @param ranges ascending; the last one ends with UINT64_MAX. @return false: no memory */
bool cap_range_tree_build(struct cap_range_tree *tree, const struct cap_range *ranges,
			  uint32_t count);
void cap_range_tree_free(struct cap_range_tree *tree);
size_t cap_range_tree_memory(const struct cap_range_tree *tree);

/** @return the value of the range that @p number is in */
static inline uint32_t cap_range_tree_find(const struct cap_range_tree *tree, uint64_t number)
{
	uint32_t node = 0, found = 0;

	while (node < tree->nodes) {
		const uint64_t *lasts = tree->lasts + (size_t)node * CAP_RANGE_KEYS;
		uint32_t below = 0;

		for (unsigned i = 0; i < CAP_RANGE_KEYS; i++)
			below += lasts[i] < number;
		found = below < CAP_RANGE_KEYS ? node * CAP_RANGE_KEYS + below : found;
		node = node * (CAP_RANGE_KEYS + 1) + below + 1;
	}
	return tree->values[found];
}

#endif
