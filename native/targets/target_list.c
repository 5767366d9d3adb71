// SPDX-License-Identifier: Apache-2.0
#include "target_list.h"

#include "target_words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Thousands of targets share a chunk: an allocation each would cost as much as the target. */
#define CHUNK_BYTES (256U * 1024U)
#define ALIGNMENT 8U
#define FIRST_ROOM 64U

struct cap_target_chunk {
	struct cap_target_chunk *next;
	size_t used, size;
	uint64_t bytes[];
};

void *cap_target_list_alloc(struct cap_target_list *list, size_t size)
{
	const size_t need = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	struct cap_target_chunk *chunk = list->chunks;

	if (!chunk || chunk->size - chunk->used < need) {
		const size_t whole = need > CHUNK_BYTES ? need : CHUNK_BYTES;

		chunk = malloc(sizeof(*chunk) + whole);
		if (!chunk)
			return NULL;
		chunk->used = 0;
		chunk->size = whole;
		chunk->next = list->chunks;
		list->chunks = chunk;
	}
	chunk->used += need;
	return (uint8_t *)chunk->bytes + chunk->used - need;
}

unsigned cap_target_terms(const struct cap_target *target)
{
	return (unsigned)target->prefix_count + target->port_count + target->mac_count +
	       target->outer_vlan_count + target->inner_vlan_count;
}

int cap_target_list_reserve(struct cap_target_list *list, unsigned room, struct cap_error *err)
{
	struct cap_target *grown;

	if (room <= list->room)
		return 0;
	grown = reallocarray(list->targets, room, sizeof(*list->targets));
	if (!grown)
		return cap_fail(err, ENOMEM, "out of memory for %u targets", room);
	list->targets = grown;
	list->room = room;
	return 0;
}

int cap_target_list_check(unsigned count, uint64_t terms, struct cap_error *err)
{
	if (count > CAP_MAX_TARGETS)
		return cap_fail(
			err, E2BIG,
			"there are more than %u targets: remove some, or join their prefixes",
			CAP_MAX_TARGETS);
	if (terms > CAP_MAX_TARGET_TERMS)
		return cap_fail(
			err, E2BIG,
			"the targets have more than %u prefixes, ports, MAC addresses and VLAN ids together: remove some",
			CAP_MAX_TARGET_TERMS);
	return 0;
}

int cap_target_list_add(struct cap_target_list *list, const struct cap_target *target,
			struct cap_error *err)
{
	const uint64_t terms = list->terms + cap_target_terms(target);
	int rc = cap_target_list_check(list->count + 1, terms, err);

	if (rc == 0 && list->count == list->room)
		rc = cap_target_list_reserve(list, list->room ? 2 * list->room : FIRST_ROOM, err);
	if (rc)
		return rc;
	list->targets[list->count++] = *target;
	list->terms = terms;
	return 0;
}

/* @return false when there is no memory */
static bool own(struct cap_target_list *list, void *terms, size_t size)
{
	void **at = terms, *copy;

	if (size == 0)
		return true;
	copy = cap_target_list_alloc(list, size);
	if (copy)
		memcpy(copy, *at, size);
	*at = copy;
	return copy;
}

int cap_target_list_copy(struct cap_target_list *list, const struct cap_target_list *from,
			 struct cap_error *err)
{
	for (unsigned i = 0; i < from->count; i++) {
		struct cap_target t = from->targets[i];
		int rc;

		if (!own(list, &t.prefixes, t.prefix_count * sizeof(*t.prefixes)) ||
		    !own(list, &t.ports, t.port_count * sizeof(*t.ports)) ||
		    !own(list, &t.macs, t.mac_count * sizeof(*t.macs)) ||
		    !own(list, &t.outer_vlans, t.outer_vlan_count * sizeof(*t.outer_vlans)) ||
		    !own(list, &t.inner_vlans, t.inner_vlan_count * sizeof(*t.inner_vlans)) ||
		    !own(list, &t.note, t.note ? strlen(t.note) + 1 : 0))
			return cap_fail(err, ENOMEM, "out of memory for %u targets", from->count);
		rc = cap_target_list_add(list, &t, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return memcmp(((const struct cap_target *)a)->id, ((const struct cap_target *)b)->id,
		      CAP_TARGET_ID_LEN);
}

int cap_target_list_sort(struct cap_target_list *list, struct cap_error *err)
{
	bool sorted = true;

	/* What this program wrote is in order already. */
	for (unsigned i = 1; i < list->count && sorted; i++)
		sorted = by_id(&list->targets[i - 1], &list->targets[i]) < 0;
	if (sorted)
		return 0;
	qsort(list->targets, list->count, sizeof(*list->targets), by_id);
	for (unsigned i = 1; i < list->count; i++) {
		char id[CAP_TARGET_ID_TEXT];

		if (by_id(&list->targets[i - 1], &list->targets[i]))
			continue;
		cap_target_id_text(list->targets[i].id, id);
		return cap_fail(
			err, EEXIST,
			"target %s: its id is there twice: give each target an id of its own", id);
	}
	return 0;
}

void cap_target_list_free(struct cap_target_list *list)
{
	while (list->chunks) {
		struct cap_target_chunk *chunk = list->chunks;

		list->chunks = chunk->next;
		free(chunk);
	}
	free(list->targets);
	*list = (struct cap_target_list){ 0 };
}

static bool same_terms(const void *a, const void *b, size_t count, size_t size)
{
	return count == 0 || !memcmp(a, b, count * size);
}

bool cap_target_same(const struct cap_target *a, const struct cap_target *b)
{
	if (memcmp(a->id, b->id, CAP_TARGET_ID_LEN) || a->direction != b->direction ||
	    a->origin != b->origin || a->any_protocol != b->any_protocol ||
	    (!a->any_protocol && a->protocol != b->protocol) || a->start_ns != b->start_ns ||
	    a->end_ns != b->end_ns || a->prefix_count != b->prefix_count ||
	    a->port_count != b->port_count || a->mac_count != b->mac_count ||
	    a->outer_vlan_count != b->outer_vlan_count ||
	    a->inner_vlan_count != b->inner_vlan_count || !a->note != !b->note)
		return false;
	return same_terms(a->prefixes, b->prefixes, a->prefix_count, sizeof(*a->prefixes)) &&
	       same_terms(a->ports, b->ports, a->port_count, sizeof(*a->ports)) &&
	       same_terms(a->macs, b->macs, a->mac_count, sizeof(*a->macs)) &&
	       same_terms(a->outer_vlans, b->outer_vlans, a->outer_vlan_count,
			  sizeof(*a->outer_vlans)) &&
	       same_terms(a->inner_vlans, b->inner_vlans, a->inner_vlan_count,
			  sizeof(*a->inner_vlans)) &&
	       (!a->note || !strcmp(a->note, b->note));
}
