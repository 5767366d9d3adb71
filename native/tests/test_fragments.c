// SPDX-License-Identifier: Apache-2.0
/* What the memory of first fragments says of later ones: never more than is known. */
#include "sentence.h"

/* With its inside: a worker that is stopped while it writes is not to be had otherwise. */
#include "fragments.c"

#include <pthread.h>
#include <string.h>

#define T0 1000000000000000000ULL
#define MS 1000000ULL

#define RACES 3000U

static struct cap_view view_of(uint8_t family, enum cap_fragment_kind kind, uint16_t port)
{
	struct cap_view view = { .family = family,
				 .has_address = { true, true },
				 .fragment = (uint8_t)kind,
				 .fragment_id = 77,
				 .protocol = 17,
				 .address = { { 192, 0, 2, 1 }, { 192, 0, 2, 2 } } };
	const bool first = kind == CAP_FIRST_FRAGMENT;

	view.protocol_is = first || family == 4 ? CAP_KNOWN : CAP_UNKNOWN;
	view.port_is[0] = view.port_is[1] = first ? CAP_KNOWN : CAP_UNKNOWN;
	view.port[0] = view.port[1] = port;
	return view;
}

static void see_first(struct cap_fragments *fragments, uint8_t family, uint16_t port, uint64_t when)
{
	struct cap_view view = view_of(family, CAP_FIRST_FRAGMENT, port);

	cap_fragments_resolve(fragments, &view, 0, when);
}

/* @return the port that a later fragment has, or 0: unknown */
static uint16_t see_later(struct cap_fragments *fragments, uint8_t family, uint64_t when)
{
	struct cap_view view = view_of(family, CAP_LATER_FRAGMENT, 0);

	cap_fragments_resolve(fragments, &view, 0, when);
	HOLDS(view.port_is[0] == view.port_is[1] && view.port_is[0] != CAP_ABSENT);
	HOLDS(view.protocol_is == CAP_KNOWN || view.port_is[0] == CAP_UNKNOWN);
	HOLDS(view.protocol_is == CAP_KNOWN || family == 6);
	HOLDS(view.protocol_is != CAP_KNOWN || view.protocol == 17);
	return view.port_is[0] == CAP_KNOWN ? view.port[0] : 0;
}

static void test_later_ones_take_the_ports_of_their_first(void)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct cap_fragments *fragments = cap_fragments_create(64);

		HOLDS(see_later(fragments, family, T0) == 0);
		see_first(fragments, family, 443, T0);
		HOLDS(see_later(fragments, family, T0) == 443);
		/* Another queue is behind, and a port that sees both ways of a mirror has everything twice. */
		HOLDS(see_later(fragments, family, T0 - 3 * MS) == 443);
		see_first(fragments, family, 443, T0 + MS);
		HOLDS(see_later(fragments, family, T0 + 2 * MS) == 443);
		cap_fragments_free(fragments);
	}
}

static void test_a_decoy_makes_unknown_and_not_another(void)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct cap_fragments *fragments = cap_fragments_create(64);

		see_first(fragments, family, 443, T0);
		see_first(fragments, family, 53, T0 + MS);
		HOLDS(see_later(fragments, family, T0 + 2 * MS) == 0);
		/* However often either is told again. */
		for (unsigned i = 0; i < 3; i++) {
			see_first(fragments, family, 53, T0 + 3 * MS);
			HOLDS(see_later(fragments, family, T0 + 3 * MS) == 0);
		}
		see_first(fragments, family, 443, T0 + 4 * MS);
		HOLDS(see_later(fragments, family, T0 + 5 * MS) == 0);
		cap_fragments_free(fragments);
	}
}

static void test_an_id_that_is_used_again_is_another_packet(void)
{
	struct cap_fragments *fragments = cap_fragments_create(64);

	see_first(fragments, 4, 443, T0);
	/* Its first one was lost. */
	HOLDS(see_later(fragments, 4, T0 + CAP_FRAGMENT_NS) == 443);
	HOLDS(see_later(fragments, 4, T0 + CAP_FRAGMENT_NS + 1) == 0);
	HOLDS(see_later(fragments, 4, T0 - CAP_FRAGMENT_NS - 1) == 0);
	/* Its first one is there. */
	see_first(fragments, 4, 53, T0 + CAP_FRAGMENT_NS + 1);
	HOLDS(see_later(fragments, 4, T0 + CAP_FRAGMENT_NS + 2) == 53);
	cap_fragments_free(fragments);
}

/* One packet inside of another. */
static uint16_t see_inner(struct cap_fragments *fragments, enum cap_fragment_kind kind,
			  uint64_t tunnel, uint8_t outer_end, uint16_t outer_vlan, uint16_t port)
{
	struct cap_view views[2] = { { .family = 4,
				       .has_address = { true, true },
				       .vlan_is = { CAP_KNOWN },
				       .vlan = { outer_vlan },
				       .address = { { 10, 0, 0, outer_end }, { 10, 0, 0, 9 } } },
				     view_of(4, kind, port) };

	views[1].tunnel = tunnel;
	cap_fragments_resolve(fragments, views, 1, T0);
	return views[1].port_is[0] == CAP_KNOWN ? views[1].port[0] : 0;
}

static void test_tenants_with_the_same_addresses_do_not_mix(void)
{
	struct cap_fragments *fragments = cap_fragments_create(64);

	see_inner(fragments, CAP_FIRST_FRAGMENT, 7, 1, 100, 443);
	HOLDS(see_inner(fragments, CAP_LATER_FRAGMENT, 7, 1, 100, 0) == 443);
	/* Another tunnel, other ends of it, another network that it goes through, and no tunnel. */
	HOLDS(see_inner(fragments, CAP_LATER_FRAGMENT, 8, 1, 100, 0) == 0);
	HOLDS(see_inner(fragments, CAP_LATER_FRAGMENT, 7, 2, 100, 0) == 0);
	HOLDS(see_inner(fragments, CAP_LATER_FRAGMENT, 7, 1, 101, 0) == 0);
	HOLDS(see_later(fragments, 4, T0) == 0);
	see_inner(fragments, CAP_FIRST_FRAGMENT, 8, 1, 100, 53);
	HOLDS(see_inner(fragments, CAP_LATER_FRAGMENT, 7, 1, 100, 0) == 443);
	HOLDS(see_inner(fragments, CAP_LATER_FRAGMENT, 8, 1, 100, 0) == 53);
	cap_fragments_free(fragments);
}

static void test_what_a_stopped_worker_keeps_others_from_telling_is_unknown(void)
{
	struct cap_fragments *fragments = cap_fragments_create(4);
	struct set *set = fragments->sets;

	see_first(fragments, 4, 443, T0);
	HOLDS(begin_write(set));
	HOLDS(see_later(fragments, 4, T0) == 0);
	see_first(fragments, 4, 53, T0);
	HOLDS(see_later(fragments, 4, T0) == 0);
	end_write(set);
	HOLDS(see_later(fragments, 4, T0) == 0);
	/* Where it ends just before the mark is set, the next one who writes finds it. */
	see_first(fragments, 4, 443, T0 + 2 * CAP_FRAGMENT_NS);
	HOLDS(see_later(fragments, 4, T0 + 2 * CAP_FRAGMENT_NS) == 443);
	__atomic_fetch_or(&set->sequence, DOUBT, __ATOMIC_RELEASE);
	HOLDS(see_later(fragments, 4, T0 + 2 * CAP_FRAGMENT_NS) == 0);
	see_first(fragments, 6, 443, T0 + 2 * CAP_FRAGMENT_NS);
	HOLDS(see_later(fragments, 4, T0 + 2 * CAP_FRAGMENT_NS) == 0);
	HOLDS(!(set->sequence & (WRITING | DOUBT)));
	cap_fragments_free(fragments);
}

struct race {
	struct cap_fragments *fragments;
	pthread_barrier_t start;
};

static void *tell_decoys(void *argument)
{
	struct race *race = argument;

	for (unsigned i = 0; i < RACES; i++) {
		pthread_barrier_wait(&race->start);
		see_first(race->fragments, 4, 53, T0 + i * 1000 * MS);
		pthread_barrier_wait(&race->start);
	}
	return NULL;
}

static void test_two_workers_at_once_lose_no_contradiction(void)
{
	struct race race = { .fragments = cap_fragments_create(4) };
	pthread_t thread;

	pthread_barrier_init(&race.start, NULL, 2);
	HOLDS(pthread_create(&thread, NULL, tell_decoys, &race) == 0);
	for (unsigned i = 0; i < RACES; i++) {
		pthread_barrier_wait(&race.start);
		see_first(race.fragments, 4, 443, T0 + i * 1000 * MS);
		pthread_barrier_wait(&race.start);
		HOLDS(see_later(race.fragments, 4, T0 + i * 1000 * MS) == 0);
	}
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&race.start);
	cap_fragments_free(race.fragments);
}

int main(void)
{
	test_later_ones_take_the_ports_of_their_first();
	test_a_decoy_makes_unknown_and_not_another();
	test_an_id_that_is_used_again_is_another_packet();
	test_tenants_with_the_same_addresses_do_not_mix();
	test_what_a_stopped_worker_keeps_others_from_telling_is_unknown();
	test_two_workers_at_once_lose_no_contradiction();
	return 0;
}
