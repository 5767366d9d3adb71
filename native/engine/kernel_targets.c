// SPDX-License-Identifier: Apache-2.0
/*
 * Two slots, of which one is in force. A change fills the other slot's tables and plan, stores its number, and
 * then empties the slot before. A packet that was under way finds the number of the slot before: so its first
 * table, which each slot has, is taken out first. That lets such a packet through unjudged, and the kernel returns
 * from it only when no program runs any more that could have found it there. Then the slot is free.
 *
 * The kernel waits so for each call that changes a map of maps, some 10 ms: what can be is changed in one call.
 */
#include "kernel_targets.h"

#include "kernel_rows.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#define PLANS_SIZE ((CAPSTAN_SLOTS * sizeof(struct capstan_plan) + PAGE - 1) / PAGE * PAGE)

/* At least one row: a map of none cannot be made. */
#define ROOM(count) ((count) ? (count) : 1U)

struct cap_kernel_targets {
	struct cap_kernel_target_maps maps;
	struct capstan_plan *plans; /* mapped */
	uint32_t *current;
	int no_hosts, no_prefixes;     /* tables without rows */
	uint32_t used[CAPSTAN_SLOTS]; /* bits of the tables that each slot has */
};

static int create_inner(unsigned table, uint32_t rows)
{
	LIBBPF_OPTS(bpf_map_create_opts, trie, .map_flags = BPF_F_NO_PREALLOC);

	if (table < CAPSTAN_HOST_TABLES)
		return bpf_map_create(BPF_MAP_TYPE_HASH, "capstan_hosts",
				      sizeof(struct capstan_address), sizeof(struct capstan_hold),
				      rows, NULL);
	return bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "capstan_nets", sizeof(struct capstan_prefix),
			      sizeof(struct capstan_hold), rows, &trie);
}

int cap_kernel_targets_open(const struct cap_kernel_target_maps *maps,
			    struct cap_kernel_targets **opened, struct cap_error *err)
{
	struct cap_kernel_targets *made = calloc(1, sizeof(*made));

	if (!made)
		return cap_fail(err, ENOMEM, "out of memory");
	made->maps = *maps;
	made->no_hosts = create_inner(0, ROOM(0));
	made->no_prefixes = create_inner(CAPSTAN_HOST_TABLES, ROOM(0));
	made->plans = mmap(NULL, PLANS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, maps->plans, 0);
	made->current = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, maps->current, 0);
	if (made->no_hosts < 0 || made->no_prefixes < 0 || made->plans == MAP_FAILED ||
	    made->current == MAP_FAILED) {
		int rc = cap_fail(err, errno, "the kernel gives no tables for targets: %s",
				  strerror(errno));

		cap_kernel_targets_close(made);
		return rc;
	}
	*opened = made;
	return 0;
}

void cap_kernel_targets_close(struct cap_kernel_targets *tables)
{
	if (!tables)
		return;
	if (tables->plans && tables->plans != MAP_FAILED)
		munmap(tables->plans, PLANS_SIZE);
	if (tables->current && tables->current != MAP_FAILED)
		munmap(tables->current, PAGE);
	if (tables->no_hosts >= 0)
		close(tables->no_hosts);
	if (tables->no_prefixes >= 0)
		close(tables->no_prefixes);
	free(tables);
}

/* Keys and values side by side, as one call wants them. */
static int fill_inner(int fd, unsigned table, const struct cap_kernel_rows *from)
{
	const bool hosts = table < CAPSTAN_HOST_TABLES;
	const size_t key_size =
		hosts ? sizeof(struct capstan_address) : sizeof(struct capstan_prefix);
	uint8_t *keys = malloc(from->count * key_size);
	struct capstan_hold *holds = malloc(from->count * sizeof(*holds));
	uint32_t count = from->count;
	int rc = -ENOMEM;

	for (unsigned i = 0; keys && holds && i < from->count; i++) {
		const struct cap_kernel_row *row = &from->rows[i];

		memcpy(keys + i * key_size, hosts ? (const void *)&row->key.address : &row->key,
		       key_size);
		holds[i] = row->hold;
	}
	if (keys && holds)
		rc = bpf_map_update_batch(fd, keys, holds, &count, NULL);
	free(keys);
	free(holds);
	return rc;
}

/* @return a filled map of its own, or negative errno */
static int make_inner(unsigned table, const struct cap_kernel_rows *from)
{
	int fd = create_inner(table, ROOM(from->count));
	int rc;

	if (fd < 0)
		return fd;
	rc = from->count ? fill_inner(fd, table, from) : 0;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

/* Tables of one outer map that a slot has: their places there, and what is put there. */
struct places {
	uint32_t keys[CAP_KERNEL_TABLES];
	int inner[CAP_KERNEL_TABLES];
	uint32_t count;
};

static void add_place(struct places outer[2], uint32_t slot, unsigned table, int inner)
{
	bool hosts = table < CAPSTAN_HOST_TABLES;
	struct places *places = &outer[hosts ? 0 : 1];

	places->keys[places->count] =
		hosts ? slot * CAPSTAN_HOST_TABLES + table :
			slot * CAPSTAN_PREFIX_TABLES + (table - CAPSTAN_HOST_TABLES);
	places->inner[places->count++] = inner;
}

static int put_in_place(const struct cap_kernel_targets *tables, const struct places outer[2])
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < 2; i++) {
		uint32_t count = outer[i].count;
		int map = i == 0 ? tables->maps.hosts : tables->maps.prefixes;

		if (count)
			rc = bpf_map_update_batch(map, outer[i].keys, outer[i].inner, &count, NULL);
	}
	return rc;
}

/* The first table goes, and then others give way to ones without rows. */
static void empty_slot(struct cap_kernel_targets *tables, uint32_t slot)
{
	const uint32_t first = slot * CAPSTAN_HOST_TABLES;
	struct places outer[2] = { 0 };

	(void)bpf_map_delete_elem(tables->maps.hosts, &first);
	for (unsigned i = 1; i < CAP_KERNEL_TABLES; i++)
		if (tables->used[slot] & 1U << i)
			add_place(outer, slot, i,
				  i < CAPSTAN_HOST_TABLES ? tables->no_hosts :
							    tables->no_prefixes);
	/* If that fails their memory is held until the slot is filled again. */
	(void)put_in_place(tables, outer);
	tables->used[slot] = 0;
}

static int fill_slot(struct cap_kernel_targets *tables, uint32_t slot,
		     const struct cap_kernel_rows *rows)
{
	int inner[CAP_KERNEL_TABLES], rc = 0;
	struct places outer[2] = { 0 };
	unsigned made = 0;

	for (; rc == 0 && made < CAP_KERNEL_TABLES; made++) {
		inner[made] = -1;
		if (rows[made].count == 0 && made > 0)
			continue;
		inner[made] = make_inner(made, &rows[made]);
		rc = inner[made] < 0 ? inner[made] : 0;
		add_place(outer, slot, made, inner[made]);
		tables->used[slot] |= 1U << made;
	}
	if (rc == 0)
		rc = put_in_place(tables, outer);
	for (unsigned i = 0; i < made; i++)
		if (inner[i] >= 0)
			close(inner[i]);
	return rc;
}

static int build(struct cap_kernel_targets *tables, uint32_t slot,
		 const struct cap_target *const *targets, unsigned count, uint32_t tunnels)
{
	struct cap_kernel_rows rows[CAP_KERNEL_TABLES];
	int rc = cap_kernel_rows_make(targets, count, rows);

	if (rc == 0)
		rc = cap_kernel_plan_make(targets, count, tunnels, rows, &tables->plans[slot]);
	if (rc == 0)
		rc = fill_slot(tables, slot, rows);
	cap_kernel_rows_free(rows);
	return rc;
}

int cap_kernel_targets_set(struct cap_kernel_targets *tables,
			   const struct cap_target *const *targets, unsigned count,
			   uint32_t tunnels, struct cap_error *err)
{
	const uint32_t before = *tables->current, next = (before + 1) % CAPSTAN_SLOTS;
	int rc = build(tables, next, targets, count, tunnels);

	if (rc)
		tables->plans[next].kinds = CAPSTAN_KIND_EVERYTHING;
	__atomic_store_n(tables->current, next, __ATOMIC_RELEASE);
	empty_slot(tables, before);
	if (rc)
		return cap_fail(
			err, -rc,
			"the kernel does not take the tables of %u targets: %s: the engine alone selects their packets",
			count, strerror(-rc));
	return 0;
}
