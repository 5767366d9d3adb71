// SPDX-License-Identifier: Apache-2.0
#include "match.h"

#include "filter.h"
#include "judge.h"
#include "pcapng.h"

#include <stdlib.h>
#include <string.h>

struct cap_matcher {
	uint32_t link_type, tunnels;
	struct cap_fragments *fragments;
	struct cap_view views[CAP_MAX_VIEWS];
	bool sure[CAP_MAX_MATCHES]; /* of the match in hand, target by target */
	uint8_t room[CAP_LOOK_BYTES];
};

bool cap_match_link_type(uint32_t link_type)
{
	return link_type == CAP_LINKTYPE_ETHERNET || link_type == CAP_LINKTYPE_RAW;
}

struct cap_matcher *cap_matcher_create(uint32_t link_type, uint32_t tunnels,
				       struct cap_fragments *fragments)
{
	struct cap_matcher *made = calloc(1, sizeof(*made));

	if (!made)
		return NULL;
	made->link_type = link_type;
	made->tunnels = tunnels;
	made->fragments = fragments;
	return made;
}

void cap_matcher_free(struct cap_matcher *matcher)
{
	free(matcher);
}

/* Put a target among those found, in their order; the lowest ones stay. */
static void note_target(struct cap_matcher *matcher, struct cap_match *match, uint32_t target,
			enum cap_verdict verdict)
{
	uint32_t at = match->count;

	while (at > 0 && match->targets[at - 1] >= target)
		at--;
	if (at < match->count && match->targets[at] == target) {
		matcher->sure[at] |= verdict == CAP_HIS;
		return;
	}
	if (match->count == CAP_MAX_MATCHES) {
		match->more = true;
		if (at == CAP_MAX_MATCHES)
			return;
		match->count--;
	}
	for (uint32_t i = match->count; i > at; i--) {
		match->targets[i] = match->targets[i - 1];
		matcher->sure[i] = matcher->sure[i - 1];
	}
	match->targets[at] = target;
	matcher->sure[at] = verdict == CAP_HIS;
	match->count++;
}

static bool is_in(const struct cap_view *view, enum cap_side side, const struct cap_prefix *prefix)
{
	const unsigned whole = prefix->length / 8, rest = prefix->length % 8;
	const uint8_t *address = view->address[side];

	if (!view->has_address[side] || view->family != prefix->family ||
	    memcmp(address, prefix->bytes, whole))
		return false;
	return !rest || (address[whole] ^ prefix->bytes[whole]) >> (8 - rest) == 0;
}

static bool has_address(const struct cap_target *target, const struct cap_view *view,
			enum cap_side side)
{
	for (unsigned i = 0; i < target->prefix_count; i++)
		if (is_in(view, side, &target->prefixes[i]))
			return true;
	return !target->prefix_count;
}

static bool match_packet(struct cap_matcher *matcher, const struct cap_target_set *set,
			 const struct cap_packet *packet, struct cap_match *match)
{
	unsigned views = cap_frame_views(packet, matcher->link_type, matcher->tunnels,
					 matcher->room, matcher->views);

	match->count = 0;
	match->more = false;
	match->unsure = false;
	for (unsigned v = 0; v < views; v++) {
		struct cap_view *view = &matcher->views[v];

		cap_fragments_resolve(matcher->fragments, view, packet->timestamp_ns);
		for (enum cap_side side = CAP_FROM; side <= CAP_TO; side++) {
			for (unsigned t = 0; t < cap_target_set_count(set); t++) {
				const struct cap_target *target = cap_target_set_at(set, t);
				enum cap_verdict verdict =
					cap_judge(target, view, side, packet->timestamp_ns);

				if (verdict != CAP_NOT_HIS && has_address(target, view, side))
					note_target(matcher, match, t, verdict);
			}
		}
	}
	for (uint32_t i = 0; i < match->count; i++)
		match->unsure |= !matcher->sure[i];
	return match->count > 0;
}

uint64_t cap_match_burst(struct cap_matcher *matcher, const struct cap_target_set *set,
			 const struct cap_packet *packets, unsigned n, struct cap_match *found)
{
	uint64_t matched = 0;

	for (unsigned i = 0; i < n; i++)
		matched |= (uint64_t)match_packet(matcher, set, &packets[i], &found[i]) << i;
	return matched;
}
