// SPDX-License-Identifier: Apache-2.0
#include "fragments.h"

#include "seed.h"

#include <stdlib.h>
#include <string.h>

/* Slots among which a fragment has its place. */
#define WAYS 4U

/* Of a fragment's name: source, destination (2 words each), id and VLAN ids; the rest is in `told`. */
#define NAME_WORDS 5U

struct slot {
	uint64_t sequence; /* odd while it is written; 0: never was */
	uint64_t name[NAME_WORDS];
	uint64_t timestamp_ns;
	uint64_t told;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct slot) == 64, "a slot is one cache line");

/* What `told` holds, from the lowest bit on. */
#define TOLD_PORTS 0 /* 16 bits for each side */
#define TOLD_PROTOCOL 32
#define TOLD_PROTOCOL_IS 40
#define TOLD_PORT_IS 42 /* 2 bits for each side */
#define TOLD_NAME 48	/* family and protocol, of the fragment's name */

struct cap_fragments {
	uint32_t sets;
	struct cap_seed seed;
	struct slot slots[];
};

struct name {
	uint64_t words[NAME_WORDS];
	uint64_t kind; /* family and protocol */
};

struct cap_fragments *cap_fragments_create(unsigned slots)
{
	struct cap_fragments *made =
		aligned_alloc(64, sizeof(*made) + (size_t)slots * sizeof(made->slots[0]));

	if (!made)
		return NULL;
	memset(made, 0, sizeof(*made) + (size_t)slots * sizeof(made->slots[0]));
	made->sets = slots / WAYS;
	cap_seed_make(&made->seed);
	return made;
}

void cap_fragments_free(struct cap_fragments *fragments)
{
	free(fragments);
}

static uint64_t vlan_name(const struct cap_view *view, unsigned tag)
{
	return (uint64_t)view->vlan_is[tag] << 12 | view->vlan[tag];
}

/* IPv4 names a packet by its protocol, too; IPv6's later fragments need not tell it (RFC 8200). */
static struct name name_of(const struct cap_view *view)
{
	struct name name = { { 0 }, (uint64_t)view->family << 8 };

	memcpy(name.words, view->address, sizeof(view->address));
	name.words[4] = view->fragment_id | vlan_name(view, 0) << 32 | vlan_name(view, 1) << 48;
	if (view->family == 4)
		name.kind |= view->protocol;
	return name;
}

static struct slot *set_of(struct cap_fragments *fragments, const struct name *name)
{
	uint64_t nh = name->kind;

	for (unsigned i = 0; i < NAME_WORDS; i++)
		nh += cap_nh64(&fragments->seed, 2 * i, name->words[i]);
	return &fragments->slots[cap_hash_place(cap_hash_nh(&fragments->seed, nh), fragments->sets) *
				 WAYS];
}

static uint64_t read(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static bool has_name(const struct slot *slot, const struct name *name)
{
	bool same = read(&slot->told) >> TOLD_NAME == name->kind;

	for (unsigned i = 0; i < NAME_WORDS; i++)
		same &= read(&slot->name[i]) == name->words[i];
	return same;
}

static uint64_t tell(const struct cap_view *view, const struct name *name)
{
	return (uint64_t)view->port[CAP_FROM] << TOLD_PORTS |
	       (uint64_t)view->port[CAP_TO] << (TOLD_PORTS + 16) |
	       (uint64_t)view->protocol << TOLD_PROTOCOL |
	       (uint64_t)view->protocol_is << TOLD_PROTOCOL_IS |
	       (uint64_t)view->port_is[CAP_FROM] << TOLD_PORT_IS |
	       (uint64_t)view->port_is[CAP_TO] << (TOLD_PORT_IS + 2) | name->kind << TOLD_NAME;
}

static void take(struct cap_view *view, uint64_t told)
{
	view->protocol = (uint8_t)(told >> TOLD_PROTOCOL);
	view->protocol_is = told >> TOLD_PROTOCOL_IS & 3;
	for (unsigned side = CAP_FROM; side <= CAP_TO; side++) {
		view->port[side] = (uint16_t)(told >> (TOLD_PORTS + 16 * side));
		view->port_is[side] = told >> (TOLD_PORT_IS + 2 * side) & 3;
	}
}

/* The slot for this fragment: its own, else an empty one, else the oldest. */
static struct slot *choose(struct slot *set, const struct name *name)
{
	struct slot *oldest = set;

	for (unsigned i = 0; i < WAYS; i++) {
		if (!read(&set[i].sequence) || has_name(&set[i], name))
			return &set[i];
		if (read(&set[i].timestamp_ns) < read(&oldest->timestamp_ns))
			oldest = &set[i];
	}
	return oldest;
}

static void remember(struct cap_fragments *fragments, const struct cap_view *view,
		     uint64_t timestamp_ns)
{
	const struct name name = name_of(view);
	struct slot *slot = choose(set_of(fragments, &name), &name);
	uint64_t sequence = read(&slot->sequence);

	/* Another worker is at it: the two fragments compete for the place, and one is forgotten. */
	if (sequence & 1 || !__atomic_compare_exchange_n(&slot->sequence, &sequence, sequence + 1,
							 false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (unsigned i = 0; i < NAME_WORDS; i++)
		__atomic_store_n(&slot->name[i], name.words[i], __ATOMIC_RELAXED);
	__atomic_store_n(&slot->timestamp_ns, timestamp_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->told, tell(view, &name), __ATOMIC_RELAXED);
	__atomic_store_n(&slot->sequence, sequence + 2, __ATOMIC_RELEASE);
}

static void recall(struct cap_fragments *fragments, struct cap_view *view, uint64_t timestamp_ns)
{
	const struct name name = name_of(view);
	struct slot *set = set_of(fragments, &name);

	for (unsigned i = 0; i < WAYS; i++) {
		uint64_t sequence = __atomic_load_n(&set[i].sequence, __ATOMIC_ACQUIRE);
		uint64_t then = read(&set[i].timestamp_ns), told = read(&set[i].told);
		bool same = has_name(&set[i], &name);

		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!sequence || sequence & 1 || sequence != read(&set[i].sequence) || !same)
			continue;
		if ((then > timestamp_ns ? then - timestamp_ns : timestamp_ns - then) <=
		    CAP_FRAGMENT_NS)
			take(view, told);
		return;
	}
}

void cap_fragments_resolve(struct cap_fragments *fragments, struct cap_view *view,
			   uint64_t timestamp_ns)
{
	/* Without both addresses a fragment has no name. */
	if (view->fragment == CAP_WHOLE || !view->has_address[CAP_FROM] ||
	    !view->has_address[CAP_TO])
		return;
	if (view->fragment == CAP_FIRST_FRAGMENT)
		remember(fragments, view, timestamp_ns);
	else if (view->protocol_is == CAP_UNKNOWN || view->port_is[CAP_FROM] == CAP_UNKNOWN)
		recall(fragments, view, timestamp_ns);
}
