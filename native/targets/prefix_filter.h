/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Says of most addresses that no prefix holds them: a filter of 32 bits a prefix, which fits into a core's own
 * cache where the index does not.
 *
 * A prefix is in the filter under its first bits, as many as one of a few levels has. An address that is asked for
 * costs one access for each level. The levels are the lengths of the prefixes where these are few; where they
 * are many, some prefixes stand under a shorter one around them, and the addresses beside them must be
 * looked for in the index. The levels are chosen so that these are as few as can be.
 *
 * An IPv4 address is a number in host order. Of an IPv6 address the first 64 bits are taken as they lie in memory.
 */
#ifndef CAPSTAN_PREFIX_FILTER_H
#define CAPSTAN_PREFIX_FILTER_H

#include "seed.h"

#include <stdbool.h>
#include <stddef.h>

#define CAP_FILTER_LEVELS 6U
#define CAP_FILTER_LENGTHS 65U

/** Where a hash's upper half says the second and third bit in a word; the first is its lowest 6 bits. */
#define CAP_FILTER_SECOND 6
#define CAP_FILTER_THIRD 12

struct cap_prefix_filter {
	uint64_t *words;
	uint32_t word_count; /**< 0: there is nothing in it */
	uint32_t levels;
	uint8_t lengths[CAP_FILTER_LEVELS]; /**< ascending */
	uint64_t masks[CAP_FILTER_LEVELS];
};

static inline uint64_t cap_filter_bits(uint64_t hash)
{
	const uint32_t upper = (uint32_t)(hash >> 32);

	return 1ULL << (upper & 63) | 1ULL << (upper >> CAP_FILTER_SECOND & 63) |
	       1ULL << (upper >> CAP_FILTER_THIRD & 63);
}

/**
 * Plan the levels.
 *
 * @param counts how many prefixes there are of each length; those of more than 64 bits count as 64
 * @param bits of an address that are taken: 32 or 64
 * @return false: no memory
 */
bool cap_prefix_filter_init(struct cap_prefix_filter *filter,
			    const uint32_t counts[CAP_FILTER_LENGTHS], unsigned bits);

/** For whole names, by their hashes; without levels. @return false: no memory */
bool cap_prefix_filter_init_plain(struct cap_prefix_filter *filter, uint32_t count);

void cap_prefix_filter_free(struct cap_prefix_filter *filter);
size_t cap_prefix_filter_memory(const struct cap_prefix_filter *filter);

void cap_prefix_filter_add(struct cap_prefix_filter *filter, uint64_t hash);

/** @return the level of prefixes of @p length bits */
uint32_t cap_prefix_filter_level(const struct cap_prefix_filter *filter, unsigned length);

static inline uint64_t cap_filter_hash4(const struct cap_prefix_filter *filter,
					const struct cap_seed *seed, uint32_t level,
					uint32_t address)
{
	return cap_hash32(seed, level, address & (uint32_t)filter->masks[level]);
}

static inline uint64_t cap_filter_hash6(const struct cap_prefix_filter *filter,
					const struct cap_seed *seed, uint32_t level, uint64_t upper)
{
	return cap_hash_nh(seed, cap_nh64(seed, 2 * level, upper & filter->masks[level]));
}

/** @return false: certainly nothing with this hash is in the filter, which is not empty */
static inline bool cap_filter_has(const struct cap_prefix_filter *filter, uint64_t hash)
{
	const uint64_t bits = cap_filter_bits(hash);

	return (filter->words[cap_hash_place(hash, filter->word_count)] & bits) == bits;
}

/** @return false: certainly no prefix holds the address */
static inline bool cap_filter_maybe4(const struct cap_prefix_filter *filter,
				     const struct cap_seed *seed, uint32_t address)
{
	bool maybe = false;

	for (uint32_t level = 0; level < filter->levels; level++)
		maybe |= cap_filter_has(filter, cap_filter_hash4(filter, seed, level, address));
	return maybe;
}

static inline bool cap_filter_maybe6(const struct cap_prefix_filter *filter,
				     const struct cap_seed *seed, uint64_t upper)
{
	bool maybe = false;

	for (uint32_t level = 0; level < filter->levels; level++)
		maybe |= cap_filter_has(filter, cap_filter_hash6(filter, seed, level, upper));
	return maybe;
}

#endif
