// SPDX-License-Identifier: Apache-2.0
#include "index_terms.h"
#include "target_index.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

struct builder {
	struct cap_target_index *index;
	const struct cap_target *targets;
	unsigned count;
	struct cap_term *terms, *spare; /* room for the terms of one kind */
	uint32_t entry_room, term_room;
};

/* Double the room of one of the index's arrays. @return false: no memory */
static bool grow(void *array, uint32_t *room, size_t size)
{
	void **at = array;
	uint32_t more = *room ? *room * 2 : 1024;
	void *grown = realloc(*at, more * size);

	if (!grown)
		return false;
	*at = grown;
	*room = more;
	return true;
}

static bool same_name(const struct cap_term *a, const struct cap_term *b)
{
	return a->length == b->length && !memcmp(a->name, b->name, sizeof(a->name));
}

/*
 * Make an entry of the terms from @p at on that have one name.
 *
 * @return behind them, or NULL: no memory
 */
static const struct cap_term *enter(struct builder *builder, const struct cap_term *at,
				    const struct cap_term *end, uint32_t *entry)
{
	struct cap_target_index *index = builder->index;
	const struct cap_term *first = at;

	/* Entry 0 is nobody's, and one behind the last says where its targets end. */
	if (index->entry_count + 2 > builder->entry_room &&
	    !grow(&index->entries, &builder->entry_room, sizeof(*index->entries)))
		return NULL;
	*entry = index->entry_count++;
	index->entries[*entry] = (struct cap_index_entry){ .first = index->term_count };
	for (; at < end && same_name(at, first); at++) {
		/* A target may say a thing twice. */
		if (at > first && at->target == at[-1].target)
			continue;
		if (index->term_count == builder->term_room &&
		    !grow(&index->terms, &builder->term_room, sizeof(*index->terms)))
			return NULL;
		index->terms[index->term_count++] = at->target;
	}
	index->entries[index->entry_count].first = index->term_count;
	return at;
}

/* Sorted terms of @p kind. @return how many */
static uint32_t gather(struct builder *builder, enum cap_term_kind kind,
		       const struct cap_term **sorted)
{
	uint32_t n = cap_terms_gather(builder->terms, kind, builder->targets, builder->count);

	*sorted = cap_terms_sort(builder->terms, builder->spare, n);
	return n;
}

static uint32_t count_names(const struct cap_term *terms, uint32_t n)
{
	uint32_t names = n > 0;

	for (uint32_t i = 1; i < n; i++)
		names += !same_name(&terms[i], &terms[i - 1]);
	return names;
}

static uint32_t number_of(const struct cap_term *term)
{
	return (uint32_t)term->name[0] << 24 | (uint32_t)term->name[1] << 16 |
	       (uint32_t)term->name[2] << 8 | term->name[3];
}

static uint64_t half_of(const struct cap_term *term, unsigned half)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < 8; i++)
		number = number << 8 | term->name[half * 8 + i];
	return number;
}

/* A number of @p count ones, at most 64. */
static uint64_t last_bits(unsigned count)
{
	return count ? UINT64_MAX >> (64 - count) : 0;
}

/* Hosts or MAC addresses, by hash. @param filter to be put before the table, or NULL */
static bool build_table(struct builder *builder, enum cap_term_kind kind,
			struct cap_host_table *table, struct cap_prefix_filter *filter)
{
	struct cap_target_index *index = builder->index;
	const struct cap_term *at, *end;
	uint32_t n = gather(builder, kind, &at), names = count_names(at, n);

	end = at + n;
	if (!cap_host_table_init(table, names) ||
	    (filter && !cap_prefix_filter_init_plain(filter, names)))
		return false;
	while (at < end) {
		const struct cap_term *term = at;
		uint64_t nh = cap_nh128(&index->seed, term->name);
		uint64_t hash = cap_hash_nh(&index->seed, nh);
		uint32_t tag = cap_index_tag(nh);
		uint32_t entry;

		if (kind == CAP_TERM_HOST4) {
			tag = number_of(term);
			hash = cap_hash32(&index->seed, 0, tag);
		}
		if (filter)
			cap_prefix_filter_add(filter, hash);
		at = enter(builder, at, end, &entry);
		if (!at)
			return false;
		cap_host_table_add(table, hash, tag, entry);
	}
	return true;
}

static bool build_hosts6(struct builder *builder)
{
	struct cap_target_index *index = builder->index;
	const struct cap_term *at;
	uint32_t n = gather(builder, CAP_TERM_HOST6, &at);

	index->hosts6_first = index->entry_count;
	index->hosts6_count = count_names(at, n);
	index->hosts6_names = malloc((index->hosts6_count + 1) * sizeof(*index->hosts6_names));
	if (!index->hosts6_names)
		return false;
	for (uint32_t i = 0, name = 0; i < n; i++)
		if (i == 0 || !same_name(&at[i], &at[i - 1]))
			memcpy(index->hosts6_names[name++], at[i].name, 16);
	return build_table(builder, CAP_TERM_HOST6, &index->hosts6, &index->filter6_hosts);
}

/* Deepest nesting of prefixes in one space. */
#define MOST_NESTED 130U

/* Cuts a space of numbers into ranges, as prefixes come in the order of their first addresses. */
struct sweep {
	struct cap_range *ranges;
	uint32_t count, room;
	uint32_t from;	 /* the first of this space's ranges */
	uint32_t around; /* value of what no prefix holds */
	uint64_t last;	 /* number of the space */
	uint64_t next;	 /* first number that is in no range yet */
	bool full;	 /* there is no such number */
	unsigned depth;
	struct cap_range
		open[MOST_NESTED]; /* prefixes that hold the next number, the shortest first */
};

static void sweep_begin(struct sweep *sweep, uint64_t last, uint32_t around)
{
	sweep->from = sweep->count;
	sweep->last = last;
	sweep->around = around;
	sweep->next = 0;
	sweep->full = false;
	sweep->depth = 0;
}

static uint32_t sweep_value(const struct sweep *sweep)
{
	return sweep->depth ? sweep->open[sweep->depth - 1].value : sweep->around;
}

/* The numbers up to @p last that are in no range yet are in one. */
static bool cut(struct sweep *sweep, uint64_t last)
{
	const uint32_t value = sweep_value(sweep);

	if (sweep->full || last < sweep->next)
		return true;
	if (sweep->count > sweep->from && sweep->ranges[sweep->count - 1].value == value)
		sweep->count--;
	if (sweep->count == sweep->room &&
	    !grow(&sweep->ranges, &sweep->room, sizeof(*sweep->ranges)))
		return false;
	sweep->ranges[sweep->count++] = (struct cap_range){ last, value };
	sweep->next = last + 1;
	sweep->full = last == sweep->last;
	return true;
}

/* The prefixes that end before @p first. */
static bool close_before(struct sweep *sweep, uint64_t first)
{
	while (sweep->depth && sweep->open[sweep->depth - 1].last < first) {
		if (!cut(sweep, sweep->open[sweep->depth - 1].last))
			return false;
		sweep->depth--;
	}
	return true;
}

/* A prefix from @p first to @p last. @param parent value of the one around it */
static bool sweep_open(struct sweep *sweep, uint64_t first, uint64_t last, uint32_t value,
		       uint32_t *parent)
{
	if (!close_before(sweep, first) || (first && !cut(sweep, first - 1)))
		return false;
	*parent = sweep_value(sweep);
	sweep->open[sweep->depth++] = (struct cap_range){ last, value };
	return true;
}

static bool sweep_end(struct sweep *sweep)
{
	while (sweep->depth) {
		if (!cut(sweep, sweep->open[sweep->depth - 1].last))
			return false;
		sweep->depth--;
	}
	return cut(sweep, sweep->last);
}

/* By the first 16 bits: one range as it is, or where the ranges are that share them. */
static bool lay_out4(struct cap_prefixes4 *prefixes, const struct cap_range *range, uint32_t count)
{
	uint32_t part_room = 0, room = count + 65536;

	prefixes->tops = malloc(65536 * sizeof(*prefixes->tops));
	prefixes->lasts = malloc(room * sizeof(*prefixes->lasts));
	prefixes->values = malloc(room * sizeof(*prefixes->values));
	if (!prefixes->tops || !prefixes->lasts || !prefixes->values)
		return false;
	for (uint32_t top = 0; top < 65536; top++) {
		const uint32_t end = top << 16 | 0xffff;

		if (prefixes->part_count + 2 > part_room &&
		    !grow(&prefixes->parts, &part_room, sizeof(*prefixes->parts)))
			return false;
		if (range->last >= end) {
			prefixes->tops[top] = CAP_TOP_ONE | range->value;
		} else {
			prefixes->tops[top] = prefixes->part_count;
			prefixes->parts[prefixes->part_count++] = prefixes->range_count;
			for (bool more = true; more; prefixes->range_count++) {
				more = range->last < end;
				prefixes->lasts[prefixes->range_count] =
					more ? (uint16_t)range->last : 0xffff;
				prefixes->values[prefixes->range_count] = range->value;
				range += more;
			}
		}
		range += range->last == end && top < 65535;
	}
	prefixes->parts[prefixes->part_count] = prefixes->range_count;
	return true;
}

static bool build_prefixes4(struct builder *builder)
{
	struct cap_target_index *index = builder->index;
	const struct cap_term *at, *end;
	uint32_t n = gather(builder, CAP_TERM_PREFIX4, &at);
	struct sweep *sweep;
	bool ok = true;

	if (!n)
		return true;
	sweep = calloc(1, sizeof(*sweep));
	if (!sweep)
		return false;
	sweep_begin(sweep, UINT32_MAX, 0);
	for (end = at + n; ok && at < end;) {
		const uint32_t first = number_of(at);
		const uint32_t last = first | (uint32_t)last_bits(32U - at->length);
		uint32_t entry;

		at = enter(builder, at, end, &entry);
		ok = at && sweep_open(sweep, first, last, entry, &index->entries[entry].parent);
	}
	ok = ok && sweep_end(sweep) && lay_out4(&index->prefixes4, sweep->ranges, sweep->count);
	free(sweep->ranges);
	free(sweep);
	return ok;
}

/* The prefixes of more than 64 bits that share the first 64. @return behind them, or NULL: no memory */
static const struct cap_term *build_part6(struct builder *builder, struct sweep *deep,
					  const struct cap_term *at, const struct cap_term *end,
					  uint32_t around)
{
	struct cap_target_index *index = builder->index;
	const uint64_t top = half_of(at, 0);

	sweep_begin(deep, UINT64_MAX, around);
	while (at && at < end && half_of(at, 0) == top) {
		const uint64_t first = half_of(at, 1);
		const uint64_t last = first | last_bits(128U - at->length);
		uint32_t entry;

		at = enter(builder, at, end, &entry);
		if (at && !sweep_open(deep, first, last, entry, &index->entries[entry].parent))
			return NULL;
	}
	return sweep_end(deep) ? at : NULL;
}

static bool lay_out6(struct cap_prefixes6 *prefixes, const struct sweep *upper,
		     const struct sweep *deep)
{
	prefixes->lasts = malloc((deep->count + 1) * sizeof(*prefixes->lasts));
	prefixes->values = malloc((deep->count + 1) * sizeof(*prefixes->values));
	if (!prefixes->lasts || !prefixes->values)
		return false;
	for (uint32_t i = 0; i < deep->count; i++) {
		prefixes->lasts[i] = deep->ranges[i].last;
		prefixes->values[i] = deep->ranges[i].value;
	}
	prefixes->range_count = deep->count;
	return cap_range_tree_build(&prefixes->upper, upper->ranges, upper->count);
}

static bool sweep_prefixes6(struct builder *builder, struct sweep *upper, struct sweep *deep)
{
	struct cap_target_index *index = builder->index;
	struct cap_prefixes6 *prefixes = &index->prefixes6;
	const struct cap_term *at, *end;
	uint32_t n = gather(builder, CAP_TERM_PREFIX6, &at), part_room = 0, entry, around;

	if (!n)
		return true;
	sweep_begin(upper, UINT64_MAX, 0);
	for (end = at + n; at && at < end;) {
		const uint64_t first = half_of(at, 0);

		if (prefixes->part_count + 2 > part_room &&
		    !grow(&prefixes->parts, &part_room, sizeof(*prefixes->parts)))
			return false;
		if (at->length <= 64) {
			const uint64_t last = first | last_bits(64U - at->length);

			at = enter(builder, at, end, &entry);
			if (!at ||
			    !sweep_open(upper, first, last, entry, &index->entries[entry].parent))
				return false;
			continue;
		}
		if (!sweep_open(upper, first, first, CAP_DEEP | prefixes->part_count, &around))
			return false;
		prefixes->parts[prefixes->part_count++] = deep->count;
		at = build_part6(builder, deep, at, end, around);
	}
	if (!at || !sweep_end(upper))
		return false;
	prefixes->parts[prefixes->part_count] = deep->count;
	return lay_out6(prefixes, upper, deep);
}

static bool build_prefixes6(struct builder *builder)
{
	struct sweep *sweeps = calloc(2, sizeof(*sweeps));
	bool ok = sweeps && sweep_prefixes6(builder, &sweeps[0], &sweeps[1]);

	if (sweeps) {
		free(sweeps[0].ranges);
		free(sweeps[1].ranges);
	}
	free(sweeps);
	return ok;
}

/* Entries by number. @param numbers how many there can be; *table stays NULL when there are no terms */
static bool build_numbers(struct builder *builder, enum cap_term_kind kind, uint32_t numbers,
			  uint32_t **table)
{
	const struct cap_term *at, *end;
	uint32_t n = gather(builder, kind, &at);

	if (!n)
		return true;
	*table = calloc(numbers, sizeof(**table));
	if (!*table)
		return false;
	for (end = at + n; at && at < end;) {
		const uint32_t number = number_of(at) % numbers;

		at = enter(builder, at, end, &(*table)[number]);
	}
	return at;
}

/* Which ports the targets that are found by their ports name. */
static bool build_port_map(struct builder *builder)
{
	struct cap_target_index *index = builder->index;
	int32_t *begun, open = 0;

	if (!index->port_blocks)
		return true;
	begun = calloc(65537, sizeof(*begun));
	index->port_map = calloc(65536 / 64, sizeof(*index->port_map));
	for (uint32_t i = 0; begun && index->port_map && i < builder->count; i++) {
		const struct cap_target *target = &builder->targets[i];

		for (unsigned k = 0; cap_term_by_ports(target) && k < target->port_count; k++) {
			begun[target->ports[k].first]++;
			begun[target->ports[k].last + 1]--;
		}
	}
	for (uint32_t port = 0; begun && index->port_map && port < 65536; port++) {
		open += begun[port];
		index->port_map[port / 64] |= (uint64_t)(open > 0) << port % 64;
	}
	if (!begun || !index->port_map) {
		free(begun);
		return false;
	}
	free(begun);
	return true;
}

static bool build_any(struct builder *builder, enum cap_term_kind kind, uint32_t *entry)
{
	const struct cap_term *at;
	uint32_t n = gather(builder, kind, &at);

	return !n || enter(builder, at, at + n, entry);
}

/* A prefix's length as the filters take it; those of IPv6 hosts have a filter of their own. */
static bool in_filter(const struct cap_prefix *prefix, uint8_t family, unsigned *length)
{
	*length = prefix->length < 64 ? prefix->length : 64;
	return prefix->family == family && prefix->length < 128;
}

static void add_to_filter(const struct builder *builder, const struct cap_prefix *prefix,
			  unsigned length, struct cap_prefix_filter *filter)
{
	const struct cap_seed *seed = &builder->index->seed;
	const uint32_t level = cap_prefix_filter_level(filter, length);
	uint64_t upper;

	memcpy(&upper, prefix->bytes, sizeof(upper));
	cap_prefix_filter_add(filter, prefix->family == 4 ?
					      cap_filter_hash4(filter, seed, level,
							       (uint32_t)(be64toh(upper) >> 32)) :
					      cap_filter_hash6(filter, seed, level, upper));
}

static bool build_filter(const struct builder *builder, uint8_t family,
			 struct cap_prefix_filter *filter)
{
	uint32_t counts[CAP_FILTER_LENGTHS] = { 0 };
	unsigned length;

	for (unsigned t = 0; t < builder->count; t++)
		for (unsigned i = 0; i < builder->targets[t].prefix_count; i++)
			if (in_filter(&builder->targets[t].prefixes[i], family, &length))
				counts[length]++;
	if (!cap_prefix_filter_init(filter, counts, family == 4 ? 32 : 64))
		return false;
	for (unsigned t = 0; t < builder->count; t++)
		for (unsigned i = 0; i < builder->targets[t].prefix_count; i++)
			if (in_filter(&builder->targets[t].prefixes[i], family, &length))
				add_to_filter(builder, &builder->targets[t].prefixes[i], length,
					      filter);
	return true;
}

/* All crowds together have at most so many keys; what is beyond is judged target by target. */
#define MOST_CROWD_KEYS (8U * CAP_MAX_TARGET_TERMS)

/* An entry's keys in the builder's terms. @return how many, or UINT32_MAX: no memory */
static uint32_t gather_keys(struct builder *builder, uint32_t entry, const struct cap_term **sorted)
{
	const struct cap_target_index *index = builder->index;
	struct cap_term *to = builder->terms;

	for (uint32_t i = index->entries[entry].first; i < index->entries[entry + 1].first; i++) {
		const struct cap_target *target = &builder->targets[index->terms[i]];
		uint32_t *numbers = malloc((target->mac_count + 1U) * sizeof(*numbers));

		if (!numbers)
			return UINT32_MAX;
		for (unsigned k = 0; k < target->mac_count; k++)
			numbers[k] = cap_index_mac_number(index, target->macs[k]);
		to = cap_terms_put_keys(to, target, index->terms[i], numbers);
		free(numbers);
	}
	*sorted = cap_terms_sort(builder->terms, builder->spare, (uint32_t)(to - builder->terms));
	return (uint32_t)(to - builder->terms);
}

static bool put_crowd(struct builder *builder, uint32_t entry)
{
	struct cap_target_index *index = builder->index;
	struct cap_crowd *crowd = &index->crowds[index->crowd_count++];
	const struct cap_term *sorted;
	uint32_t n = gather_keys(builder, entry, &sorted);

	if (n == UINT32_MAX)
		return false;
	*crowd = (struct cap_crowd){ entry, index->crowd_key_count, 0 };
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0 && same_name(&sorted[i], &sorted[i - 1]) &&
		    sorted[i].target == sorted[i - 1].target)
			continue;
		index->crowd_keys[crowd->first + crowd->count] = number_of(&sorted[i]);
		index->crowd_targets[crowd->first + crowd->count++] = sorted[i].target;
	}
	index->crowd_key_count += crowd->count;
	return true;
}

/* @return keys of an entry, 0 when it has few targets */
static uint64_t crowd_keys(const struct builder *builder, uint32_t entry)
{
	const struct cap_target_index *index = builder->index;
	const uint32_t first = index->entries[entry].first, end = index->entries[entry + 1].first;
	uint64_t keys = 0;

	for (uint32_t i = first; end - first > CAP_CROWD && i < end; i++)
		keys += cap_terms_keys(&builder->targets[index->terms[i]]);
	return keys;
}

static bool build_crowds(struct builder *builder)
{
	struct cap_target_index *index = builder->index;
	uint32_t crowds = 0;
	uint64_t sum = 0, keys;

	for (uint32_t entry = 1; entry < index->entry_count; entry++) {
		keys = crowd_keys(builder, entry);
		if (keys && sum + keys <= MOST_CROWD_KEYS) {
			sum += keys;
			crowds++;
		}
	}
	if (!crowds)
		return true;
	index->crowds = malloc(crowds * sizeof(*index->crowds));
	index->crowd_keys = malloc(sum * sizeof(*index->crowd_keys));
	index->crowd_targets = malloc(sum * sizeof(*index->crowd_targets));
	if (!index->crowds || !index->crowd_keys || !index->crowd_targets)
		return false;
	sum = 0;
	for (uint32_t entry = 1; entry < index->entry_count; entry++) {
		keys = crowd_keys(builder, entry);
		if (!keys || sum + keys > MOST_CROWD_KEYS)
			continue;
		sum += keys;
		if (!put_crowd(builder, entry))
			return false;
	}
	return true;
}

static bool build_all(struct builder *builder)
{
	static const struct cap_term nobody = { .target = UINT32_MAX };
	struct cap_target_index *index = builder->index;
	uint32_t zero;

	return enter(builder, &nobody, &nobody, &zero) &&
	       build_filter(builder, 4, &index->filter4) &&
	       build_filter(builder, 6, &index->filter6) &&
	       build_table(builder, CAP_TERM_HOST4, &index->hosts4, NULL) &&
	       build_hosts6(builder) && build_prefixes4(builder) && build_prefixes6(builder) &&
	       build_table(builder, CAP_TERM_MAC, &index->macs, NULL) &&
	       build_numbers(builder, CAP_TERM_VLAN_OUTER, CAP_VLAN_IDS, &index->vlans[0]) &&
	       build_numbers(builder, CAP_TERM_VLAN_INNER, CAP_VLAN_IDS, &index->vlans[1]) &&
	       build_numbers(builder, CAP_TERM_PORTS, CAP_PORT_BLOCKS, &index->port_blocks) &&
	       build_port_map(builder) && build_crowds(builder) &&
	       build_any(builder, CAP_TERM_ANY_VLAN_OUTER, &index->any_vlan[0]) &&
	       build_any(builder, CAP_TERM_ANY_VLAN_INNER, &index->any_vlan[1]) &&
	       build_numbers(builder, CAP_TERM_ANY_PORTS, CAP_PROTOCOLS, &index->any_ports);
}

/* What was allotted beyond what is used goes back. */
static void trim(struct cap_target_index *index)
{
	void *trimmed = realloc(index->entries, (index->entry_count + 1) * sizeof(*index->entries));

	if (trimmed)
		index->entries = trimmed;
	trimmed = realloc(index->terms, (index->term_count + 1) * sizeof(*index->terms));
	if (trimmed)
		index->terms = trimmed;
}

bool cap_target_index_build(struct cap_target_index *index, const struct cap_target *targets,
			    unsigned count)
{
	struct builder builder = { .index = index, .targets = targets, .count = count };
	uint32_t bound = cap_terms_bound(targets, count) + 1;
	bool ok;

	*index = (struct cap_target_index){ 0 };
	cap_seed_make(&index->seed);
	builder.terms = malloc(bound * sizeof(*builder.terms));
	builder.spare = malloc(bound * sizeof(*builder.spare));
	ok = builder.terms && builder.spare && build_all(&builder);
	free(builder.terms);
	free(builder.spare);
	if (ok)
		trim(index);
	index->anywhere = index->macs.bucket_count || index->any_vlan[0] || index->any_vlan[1] ||
			  index->any_ports;
	return ok;
}
