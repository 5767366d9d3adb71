// SPDX-License-Identifier: Apache-2.0
#include "kernel_table.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Rows that can be added before a table must be made anew. */
#define ROOM(count) ((count) + (count) / 8 + 256)

static int create(bool hosts, uint32_t room)
{
	LIBBPF_OPTS(bpf_map_create_opts, trie, .map_flags = BPF_F_NO_PREALLOC);

	if (hosts)
		return bpf_map_create(BPF_MAP_TYPE_HASH, "capstan_hosts",
				      sizeof(struct capstan_address), sizeof(struct capstan_hold),
				      room, NULL);
	return bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "capstan_nets", sizeof(struct capstan_prefix),
			      sizeof(struct capstan_hold), room, &trie);
}

static const void *key_of(const struct cap_kernel_table *table, const struct cap_kernel_row *row)
{
	return table->hosts ? (const void *)&row->key.address : &row->key;
}

/* Keys and values side by side, as one call wants them. */
static int fill(const struct cap_kernel_table *table)
{
	const size_t key_size = table->hosts ? sizeof(struct capstan_address) :
					       sizeof(struct capstan_prefix);
	uint32_t count = table->rows.count;
	uint8_t *keys = malloc(count * key_size);
	struct capstan_hold *holds = malloc(count * sizeof(*holds));
	int rc = -ENOMEM;

	for (uint32_t i = 0; keys && holds && i < count; i++) {
		memcpy(keys + i * key_size, key_of(table, &table->rows.rows[i]), key_size);
		holds[i] = table->rows.rows[i].hold;
	}
	if (keys && holds)
		rc = bpf_map_update_batch(table->fd, keys, holds, &count, NULL);
	free(keys);
	free(holds);
	return rc;
}

int cap_kernel_table_begin(struct cap_kernel_table *table, bool hosts)
{
	table->hosts = hosts;
	table->fd = create(hosts, ROOM(table->rows.count));
	return table->fd < 0 ? table->fd : 0;
}

int cap_kernel_table_make(struct cap_kernel_table *table, bool hosts, struct cap_kernel_rows *rows)
{
	int rc;

	*table = (struct cap_kernel_table){ .rows = *rows };
	*rows = (struct cap_kernel_rows){ 0 };
	rc = cap_kernel_table_begin(table, hosts);
	if (rc == 0 && table->rows.count)
		rc = fill(table);
	if (rc)
		cap_kernel_table_free(table);
	return rc;
}

void cap_kernel_table_free(struct cap_kernel_table *table)
{
	if (table->fd >= 0)
		close(table->fd);
	table->fd = -1;
	free(table->rows.rows);
	table->rows = (struct cap_kernel_rows){ 0 };
}

int cap_kernel_table_put(const struct cap_kernel_table *table, const struct cap_kernel_row *row)
{
	return bpf_map_update_elem(table->fd, key_of(table, row), &row->hold, BPF_ANY);
}

void cap_kernel_table_remove(const struct cap_kernel_table *table, const struct cap_kernel_row *row)
{
	/* That the row is not there is what is wanted. */
	(void)bpf_map_delete_elem(table->fd, key_of(table, row));
}
