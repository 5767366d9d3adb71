// SPDX-License-Identifier: Apache-2.0
#include "kernel_rows.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Most networks that lie within each other: one of each length. */
#define MOST_NESTED 129

#define PORTS 65536

/* Bytes of a key, by which rows are sorted: an address of 16, and the prefix's length. */
#define DIGITS 17U

/* The kind of the plan that says that a table holds anything. */
static const uint32_t kind_of[CAP_KERNEL_TABLES] = {
	[CAPSTAN_HOSTS_IPV4] = CAPSTAN_KIND_HOSTS_IPV4,
	[CAPSTAN_HOSTS_IPV6] = CAPSTAN_KIND_HOSTS_IPV6,
	[CAPSTAN_HOSTS_MAC] = CAPSTAN_KIND_HOSTS_MAC,
	[CAPSTAN_HOST_TABLES + CAPSTAN_PREFIXES_IPV4] = CAPSTAN_KIND_PREFIXES_IPV4,
	[CAPSTAN_HOST_TABLES + CAPSTAN_PREFIXES_IPV6] = CAPSTAN_KIND_PREFIXES_IPV6,
};

static uint8_t sides_of(const struct cap_target *target)
{
	switch (target->direction) {
	case CAP_DIRECTION_FROM:
		return CAPSTAN_FROM;
	case CAP_DIRECTION_TO:
		return CAPSTAN_TO;
	default:
		return CAPSTAN_FROM | CAPSTAN_TO;
	}
}

static struct capstan_hold hold_of(const struct cap_target *target)
{
	struct capstan_hold hold = { .sides = sides_of(target), .first = UINT16_MAX };

	if (!target->any_protocol) {
		hold.only |= CAPSTAN_ONLY_PROTOCOL;
		hold.protocol = target->protocol;
	}
	if (target->port_count)
		hold.only |= CAPSTAN_ONLY_PORTS;
	for (unsigned i = 0; i < target->port_count; i++) {
		if (hold.first > target->ports[i].first)
			hold.first = target->ports[i].first;
		if (hold.last < target->ports[i].last)
			hold.last = target->ports[i].last;
	}
	return hold;
}

void cap_kernel_hold_widen(struct capstan_hold *hull, const struct capstan_hold *hold)
{
	hull->sides |= hold->sides;
	hull->only &= hold->only;
	if (hull->protocol != hold->protocol)
		hull->only &= (uint8_t)~CAPSTAN_ONLY_PROTOCOL;
	/* The same hull by whatever order. */
	if (!(hull->only & CAPSTAN_ONLY_PROTOCOL))
		hull->protocol = 0;
	if (hull->first > hold->first)
		hull->first = hold->first;
	if (hull->last < hold->last)
		hull->last = hold->last;
}

static unsigned table_of(const struct cap_prefix *prefix)
{
	if (prefix->family == 4)
		return prefix->length == 32 ? CAPSTAN_HOSTS_IPV4 :
					      CAPSTAN_HOST_TABLES + CAPSTAN_PREFIXES_IPV4;
	return prefix->length == 128 ? CAPSTAN_HOSTS_IPV6 :
				       CAPSTAN_HOST_TABLES + CAPSTAN_PREFIXES_IPV6;
}

static void put_row(cap_kernel_row_visitor visit, void *context, unsigned table,
		    const uint8_t *bytes, size_t len, uint32_t length,
		    const struct capstan_hold *hold)
{
	struct cap_kernel_row row = { .key.length = length, .hold = *hold };

	memcpy(row.key.address.words, bytes, len);
	visit(context, table, &row);
}

void cap_kernel_rows_of(const struct cap_target *target, cap_kernel_row_visitor visit,
			void *context)
{
	const struct capstan_hold hold = hold_of(target);
	/* Of MAC addresses the program asks for no more, so the rest is left out. */
	const struct capstan_hold any = { .sides = hold.sides };

	for (unsigned i = 0; i < target->prefix_count; i++) {
		const struct cap_prefix *prefix = &target->prefixes[i];

		put_row(visit, context, table_of(prefix), prefix->bytes,
			prefix->family == 4 ? 4 : 16, prefix->length, &hold);
	}
	for (unsigned i = 0; target->prefix_count == 0 && i < target->mac_count; i++)
		put_row(visit, context, CAPSTAN_HOSTS_MAC, target->macs[i], CAP_MAC_LEN,
			CAP_MAC_LEN * 8, &any);
}

static void add_row(void *context, unsigned table, const struct cap_kernel_row *row)
{
	struct cap_kernel_rows *rows = &((struct cap_kernel_rows *)context)[table];

	rows->rows[rows->count++] = *row;
}

static int allocate(const struct cap_target *const *targets, unsigned count,
		    struct cap_kernel_rows *tables)
{
	size_t sizes[CAP_KERNEL_TABLES] = { 0 };

	for (unsigned t = 0; t < count; t++) {
		for (unsigned i = 0; i < targets[t]->prefix_count; i++)
			sizes[table_of(&targets[t]->prefixes[i])]++;
		if (targets[t]->prefix_count == 0)
			sizes[CAPSTAN_HOSTS_MAC] += targets[t]->mac_count;
	}
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++) {
		if (sizes[i] == 0)
			continue;
		tables[i].rows = calloc(sizes[i], sizeof(*tables[i].rows));
		if (!tables[i].rows)
			return -ENOMEM;
	}
	return 0;
}

int cap_kernel_row_compare(const struct cap_kernel_row *left, const struct cap_kernel_row *right)
{
	const struct capstan_prefix *a = &left->key, *b = &right->key;
	int order = memcmp(&a->address, &b->address, sizeof(a->address));

	if (order)
		return order;
	return (a->length > b->length) - (a->length < b->length);
}

/* Byte @digit of a row's key, the least significant first: the length, then the address from its end. */
static uint8_t digit_of(const struct cap_kernel_row *row, unsigned digit)
{
	return digit == 0 ? (uint8_t)row->key.length :
			    ((const uint8_t *)row->key.address.words)[DIGITS - 1 - digit];
}

/* One pass: stable, so that what the passes before have ordered stays so. */
static void sort_by_digit(const struct cap_kernel_row *from, struct cap_kernel_row *to,
			  unsigned count, unsigned digit, const uint32_t *counts)
{
	uint32_t places[256], next = 0;

	for (unsigned value = 0; value < 256; value++) {
		places[value] = next;
		next += counts[value];
	}
	for (unsigned i = 0; i < count; i++)
		to[places[digit_of(&from[i], digit)]++] = from[i];
}

/* By digits, of which most are the same in all rows: a tenth of what comparing takes. @return 0 or -ENOMEM */
static int sort(struct cap_kernel_rows *table)
{
	struct cap_kernel_row *from = table->rows;
	struct cap_kernel_row *to = malloc(table->count * sizeof(*to));
	uint32_t(*counts)[256] = calloc(DIGITS, sizeof(*counts));
	int rc = 0;

	for (unsigned i = 0; counts && i < table->count; i++)
		for (unsigned digit = 0; digit < DIGITS; digit++)
			counts[digit][digit_of(&from[i], digit)]++;
	for (unsigned digit = 0; to && counts && digit < DIGITS; digit++) {
		struct cap_kernel_row *sorted = to;

		if (counts[digit][digit_of(from, digit)] == table->count)
			continue;
		sort_by_digit(from, to, table->count, digit, counts[digit]);
		to = from;
		from = sorted;
	}
	if (!to || !counts)
		rc = -ENOMEM;
	table->rows = from;
	free(to);
	free(counts);
	return rc;
}

static void merge_equal(struct cap_kernel_rows *table)
{
	unsigned last = 0;

	for (unsigned i = 1; i < table->count; i++) {
		if (cap_kernel_row_compare(&table->rows[last], &table->rows[i]) == 0)
			cap_kernel_hold_widen(&table->rows[last].hold, &table->rows[i].hold);
		else
			table->rows[++last] = table->rows[i];
	}
	table->count = last + 1;
}

bool cap_kernel_key_covers(const struct capstan_prefix *outer, const struct capstan_prefix *inner)
{
	const uint8_t *a = (const uint8_t *)outer->address.words;
	const uint8_t *b = (const uint8_t *)inner->address.words;
	uint32_t bytes = outer->length / 8, bits = outer->length % 8;

	if (outer->length > inner->length || memcmp(a, b, bytes))
		return false;
	return bits == 0 || ((a[bytes] ^ b[bytes]) & (0xff << (8 - bits)) & 0xff) == 0;
}

static void merge_nested(struct cap_kernel_rows *table)
{
	const struct cap_kernel_row *around[MOST_NESTED];
	unsigned depth = 0;

	for (unsigned i = 0; i < table->count; i++) {
		struct cap_kernel_row *row = &table->rows[i];

		while (depth && !cap_kernel_key_covers(&around[depth - 1]->key, &row->key))
			depth--;
		if (depth)
			cap_kernel_hold_widen(&row->hold, &around[depth - 1]->hold);
		around[depth++] = row;
	}
}

int cap_kernel_rows_make(const struct cap_target *const *targets, unsigned count,
			 struct cap_kernel_rows tables[CAP_KERNEL_TABLES])
{
	memset(tables, 0, CAP_KERNEL_TABLES * sizeof(*tables));
	if (allocate(targets, count, tables))
		return -ENOMEM;
	for (unsigned t = 0; t < count; t++)
		cap_kernel_rows_of(targets[t], add_row, tables);
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++) {
		if (tables[i].count == 0)
			continue;
		if (sort(&tables[i]))
			return -ENOMEM;
		merge_equal(&tables[i]);
		if (i >= CAPSTAN_HOST_TABLES)
			merge_nested(&tables[i]);
	}
	return 0;
}

void cap_kernel_rows_free(struct cap_kernel_rows tables[CAP_KERNEL_TABLES])
{
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++)
		free(tables[i].rows);
}

static void set_ids(uint8_t *bitmap, const uint16_t *ids, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		bitmap[ids[i] / 8] |= (uint8_t)(1U << ids[i] % 8);
}

/* Ranges may be many and wide: where each begins and ends is noted first, and gone over once. */
static void note_ports(const struct cap_target *target, int32_t *from, int32_t *to)
{
	const uint8_t sides = sides_of(target);

	for (unsigned i = 0; i < target->port_count; i++) {
		const struct cap_port_range *range = &target->ports[i];

		from[range->first] += sides & CAPSTAN_FROM ? 1 : 0;
		from[range->last + 1] -= sides & CAPSTAN_FROM ? 1 : 0;
		to[range->first] += sides & CAPSTAN_TO ? 1 : 0;
		to[range->last + 1] -= sides & CAPSTAN_TO ? 1 : 0;
	}
}

static void set_ports(uint8_t *bitmap, const int32_t *changes)
{
	int32_t open = 0;

	for (unsigned port = 0; port < PORTS; port++) {
		open += changes[port];
		if (open)
			bitmap[port / 8] |= (uint8_t)(1U << port % 8);
	}
}

uint32_t cap_kernel_plan_kinds(uint32_t kinds,
			       const struct cap_kernel_rows tables[CAP_KERNEL_TABLES])
{
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++)
		kinds = tables[i].count ? kinds | kind_of[i] : kinds & ~kind_of[i];
	return kinds;
}

int cap_kernel_plan_make(const struct cap_target *const *targets, unsigned count, uint32_t tunnels,
			 const struct cap_kernel_rows tables[CAP_KERNEL_TABLES],
			 struct capstan_plan *plan)
{
	int32_t *changes = calloc(2 * (PORTS + 1), sizeof(*changes));

	if (!changes)
		return -ENOMEM;
	memset(plan, 0, sizeof(*plan));
	plan->tunnels = tunnels;
	plan->kinds = cap_kernel_plan_kinds(0, tables);
	for (unsigned t = 0; t < count; t++) {
		const struct cap_target *target = targets[t];

		if (target->prefix_count || target->mac_count)
			continue;
		if (target->outer_vlan_count) {
			plan->kinds |= CAPSTAN_KIND_OUTER_VLANS;
			set_ids(plan->outer_vlans, target->outer_vlans, target->outer_vlan_count);
		} else if (target->inner_vlan_count) {
			plan->kinds |= CAPSTAN_KIND_INNER_VLANS;
			set_ids(plan->inner_vlans, target->inner_vlans, target->inner_vlan_count);
		} else {
			plan->kinds |= CAPSTAN_KIND_PORTS;
			note_ports(target, changes, changes + PORTS + 1);
		}
	}
	if (plan->kinds & CAPSTAN_KIND_PORTS) {
		set_ports(plan->ports_from, changes);
		set_ports(plan->ports_to, changes + PORTS + 1);
	}
	free(changes);
	return 0;
}
