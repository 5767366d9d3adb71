// SPDX-License-Identifier: Apache-2.0
#include "prefix_filter.h"

#include <endian.h>
#include <float.h>
#include <stdlib.h>

/* 32 bits for each: about one in a thousand names that are not in the filter seems to be. */
#define NAMES_PER_WORD 2U

/*
 * What one more level costs each packet, in the same measure as what is let through: where one packet in a hundred
 * is a target's, a few of a hundred that are let through and then not found cost no more.
 */
#define LEVEL_COST 4.0

/*
 * What a choice of levels lets through, as a multiple of what the prefixes hold, if the addresses around a
 * prefix are as frequent as those in it: a prefix of l bits that stands under k of them counts 2^(l - k) times.
 */
struct plan {
	double cost;
	unsigned next; /* the level after the one in question; CAP_FILTER_LENGTHS: none */
};

static void plan_levels(const uint32_t *counts, unsigned levels,
			struct plan plans[CAP_FILTER_LEVELS + 1][CAP_FILTER_LENGTHS + 1])
{
	for (unsigned from = 0; from <= CAP_FILTER_LENGTHS; from++)
		plans[0][from] = (struct plan){ from == CAP_FILTER_LENGTHS ? 0 : DBL_MAX, 0 };
	for (unsigned k = 1; k <= levels; k++) {
		plans[k][CAP_FILTER_LENGTHS] = (struct plan){ 0, CAP_FILTER_LENGTHS };
		for (unsigned from = CAP_FILTER_LENGTHS; from-- > 0;) {
			double cost = 0, weight = 1;

			plans[k][from] = (struct plan){ DBL_MAX, CAP_FILTER_LENGTHS };
			for (unsigned next = from + 1; next <= CAP_FILTER_LENGTHS; next++) {
				cost += counts[next - 1] * weight;
				weight *= 2;
				if (plans[k - 1][next].cost < DBL_MAX &&
				    cost + plans[k - 1][next].cost < plans[k][from].cost)
					plans[k][from] =
						(struct plan){ cost + plans[k - 1][next].cost,
							       next };
			}
		}
	}
}

/* The first @p length bits of an address of @p bits, as it is taken. */
static uint64_t mask_of(unsigned length, unsigned bits)
{
	if (!length)
		return 0;
	return bits == 32 ? UINT32_MAX << (32 - length) : htobe64(UINT64_MAX << (64 - length));
}

static void choose_levels(struct cap_prefix_filter *filter, const uint32_t *counts, uint32_t total,
			  unsigned bits)
{
	struct plan plans[CAP_FILTER_LEVELS + 1][CAP_FILTER_LENGTHS + 1];
	unsigned at = 0, k = 1;

	while (!counts[at])
		at++;
	plan_levels(counts, CAP_FILTER_LEVELS, plans);
	for (unsigned more = 2; more <= CAP_FILTER_LEVELS; more++)
		if (plans[more][at].cost + more * LEVEL_COST * total <
		    plans[k][at].cost + k * LEVEL_COST * total)
			k = more;
	for (; at <= bits && k; at = plans[k--][at].next) {
		filter->masks[filter->levels] = mask_of(at, bits);
		filter->lengths[filter->levels++] = (uint8_t)at;
	}
}

bool cap_prefix_filter_init_plain(struct cap_prefix_filter *filter, uint32_t count)
{
	if (!count)
		return true;
	filter->word_count = count / NAMES_PER_WORD + 1;
	filter->words = calloc(filter->word_count, sizeof(*filter->words));
	return filter->words;
}

bool cap_prefix_filter_init(struct cap_prefix_filter *filter,
			    const uint32_t counts[CAP_FILTER_LENGTHS], unsigned bits)
{
	uint32_t total = 0;

	for (unsigned i = 0; i < CAP_FILTER_LENGTHS; i++)
		total += counts[i];
	if (total)
		choose_levels(filter, counts, total, bits);
	return cap_prefix_filter_init_plain(filter, total);
}

void cap_prefix_filter_free(struct cap_prefix_filter *filter)
{
	free(filter->words);
}

size_t cap_prefix_filter_memory(const struct cap_prefix_filter *filter)
{
	return filter->word_count * sizeof(*filter->words);
}

uint32_t cap_prefix_filter_level(const struct cap_prefix_filter *filter, unsigned length)
{
	uint32_t level = filter->levels - 1;

	while (filter->lengths[level] > length)
		level--;
	return level;
}

void cap_prefix_filter_add(struct cap_prefix_filter *filter, uint64_t hash)
{
	filter->words[cap_hash_place(hash, filter->word_count)] |= cap_filter_bits(hash);
}
