/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Hashing with a secret, so that nobody can make packets or targets that meet in one place.
 *
 * Names of more than 32 bits become 64 by NH of UMAC (RFC 4418) over pairs of 32-bit words, are folded to 32, and
 * multiplied by a secret odd number (multiply-shift): for any two names chosen without knowing the secret, the
 * chance to meet is that of a random function, or a small multiple of it. All of it is products of 32-bit
 * numbers, of which vector instructions do several at once.
 *
 * A hash's lower half says the place (cap_hash_place), its upper half is left for other uses.
 */
#ifndef CAPSTAN_SEED_H
#define CAPSTAN_SEED_H

#include <stdint.h>
#include <string.h>
#include <sys/random.h>

struct cap_seed {
	uint32_t words[12];
	uint32_t odd;
};

static inline void cap_seed_make(struct cap_seed *seed)
{
	/* Never short for so few bytes, and it waits for nothing once the machine has started. */
	while (getrandom(seed, sizeof(*seed), 0) != sizeof(*seed))
		;
	seed->odd |= 1;
}

/** @param at which of the seed's words to use; its next one, too, in cap_nh64 */
static inline uint64_t cap_hash32(const struct cap_seed *seed, unsigned at, uint32_t name)
{
	return (uint64_t)(name + seed->words[at]) * seed->odd;
}

static inline uint64_t cap_nh64(const struct cap_seed *seed, unsigned at, uint64_t name)
{
	return (uint64_t)((uint32_t)name + seed->words[at]) *
	       ((uint32_t)(name >> 32) + seed->words[at + 1]);
}

/** @param nh sum of cap_nh64 over a name's parts */
static inline uint64_t cap_hash_nh(const struct cap_seed *seed, uint64_t nh)
{
	return (uint64_t)(uint32_t)(nh ^ nh >> 32) * seed->odd;
}

/** @param name 16 bytes, at any address */
static inline uint64_t cap_nh128(const struct cap_seed *seed, const uint8_t *name)
{
	uint64_t half[2];

	memcpy(half, name, sizeof(half));
	return cap_nh64(seed, 0, half[0]) + cap_nh64(seed, 2, half[1]);
}

/** @return below @p places */
static inline uint32_t cap_hash_place(uint64_t hash, uint32_t places)
{
	return (uint32_t)((uint64_t)(uint32_t)hash * places >> 32);
}

#endif
