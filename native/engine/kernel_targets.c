// SPDX-License-Identifier: Apache-2.0
/*
 * Two slots, of which one is in force. A change of much fills the other slot's tables and plan, stores its number,
 * and then empties the slot before. A packet that was under way finds the number of the slot before: so its first
 * table, which each slot has, is taken out first. That lets such a packet through unjudged, and the kernel returns
 * from it only when no program runs any more that could have found it there. Then the slot is free. The kernel
 * waits so for each call that changes a map of maps, some 10 ms: what can be is changed in one call.
 *
 * A change of little is made in the slot in force: what is added or altered first, what is removed then. So a packet
 * finds all of the set before or all of the new one, whatever else it finds; what remains stays untouched. A trie
 * frees an altered row's former memory once no program can see it. A hash table keeps it for the next row that is
 * altered, so the kernel is waited for between two of them, and where there are several the slots are changed.
 */
#include "kernel_targets.h"

#include "kernel_patch.h"
#include "kernel_table.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL
#define PLANS_SIZE ((CAPSTAN_SLOTS * sizeof(struct capstan_plan) + PAGE - 1) / PAGE * PAGE)

/* Most rows of hash tables that are altered in their place: each of them waits for the one before, some 10 ms. */
#define MOST_ALTERED 4U

struct cap_kernel_targets {
	struct cap_kernel_target_maps maps;
	struct capstan_plan *plans; /* mapped */
	uint32_t *current;
	struct cap_kernel_table tables[CAP_KERNEL_TABLES]; /* of the slot in force */
	struct cap_kernel_table no_hosts, no_prefixes;	   /* tables without rows */
	uint32_t used[CAPSTAN_SLOTS]; /* bits of the tables that each slot has */
	bool known; /* the kernel has the rows of the tables above, and the plan that goes with them */
	bool altered; /* a row of a hash table, since the kernel was waited for */
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

/* Until no program runs that could have found what is gone by now. */
static int wait_for_programs(struct cap_kernel_targets *tables)
{
	const uint32_t key = *tables->current * CAPSTAN_HOST_TABLES;

	/* The slot's first table, once more in its place. */
	tables->altered = false;
	return bpf_map_update_elem(tables->maps.hosts, &key, &tables->tables[0].fd, BPF_ANY);
}

/* A table that had no rows as yet. */
static int begin_table(struct cap_kernel_targets *tables, unsigned table)
{
	struct places outer[2] = { 0 };
	int rc = cap_kernel_table_begin(&tables->tables[table], is_hosts(table));

	if (rc)
		return rc;
	add_place(outer, *tables->current, table, tables->tables[table].fd);
	tables->used[*tables->current] |= 1U << table;
	return put_in_place(tables, outer);
}

static int put_rows(struct cap_kernel_targets *tables, const struct cap_kernel_patch *patch)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < patch->count; i++) {
		const struct cap_kernel_patch_row *change = &patch->rows[i];
		const bool replaces = change->act == CAP_ROW_ALTER && is_hosts(change->table);

		if (change->act == CAP_ROW_REMOVE)
			continue;
		if (tables->tables[change->table].fd < 0)
			rc = begin_table(tables, change->table);
		if (rc == 0 && replaces && tables->altered)
			rc = wait_for_programs(tables);
		if (rc == 0)
			rc = cap_kernel_table_put(&tables->tables[change->table], &change->row);
		tables->altered |= replaces;
	}
	return rc;
}

static void remove_rows(const struct cap_kernel_targets *tables,
			const struct cap_kernel_patch *patch)
{
	for (unsigned i = 0; i < patch->count; i++)
		if (patch->rows[i].act == CAP_ROW_REMOVE)
			cap_kernel_table_remove(&tables->tables[patch->rows[i].table],
						&patch->rows[i].row);
}

/* What either plan says: the kinds last, since they say what else is looked at. */
static void widen_plan(struct capstan_plan *plan, const struct capstan_plan *more)
{
	uint8_t *to = (uint8_t *)plan;
	const uint8_t *from = (const uint8_t *)more;

	for (size_t i = offsetof(struct capstan_plan, outer_vlans); i < sizeof(*plan); i++)
		to[i] |= from[i];
	__atomic_store_n(&plan->kinds, plan->kinds | more->kinds, __ATOMIC_RELEASE);
}

/**
 * Change the slot in force by a patch.
 *
 * @return 0, or negative errno: a table has no room, nothing was removed, and what the kernel has is not known
 */
static int change_in_place(struct cap_kernel_targets *tables, const struct capstan_plan *plan,
			   const struct cap_kernel_patch *patch)
{
	struct capstan_plan *now = &tables->plans[*tables->current];
	const bool same_plan = !memcmp(now, plan, sizeof(*plan));
	int rc = put_rows(tables, patch);

	tables->known = rc == 0;
	if (rc)
		return rc;
	if (!same_plan)
		widen_plan(now, plan);
	remove_rows(tables, patch);
	if (!same_plan)
		memcpy(now, plan, sizeof(*plan));
	return 0;
}

/* The tables' rows as the kernel has them, in the form of those of a set. */
static void borrow_rows(const struct cap_kernel_targets *tables, struct cap_kernel_rows *rows)
{
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++)
		rows[i] = tables->tables[i].rows;
}

static void give_rows(struct cap_kernel_targets *tables, const struct cap_kernel_rows *rows)
{
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++)
		tables->tables[i].rows = rows[i];
}

/* @return 0 with the whole set in force, or negative errno: it is to be put in force as a whole */
static int change_little(struct cap_kernel_targets *tables, const struct capstan_plan *plan,
			 struct cap_kernel_rows *rows)
{
	struct cap_kernel_rows before[CAP_KERNEL_TABLES];
	struct cap_kernel_patch patch;
	int rc = tables->known ? cap_kernel_patch_open(&patch) : -ENODATA;

	if (rc)
		return rc;
	borrow_rows(tables, before);
	if (!cap_kernel_patch_compare(&patch, before, rows) || patch.altered_hosts > MOST_ALTERED)
		rc = -E2BIG;
	if (rc == 0)
		rc = change_in_place(tables, plan, &patch);
	if (rc == 0) {
		give_rows(tables, rows);
		memcpy(rows, before, sizeof(before));
	}
	cap_kernel_patch_close(&patch);
	return rc;
}

/* Without a target that is in no table, a step changes no more of the plan than which tables have rows. */
static int plan_step(const struct cap_kernel_targets *tables,
		     const struct cap_active_targets *active, const struct cap_kernel_rows *rows,
		     struct capstan_plan *plan)
{
	const struct capstan_plan *now = &tables->plans[*tables->current];
	bool all = false;

	for (unsigned i = 0; i < active->added_count; i++)
		all |= !active->added[i]->prefix_count && !active->added[i]->mac_count;
	for (unsigned i = 0; i < active->removed_count; i++)
		all |= !active->removed[i]->prefix_count && !active->removed[i]->mac_count;
	if (all)
		return cap_kernel_plan_make(active->targets, active->count, now->tunnels, rows,
					    plan);
	*plan = *now;
	plan->kinds = cap_kernel_plan_kinds(plan->kinds, rows);
	return 0;
}

/* @return 0 with the step taken, or negative errno: the set is to be put in force as a whole */
static int take_step(struct cap_kernel_targets *tables, const struct cap_active_targets *active,
		     uint32_t tunnels)
{
	struct cap_kernel_rows rows[CAP_KERNEL_TABLES];
	struct cap_kernel_patch patch;
	struct capstan_plan plan;
	int rc;

	if (!active->is_step || !tables->known ||
	    tables->plans[*tables->current].tunnels != tunnels)
		return -ENODATA;
	rc = cap_kernel_patch_open(&patch);
	if (rc)
		return rc;
	borrow_rows(tables, rows);
	if (!cap_kernel_patch_step(&patch, rows, active) || patch.altered_hosts > MOST_ALTERED)
		rc = -E2BIG;
	if (rc == 0) {
		/* From here on the tables' rows are not the kernel's. */
		tables->known = false;
		rc = cap_kernel_patch_rows(&patch, rows);
		give_rows(tables, rows);
	}
	if (rc == 0)
		rc = plan_step(tables, active, rows, &plan);
	if (rc == 0)
		rc = change_in_place(tables, &plan, &patch);
	cap_kernel_patch_close(&patch);
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
	tables->known = rc == 0;
	tables->altered = false;
	return rc;
}

static int set_whole(struct cap_kernel_targets *tables, const struct cap_active_targets *active,
		     uint32_t tunnels)
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
		tables->known = false;
	} else if (change_little(tables, &plan, rows)) {
		rc = change_slots(tables, &plan, rows);
	}
	cap_kernel_rows_free(rows);
	return rc;
}

int cap_kernel_targets_set(struct cap_kernel_targets *tables,
			   const struct cap_active_targets *active, uint32_t tunnels,
			   struct cap_error *err)
{
	int rc = take_step(tables, active, tunnels);

	if (rc)
		rc = set_whole(tables, active, tunnels);
	if (rc)
		return cap_fail(
			err, -rc,
			"the kernel does not take the tables of %u targets: %s: the engine alone selects their packets",
			active->count, strerror(-rc));
	return 0;
}
