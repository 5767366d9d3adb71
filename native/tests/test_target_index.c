// SPDX-License-Identifier: Apache-2.0
/* The index of large and of hostile sets, against a plain search for every length. */
#include "sentence.h"
#include "target_index.h"
#include "target_set.h"

#include <stdlib.h>
#include <string.h>

#define LARGE 100000U

static uint64_t state = 1;

static uint32_t random32(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 20);
}

static void clear_behind(struct cap_prefix *prefix)
{
	for (unsigned bit = prefix->length; bit < 128; bit++)
		prefix->bytes[bit / 8] &= (uint8_t) ~(0x80U >> bit % 8);
}

/* One target a prefix, whose number is the target's. */
static struct cap_target_set *set_of(struct cap_prefix *prefixes, unsigned count)
{
	struct cap_target *targets = calloc(count, sizeof(*targets));
	struct cap_target_set *set;
	struct cap_error err;

	for (unsigned i = 0; i < count; i++)
		targets[i] = (struct cap_target){ .any_protocol = true,
						  .end_ns = UINT64_MAX,
						  .prefix_count = 1,
						  .prefixes = &prefixes[i] };
	HOLDS(cap_target_set_build(targets, count, &set, &err) == 0);
	free(targets);
	return set;
}

static uint32_t number4(const uint8_t *address)
{
	return (uint32_t)address[0] << 24 | (uint32_t)address[1] << 16 | (uint32_t)address[2] << 8 |
	       address[3];
}

/* Lengths of the prefixes that hold an address, by the index: bit l of the words is length l. */
static void lengths_by_index(const struct cap_target_set *set, uint8_t family,
			     const uint8_t *address, uint64_t lengths[3])
{
	const struct cap_target_index *index = cap_target_set_index(set, 0);
	uint32_t entry = family == 4 ? cap_index_prefix4(index, number4(address)) :
				       cap_index_prefix6(index, address);
	uint32_t host = family == 4 ? cap_index_host4(index, number4(address)) :
				      cap_index_host6(index, address);

	memset(lengths, 0, 3 * sizeof(*lengths));
	if (host)
		lengths[family == 4 ? 0 : 2] |= family == 4 ? 1ULL << 32 : 1;
	for (; entry; entry = index->entries[entry].parent) {
		const struct cap_target *target =
			cap_target_set_at(set, index->terms[index->entries[entry].first]);
		const uint8_t length = target->prefixes[0].length;

		HOLDS(target->prefixes[0].family == family);
		HOLDS(!(lengths[length / 64] >> length % 64 & 1));
		lengths[length / 64] |= 1ULL << length % 64;
	}
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct cap_prefix));
}

/* The same by a search among @p sorted for each length. */
static void lengths_by_search(const struct cap_prefix *sorted, unsigned count, uint8_t family,
			      const uint8_t *address, uint64_t lengths[3])
{
	memset(lengths, 0, 3 * sizeof(*lengths));
	for (unsigned length = 0; length <= (family == 4 ? 32 : 128); length++) {
		struct cap_prefix wanted = { .family = family, .length = (uint8_t)length };

		memcpy(wanted.bytes, address, family == 4 ? 4 : 16);
		clear_behind(&wanted);
		if (bsearch(&wanted, sorted, count, sizeof(wanted), compare))
			lengths[length / 64] |= 1ULL << length % 64;
	}
}

static void check_address(const struct cap_target_set *set, const struct cap_prefix *sorted,
			  unsigned count, uint8_t family, const uint8_t *address)
{
	uint64_t is[3], should[3];

	lengths_by_index(set, family, address, is);
	lengths_by_search(sorted, count, family, address, should);
	HOLDS(!memcmp(is, should, sizeof(is)));
}

/* Add 1 or -1 to an address. */
static void step(uint8_t *address, unsigned bytes, int by)
{
	for (unsigned i = bytes; i-- > 0;) {
		address[i] = (uint8_t)(address[i] + by);
		if (address[i] != (by > 0 ? 0 : 255))
			return;
	}
}

/* The first address of a prefix, its last, and the ones beside them. */
static void check_edges(const struct cap_target_set *set, const struct cap_prefix *sorted,
			unsigned count, const struct cap_prefix *prefix)
{
	const unsigned bytes = prefix->family == 4 ? 4 : 16;
	uint8_t address[16];

	memcpy(address, prefix->bytes, sizeof(address));
	check_address(set, sorted, count, prefix->family, address);
	step(address, bytes, -1);
	check_address(set, sorted, count, prefix->family, address);
	memcpy(address, prefix->bytes, sizeof(address));
	for (unsigned bit = prefix->length; bit < 8 * bytes; bit++)
		address[bit / 8] |= (uint8_t)(0x80U >> bit % 8);
	check_address(set, sorted, count, prefix->family, address);
	step(address, bytes, 1);
	check_address(set, sorted, count, prefix->family, address);
}

static void check_all_edges(struct cap_prefix *prefixes, unsigned count, unsigned every)
{
	struct cap_target_set *set = set_of(prefixes, count);
	struct cap_prefix *sorted = malloc(count * sizeof(*sorted));

	memcpy(sorted, prefixes, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare);
	for (unsigned i = 0; i < count; i += every)
		check_edges(set, sorted, count, &prefixes[i]);
	free(sorted);
	cap_target_set_free(set);
}

static void prefixes_of_every_length_are_found_nested_in_each_other(void)
{
	struct cap_prefix prefixes[33 + 129];
	unsigned count = 0;

	for (unsigned turn = 0; turn < 3; turn++) {
		count = 0;
		for (unsigned family = 4; family <= 6; family += 2)
			for (unsigned length = 0; length <= (family == 4 ? 32 : 128); length++) {
				struct cap_prefix *prefix = &prefixes[count++];

				*prefix = (struct cap_prefix){ (uint8_t)family,
							       (uint8_t)length,
							       { 0 } };
				/* At the beginning of everything, at its end, and somewhere. */
				memset(prefix->bytes,
				       turn == 1 ? 0xff :
				       turn == 2 ? 0xa5 :
						   0,
				       family == 4 ? 4 : 16);
				clear_behind(prefix);
			}
		check_all_edges(prefixes, count, 1);
	}
}

static struct cap_prefix random_prefix(unsigned narrow)
{
	struct cap_prefix prefix = { .family = random32() % 2 ? 4 : 6 };
	const unsigned bits = prefix.family == 4 ? 32 : 128;

	for (unsigned i = 0; i < bits / 8; i++)
		prefix.bytes[i] = (uint8_t)random32();
	/* Many share their beginning, so that they are nested and side by side. */
	for (unsigned i = 0; narrow && i < bits / 8 - 2; i++)
		prefix.bytes[i] = (uint8_t)(random32() % narrow ? 0x20 : 0x21);
	prefix.length = (uint8_t)(random32() % (bits + 1));
	clear_behind(&prefix);
	return prefix;
}

static void prefixes_of_all_kinds_are_found_at_their_edges(void)
{
	struct cap_prefix *prefixes = malloc(LARGE * sizeof(*prefixes));

	for (unsigned narrow = 0; narrow <= 8; narrow += 4) {
		for (unsigned i = 0; i < LARGE; i++)
			prefixes[i] = random_prefix(narrow);
		check_all_edges(prefixes, LARGE, 101);
	}
	free(prefixes);
}

/* Addresses that a weak hash puts into one place. */
static void hosts_in_rows_are_all_found_and_no_other_is(void)
{
	struct cap_prefix *prefixes = calloc(LARGE, sizeof(*prefixes));

	for (unsigned turn = 0; turn < 4; turn++) {
		for (uint32_t i = 0; i < LARGE; i++) {
			const uint32_t number = turn % 2 ? i << 15 : i;
			struct cap_prefix *prefix = &prefixes[i];

			*prefix = (struct cap_prefix){ 4, 32, { 0 } };
			if (turn >= 2)
				*prefix = (struct cap_prefix){ 6, 128, { 0x20, 1, 0x0d, 0xb8 } };
			for (unsigned k = 0; k < 4; k++)
				prefix->bytes[(turn >= 2 ? 8 : 0) + k] =
					(uint8_t)(number >> (24 - 8 * k));
		}
		check_all_edges(prefixes, LARGE, 53);
	}
	free(prefixes);
}

static void a_set_of_any_kind_takes_less_than_200_bytes_a_target(void)
{
	struct cap_prefix *prefixes = malloc(LARGE * sizeof(*prefixes));

	for (unsigned kind = 0; kind < 5; kind++) {
		struct cap_target_set *set;

		for (unsigned i = 0; i < LARGE; i++) {
			do
				prefixes[i] = random_prefix(0);
			while (kind < 4 && prefixes[i].family != (kind < 2 ? 4 : 6));
			if (kind == 0)
				prefixes[i].length = 32;
			if (kind == 1)
				prefixes[i].length = (uint8_t)(20 + i % 12);
			if (kind == 2)
				prefixes[i].length = 128;
			if (kind == 3)
				prefixes[i].length = (uint8_t)(32 + i % 33);
			for (unsigned k = 0; kind < 4 && k < (kind < 2 ? 4 : 16); k++)
				prefixes[i].bytes[k] = (uint8_t)random32();
			clear_behind(&prefixes[i]);
		}
		set = set_of(prefixes, LARGE);
		/* The fixed part: a table of the first 16 bits of IPv4 prefixes. */
		HOLDS(cap_target_set_memory(set) < 200UL * LARGE + 65536UL * 4);
		cap_target_set_free(set);
	}
	free(prefixes);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "prefixes of every length are found nested in each other",
		  prefixes_of_every_length_are_found_nested_in_each_other },
		{ "prefixes of all kinds are found at their edges",
		  prefixes_of_all_kinds_are_found_at_their_edges },
		{ "hosts in rows are all found and no other is",
		  hosts_in_rows_are_all_found_and_no_other_is },
		{ "a set of any kind takes less than 200 bytes a target",
		  a_set_of_any_kind_takes_less_than_200_bytes_a_target },
	};

	return HOLD_ALL(sentences);
}
