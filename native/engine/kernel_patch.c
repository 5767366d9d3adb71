// SPDX-License-Identifier: Apache-2.0
#include "kernel_patch.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Most rows that a step touches, networks within its networks included: each active target is held against them. */
#define MOST_TOUCHED 64U

int cap_kernel_patch_open(struct cap_kernel_patch *patch)
{
	*patch = (struct cap_kernel_patch){
		.rows = malloc(CAP_MOST_PATCHED * sizeof(*patch->rows)),
	};
	return patch->rows ? 0 : -ENOMEM;
}

void cap_kernel_patch_close(struct cap_kernel_patch *patch)
{
	free(patch->rows);
	patch->rows = NULL;
}

static bool put(struct cap_kernel_patch *patch, unsigned table, enum cap_kernel_act act,
		const struct cap_kernel_row *row)
{
	if (patch->count == CAP_MOST_PATCHED)
		return false;
	patch->rows[patch->count++] = (struct cap_kernel_patch_row){ table, act, *row };
	patch->altered_hosts += act == CAP_ROW_ALTER && table < CAPSTAN_HOST_TABLES;
	return true;
}

/* @param was,is NULL: there is none */
static bool put_difference(struct cap_kernel_patch *patch, unsigned table,
			   const struct cap_kernel_row *was, const struct cap_kernel_row *is)
{
	if (!was || !is)
		return put(patch, table, was ? CAP_ROW_REMOVE : CAP_ROW_ADD, was ? was : is);
	return !memcmp(&was->hold, &is->hold, sizeof(was->hold)) ||
	       put(patch, table, CAP_ROW_ALTER, is);
}

static bool compare_table(struct cap_kernel_patch *patch, unsigned table,
			  const struct cap_kernel_rows *before, const struct cap_kernel_rows *after)
{
	unsigned b = 0, a = 0;
	bool room = true;

	while (room && (b < before->count || a < after->count)) {
		const struct cap_kernel_row *was = b < before->count ? &before->rows[b] : NULL;
		const struct cap_kernel_row *is = a < after->count ? &after->rows[a] : NULL;
		const int order = was && is ? cap_kernel_row_compare(was, is) : 0;

		if (order < 0)
			is = NULL;
		if (order > 0)
			was = NULL;
		b += was != NULL;
		a += is != NULL;
		room = put_difference(patch, table, was, is);
	}
	return room;
}

bool cap_kernel_patch_compare(struct cap_kernel_patch *patch,
			      const struct cap_kernel_rows before[CAP_KERNEL_TABLES],
			      const struct cap_kernel_rows after[CAP_KERNEL_TABLES])
{
	bool room = true;

	patch->count = patch->altered_hosts = 0;
	for (unsigned i = 0; room && i < CAP_KERNEL_TABLES; i++)
		room = compare_table(patch, i, &before[i], &after[i]);
	return room;
}

/* A row that a step may add, alter or remove. */
struct touched {
	unsigned table;
	uint64_t upper;		   /* the first 64 bits of its key */
	struct cap_kernel_row row; /* what the active targets say of its key */
	bool named;		   /* one of them names it */
	bool said;		   /* row.hold holds what one of them says */
};

struct step {
	const struct cap_kernel_rows *before;
	struct touched touched[MOST_TOUCHED];
	unsigned count;
	uint32_t tables; /* bits of those that are touched */
	bool too_much;
};

static bool is_networks(unsigned table)
{
	return table >= CAPSTAN_HOST_TABLES;
}

/* @return where a key is in a table, or would be */
static unsigned place_of(const struct cap_kernel_rows *rows, const struct cap_kernel_row *row)
{
	unsigned low = 0, high = rows->count;

	while (low < high) {
		const unsigned middle = low + (high - low) / 2;

		if (cap_kernel_row_compare(&rows->rows[middle], row) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* @return the first 64 bits of an address */
static uint64_t upper_of(const void *address)
{
	uint64_t upper;

	memcpy(&upper, address, sizeof(upper));
	return be64toh(upper);
}

static void touch(struct step *step, unsigned table, const struct cap_kernel_row *row)
{
	struct touched *at = step->touched;

	while (at < step->touched + step->count &&
	       (at->table != table || cap_kernel_row_compare(&at->row, row)))
		at++;
	if (at < step->touched + step->count)
		return;
	if (step->count == MOST_TOUCHED) {
		step->too_much = true;
		return;
	}
	*at = (struct touched){ .table = table,
				.upper = upper_of(row->key.address.words),
				.row.key = row->key };
	step->count++;
	step->tables |= 1U << table;
}

/* The row itself, and those of the networks within it, which say what it says. */
static void touch_all(void *context, unsigned table, const struct cap_kernel_row *row)
{
	struct step *step = context;
	const struct cap_kernel_rows *rows = &step->before[table];

	touch(step, table, row);
	if (!is_networks(table))
		return;
	for (unsigned i = place_of(rows, row); !step->too_much && i < rows->count; i++) {
		if (!cap_kernel_key_covers(&row->key, &rows->rows[i].key))
			return;
		touch(step, table, &rows->rows[i]);
	}
}

/* What an active target says of the rows that are touched. */
static void hear(void *context, unsigned table, const struct cap_kernel_row *row)
{
	struct step *step = context;

	if (!(step->tables & 1U << table))
		return;
	for (struct touched *at = step->touched; at < step->touched + step->count; at++) {
		const bool same = at->table == table && !cap_kernel_row_compare(&at->row, row);

		at->named |= same;
		if (!same && (at->table != table || !is_networks(table) ||
			      !cap_kernel_key_covers(&row->key, &at->row.key)))
			continue;
		if (at->said)
			cap_kernel_hold_widen(&at->row.hold, &row->hold);
		else
			at->row.hold = row->hold;
		at->said = true;
	}
}

/* @return which of them count */
static uint64_t upper_mask(const struct cap_prefix *prefix)
{
	return prefix->length ? UINT64_MAX << (prefix->length < 64 ? 64 - prefix->length : 0) : 0;
}

static bool is_of_family(unsigned table, uint8_t family)
{
	return table == (family == 4 ? CAPSTAN_HOSTS_IPV4 : CAPSTAN_HOSTS_IPV6) ||
	       table == CAPSTAN_HOST_TABLES +
				(family == 4 ? CAPSTAN_PREFIXES_IPV4 : CAPSTAN_PREFIXES_IPV6);
}

/* @return false: certainly the target says nothing of what is touched. Most do not, and this is all that they cost */
static bool may_say(const struct step *step, const struct cap_target *target)
{
	const struct touched *end = step->touched + step->count;

	for (unsigned i = 0; i < target->prefix_count; i++) {
		const struct cap_prefix *prefix = &target->prefixes[i];
		const uint64_t upper = upper_of(prefix->bytes), mask = upper_mask(prefix);

		for (const struct touched *at = step->touched; at < end; at++)
			if (!((upper ^ at->upper) & mask) &&
			    is_of_family(at->table, prefix->family))
				return true;
	}
	return !target->prefix_count && step->tables & 1U << CAPSTAN_HOSTS_MAC;
}

static int by_key(const void *a, const void *b)
{
	const struct touched *left = a, *right = b;

	if (left->table != right->table)
		return left->table < right->table ? -1 : 1;
	return cap_kernel_row_compare(&left->row, &right->row);
}

bool cap_kernel_patch_step(struct cap_kernel_patch *patch,
			   const struct cap_kernel_rows before[CAP_KERNEL_TABLES],
			   const struct cap_active_targets *active)
{
	struct step step = { .before = before };
	bool room = true;

	patch->count = patch->altered_hosts = 0;
	for (unsigned i = 0; i < active->added_count; i++)
		cap_kernel_rows_of(active->added[i], touch_all, &step);
	for (unsigned i = 0; i < active->removed_count; i++)
		cap_kernel_rows_of(active->removed[i], touch_all, &step);
	if (step.too_much)
		return false;
	for (unsigned i = 0; step.count && i < active->count; i++)
		if (may_say(&step, active->targets[i]))
			cap_kernel_rows_of(active->targets[i], hear, &step);
	qsort(step.touched, step.count, sizeof(step.touched[0]), by_key);
	for (unsigned i = 0; room && i < step.count; i++) {
		const struct touched *at = &step.touched[i];
		const struct cap_kernel_rows *rows = &before[at->table];
		const unsigned place = place_of(rows, &at->row);
		const struct cap_kernel_row *was = NULL;

		if (place < rows->count && !cap_kernel_row_compare(&rows->rows[place], &at->row))
			was = &rows->rows[place];
		if (was || at->named)
			room = put_difference(patch, at->table, was, at->named ? &at->row : NULL);
	}
	return room;
}

static int reserve(const struct cap_kernel_patch *patch,
		   struct cap_kernel_rows rows[CAP_KERNEL_TABLES])
{
	unsigned more[CAP_KERNEL_TABLES] = { 0 };

	for (unsigned i = 0; i < patch->count; i++)
		more[patch->rows[i].table] += patch->rows[i].act == CAP_ROW_ADD;
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++) {
		void *grown;

		if (!more[i])
			continue;
		grown = reallocarray(rows[i].rows, rows[i].count + more[i], sizeof(*rows[i].rows));
		if (!grown)
			return -ENOMEM;
		rows[i].rows = grown;
	}
	return 0;
}

int cap_kernel_patch_rows(const struct cap_kernel_patch *patch,
			  struct cap_kernel_rows rows[CAP_KERNEL_TABLES])
{
	int rc = reserve(patch, rows);

	for (unsigned i = 0; rc == 0 && i < patch->count; i++) {
		const struct cap_kernel_patch_row *change = &patch->rows[i];
		struct cap_kernel_rows *table = &rows[change->table];
		struct cap_kernel_row *at = table->rows + place_of(table, &change->row);
		const size_t behind = (size_t)(table->rows + table->count - at);

		if (change->act == CAP_ROW_ADD) {
			memmove(at + 1, at, behind * sizeof(*at));
			table->count++;
		}
		if (change->act == CAP_ROW_REMOVE) {
			memmove(at, at + 1, (behind - 1) * sizeof(*at));
			table->count--;
		} else {
			*at = change->row;
		}
	}
	return rc;
}
