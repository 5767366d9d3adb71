// SPDX-License-Identifier: Apache-2.0
#include "fragments.h"

#include "seed.h"

#include <stdlib.h>
#include <string.h>

/* Places among which a fragment has its own. */
#define WAYS 4U

/* Of a fragment's name: source, destination (2 words each), id and VLAN ids, tunnel; the rest is in `told`. */
#define NAME_WORDS 6U

/* How often a writer looks whether a set is free: some microseconds, and another writes for a tenth of one. */
#define TRIES 1000U

struct slot {
	uint64_t name[NAME_WORDS];
	uint64_t timestamp_ns;
	uint64_t told; /* 0: empty */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct slot) == 64, "a slot is one cache line");

/* A set's sequence: what is above counts the writes. */
#define WRITING 1U
#define DOUBT 2U /* a write was given up: what is remembered here may have been contradicted */
#define ONE_WRITE 4U

struct set {
	uint64_t sequence;
	struct slot slots[WAYS];
} __attribute__((aligned(64)));

/* What `told` holds, from the lowest bit on. */
#define TOLD_PORTS 0 /* 16 bits for each side */
#define TOLD_PROTOCOL 32
#define TOLD_PROTOCOL_IS 40
#define TOLD_PORT_IS 42 /* 2 bits for each side */
#define TOLD_NAME 48	/* family and protocol, of the fragment's name */

struct cap_fragments {
	uint32_t set_count;
	struct cap_seed seed;
	struct set sets[];
};

struct name {
	uint64_t words[NAME_WORDS];
	uint64_t kind; /* family and protocol */
};

struct cap_fragments *cap_fragments_create(unsigned slots)
{
	const size_t sets = slots / WAYS;
	struct cap_fragments *made =
		aligned_alloc(64, sizeof(*made) + sets * sizeof(made->sets[0]));

	if (!made)
		return NULL;
	memset(made, 0, sizeof(*made) + sets * sizeof(made->sets[0]));
	made->set_count = (uint32_t)sets;
	cap_seed_make(&made->seed);
	return made;
}

void cap_fragments_free(struct cap_fragments *fragments)
{
	free(fragments);
}

static uint64_t vlan_name(const struct cap_view *view)
{
	return (uint64_t)view->vlan_is[0] << 12 | view->vlan[0] | (uint64_t)view->vlan_is[1] << 28 |
	       (uint64_t)view->vlan[1] << 16;
}

/* Multiplied by the golden ratio's bits, as Fibonacci hashing does: begun with a secret. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

/* All that is around a packet: a tunnel's id means something between its two ends alone. 0: nothing is. */
static uint64_t tunnel_name(const struct cap_seed *seed, const struct cap_view *views, unsigned at)
{
	uint64_t hash = (uint64_t)seed->words[0] << 32 | seed->words[1];

	for (unsigned i = 0; i < at; i++) {
		uint64_t address[4];

		memcpy(address, views[i].address, sizeof(address));
		for (unsigned k = 0; k < 4; k++)
			hash = mix(hash, address[k]);
		hash = mix(hash, vlan_name(&views[i]));
		hash = mix(hash, views[i + 1].tunnel);
	}
	return at ? hash : 0;
}

/* IPv4 names a packet by its protocol, too; IPv6's later fragments need not tell it (RFC 8200). */
static struct name name_of(const struct cap_seed *seed, const struct cap_view *views, unsigned at)
{
	const struct cap_view *view = &views[at];
	struct name name = { { 0 }, (uint64_t)view->family << 8 };

	memcpy(name.words, view->address, sizeof(view->address));
	name.words[4] = view->fragment_id | vlan_name(view) << 32;
	name.words[5] = tunnel_name(seed, views, at);
	if (view->family == 4)
		name.kind |= view->protocol;
	return name;
}

static struct set *set_of(struct cap_fragments *fragments, const struct name *name)
{
	const struct cap_seed *seed = &fragments->seed;
	uint64_t nh = name->kind;

	for (unsigned i = 0; i < NAME_WORDS; i++)
		nh += cap_nh64(seed, 2 * i, name->words[i]);
	return &fragments->sets[cap_hash_place(cap_hash_nh(seed, nh), fragments->set_count)];
}

static uint64_t read(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void write(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static bool has_name(const struct slot *slot, const struct name *name)
{
	bool same = read(&slot->told) >> TOLD_NAME == name->kind;

	for (unsigned i = 0; i < NAME_WORDS; i++)
		same &= read(&slot->name[i]) == name->words[i];
	return same;
}

static bool stands(const struct slot *slot, uint64_t timestamp_ns)
{
	const uint64_t then = read(&slot->timestamp_ns);

	return (then > timestamp_ns ? then - timestamp_ns : timestamp_ns - then) <= CAP_FRAGMENT_NS;
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

/* The same name, and nothing known but IPv4's protocol, which is part of it. */
static uint64_t tell_unknown(uint64_t told)
{
	const uint64_t kind = told >> TOLD_NAME;
	uint64_t unknown = kind << TOLD_NAME | (uint64_t)CAP_UNKNOWN << TOLD_PORT_IS |
			   (uint64_t)CAP_UNKNOWN << (TOLD_PORT_IS + 2);

	if (kind >> 8 == 4)
		return unknown | (kind & 0xff) << TOLD_PROTOCOL |
		       (uint64_t)CAP_KNOWN << TOLD_PROTOCOL_IS;
	return unknown | (uint64_t)CAP_UNKNOWN << TOLD_PROTOCOL_IS;
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

/* @return false: another worker has the set, and was stopped in the middle */
static bool begin_write(struct set *set)
{
	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t sequence = read(&set->sequence);

		if (!(sequence & WRITING) &&
		    __atomic_compare_exchange_n(&set->sequence, &sequence, sequence | WRITING,
						false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			__atomic_thread_fence(__ATOMIC_RELEASE);
			return true;
		}
	}
	return false;
}

static void end_write(struct set *set)
{
	uint64_t sequence = read(&set->sequence), next;

	do {
		if (sequence & DOUBT)
			for (unsigned i = 0; i < WAYS; i++)
				if (read(&set->slots[i].told))
					write(&set->slots[i].told,
					      tell_unknown(read(&set->slots[i].told)));
		next = (sequence & ~(uint64_t)(WRITING | DOUBT)) + ONE_WRITE;
	} while (!__atomic_compare_exchange_n(&set->sequence, &sequence, next, false,
					      __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* The slot for this fragment: its own, else an empty one, else the oldest. */
static struct slot *choose(struct set *set, const struct name *name)
{
	struct slot *oldest = set->slots;

	for (unsigned i = 0; i < WAYS; i++)
		if (has_name(&set->slots[i], name))
			return &set->slots[i];
	for (unsigned i = 0; i < WAYS; i++) {
		if (!read(&set->slots[i].told))
			return &set->slots[i];
		if (read(&set->slots[i].timestamp_ns) < read(&oldest->timestamp_ns))
			oldest = &set->slots[i];
	}
	return oldest;
}

static void remember(struct cap_fragments *fragments, const struct name *name,
		     const struct cap_view *view, uint64_t timestamp_ns)
{
	struct set *set = set_of(fragments, name);
	uint64_t told = tell(view, name);
	struct slot *slot;

	if (!begin_write(set)) {
		__atomic_fetch_or(&set->sequence, DOUBT, __ATOMIC_RELEASE);
		return;
	}
	slot = choose(set, name);
	if (has_name(slot, name) && stands(slot, timestamp_ns)) {
		if (read(&slot->told) != told)
			told = tell_unknown(told);
		/* Queues are not in step: this one may be the older. */
		if (read(&slot->timestamp_ns) > timestamp_ns)
			timestamp_ns = read(&slot->timestamp_ns);
	}
	for (unsigned i = 0; i < NAME_WORDS; i++)
		write(&slot->name[i], name->words[i]);
	write(&slot->timestamp_ns, timestamp_ns);
	write(&slot->told, told);
	end_write(set);
}

static void recall(struct cap_fragments *fragments, const struct name *name, struct cap_view *view,
		   uint64_t timestamp_ns)
{
	struct set *set = set_of(fragments, name);
	uint64_t sequence = __atomic_load_n(&set->sequence, __ATOMIC_ACQUIRE), told = 0;

	for (unsigned i = 0; i < WAYS; i++)
		if (has_name(&set->slots[i], name) && stands(&set->slots[i], timestamp_ns))
			told = read(&set->slots[i].told);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (told && !(sequence & (WRITING | DOUBT)) && sequence == read(&set->sequence))
		take(view, told);
}

void cap_fragments_resolve(struct cap_fragments *fragments, struct cap_view *views, unsigned at,
			   uint64_t timestamp_ns)
{
	struct cap_view *view = &views[at];
	struct name name;

	/* Without both addresses a fragment has no name. */
	if (view->fragment == CAP_WHOLE || !view->has_address[CAP_FROM] ||
	    !view->has_address[CAP_TO])
		return;
	if (view->fragment == CAP_LATER_FRAGMENT && view->protocol_is != CAP_UNKNOWN &&
	    view->port_is[CAP_FROM] != CAP_UNKNOWN)
		return;
	name = name_of(&fragments->seed, views, at);
	if (view->fragment == CAP_FIRST_FRAGMENT)
		remember(fragments, &name, view, timestamp_ns);
	else
		recall(fragments, &name, view, timestamp_ns);
}
