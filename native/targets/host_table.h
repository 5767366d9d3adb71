/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A table of whole addresses: IPv4 and IPv6 hosts, MAC addresses. Its buckets are one cache line each. Names are
 * hashed with a secret (seed.h).
 */
#ifndef CAPSTAN_HOST_TABLE_H
#define CAPSTAN_HOST_TABLE_H

#include "seed.h"

#include <stdbool.h>
#include <stddef.h>

#define CAP_BUCKET_WAYS 8U

struct cap_host_bucket {
	uint32_t tags[CAP_BUCKET_WAYS];
	uint32_t entries[CAP_BUCKET_WAYS]; /**< 0: this way and those behind it are empty */
} __attribute__((aligned(64)));

struct cap_host_table {
	struct cap_host_bucket *buckets;
	uint32_t bucket_count; /**< 0: nobody is in it */
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

/** Where a search is. */
struct cap_host_search {
	uint32_t bucket, way;
};

static inline struct cap_host_search cap_host_begin(const struct cap_host_table *table,
						    uint64_t hash)
{
	return (struct cap_host_search){ cap_hash_place(hash, table->bucket_count), 0 };
}

/** @return the next entry with this tag, whose name the caller compares, or 0: there is no further one */
uint32_t cap_host_next(const struct cap_host_table *table, struct cap_host_search *search,
		       uint32_t tag);

#endif
