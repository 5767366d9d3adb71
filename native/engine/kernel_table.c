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

int cap_kernel_table_make(struct cap_kernel_table *table, bool hosts, struct cap_kernel_rows *rows)
{
	int rc;

	*table = (struct cap_kernel_table){ .hosts = hosts, .rows = *rows };
	*rows = (struct cap_kernel_rows){ 0 };
	table->fd = create(hosts, ROOM(table->rows.count));
	if (table->fd < 0)
		rc = table->fd;
	else
		rc = table->rows.count ? fill(table) : 0;
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

/* What is done with the rows of two lists: those of one alone, and those of both. */
struct sides {
	int (*only)(void *context, const struct cap_kernel_row *row);
	int (*both)(void *context, const struct cap_kernel_row *left,
		    const struct cap_kernel_row *right);
};

/* The rows of @left that @right has not go to `only`, keys of both to `both`, until one fails. */
static int hold_against(const struct cap_kernel_rows *left, const struct cap_kernel_rows *right,
			const struct sides *sides, void *context)
{
	unsigned r = 0;
	int rc = 0;

	for (unsigned l = 0; rc == 0 && l < left->count; l++) {
		const struct cap_kernel_row *row = &left->rows[l];

		while (r < right->count && cap_kernel_row_compare(&right->rows[r], row) < 0)
			r++;
		if (r == right->count || cap_kernel_row_compare(&right->rows[r], row))
			rc = sides->only(context, row);
		else if (sides->both)
			rc = sides->both(context, row, &right->rows[r]);
	}
	return rc;
}

static int count_row(void *context, const struct cap_kernel_row *row)
{
	unsigned *count = context;

	(void)row;
	++*count;
	return 0;
}

static int compare_holds(void *context, const struct cap_kernel_row *left,
			 const struct cap_kernel_row *right)
{
	struct cap_kernel_difference *difference = context;

	difference->altered |= memcmp(&left->hold, &right->hold, sizeof(left->hold)) != 0;
	return 0;
}

void cap_kernel_table_compare(const struct cap_kernel_table *table,
			      const struct cap_kernel_rows *rows,
			      struct cap_kernel_difference *difference)
{
	/* The first member counts, whoever is asked first. */
	_Static_assert(offsetof(struct cap_kernel_difference, added) == 0, "counted by count_row");
	const struct sides added = { count_row, compare_holds }, removed = { count_row, NULL };

	*difference = (struct cap_kernel_difference){ 0 };
	(void)hold_against(rows, &table->rows, &added, difference);
	(void)hold_against(&table->rows, rows, &removed, &difference->removed);
}

static int add_row(void *context, const struct cap_kernel_row *row)
{
	const struct cap_kernel_table *table = context;

	return bpf_map_update_elem(table->fd, key_of(table, row), &row->hold, BPF_ANY);
}

int cap_kernel_table_add(const struct cap_kernel_table *table, const struct cap_kernel_rows *rows)
{
	const struct sides sides = { add_row, NULL };

	return hold_against(rows, &table->rows, &sides, (void *)table);
}

/* That the row is not there is what is wanted. */
static int remove_row(void *context, const struct cap_kernel_row *row)
{
	const struct cap_kernel_table *table = context;

	(void)bpf_map_delete_elem(table->fd, key_of(table, row));
	return 0;
}

void cap_kernel_table_reduce(struct cap_kernel_table *table, struct cap_kernel_rows *rows)
{
	const struct sides sides = { remove_row, NULL };

	(void)hold_against(&table->rows, rows, &sides, table);
	free(table->rows.rows);
	table->rows = *rows;
	*rows = (struct cap_kernel_rows){ 0 };
}
