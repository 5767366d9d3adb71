// SPDX-License-Identifier: Apache-2.0
/*
 * Two slots, of which one is in force. A change of much fills the other slot's tables and plan, stores its number,
 * and then empties the slot before. A packet that was under way finds the number of the slot before: so its first
 * table, which each slot has, is taken out first. That lets such a packet through unjudged, and the kernel returns
 * from it only when no program runs any more that could have found it there. Then the slot is free. The kernel
 * waits so for each call that changes a map of maps, some 10 ms: what can be is changed in one call.
 *
 * A change of little is made in the slot in force: what is added first, what is removed then. So a packet finds
 * all of the set before or all of the new one, whatever else it finds; what remains stays untouched. Where a row
 * would have to be altered, or more than rows, the slots are changed: a table may use a removed row's memory again
 * at once, under the eyes of who found it.
 */
#include "kernel_targets.h"

#include "kernel_table.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL
#define PLANS_SIZE ((CAPSTAN_SLOTS * sizeof(struct capstan_plan) + PAGE - 1) / PAGE * PAGE)

/* Most rows that are added or removed one by one: a call each, about a microsecond. */
#define MOST_IN_PLACE 4096U

struct cap_kernel_targets {
	struct cap_kernel_target_maps maps;
	struct capstan_plan *plans; /* mapped */
	uint32_t *current;
	struct cap_kernel_table tables[CAP_KERNEL_TABLES]; /* of the slot in force */
	struct cap_kernel_table no_hosts, no_prefixes;	   /* tables without rows */
	uint32_t used[CAPSTAN_SLOTS]; /* bits of the tables that each slot has */
};

static bool is_hosts(unsigned table)
{
	return table < CAPSTAN_HOST_TABLES;
}

int cap_kernel_targets_open(const struct cap_kernel_target_maps *maps,
			    struct cap_kernel_targets **opened, struct cap_error *err)
{
	struct cap_kernel_targets *made = calloc(1, sizeof(*made));
	struct cap_kernel_rows none = { 0 };
	int rc;

	if (!made)
		return cap_fail(err, ENOMEM, "out of memory");
	made->maps = *maps;
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++)
		made->tables[i].fd = -1;
	made->no_hosts.fd = made->no_prefixes.fd = -1;
	made->plans = mmap(NULL, PLANS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, maps->plans, 0);
	made->current = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, maps->current, 0);
	rc = made->plans == MAP_FAILED || made->current == MAP_FAILED ? -errno : 0;
	if (rc == 0)
		rc = cap_kernel_table_make(&made->no_hosts, true, &none);
	if (rc == 0)
		rc = cap_kernel_table_make(&made->no_prefixes, false, &none);
	if (rc) {
		cap_kernel_targets_close(made);
		return cap_fail(err, -rc, "the kernel gives no tables for targets: %s",
				strerror(-rc));
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
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++)
		cap_kernel_table_free(&tables->tables[i]);
	cap_kernel_table_free(&tables->no_hosts);
	cap_kernel_table_free(&tables->no_prefixes);
	free(tables);
}

/* Tables of one outer map that a slot has: their places there, and what is put there. */
struct places {
	uint32_t keys[CAP_KERNEL_TABLES];
	int inner[CAP_KERNEL_TABLES];
	uint32_t count;
};

static void add_place(struct places outer[2], uint32_t slot, unsigned table, int inner)
{
	struct places *places = &outer[is_hosts(table) ? 0 : 1];

	places->keys[places->count] =
		is_hosts(table) ? slot * CAPSTAN_HOST_TABLES + table :
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
				  is_hosts(i) ? tables->no_hosts.fd : tables->no_prefixes.fd);
	/* If that fails their memory is held until the slot is filled again. */
	(void)put_in_place(tables, outer);
	tables->used[slot] = 0;
}

/* @param made the tables of the slot, or all without one after an error */
static int fill_slot(struct cap_kernel_targets *tables, uint32_t slot, struct cap_kernel_rows *rows,
		     struct cap_kernel_table *made)
{
	struct places outer[2] = { 0 };
	int rc = 0;

	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++)
		made[i] = (struct cap_kernel_table){ .fd = -1 };
	for (unsigned i = 0; rc == 0 && i < CAP_KERNEL_TABLES; i++) {
		if (rows[i].count == 0 && i > 0)
			continue;
		rc = cap_kernel_table_make(&made[i], is_hosts(i), &rows[i]);
		add_place(outer, slot, i, made[i].fd);
		tables->used[slot] |= 1U << i;
	}
	if (rc == 0)
		rc = put_in_place(tables, outer);
	for (unsigned i = 0; rc && i < CAP_KERNEL_TABLES; i++)
		cap_kernel_table_free(&made[i]);
	return rc;
}

static bool is_little(const struct cap_kernel_targets *tables, const struct capstan_plan *plan,
		      const struct cap_kernel_rows *rows)
{
	unsigned changes = 0;

	if (memcmp(plan, &tables->plans[*tables->current], sizeof(*plan)))
		return false;
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++) {
		struct cap_kernel_difference difference;

		cap_kernel_table_compare(&tables->tables[i], &rows[i], &difference);
		changes += difference.added + difference.removed;
		if (difference.altered || changes > MOST_IN_PLACE)
			return false;
	}
	return true;
}

/* @return 0, or negative errno: a table has no room, and nothing was removed */
static int change_in_place(struct cap_kernel_targets *tables, struct cap_kernel_rows *rows)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < CAP_KERNEL_TABLES; i++)
		if (rows[i].count)
			rc = cap_kernel_table_add(&tables->tables[i], &rows[i]);
	for (unsigned i = 0; rc == 0 && i < CAP_KERNEL_TABLES; i++)
		if (rows[i].count)
			cap_kernel_table_reduce(&tables->tables[i], &rows[i]);
	return rc;
}

/* Put the other slot in force: with these rows, or if that cannot be, letting everything through. */
static int change_slots(struct cap_kernel_targets *tables, const struct capstan_plan *plan,
			struct cap_kernel_rows *rows)
{
	const uint32_t before = *tables->current, next = (before + 1) % CAPSTAN_SLOTS;
	struct cap_kernel_table made[CAP_KERNEL_TABLES];
	int rc = fill_slot(tables, next, rows, made);

	memcpy(&tables->plans[next], plan, sizeof(*plan));
	if (rc)
		tables->plans[next].kinds = CAPSTAN_KIND_EVERYTHING;
	__atomic_store_n(tables->current, next, __ATOMIC_RELEASE);
	empty_slot(tables, before);
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++)
		cap_kernel_table_free(&tables->tables[i]);
	memcpy(tables->tables, made, sizeof(made));
	return rc;
}

int cap_kernel_targets_set(struct cap_kernel_targets *tables,
			   const struct cap_active_targets *active, uint32_t tunnels,
			   struct cap_error *err)
{
	struct cap_kernel_rows rows[CAP_KERNEL_TABLES];
	struct capstan_plan plan;
	int rc = cap_kernel_rows_make(active->targets, active->count, rows);

	if (rc == 0)
		rc = cap_kernel_plan_make(active->targets, active->count, tunnels, rows, &plan);
	if (rc) {
		/* Without memory for a set it is let through by a plan without tables, and those take none. */
		cap_kernel_rows_free(rows);
		memset(rows, 0, sizeof(rows));
		memset(&plan, 0, sizeof(plan));
		plan.kinds = CAPSTAN_KIND_EVERYTHING;
		(void)change_slots(tables, &plan, rows);
	} else if (!is_little(tables, &plan, rows) || change_in_place(tables, rows)) {
		rc = change_slots(tables, &plan, rows);
	}
	cap_kernel_rows_free(rows);
	if (rc)
		return cap_fail(
			err, -rc,
			"the kernel does not take the tables of %u targets: %s: the engine alone selects their packets",
			active->count, strerror(-rc));
	return 0;
}
