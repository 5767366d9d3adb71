// SPDX-License-Identifier: Apache-2.0
#include "target_reference.h"

#include <stdlib.h>
#include <string.h>

/* A number that a packet has, has not, or that cannot be seen. */
#define HAS_NOT (-1)
#define UNSEEN (-2)

/* Longest frame that is looked at, as in frame_view.h. */
#define LOOK 4096

/* What a packet is inside of: the ends, tags and id of each tunnel, one after the other. */
struct way {
	int len;
	uint8_t bytes[CAP_MAX_VIEWS * 80];
};

/* A packet at one depth: what it shows of itself, source first. */
struct sight {
	int family;
	const uint8_t *address[2], *mac[2];
	int protocol, port[2], vlan[2];
	struct way way;
};

/* All first fragments that ever came: who looks for one asks all of them. */
struct remembered {
	struct way way;
	uint8_t addresses[32];
	int family, protocol, vlan[2];
	uint32_t id;
	int says_protocol, says_port[2];
	uint64_t when;
	struct remembered *older;
};

struct reference {
	bool ethernet;
	uint32_t tunnels;
	struct remembered *newest;

	/* The packet in hand. */
	uint8_t bytes[LOOK];
	int len;
	uint64_t when;
	const struct cap_target *targets;
	unsigned count;
	uint8_t *verdicts; /* by target: 0 not his, 1 unsure, 2 his */
	unsigned depth;
};

struct reference *reference_create(bool ethernet, uint32_t tunnels)
{
	struct reference *made = calloc(1, sizeof(*made));

	made->ethernet = ethernet;
	made->tunnels = tunnels;
	return made;
}

void reference_free(struct reference *reference)
{
	while (reference->newest) {
		struct remembered *gone = reference->newest;

		reference->newest = gone->older;
		free(gone);
	}
	free(reference);
}

/* @return the byte, or UNSEEN */
static int byte_at(const struct reference *r, int at)
{
	return at < r->len ? r->bytes[at] : UNSEEN;
}

static int word_at(const struct reference *r, int at)
{
	return at + 1 < r->len ? r->bytes[at] * 256 + r->bytes[at + 1] : UNSEEN;
}

static const uint8_t *run_at(const struct reference *r, int at, int len)
{
	return at + len <= r->len ? r->bytes + at : NULL;
}

/* 0, 1 or 2 for a thing that is named or not. */
static int hold(bool named, int seen, bool (*among)(const struct cap_target *, int),
		const struct cap_target *target)
{
	if (!named)
		return 2;
	if (seen == UNSEEN)
		return 1;
	return seen != HAS_NOT && among(target, seen) ? 2 : 0;
}

static bool protocol_among(const struct cap_target *target, int protocol)
{
	return target->protocol == protocol;
}

static bool port_among(const struct cap_target *target, int port)
{
	bool found = false;

	for (int i = 0; i < target->port_count; i++)
		found |= port >= target->ports[i].first && port <= target->ports[i].last;
	return found;
}

static bool outer_among(const struct cap_target *target, int vlan)
{
	bool found = false;

	for (int i = 0; i < target->outer_vlan_count; i++)
		found |= target->outer_vlans[i] == vlan;
	return found;
}

static bool inner_among(const struct cap_target *target, int vlan)
{
	bool found = false;

	for (int i = 0; i < target->inner_vlan_count; i++)
		found |= target->inner_vlans[i] == vlan;
	return found;
}

static bool address_in(const uint8_t *address, const struct cap_prefix *prefix)
{
	for (int bit = 0; bit < prefix->length; bit++)
		if ((address[bit / 8] ^ prefix->bytes[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return true;
}

static int judge_side(const struct reference *r, const struct cap_target *target,
		      const struct sight *sight, int side)
{
	bool address = target->prefix_count == 0, mac = target->mac_count == 0;
	int verdict = 2, parts[4];

	if ((target->direction == CAP_DIRECTION_FROM && side == 1) ||
	    (target->direction == CAP_DIRECTION_TO && side == 0))
		return 0;
	if (r->when < target->start_ns || r->when >= target->end_ns)
		return 0;
	for (int i = 0; i < target->prefix_count; i++)
		address |= sight->family == target->prefixes[i].family && sight->address[side] &&
			   address_in(sight->address[side], &target->prefixes[i]);
	for (int i = 0; i < target->mac_count; i++)
		mac |= sight->mac[side] && !memcmp(sight->mac[side], target->macs[i], 6);
	parts[0] = hold(!target->any_protocol, sight->protocol, protocol_among, target);
	parts[1] = hold(target->port_count > 0, sight->port[side], port_among, target);
	parts[2] = hold(target->outer_vlan_count > 0, sight->vlan[0], outer_among, target);
	parts[3] = hold(target->inner_vlan_count > 0, sight->vlan[1], inner_among, target);
	for (int i = 0; i < 4; i++)
		verdict = parts[i] < verdict ? parts[i] : verdict;
	return address && mac ? verdict : 0;
}

static void judge(struct reference *r, const struct sight *sight)
{
	for (unsigned t = 0; t < r->count; t++)
		for (int side = 0; side < 2; side++) {
			int verdict = judge_side(r, &r->targets[t], sight, side);

			if (verdict > r->verdicts[t])
				r->verdicts[t] = (uint8_t)verdict;
		}
}

static bool with_ports(int protocol)
{
	return protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 ||
	       protocol == 136;
}

static bool same_packet(const struct remembered *one, const struct sight *sight, uint32_t id)
{
	int size = sight->family == 4 ? 4 : 16;

	return one->family == sight->family && one->id == id &&
	       !memcmp(one->addresses, sight->address[0], (size_t)size) &&
	       !memcmp(one->addresses + 16, sight->address[1], (size_t)size) &&
	       (sight->family == 6 || one->protocol == sight->protocol) &&
	       one->vlan[0] == sight->vlan[0] && one->vlan[1] == sight->vlan[1] &&
	       one->way.len == sight->way.len &&
	       !memcmp(one->way.bytes, sight->way.bytes, (size_t)one->way.len);
}

static bool near(uint64_t a, uint64_t b)
{
	return a <= b + 500000000ULL && b <= a + 500000000ULL;
}

/* Where the one before says something else, nothing is known; and who goes back in time renews nothing. */
static void contradict(const struct reference *r, struct remembered *one, const struct sight *sight)
{
	const struct remembered *before = r->newest;

	while (before && !same_packet(before, sight, one->id))
		before = before->older;
	if (!before || !near(before->when, one->when))
		return;
	if (before->says_protocol != one->says_protocol ||
	    memcmp(before->says_port, one->says_port, sizeof(one->says_port))) {
		one->says_port[0] = one->says_port[1] = UNSEEN;
		if (one->family == 6)
			one->says_protocol = UNSEEN;
	}
	if (before->when > one->when)
		one->when = before->when;
}

static void remember(struct reference *r, const struct sight *sight, uint32_t id)
{
	size_t size = sight->family == 4 ? 4 : 16;
	struct remembered *one;

	if (!sight->address[0] || !sight->address[1])
		return;
	one = calloc(1, sizeof(*one));
	memcpy(one->addresses, sight->address[0], size);
	memcpy(one->addresses + 16, sight->address[1], size);
	one->way = sight->way;
	one->family = sight->family;
	one->protocol = one->says_protocol = sight->protocol;
	memcpy(one->vlan, sight->vlan, sizeof(one->vlan));
	memcpy(one->says_port, sight->port, sizeof(one->says_port));
	one->id = id;
	one->when = r->when;
	contradict(r, one, sight);
	one->older = r->newest;
	r->newest = one;
}

static void recall(const struct reference *r, struct sight *sight, uint32_t id)
{
	const struct remembered *one = r->newest;

	if (!sight->address[0] || !sight->address[1])
		return;
	while (one && !same_packet(one, sight, id))
		one = one->older;
	if (!one || !near(one->when, r->when))
		return;
	sight->protocol = one->says_protocol;
	memcpy(sight->port, one->says_port, sizeof(sight->port));
}

static void append(struct way *way, const void *bytes, int len)
{
	memcpy(way->bytes + way->len, bytes, (size_t)len);
	way->len += len;
}

/* The way of a packet inside of @p around. @param id of the tunnel, @p len bytes; NULL: it has none */
static struct way enter(const struct sight *around, char kind, const uint8_t *id, int len)
{
	struct way way = around->way;

	for (int side = 0; side < 2; side++)
		if (around->address[side])
			append(&way, around->address[side], around->family == 4 ? 4 : 16);
	append(&way, around->vlan, (int)sizeof(around->vlan));
	append(&way, &kind, 1);
	if (id)
		append(&way, id, len);
	return way;
}

static void look_at_ethernet(struct reference *r, int at, int stripped, struct way way);
static void look_at_type(struct reference *r, int type, int at, struct sight around);

static int type_of_version(const struct reference *r, int at)
{
	switch (byte_at(r, at) / 16) {
	case 4:
		return 0x0800;
	case 6:
		return 0x86dd;
	default:
		return HAS_NOT;
	}
}

/* The sight of a packet inside another that has no Ethernet header of its own. */
static struct sight within(const struct sight *around, struct way way)
{
	struct sight sight = { .way = way, .protocol = HAS_NOT, .port = { HAS_NOT, HAS_NOT } };

	memcpy(sight.mac, around->mac, sizeof(sight.mac));
	memcpy(sight.vlan, around->vlan, sizeof(sight.vlan));
	return sight;
}

static void look_into_gre(struct reference *r, int at, const struct sight *around)
{
	int flags = word_at(r, at), type = word_at(r, at + 2);

	struct way way;

	if (type == UNSEEN || flags & 0x4007)
		return;
	way = enter(around, 'g',
		    flags & 0x2000 ? run_at(r, at + (flags & 0x8000 ? 8 : 4), 4) : NULL, 4);
	at += 4 + (flags & 0x8000 ? 4 : 0) + (flags & 0x2000 ? 4 : 0) + (flags & 0x1000 ? 4 : 0);
	if (type == 0x6558)
		look_at_ethernet(r, at, HAS_NOT, way);
	else if (type == 0x0800 || type == 0x86dd || type == 0x8847 || type == 0x8848)
		look_at_type(r, type, at, within(around, way));
}

static void look_into_gtp(struct reference *r, int at, const struct sight *around)
{
	int flags = byte_at(r, at), next = 0, walked = 0;
	const uint8_t *teid = run_at(r, at + 4, 4);

	if (!run_at(r, at, 8) || flags / 16 != 3 || byte_at(r, at + 1) != 255)
		return;
	at += 8;
	if (flags & 7) {
		if (!run_at(r, at, 4))
			return;
		next = flags & 4 ? byte_at(r, at + 3) : 0;
		at += 4;
	}
	while (next) {
		int len = byte_at(r, at) * 4;

		if (walked++ == 8 || len <= 0 || !run_at(r, at, len))
			return;
		at += len;
		next = byte_at(r, at - 1);
	}
	if (type_of_version(r, at) != HAS_NOT)
		look_at_type(r, type_of_version(r, at), at,
			     within(around, enter(around, 't', teid, 4)));
}

static void look_into_vxlan(struct reference *r, int at, const struct sight *around)
{
	if (run_at(r, at, 8) && byte_at(r, at) & 8)
		look_at_ethernet(r, at + 8, HAS_NOT, enter(around, 'v', run_at(r, at + 4, 3), 3));
}

/* @param sight whose protocol is known; judged here, with the ports */
static void look_at_transport(struct reference *r, int at, struct sight *sight, int fragment,
			      uint32_t id)
{
	for (int side = 0; side < 2; side++)
		sight->port[side] = with_ports(sight->protocol) ? word_at(r, at + 2 * side) :
								  HAS_NOT;
	if (fragment)
		remember(r, sight, id);
	judge(r, sight);
	if (sight->protocol == 47 && r->tunnels & CAP_TUNNEL_GRE)
		look_into_gre(r, at, sight);
	if (sight->protocol == 17 && sight->port[1] == 2152 && r->tunnels & CAP_TUNNEL_GTP_U)
		look_into_gtp(r, at + 8, sight);
	if (sight->protocol == 17 && sight->port[1] == 4789 && r->tunnels & CAP_TUNNEL_VXLAN)
		look_into_vxlan(r, at + 8, sight);
}

static void look_at_ipv4(struct reference *r, int at, struct sight sight)
{
	int version = byte_at(r, at), piece = word_at(r, at + 6);
	uint32_t id;

	if (version != UNSEEN && version / 16 != 4) {
		judge(r, &sight);
		return;
	}
	sight.family = 4;
	sight.address[0] = run_at(r, at + 12, 4);
	sight.address[1] = run_at(r, at + 16, 4);
	sight.protocol = byte_at(r, at + 9);
	for (int side = 0; side < 2; side++)
		sight.port[side] = sight.protocol == UNSEEN || with_ports(sight.protocol) ? UNSEEN :
											    HAS_NOT;
	if (sight.protocol == UNSEEN) {
		judge(r, &sight);
		return;
	}
	id = (uint32_t)word_at(r, at + 4);
	if (piece % 8192) {
		if (with_ports(sight.protocol))
			recall(r, &sight, id);
		judge(r, &sight);
		return;
	}
	if (version % 16 < 5) {
		if (piece / 8192 % 2)
			remember(r, &sight, id);
		judge(r, &sight);
		return;
	}
	look_at_transport(r, at + version % 16 * 4, &sight, piece / 8192 % 2, id);
}

static bool is_extension(int next)
{
	return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

static void look_at_ipv6(struct reference *r, int at, struct sight sight)
{
	int version = byte_at(r, at), next = byte_at(r, at + 6), first = 0;
	uint32_t id = 0;

	if (version != UNSEEN && version / 16 != 6) {
		judge(r, &sight);
		return;
	}
	sight.family = 6;
	sight.address[0] = run_at(r, at + 8, 16);
	sight.address[1] = run_at(r, at + 24, 16);
	sight.protocol = sight.port[0] = sight.port[1] = UNSEEN;
	at += 40;
	for (int walked = 0; is_extension(next) && walked < 8; walked++) {
		int len = (byte_at(r, at + 1) + 1) * 8, piece = word_at(r, at + 2);

		if (!run_at(r, at, 8)) {
			next = UNSEEN;
			break;
		}
		if (next == 51)
			len = (byte_at(r, at + 1) + 2) * 4;
		if (next == 44) {
			len = 8;
			if (!first)
				id = (uint32_t)word_at(r, at + 4) * 65536U +
				     (uint32_t)word_at(r, at + 6);
			if (piece / 8 && first) {
				next = UNSEEN;
				break;
			}
			if (piece / 8) {
				recall(r, &sight, id);
				judge(r, &sight);
				return;
			}
			first |= piece % 2;
		}
		next = byte_at(r, at);
		at += len;
	}
	if (next == UNSEEN || is_extension(next)) {
		if (first)
			remember(r, &sight, id);
		judge(r, &sight);
		return;
	}
	sight.protocol = next;
	look_at_transport(r, at, &sight, first, id);
}

static bool knows_type(int type)
{
	return type == 0x0800 || type == 0x86dd || type == 0x8100 || type == 0x88a8 ||
	       type == 0x9100 || type == 0x8847 || type == 0x8848;
}

static void look_at_mpls(struct reference *r, int at, const struct sight *sight)
{
	uint8_t label[9] = { 0 };
	bool last = false;
	struct way way;

	judge(r, sight);
	if (!(r->tunnels & CAP_TUNNEL_MPLS))
		return;
	for (int labels = 0; !last; labels++, at += 4) {
		if (labels == 8 || !run_at(r, at, 4))
			return;
		last = byte_at(r, at + 2) % 2;
		memmove(label, label + 3, 6);
		memcpy(label + 6, run_at(r, at, 3), 3);
		label[8] &= 0xf0;
	}
	way = enter(sight, 'm', label, 9);
	if (byte_at(r, at) == UNSEEN)
		return;
	if (type_of_version(r, at) != HAS_NOT)
		look_at_type(r, type_of_version(r, at), at, within(sight, way));
	else if (byte_at(r, at) < 16 && knows_type(word_at(r, at + 16)))
		look_at_ethernet(r, at + 4, HAS_NOT, way);
	else
		look_at_ethernet(r, at, HAS_NOT, way);
}

static void look_at_type(struct reference *r, int type, int at, struct sight sight)
{
	if (r->depth == CAP_MAX_VIEWS)
		return;
	r->depth++;
	if (type == 0x0800)
		look_at_ipv4(r, at, sight);
	else if (type == 0x86dd)
		look_at_ipv6(r, at, sight);
	else if (type == 0x8847 || type == 0x8848)
		look_at_mpls(r, at, &sight);
	else
		judge(r, &sight);
}

static void look_at_ethernet(struct reference *r, int at, int stripped, struct way way)
{
	struct sight sight = { .way = way,
			       .protocol = HAS_NOT,
			       .port = { HAS_NOT, HAS_NOT },
			       .vlan = { HAS_NOT, HAS_NOT } };
	int tags = 0, type;

	sight.mac[0] = run_at(r, at + 6, 6);
	if (!run_at(r, at, 12))
		sight.mac[0] = NULL;
	sight.mac[1] = run_at(r, at, 6);
	if (stripped != HAS_NOT)
		sight.vlan[tags++] = stripped;
	at += 12;
	for (type = word_at(r, at); type == 0x8100 || type == 0x88a8 || type == 0x9100;
	     type = word_at(r, at)) {
		if (tags == 4 || word_at(r, at + 2) == UNSEEN) {
			type = UNSEEN;
			break;
		}
		if (tags < 2)
			sight.vlan[tags] = word_at(r, at + 2) % 4096;
		tags++;
		at += 4;
	}
	if (type == UNSEEN) {
		if (r->depth++ == CAP_MAX_VIEWS)
			return;
		for (; tags < 2; tags++)
			sight.vlan[tags] = UNSEEN;
		sight.protocol = sight.port[0] = sight.port[1] = UNSEEN;
		judge(r, &sight);
		return;
	}
	look_at_type(r, type, at + 2, sight);
}

static void gather(struct reference *r, const struct cap_packet *packet)
{
	r->len = 0;
	for (unsigned i = 0; i < packet->n_segments; i++) {
		const uint8_t *data = packet->n_segments > 1 ? packet->segments[i].data :
							       packet->data;
		uint32_t len = packet->n_segments > 1 ? packet->segments[i].len : packet->len;

		for (uint32_t k = 0; k < len && r->len < LOOK; k++)
			r->bytes[r->len++] = data[k];
	}
}

bool reference_match(struct reference *r, const struct cap_target *targets, unsigned count,
		     const struct cap_packet *packet, struct cap_match *out)
{
	const struct sight nothing = { .protocol = HAS_NOT,
				       .port = { HAS_NOT, HAS_NOT },
				       .vlan = { HAS_NOT, HAS_NOT } };

	gather(r, packet);
	r->when = packet->timestamp_ns;
	r->targets = targets;
	r->count = count;
	r->depth = 0;
	r->verdicts = calloc(count + 1, 1);
	if (r->ethernet)
		look_at_ethernet(r, 0, packet->vlan_tpid ? packet->vlan_tci % 4096 : HAS_NOT,
				 nothing.way);
	else
		look_at_type(r, type_of_version(r, 0), 0, nothing);
	*out = (struct cap_match){ 0 };
	for (unsigned t = 0; t < count; t++) {
		if (!r->verdicts[t])
			continue;
		if (out->count == CAP_MAX_MATCHES) {
			out->more = true;
			break;
		}
		out->unsure |= r->verdicts[t] == 1;
		out->targets[out->count++] = t;
	}
	free(r->verdicts);
	return out->count > 0;
}
