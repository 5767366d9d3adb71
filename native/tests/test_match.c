// SPDX-License-Identifier: Apache-2.0
/*
 * The engine's matcher against the slow reference, on random traffic and random targets: the same ones in every
 * run. test_match [ROUNDS [SEED]]
 */
#include "sentence.h"
#include "target_list.h"
#include "target_reference.h"
#include "target_traffic.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 160U
#define BURSTS_PER_ROUND 20U

/* So many that no fragment is forgotten for want of room. */
#define FRAGMENT_SLOTS 65536U

static struct cap_match found[CAP_BURST];

/* What is hit how often, so that a test of nothing does not pass. */
static unsigned long packets_matched, packets_unsure, packets_more, packets_made, packets_by_parts;

/* Targets have every second number as their ids, so that others fit in between. */
static void put_id(struct cap_target *target, unsigned number)
{
	memset(target->id, 0, sizeof(target->id));
	for (unsigned i = 0; i < 4; i++)
		target->id[CAP_TARGET_ID_LEN - 1 - i] = (uint8_t)(number >> 8 * i);
}

static unsigned number_of(const struct cap_target *target)
{
	unsigned number = 0;

	for (unsigned i = 0; i < 4; i++)
		number = number << 8 | target->id[CAP_TARGET_ID_LEN - 4 + i];
	return number;
}

/* Positions as they are in the array that the reference has. */
static void number_by_array(const struct cap_target_set *set, struct cap_match *match)
{
	for (uint32_t i = 0; i < match->count; i++)
		match->targets[i] = number_of(cap_target_set_at(set, match->targets[i])) / 2;
}

static void tell(const struct cap_packet *packet, const struct cap_match *is,
		 const struct cap_match *should)
{
	fprintf(stderr,
		"len %u of %u, tag %04x %04x, %u segments; found %u%s%s, reference %u%s%s\n",
		packet->len, packet->wire_len, packet->vlan_tpid, packet->vlan_tci,
		packet->n_segments, is ? is->count : 0, is && is->more ? " more" : "",
		is && is->unsure ? " unsure" : "", should->count, should->more ? " more" : "",
		should->unsure ? " unsure" : "");
	for (uint32_t i = 0; i < packet->len && i < 256 && packet->n_segments == 1; i++)
		fprintf(stderr, "%02x%s", packet->data[i], i % 16 == 15 ? "\n" : " ");
	fprintf(stderr, "\n");
}

static bool same(const struct cap_match *a, const struct cap_match *b)
{
	return a->count == b->count && a->more == b->more && a->unsure == b->unsure &&
	       !memcmp(a->targets, b->targets, a->count * sizeof(a->targets[0]));
}

static void compare_burst(struct traffic *traffic, bool ethernet, struct cap_matcher *matcher,
			  const struct cap_target_set *set, struct reference *reference,
			  const struct cap_target *targets, unsigned count)
{
	static struct traffic_packet made[CAP_BURST];
	struct cap_packet packets[CAP_BURST];
	unsigned n = 1 + (unsigned)traffic_random(traffic, CAP_BURST);
	uint64_t matched;

	for (unsigned i = 0; i < n; i++) {
		traffic_packet_make(traffic, ethernet, &made[i]);
		packets[i] = made[i].packet;
	}
	matched = cap_match_burst(matcher, set, packets, n, found);
	HOLDS(n == CAP_BURST || !(matched >> n));
	for (unsigned i = 0; i < n; i++) {
		struct cap_match should;
		bool his = reference_match(reference, targets, count, &packets[i], &should);

		if (matched >> i & 1)
			number_by_array(set, &found[i]);
		if (his != (matched >> i & 1) || (his && !same(&found[i], &should))) {
			tell(&packets[i], matched >> i & 1 ? &found[i] : NULL, &should);
			HOLDS(!"matcher and reference agree");
		}
		packets_made++;
		packets_matched += his;
		packets_by_parts += his && set->parts[1] && set->gone;
		packets_unsure += his && should.unsure;
		packets_more += his && should.more;
		traffic_packet_free(&made[i]);
	}
}

#define STEPS 3U

/* What a step does to the set before it: ordered by id, as are the targets. */
static struct cap_target_set *take_step(struct cap_target_set *before,
					const struct cap_target *targets, unsigned count,
					const uint8_t *steps, unsigned step)
{
	const struct cap_target **added = calloc(count + 1, sizeof(*added));
	const struct cap_target **removed = calloc(2 * count + 1, sizeof(*removed));
	struct cap_target_walk walk = cap_target_set_walk(before);
	unsigned added_count = 0, removed_count = 0;
	const struct cap_target *was;
	struct cap_target_set *after;
	struct cap_error err;

	while ((was = cap_target_walk_next(&walk)))
		if (steps[number_of(was) / 2] == step)
			removed[removed_count++] = was;
	for (unsigned i = 0; i < count; i++)
		if (steps[i] == step)
			added[added_count++] = &targets[i];
	HOLDS(cap_target_set_change(before, added, added_count, removed, removed_count, UINT_MAX,
				    &after, &err) == 0);
	cap_target_set_free(before);
	free(added);
	free(removed);
	return after;
}

/*
 * The set as it comes about by changes: at first some of its targets, others in their places and in between, which
 * each step puts right for some of them; the last step is one of a part of its own, and its targets were there before.
 */
static struct cap_target_set *make_by_changes(struct traffic *traffic,
					      const struct cap_target *targets, unsigned count)
{
	struct cap_target *first = calloc(2 * count + 1, sizeof(*first));
	uint8_t *steps = calloc(count + 1, sizeof(*steps));
	struct cap_target_set *set;
	unsigned first_count = 0;
	struct cap_error err;

	for (unsigned i = 0; i < count; i++) {
		steps[i] = (uint8_t)traffic_random(traffic, STEPS + 1);
		if (steps[i] == STEPS || traffic_random(traffic, 2)) {
			const unsigned like =
				steps[i] == STEPS ? i : (unsigned)traffic_random(traffic, count);

			first[first_count] = targets[like];
			put_id(&first[first_count++], 2 * i);
		}
		if (steps[i] < STEPS && traffic_random(traffic, 3) == 0) {
			first[first_count] = targets[traffic_random(traffic, count)];
			put_id(&first[first_count++], 2 * i + 1);
		}
	}
	HOLDS(cap_target_set_build(first, first_count, &set, &err) == 0);
	for (unsigned step = 0; step < STEPS; step++)
		set = take_step(set, targets, count, steps, step);
	/* Some of what the second part has is changed once more. */
	for (unsigned i = 0; i < count; i++)
		steps[i] = (uint8_t)traffic_random(traffic, 4);
	set = take_step(set, targets, count, steps, 0);
	free(first);
	free(steps);
	return set;
}

/* @return the set, which has the targets in their order, maybe in two parts */
static struct cap_target_set *make_set(struct traffic *traffic, struct cap_target *targets,
				       unsigned count, bool by_changes)
{
	struct cap_target_set *set, *merged;
	struct cap_target_walk walk;
	struct cap_error err;

	for (unsigned i = 0; i < count; i++)
		put_id(&targets[i], 2 * i);
	if (by_changes)
		set = make_by_changes(traffic, targets, count);
	else
		HOLDS(cap_target_set_build(targets, count, &set, &err) == 0);
	HOLDS(cap_target_set_count(set) == count);
	HOLDS(cap_target_set_merge(set, &merged, &err) == 0);
	HOLDS(cap_target_set_is_merged(merged) && cap_target_set_count(merged) == count);
	walk = cap_target_set_walk(set);
	for (unsigned i = 0; i < count; i++) {
		HOLDS(cap_target_same(cap_target_walk_next(&walk), &targets[i]));
		HOLDS(cap_target_same(cap_target_set_at(merged, i), &targets[i]));
	}
	HOLDS(!cap_target_walk_next(&walk));
	cap_target_set_free(merged);
	return set;
}

static void compare(uint64_t seed)
{
	static const unsigned counts[] = { 0, 1, 2, 8, 30, 120, 400 };
	struct cap_fragments *fragments = cap_fragments_create(FRAGMENT_SLOTS);
	struct traffic traffic;
	struct cap_target *targets;
	struct cap_target_set *set;
	struct cap_matcher *matcher;
	struct reference *reference;
	uint32_t tunnels;
	unsigned count;
	bool ethernet;

	traffic_begin(&traffic, seed);
	tunnels = (uint32_t)(seed % 3 ? 15 : traffic_random(&traffic, 16));
	ethernet = seed % 8 != 7;
	count = counts[traffic_random(&traffic, sizeof(counts) / sizeof(counts[0]))];
	targets = traffic_targets_make(&traffic, count);
	set = make_set(&traffic, targets, count, seed % 2);
	matcher = cap_matcher_create(ethernet ? 1 : 101, tunnels, fragments);
	reference = reference_create(ethernet, tunnels);
	HOLDS(fragments && matcher);
	if (seed % 4 == 3)
		cap_matcher_use_plain(matcher);
	for (unsigned i = 0; i < BURSTS_PER_ROUND; i++)
		compare_burst(&traffic, ethernet, matcher, set, reference, targets, count);
	reference_free(reference);
	cap_matcher_free(matcher);
	cap_target_set_free(set);
	cap_fragments_free(fragments);
	traffic_targets_free(targets, count);
}

/* A UDP fragment from 192.0.2.1, the first of which was never seen. */
#define PROTOCOL_AT 9
static uint8_t later_fragment[] = { 0x45, 0, 0,	 28, 0, 7, 0, 9, 64, 17, 0, 0, 192, 0,
				    2,	  1, 10, 0,  0, 1, 1, 2, 3,  4,	 5, 6, 7,   8 };

/* @return did the packet match a set of @p count targets like @p like, of which @p odd is the last? */
static bool match_alike(const struct cap_target *like, unsigned count, const struct cap_target *odd)
{
	const struct cap_packet packet = { .data = later_fragment,
					   .len = sizeof(later_fragment),
					   .wire_len = sizeof(later_fragment),
					   .timestamp_ns = 1000,
					   .n_segments = 1 };
	struct cap_fragments *fragments = cap_fragments_create(4);
	struct cap_matcher *matcher = cap_matcher_create(101, 0, fragments);
	struct cap_target *targets = calloc(count, sizeof(*targets));
	struct cap_target_set *set;
	struct cap_error err;
	bool his;

	for (unsigned i = 0; i < count; i++)
		targets[i] = i + 1 == count ? *odd : *like;
	HOLDS(cap_target_set_build(targets, count, &set, &err) == 0);
	his = cap_match_burst(matcher, set, &packet, 1, found);
	cap_target_set_free(set);
	free(targets);
	cap_matcher_free(matcher);
	cap_fragments_free(fragments);
	return his;
}

/* Up to the bound all is exact; beyond it nothing is lost, and it is told. */
static void check_bound(const struct cap_target *nobody)
{
	struct cap_target his = *nobody;

	his.protocol = 17;
	his.end_ns = UINT64_MAX;
	HOLDS(!match_alike(nobody, CAP_MAX_JUDGEMENTS, nobody));
	HOLDS(match_alike(nobody, CAP_MAX_JUDGEMENTS, &his));
	HOLDS(found->count == 1 && found->targets[0] == CAP_MAX_JUDGEMENTS - 1 && !found->more);
	HOLDS(match_alike(nobody, CAP_MAX_JUDGEMENTS + 1, &his));
	HOLDS(found->count == 0 && found->more && found->unsure);
	HOLDS(match_alike(&his, CAP_MAX_JUDGEMENTS + 1, &his));
	HOLDS(found->count == CAP_MAX_MATCHES && found->more);
}

static void check_work_is_bounded(void)
{
	struct cap_prefix prefix = { 4, 32, { 192, 0, 2, 1 } };
	struct cap_port_range ports = { 443, 443 };
	const struct cap_target of_tcp = { .protocol = 6,
					   .end_ns = UINT64_MAX,
					   .prefix_count = 1,
					   .prefixes = &prefix,
					   .port_count = 1,
					   .ports = &ports };
	struct cap_target over = of_tcp, without_ports = of_tcp, anywhere = of_tcp;

	check_bound(&of_tcp);
	over.protocol = 17;
	over.end_ns = 1000;
	check_bound(&over);
	/* Without a prefix they are judged for both sides. */
	over.prefix_count = 0;
	HOLDS(!match_alike(&over, CAP_MAX_JUDGEMENTS / 2, &over));
	HOLDS(match_alike(&over, CAP_MAX_JUDGEMENTS / 2 + 1, &over));
	HOLDS(found->count == 0 && found->more && found->unsure);
	/* What is told apart by protocol is no work at all. */
	anywhere.prefix_count = 0;
	HOLDS(!match_alike(&anywhere, 8 * CAP_MAX_JUDGEMENTS, &anywhere));
	without_ports.port_count = 0;
	later_fragment[PROTOCOL_AT] = 1;
	HOLDS(!match_alike(&without_ports, 8 * CAP_MAX_JUDGEMENTS, &without_ports));
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	for (unsigned long i = 0; i < rounds; i++)
		compare(seed + i);
	check_work_is_bounded();
	printf("%lu packets, %lu of them matched (%lu in sets of two parts), %lu unsure, %lu of more targets than are told\n",
	       packets_made, packets_matched, packets_by_parts, packets_unsure, packets_more);
	if (argc == 1)
		HOLDS(packets_matched > packets_made / 10 && packets_unsure > 1000 &&
		      packets_more > 1000 && packets_by_parts > packets_matched / 10);
	return 0;
}
