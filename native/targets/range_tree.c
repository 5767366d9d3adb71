// SPDX-License-Identifier: Apache-2.0
#include "range_tree.h"

#include <stdlib.h>
#include <string.h>

/* Put the ranges from @p next on into the nodes below and including @p node, in order. @return those left */
static const struct cap_range *fill(struct cap_range_tree *tree, uint32_t node,
				    const struct cap_range *next, const struct cap_range *end)
{
	if (node >= tree->nodes)
		return next;
	for (uint32_t i = 0; i < CAP_RANGE_KEYS; i++) {
		size_t at = (size_t)node * CAP_RANGE_KEYS + i;

		next = fill(tree, node * (CAP_RANGE_KEYS + 1) + i + 1, next, end);
		/* Behind the end the last range stands again and again: all numbers are in it or before. */
		tree->lasts[at] = next < end ? next->last : UINT64_MAX;
		tree->values[at] = next < end ? next->value : end[-1].value;
		next += next < end;
	}
	return fill(tree, node * (CAP_RANGE_KEYS + 1) + CAP_RANGE_KEYS + 1, next, end);
}

bool cap_range_tree_build(struct cap_range_tree *tree, const struct cap_range *ranges,
			  uint32_t count)
{
	size_t keys;

	tree->nodes = (count + CAP_RANGE_KEYS - 1) / CAP_RANGE_KEYS;
	keys = (size_t)tree->nodes * CAP_RANGE_KEYS;
	tree->lasts = aligned_alloc(64, keys * sizeof(*tree->lasts));
	tree->values = malloc(keys * sizeof(*tree->values));
	if (!tree->lasts || !tree->values)
		return false;
	fill(tree, 0, ranges, ranges + count);
	return true;
}

void cap_range_tree_free(struct cap_range_tree *tree)
{
	free(tree->lasts);
	free(tree->values);
}

size_t cap_range_tree_memory(const struct cap_range_tree *tree)
{
	return (size_t)tree->nodes * CAP_RANGE_KEYS *
	       (sizeof(*tree->lasts) + sizeof(*tree->values));
}
