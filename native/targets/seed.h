/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Hashing with a secret, so that nobody can make packets or targets that meet in one place.
 *
 * NH of UMAC (RFC 4418) over pairs of 32-bit words, and multiply-shift for the place: for any two names
 * chosen without knowing the secret, the chance to meet is that of the best random function, or twice it.
 */
#ifndef CAPSTAN_SEED_H
#define CAPSTAN_SEED_H

#include <stdint.h>
#include <string.h>
#include <sys/random.h>

/** Secret of one table. */
struct cap_seed {
	uint32_t words[12];
	uint64_t multiplier; /**< odd */
};

static inline void cap_seed_make(struct cap_seed *seed)
{
	/* Never short for so few bytes, and it waits for nothing once the machine has started. */
	while (getrandom(seed, sizeof(*seed), 0) != sizeof(*seed))
		;
	seed->multiplier |= 1;
}

static inline uint64_t cap_hash32(const struct cap_seed *seed, uint32_t name)
{
	return ((uint64_t)name + seed->words[0]) * seed->multiplier;
}

static inline uint64_t cap_hash64(const struct cap_seed *seed, unsigned at, uint64_t name)
{
	return (uint64_t)((uint32_t)name + seed->words[at]) *
	       ((uint32_t)(name >> 32) + seed->words[at + 1]);
}

/** @param name 16 bytes, at any address */
static inline uint64_t cap_hash128(const struct cap_seed *seed, const uint8_t *name)
{
	uint64_t half[2];

	memcpy(half, name, sizeof(half));
	return (cap_hash64(seed, 0, half[0]) + cap_hash64(seed, 2, half[1])) * seed->multiplier;
}

#endif
