// SPDX-License-Identifier: Apache-2.0
#include "host_table.h"

#include <stdlib.h>
#include <string.h>

/* Half full: about one host in fifty then lies in the bucket next to its own. */
#define HOSTS_PER_BUCKET (CAP_BUCKET_WAYS / 2)

bool cap_host_table_init(struct cap_host_table *table, uint32_t hosts)
{
	size_t size;

	if (!hosts)
		return true;
	table->bucket_count = hosts / HOSTS_PER_BUCKET + 1;
	size = table->bucket_count * sizeof(*table->buckets);
	table->buckets = aligned_alloc(sizeof(*table->buckets), size);
	if (!table->buckets)
		return false;
	memset(table->buckets, 0, size);
	return true;
}

void cap_host_table_free(struct cap_host_table *table)
{
	free(table->buckets);
}

size_t cap_host_table_memory(const struct cap_host_table *table)
{
	return table->bucket_count * sizeof(*table->buckets);
}

static uint32_t behind(const struct cap_host_table *table, uint32_t bucket)
{
	return bucket + 1 == table->bucket_count ? 0 : bucket + 1;
}

void cap_host_table_add(struct cap_host_table *table, uint64_t hash, uint32_t tag, uint32_t entry)
{
	uint32_t at = cap_hash_place(hash, table->bucket_count), way = 0;

	while (table->buckets[at].entries[CAP_BUCKET_WAYS - 1])
		at = behind(table, at);
	while (table->buckets[at].entries[way])
		way++;
	table->buckets[at].tags[way] = tag;
	table->buckets[at].entries[way] = entry;
}

uint32_t cap_host_next(const struct cap_host_table *table, struct cap_host_search *search,
		       uint32_t tag)
{
	/* Less than half of the ways are taken: a bucket with an empty one comes. */
	for (;; search->bucket = behind(table, search->bucket), search->way = 0) {
		const struct cap_host_bucket *bucket = &table->buckets[search->bucket];

		while (search->way < CAP_BUCKET_WAYS) {
			const uint32_t way = search->way++;

			if (!bucket->entries[way])
				return 0;
			if (bucket->tags[way] == tag)
				return bucket->entries[way];
		}
	}
}
