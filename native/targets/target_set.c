// SPDX-License-Identifier: Apache-2.0
#include "target_set.h"

#include "target_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static void leave_part(struct cap_set_part *part)
{
	if (!part || --part->sets)
		return;
	cap_target_index_free(&part->index);
	free(part->targets);
	free(part->lists);
	free(part);
}

/* @return a part without an index, of one set; or NULL without memory */
static struct cap_set_part *make_part(const struct cap_target *targets, unsigned count)
{
	struct cap_set_part *made = calloc(1, sizeof(*made));
	uint8_t *room;

	if (!made)
		return NULL;
	for (unsigned i = 0; i < count; i++)
		made->lists_size += lists_size(&targets[i]);
	made->sets = 1;
	made->count = count;
	made->targets = malloc((count ? count : 1) * sizeof(*made->targets));
	made->lists = malloc(made->lists_size ? made->lists_size : 1);
	if (!made->targets || !made->lists) {
		leave_part(made);
		return NULL;
	}
	room = made->lists;
	for (unsigned i = 0; i < count; i++)
		copy_target(&made->targets[i], &targets[i], &room);
	return made;
}

static int fail_memory(struct cap_target_set *set, unsigned count, struct cap_error *err)
{
	cap_target_set_free(set);
	return cap_fail(err, ENOMEM, "targets: out of memory for %u of them", count);
}

/* @return a set of one part that is not indexed yet, or NULL without memory */
static struct cap_target_set *copy_set(const struct cap_target *targets, unsigned count)
{
	struct cap_target_set *made = calloc(1, sizeof(*made));

	if (!made)
		return NULL;
	made->parts[0] = make_part(targets, count);
	if (!made->parts[0]) {
		free(made);
		return NULL;
	}
	for (unsigned i = 0; i < count; i++)
		made->terms += cap_target_terms(&targets[i]);
	return made;
}

/* The same of the targets that a walk passes. */
static struct cap_target_set *copy_walked(struct cap_target_walk walk)
{
	struct cap_target_set *made;
	struct cap_target *targets;

	if (walk.total == walk.added_count)
		return copy_set(walk.added, walk.added_count);
	targets = malloc((walk.total + 1UL) * sizeof(*targets));
	if (!targets)
		return NULL;
	for (unsigned i = 0; i < walk.total; i++)
		targets[i] = *cap_target_walk_next(&walk);
	made = copy_set(targets, walk.total);
	free(targets);
	return made;
}

/* @param made of one part, ours; or NULL: there was no memory for it */
static int index_set(struct cap_target_set *made, unsigned count, struct cap_target_set **set,
		     struct cap_error *err)
{
	if (!made ||
	    !cap_target_index_build(&made->parts[0]->index, made->parts[0]->targets, count))
		return fail_memory(made, count, err);
	*set = made;
	return 0;
}

int cap_target_set_build(const struct cap_target *targets, unsigned count,
			 struct cap_target_set **set, struct cap_error *err)
{
	return index_set(copy_set(targets, count), count, set, err);
}

int cap_target_set_merge(const struct cap_target_set *set, struct cap_target_set **merged,
			 struct cap_error *err)
{
	const unsigned count = cap_target_set_count(set);

	return index_set(copy_walked(cap_target_set_walk(set)), count, merged, err);
}

/* What a change has in hand. */
struct changing {
	const struct cap_set_part *first, *second; /* of the set before */
	struct cap_target_set *made;
	struct cap_target *kept; /* of the second part, and what is added: in their order */
	unsigned kept_count;
};

static bool lies_in(const struct cap_set_part *part, const struct cap_target *target)
{
	return part && target >= part->targets && target < part->targets + part->count;
}

/* @return false: no memory */
static bool mark_gone(struct changing *changing, const uint64_t *gone_before,
		      const struct cap_target *const *removed, unsigned removed_count)
{
	const size_t words = changing->first->count / 64 + 1;
	struct cap_target_set *made = changing->made;
	unsigned gone = made->gone_count;

	for (unsigned i = 0; i < removed_count; i++)
		gone += lies_in(changing->first, removed[i]);
	if (!gone)
		return true;
	made->gone = calloc(words, sizeof(*made->gone));
	if (!made->gone)
		return false;
	if (gone_before)
		memcpy(made->gone, gone_before, words * sizeof(*made->gone));
	for (unsigned i = 0; i < removed_count; i++) {
		if (lies_in(changing->first, removed[i])) {
			const size_t number = (size_t)(removed[i] - changing->first->targets);

			made->gone[number / 64] |= 1ULL << number % 64;
		}
	}
	made->gone_count = gone;
	return true;
}

/* Both lists and the removed ones are in the order of ids. */
static void keep(struct changing *changing, const struct cap_target *const *added,
		 unsigned added_count, const struct cap_target *const *removed,
		 unsigned removed_count)
{
	const struct cap_set_part *second = changing->second;
	unsigned a = 0, r = 0;

	for (unsigned i = 0; second && i < second->count; i++) {
		const struct cap_target *target = &second->targets[i];

		while (r < removed_count && !lies_in(second, removed[r]))
			r++;
		if (r < removed_count && removed[r] == target) {
			r++;
			continue;
		}
		while (a < added_count && memcmp(added[a]->id, target->id, CAP_TARGET_ID_LEN) < 0)
			changing->kept[changing->kept_count++] = *added[a++];
		changing->kept[changing->kept_count++] = *target;
	}
	while (a < added_count)
		changing->kept[changing->kept_count++] = *added[a++];
}

/* The second part, if there is to be one. @return false: no memory */
static bool add_part(struct changing *changing)
{
	struct cap_target_set *made = changing->made;

	if (!changing->kept_count)
		return true;
	made->parts[1] = make_part(changing->kept, changing->kept_count);
	made->ranks = malloc(changing->kept_count * sizeof(*made->ranks));
	if (!made->parts[1] || !made->ranks ||
	    !cap_target_index_build(&made->parts[1]->index, made->parts[1]->targets,
				    made->parts[1]->count))
		return false;
	for (unsigned i = 0; i < changing->kept_count; i++)
		made->ranks[i] = cap_target_not_below(changing->first->targets, 0,
						      changing->first->count, changing->kept[i].id);
	return true;
}

/* So much that to index it all again costs little more than to look it up in two parts ever after. */
static bool is_much(const struct changing *changing, unsigned most)
{
	return changing->kept_count > most || changing->kept_count >= CAP_SET_FIRST_PART ||
	       changing->made->gone_count > most;
}

/* In one part, made from where they lie: of 100 000 targets every copy that is not made is 10 MB. Frees `kept`. */
static int begin_anew(struct changing *changing, struct cap_target_set **set, struct cap_error *err)
{
	const struct cap_set_part *first = changing->first;
	const unsigned count = first->count - changing->made->gone_count + changing->kept_count;
	const struct cap_target_walk walk = {
		.targets = first->targets,
		.count = first->count,
		.gone = changing->made->gone,
		.added = changing->kept,
		.added_count = changing->kept_count,
		.total = count,
	};
	struct cap_target_set *anew = copy_walked(walk);

	free(changing->kept);
	return index_set(anew, count, set, err);
}

int cap_target_set_change(const struct cap_target_set *before,
			  const struct cap_target *const *added, unsigned added_count,
			  const struct cap_target *const *removed, unsigned removed_count,
			  unsigned most, struct cap_target_set **set, struct cap_error *err)
{
	struct changing changing = { before->parts[0], before->parts[1],
				     calloc(1, sizeof(*changing.made)), NULL, 0 };
	const unsigned room = added_count + (before->parts[1] ? before->parts[1]->count : 0);
	struct cap_target_set *made = changing.made;
	bool ok;
	int rc;

	if (!made)
		return fail_memory(NULL, added_count, err);
	made->parts[0] = before->parts[0];
	made->parts[0]->sets++;
	made->gone_count = before->gone_count;
	made->terms = before->terms;
	for (unsigned i = 0; i < added_count; i++)
		made->terms += cap_target_terms(added[i]);
	for (unsigned i = 0; i < removed_count; i++)
		made->terms -= cap_target_terms(removed[i]);
	changing.kept = malloc((room + 1UL) * sizeof(*changing.kept));
	ok = changing.kept && mark_gone(&changing, before->gone, removed, removed_count);
	if (ok)
		keep(&changing, added, added_count, removed, removed_count);
	if (ok && is_much(&changing, most)) {
		rc = begin_anew(&changing, set, err);
		cap_target_set_free(made);
		return rc;
	}
	ok = ok && add_part(&changing);
	free(changing.kept);
	if (!ok)
		return fail_memory(made, room, err);
	*set = made;
	return 0;
}

void cap_target_set_free(struct cap_target_set *set)
{
	if (!set)
		return;
	for (unsigned part = 0; part < CAP_SET_PARTS; part++)
		leave_part(set->parts[part]);
	free(set->gone);
	free(set->ranks);
	free(set);
}

size_t cap_target_set_memory(const struct cap_target_set *set)
{
	size_t sum = sizeof(*set) + (set->gone ? set->parts[0]->count / 8 : 0);

	for (unsigned i = 0; i < CAP_SET_PARTS && set->parts[i]; i++)
		sum += sizeof(*set->parts[i]) +
		       set->parts[i]->count * sizeof(*set->parts[i]->targets) +
		       set->parts[i]->lists_size + cap_target_index_memory(&set->parts[i]->index);
	return sum + (set->parts[1] ? set->parts[1]->count * sizeof(*set->ranks) : 0);
}

struct cap_target_walk cap_target_set_walk(const struct cap_target_set *set)
{
	return (struct cap_target_walk){
		.targets = set->parts[0]->targets,
		.count = set->parts[0]->count,
		.gone = set->gone,
		.added = set->parts[1] ? set->parts[1]->targets : NULL,
		.added_count = set->parts[1] ? set->parts[1]->count : 0,
		.total = cap_target_set_count(set),
		.terms = set->terms,
	};
}
