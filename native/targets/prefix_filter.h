/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Says of most addresses that no prefix holds them: a filter of a few bits a prefix.
 *
 * A prefix is in the filter under its first bits, as many as one of a few levels has. An address that is asked for
 * costs one access for each level. The levels are the lengths of the prefixes where these are few; where they
 * are many, some prefixes stand under a shorter one around them, and the addresses beside them must be
 * looked for in the ranges. The levels are chosen so that these are as few as can be.
 *
 * Numbers are the first 64 bits of an address; IPv4 has 32, and 0 behind them.
 */
#ifndef CAPSTAN_PREFIX_FILTER_H
#define CAPSTAN_PREFIX_FILTER_H

#include "seed.h"

#include <stdbool.h>
#include <stddef.h>

#define CAP_FILTER_LEVELS 6U
#define CAP_FILTER_LENGTHS 65U

struct cap_prefix_filter {
	uint64_t *words;
	uint32_t word_count; /**< 0: there are no prefixes */
	uint32_t levels;
	uint8_t lengths[CAP_FILTER_LEVELS]; /**< ascending */
	uint64_t masks[CAP_FILTER_LEVELS];
};

/** Where in a filter's words a name is: 3 bits in one word. */
static inline uint32_t cap_filter_word(uint64_t hash, uint32_t words)
{
	return (uint32_t)((hash >> 32) * words >> 32);
}

static inline uint64_t cap_filter_bits(uint64_t hash)
{
	return 1ULL << (hash >> 32 & 63) | 1ULL << (hash >> 38 & 63) | 1ULL << (hash >> 26 & 63);
}

/**
 * @param counts how many prefixes there are of each length; those of more than 64 bits count as 64
 * @return false: no memory
 */
bool cap_prefix_filter_init(struct cap_prefix_filter *filter,
			    const uint32_t counts[CAP_FILTER_LENGTHS]);
void cap_prefix_filter_free(struct cap_prefix_filter *filter);
size_t cap_prefix_filter_memory(const struct cap_prefix_filter *filter);

void cap_prefix_filter_add(struct cap_prefix_filter *filter, const struct cap_seed *seed,
			   uint64_t number, unsigned length);

static inline uint64_t cap_prefix_filter_hash(const struct cap_seed *seed, uint32_t level,
					      uint64_t number)
{
	return cap_hash64(seed, 2 * level, number) * seed->multiplier;
}

/** @return false: certainly no prefix holds it. The filter is not empty */
static inline bool cap_prefix_filter_maybe(const struct cap_prefix_filter *filter,
					   const struct cap_seed *seed, uint64_t number)
{
	bool maybe = false;

	for (uint32_t level = 0; level < filter->levels; level++) {
		const uint64_t hash =
			cap_prefix_filter_hash(seed, level, number & filter->masks[level]);
		const uint64_t bits = cap_filter_bits(hash);

		maybe |= (filter->words[cap_filter_word(hash, filter->word_count)] & bits) == bits;
	}
	return maybe;
}

#endif
