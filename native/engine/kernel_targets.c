// SPDX-License-Identifier: Apache-2.0
/*
 * Two slots, of which one is in force. A change fills the other slot's inner maps and plan, stores its number,
 * and then empties the slot before. Taking an inner map out waits until no program runs that could have found
 * it there: so each slot has a first table, empty if need be, and once that is out the slot is free.
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
};

int cap_kernel_targets_open(const struct cap_kernel_target_maps *maps,
			    struct cap_kernel_targets **opened, struct cap_error *err)
{
	struct cap_kernel_targets *made = calloc(1, sizeof(*made));

	if (!made)
		return cap_fail(err, ENOMEM, "out of memory");
	made->maps = *maps;
	made->plans = mmap(NULL, PLANS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, maps->plans, 0);
	made->current = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, maps->current, 0);
	if (made->plans == MAP_FAILED || made->current == MAP_FAILED) {
		int rc = cap_fail(err, errno, "cannot map the targets' tables: %s",
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
	free(tables);
}

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

static int outer_map(const struct cap_kernel_targets *tables, unsigned table, uint32_t slot,
		     uint32_t *key)
{
	if (table < CAPSTAN_HOST_TABLES) {
		*key = slot * CAPSTAN_HOST_TABLES + table;
		return tables->maps.hosts;
	}
	*key = slot * CAPSTAN_PREFIX_TABLES + (table - CAPSTAN_HOST_TABLES);
	return tables->maps.prefixes;
}

static void empty_slot(const struct cap_kernel_targets *tables, uint32_t slot)
{
	/* That there is none is no error. */
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++) {
		uint32_t key;
		int outer = outer_map(tables, i, slot, &key);

		(void)bpf_map_delete_elem(outer, &key);
	}
}

static int fill_slot(const struct cap_kernel_targets *tables, uint32_t slot,
		     const struct cap_kernel_rows *rows)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < CAP_KERNEL_TABLES; i++) {
		uint32_t key;
		int outer = outer_map(tables, i, slot, &key), inner;

		if (rows[i].count == 0 && i > 0)
			continue;
		inner = make_inner(i, &rows[i]);
		if (inner < 0)
			return inner;
		rc = bpf_map_update_elem(outer, &key, &inner, BPF_ANY);
		close(inner);
	}
	return rc;
}

static int build(const struct cap_kernel_targets *tables, uint32_t slot,
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
