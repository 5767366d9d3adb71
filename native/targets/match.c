// SPDX-License-Identifier: Apache-2.0
#include "match.h"

#include "filter.h"
#include "judge.h"
#include "pcapng.h"
#include "scan.h"
#include "target_index.h"

#include <stdlib.h>
#include <string.h>

struct cap_matcher {
	uint32_t link_type, tunnels;
	struct cap_fragments *fragments;
	struct cap_view views[CAP_MAX_VIEWS];
	bool sure[CAP_MAX_MATCHES]; /* of the match in hand, target by target */
	const struct cap_probes *probes;
	struct cap_scan scan;
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
	made->probes = cap_probes_best();
	return made;
}

void cap_matcher_use_plain(struct cap_matcher *matcher)
{
	matcher->probes = &cap_probes_plain;
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

/* What is looked for, and what was found so far. */
struct look {
	struct cap_matcher *matcher;
	const struct cap_target_set *set;
	unsigned part; /* of the set */
	const struct cap_target_index *index;
	uint64_t timestamp_ns;
	struct cap_match *match;
	uint32_t left; /* judgements */
	bool given_up; /* there were none left for some */
};

/* Judge targets, ascending, for one side of a view. */
static void judge_targets(struct look *look, const uint32_t *targets, uint32_t count,
			  const struct cap_view *view, enum cap_side side)
{
	const struct cap_match *match = look->match;

	for (uint32_t i = 0; i < count; i++) {
		const struct cap_target *target =
			cap_target_set_find(look->set, look->part, targets[i]);
		const uint32_t position =
			cap_target_set_position(look->set, look->part, targets[i]);
		enum cap_verdict verdict;

		/* They come in their order: nothing that is left would be told, or change what is. */
		if (match->more && position > match->targets[CAP_MAX_MATCHES - 1])
			return;
		if (!target)
			continue;
		if (!look->left) {
			look->given_up = true;
			return;
		}
		look->left--;
		verdict = cap_judge(target, view, side, look->timestamp_ns);
		if (verdict != CAP_NOT_HIS)
			note_target(look->matcher, look->match, position, verdict);
	}
}

static void judge_key(struct look *look, const struct cap_crowd *crowd, enum cap_crowd_kind kind,
		      uint32_t number, const struct cap_view *view, enum cap_side side)
{
	uint32_t count;
	const uint32_t *targets =
		cap_index_crowd_targets(look->index, crowd, CAP_CROWD_KEY(kind, number), &count);

	judge_targets(look, targets, count, view, side);
}

/* Those of a crowd that may be meant. */
static void judge_crowd(struct look *look, const struct cap_crowd *crowd,
			const struct cap_view *view, enum cap_side side)
{
	judge_key(look, crowd, CAP_CROWD_REST, CAP_ANY_PROTOCOL, view, side);
	if (view->protocol_is == CAP_KNOWN)
		judge_key(look, crowd, CAP_CROWD_REST, view->protocol, view, side);
	if (view->port_is[side] == CAP_KNOWN)
		for (uint32_t block = CAP_PORT_BLOCKS / 2 | view->port[side]; block; block /= 2)
			judge_key(look, crowd, CAP_CROWD_PORTS, block, view, side);
	if (view->vlan_is[0] == CAP_KNOWN)
		judge_key(look, crowd, CAP_CROWD_VLAN_OUTER, view->vlan[0], view, side);
	if (view->vlan_is[1] == CAP_KNOWN)
		judge_key(look, crowd, CAP_CROWD_VLAN_INNER, view->vlan[1], view, side);
	if (view->has_mac[side])
		judge_key(look, crowd, CAP_CROWD_MAC,
			  cap_index_mac_number(look->index, view->mac[side]), view, side);
}

/* What cannot be seen may be any: then nothing tells a crowd's targets apart. */
static bool sees_all(const struct cap_view *view, enum cap_side side)
{
	return view->protocol_is != CAP_UNKNOWN && view->port_is[side] != CAP_UNKNOWN &&
	       view->vlan_is[0] != CAP_UNKNOWN && view->vlan_is[1] != CAP_UNKNOWN;
}

static void judge_entry(struct look *look, uint32_t entry, const struct cap_view *view,
			enum cap_side side)
{
	const struct cap_target_index *index = look->index;
	const uint32_t first = index->entries[entry].first;
	const uint32_t count = index->entries[entry + 1].first - first;
	const struct cap_crowd *crowd = NULL;

	if (count > CAP_CROWD && sees_all(view, side))
		crowd = cap_index_crowd(index, entry);
	if (crowd)
		judge_crowd(look, crowd, view, side);
	else
		judge_targets(look, index->terms + first, count, view, side);
}

static void judge_address(struct look *look, const struct cap_view *view, enum cap_side side)
{
	const struct cap_target_index *index = look->index;
	const uint8_t *address = view->address[side];
	uint32_t host, prefix;

	if (view->family == 4) {
		const uint32_t number = (uint32_t)address[0] << 24 | (uint32_t)address[1] << 16 |
					(uint32_t)address[2] << 8 | address[3];

		host = cap_index_host4(index, number);
		prefix = cap_index_prefix4(index, number);
	} else {
		host = cap_index_host6(index, address);
		prefix = cap_index_prefix6(index, address);
	}
	if (host)
		judge_entry(look, host, view, side);
	for (; prefix; prefix = index->entries[prefix].parent)
		judge_entry(look, prefix, view, side);
}

static void judge_mac(struct look *look, const struct cap_view *view, enum cap_side side)
{
	struct cap_host_search search = cap_index_mac_begin(look->index, view->mac[side]);
	uint32_t entry;

	while ((entry = cap_index_mac_next(look->index, &search, view->mac[side])))
		judge_entry(look, entry, view, side);
}

static void judge_ports(struct look *look, const struct cap_view *view, enum cap_side side)
{
	const struct cap_target_index *index = look->index;

	if (view->port_is[side] == CAP_UNKNOWN)
		for (uint32_t protocol = 0; protocol < CAP_PROTOCOLS; protocol++)
			if (protocol == CAP_ANY_PROTOCOL || view->protocol_is == CAP_UNKNOWN ||
			    view->protocol == protocol)
				judge_entry(look, index->any_ports[protocol], view, side);
	if (view->port_is[side] == CAP_KNOWN)
		for (uint32_t block = CAP_PORT_BLOCKS / 2 | view->port[side]; block; block /= 2)
			judge_entry(look, index->port_blocks[block], view, side);
}

/* The targets that name no prefix. */
static void judge_anywhere(struct look *look, const struct cap_view *view, enum cap_side side)
{
	const struct cap_target_index *index = look->index;

	if (index->macs.bucket_count && view->has_mac[side])
		judge_mac(look, view, side);
	for (unsigned tag = 0; tag < 2; tag++) {
		if (index->any_vlan[tag] && view->vlan_is[tag] == CAP_UNKNOWN)
			judge_entry(look, index->any_vlan[tag], view, side);
		if (index->any_vlan[tag] && view->vlan_is[tag] == CAP_KNOWN)
			judge_entry(look, index->vlans[tag][view->vlan[tag]], view, side);
	}
	if (index->any_ports)
		judge_ports(look, view, side);
}

/* One side of a view, for the targets of each part. */
static void judge_side(struct look *look, const struct cap_view *view, enum cap_side side)
{
	for (look->part = 0; look->part < CAP_SET_PARTS; look->part++) {
		look->index = cap_target_set_index(look->set, look->part);
		if (!look->index)
			return;
		if (view->has_address[side])
			judge_address(look, view, side);
		if (look->index->anywhere)
			judge_anywhere(look, view, side);
	}
}

static bool match_packet(struct cap_matcher *matcher, const struct cap_target_set *set,
			 const struct cap_packet *packet, struct cap_match *match)
{
	struct look look = { .matcher = matcher,
			     .set = set,
			     .timestamp_ns = packet->timestamp_ns,
			     .match = match,
			     .left = CAP_MAX_JUDGEMENTS };
	unsigned views = cap_frame_views(packet, matcher->link_type, matcher->tunnels,
					 matcher->room, matcher->views);

	match->count = 0;
	match->more = false;
	match->unsure = false;
	for (unsigned v = 0; v < views; v++) {
		struct cap_view *view = &matcher->views[v];

		cap_fragments_resolve(matcher->fragments, matcher->views, v, packet->timestamp_ns);
		for (enum cap_side side = CAP_FROM; side <= CAP_TO; side++)
			judge_side(&look, view, side);
	}
	for (uint32_t i = 0; i < match->count; i++)
		match->unsure |= !matcher->sure[i];
	match->more |= look.given_up;
	match->unsure |= look.given_up;
	return match->count > 0 || look.given_up;
}

uint64_t cap_match_burst(struct cap_matcher *matcher, const struct cap_target_set *set,
			 const struct cap_packet *packets, unsigned n, struct cap_match *found)
{
	uint64_t matched = 0, maybe = 0;

	for (unsigned part = 0; part < CAP_SET_PARTS; part++) {
		const struct cap_target_index *index = cap_target_set_index(set, part);

		if (!index)
			break;
		maybe |= cap_scan_burst(&matcher->scan, matcher->probes, index, matcher->link_type,
					matcher->tunnels, packets, n);
		if (index->anywhere)
			maybe |= cap_scan_anywhere(index, matcher->link_type, packets, n);
	}
	for (; maybe; maybe &= maybe - 1) {
		const unsigned i = (unsigned)__builtin_ctzll(maybe);

		matched |= (uint64_t)match_packet(matcher, set, &packets[i], &found[i]) << i;
	}
	return matched;
}
