// SPDX-License-Identifier: Apache-2.0
#include "target_set.h"

#include "target_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct cap_target_set {
	struct cap_target *targets;
	unsigned count;
	uint8_t *lists; /* all of the targets' lists and notes, one after the other */
	size_t lists_size;
	struct cap_target_index index;
};

/* Every list has an even size, so that all of them are aligned for the ports and VLAN ids among them. */
static size_t lists_size(const struct cap_target *target)
{
	size_t size = target->prefix_count * sizeof(*target->prefixes) +
		      target->port_count * sizeof(*target->ports) +
		      target->mac_count * sizeof(*target->macs) +
		      target->outer_vlan_count * sizeof(*target->outer_vlans) +
		      target->inner_vlan_count * sizeof(*target->inner_vlans);

	return size + (target->note ? (strlen(target->note) + 2) & ~(size_t)1 : 0);
}

/* @return the copy of a list, or NULL of an empty one */
static void *copy_list(uint8_t **room, const void *list, size_t size)
{
	uint8_t *copy = *room;

	if (!size)
		return NULL;
	memcpy(copy, list, size);
	*room += (size + 1) & ~(size_t)1;
	return copy;
}

static void copy_target(struct cap_target *to, const struct cap_target *from, uint8_t **room)
{
	*to = *from;
	to->prefixes = copy_list(room, from->prefixes, from->prefix_count * sizeof(*to->prefixes));
	to->ports = copy_list(room, from->ports, from->port_count * sizeof(*to->ports));
	to->macs = copy_list(room, from->macs, from->mac_count * sizeof(*to->macs));
	to->outer_vlans = copy_list(room, from->outer_vlans,
				    from->outer_vlan_count * sizeof(*to->outer_vlans));
	to->inner_vlans = copy_list(room, from->inner_vlans,
				    from->inner_vlan_count * sizeof(*to->inner_vlans));
	to->note = copy_list(room, from->note, from->note ? strlen(from->note) + 1 : 0);
}

int cap_target_set_build(const struct cap_target *targets, unsigned count,
			 struct cap_target_set **set, struct cap_error *err)
{
	struct cap_target_set *made = calloc(1, sizeof(*made));
	uint8_t *room;

	if (!made)
		return cap_fail(err, ENOMEM, "targets: out of memory");
	for (unsigned i = 0; i < count; i++)
		made->lists_size += lists_size(&targets[i]);
	made->count = count;
	made->targets = malloc((count ? count : 1) * sizeof(*made->targets));
	made->lists = malloc(made->lists_size ? made->lists_size : 1);
	if (!made->targets || !made->lists) {
		cap_target_set_free(made);
		return cap_fail(err, ENOMEM, "targets: out of memory for %u of them", count);
	}
	room = made->lists;
	for (unsigned i = 0; i < count; i++)
		copy_target(&made->targets[i], &targets[i], &room);
	if (!cap_target_index_build(&made->index, made->targets, count)) {
		cap_target_set_free(made);
		return cap_fail(err, ENOMEM, "targets: out of memory for an index of %u", count);
	}
	*set = made;
	return 0;
}

void cap_target_set_free(struct cap_target_set *set)
{
	if (!set)
		return;
	cap_target_index_free(&set->index);
	free(set->targets);
	free(set->lists);
	free(set);
}

unsigned cap_target_set_count(const struct cap_target_set *set)
{
	return set->count;
}

size_t cap_target_set_memory(const struct cap_target_set *set)
{
	return sizeof(*set) + set->count * sizeof(*set->targets) + set->lists_size +
	       cap_target_index_memory(&set->index);
}

const struct cap_target *cap_target_set_at(const struct cap_target_set *set, unsigned index)
{
	return &set->targets[index];
}

const struct cap_target_index *cap_target_set_index(const struct cap_target_set *set)
{
	return &set->index;
}
