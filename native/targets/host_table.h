/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A table of whole addresses: IPv4 and IPv6 hosts, MAC addresses.
 *
 * Most packets are nobody's, and the table is larger than a core's own cache. So a filter of 2 bits a host, which
 * fits, is asked first: it says no to 98 of 100 that are not in the table. The table's buckets are one
 * cache line each. Names are hashed with a secret (seed.h).
 */
#ifndef CAPSTAN_HOST_TABLE_H
#define CAPSTAN_HOST_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAP_BUCKET_WAYS 8U

struct cap_host_bucket {
	uint32_t tags[CAP_BUCKET_WAYS];
	uint32_t entries[CAP_BUCKET_WAYS]; /**< 0: this way and those behind it are empty */
} __attribute__((aligned(64)));

struct cap_host_table {
	uint64_t *filter;
	struct cap_host_bucket *buckets;
	uint32_t filter_words, bucket_count; /**< 0: nobody is in it */
};

/** @return false: no memory */
bool cap_host_table_init(struct cap_host_table *table, uint32_t hosts);
void cap_host_table_free(struct cap_host_table *table);
size_t cap_host_table_memory(const struct cap_host_table *table);

/**
 * @param hash of the name; each name is added once
 * @param tag what tells names in one bucket apart: two names may share it
 * @param entry not 0
 */
void cap_host_table_add(struct cap_host_table *table, uint64_t hash, uint32_t tag, uint32_t entry);

static inline uint32_t cap_host_place(uint64_t hash, uint32_t places)
{
	return (uint32_t)((hash >> 32) * places >> 32);
}

static inline uint64_t cap_host_filter_bits(uint64_t hash)
{
	return 1ULL << (hash >> 32 & 63) | 1ULL << (hash >> 38 & 63);
}

/** @return false: certainly not in the table, which is not empty */
static inline bool cap_host_maybe(const struct cap_host_table *table, uint64_t hash)
{
	const uint64_t bits = cap_host_filter_bits(hash);

	return (table->filter[cap_host_place(hash, table->filter_words)] & bits) == bits;
}

/** Where a search is. */
struct cap_host_search {
	uint32_t bucket, way;
};

static inline struct cap_host_search cap_host_begin(const struct cap_host_table *table,
						    uint64_t hash)
{
	return (struct cap_host_search){ cap_host_place(hash, table->bucket_count), 0 };
}

/** @return the next entry with this tag, whose name the caller compares, or 0: there is no further one */
uint32_t cap_host_next(const struct cap_host_table *table, struct cap_host_search *search,
		       uint32_t tag);

#endif
