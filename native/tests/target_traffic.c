// SPDX-License-Identifier: Apache-2.0
#include "target_traffic.h"

#include <stdlib.h>
#include <string.h>

#define DEEPEST 6U

/* Packets come a millisecond apart or two, about 300 within the life of a fragment's memory. */
#define STEP_NS 3000000ULL
#define BEGIN_NS 1000000000000000000ULL

static const uint8_t protocols[] = { 6, 17, 17, 17, 47, 132, 33, 136, 1, 58, 50, 59, 89 };

uint64_t traffic_random(struct traffic *traffic, uint64_t below)
{
	traffic->state ^= traffic->state << 13;
	traffic->state ^= traffic->state >> 7;
	traffic->state ^= traffic->state << 17;
	return (traffic->state >> 16) % below;
}

static bool one_in(struct traffic *traffic, uint64_t n)
{
	return traffic_random(traffic, n) == 0;
}

void traffic_begin(struct traffic *traffic, uint64_t seed)
{
	memset(traffic, 0, sizeof(*traffic));
	traffic->state = seed * 0x9e3779b97f4a7c15ULL + 1;
	traffic->now_ns = BEGIN_NS;
	for (unsigned i = 0; i < 20; i++)
		traffic_random(traffic, 2);
}

static void put(struct traffic *traffic, uint64_t number, unsigned bytes)
{
	while (bytes-- && traffic->at < traffic->end)
		*traffic->at++ = (uint8_t)(number >> 8 * bytes);
}

static void put_noise(struct traffic *traffic, uint64_t bytes)
{
	while (bytes--)
		put(traffic, traffic_random(traffic, 256), 1);
}

/* Addresses of one neighbourhood, and now and then of anywhere. */
static void pick_address(struct traffic *traffic, uint8_t family, uint8_t *address)
{
	memset(address, 0, 16);
	if (one_in(traffic, 20)) {
		for (unsigned i = 0; i < (family == 4 ? 4 : 16); i++)
			address[i] = (uint8_t)traffic_random(traffic, 256);
		return;
	}
	if (family == 4) {
		memcpy(address, (uint8_t[]){ 10, 0 }, 2);
		address[2] = (uint8_t)traffic_random(traffic, 4);
		address[3] = (uint8_t)traffic_random(traffic, one_in(traffic, 2) ? 8 : 256);
		return;
	}
	memcpy(address, (uint8_t[]){ 0x20, 1, 0x0d, 0xb8 }, 4);
	address[7] = (uint8_t)traffic_random(traffic, 4);
	address[8] = one_in(traffic, 4) ? 0x80 : 0;
	address[15] = (uint8_t)traffic_random(traffic, one_in(traffic, 2) ? 8 : 256);
}

static uint16_t pick_port(struct traffic *traffic)
{
	static const uint16_t known[] = { 53, 80, 443, 2152, 2152, 4789, 4789, 32767, 32768, 65535 };

	if (one_in(traffic, 2))
		return known[traffic_random(traffic, sizeof(known) / sizeof(known[0]))];
	return (uint16_t)(one_in(traffic, 4) ? traffic_random(traffic, 65536) :
					       1024 + traffic_random(traffic, 64));
}

static uint16_t pick_vlan(struct traffic *traffic)
{
	return (uint16_t)(one_in(traffic, 8) ? traffic_random(traffic, 4096) :
					       traffic_random(traffic, 6));
}

static void pick_mac(struct traffic *traffic, uint8_t *mac)
{
	memcpy(mac, (uint8_t[]){ 0x52, 0x54, 0, 0, 0 }, 5);
	mac[5] = (uint8_t)traffic_random(traffic, 8);
	/* One that a pseudowire without control word would take for one. */
	if (one_in(traffic, 8))
		mac[0] = (uint8_t)traffic_random(traffic, 64);
}

static void put_ethernet(struct traffic *traffic, unsigned depth);
static void put_ip(struct traffic *traffic, uint8_t family, unsigned depth);

static uint8_t pick_family(struct traffic *traffic)
{
	return traffic_random(traffic, 3) ? 4 : 6;
}

/* Few, so that fragments of one packet meet in a tunnel, and those of two packets in two of them. */
static uint64_t pick_tenant(struct traffic *traffic)
{
	return one_in(traffic, 4) ? traffic_random(traffic, 1 << 20) : traffic_random(traffic, 3);
}

static void put_mpls(struct traffic *traffic, unsigned depth)
{
	for (uint64_t n = one_in(traffic, 8) ? 9 : traffic_random(traffic, 3); n; n--)
		put(traffic, pick_tenant(traffic) << 12 | 64, 4);
	put(traffic, pick_tenant(traffic) << 12 | 0x140, 4);
	switch (traffic_random(traffic, 4)) {
	case 0:
		put(traffic, traffic_random(traffic, 1 << 16), 4);
		put_ethernet(traffic, depth + 1);
		break;
	case 1:
		put_ethernet(traffic, depth + 1);
		break;
	default:
		put_ip(traffic, pick_family(traffic), depth + 1);
	}
}

static void put_gre(struct traffic *traffic, unsigned depth)
{
	static const uint16_t bits[] = { 0x8000, 0x2000, 0x1000 };
	uint16_t flags = 0;
	unsigned options = 0;
	uint64_t kind = traffic_random(traffic, 5);
	uint8_t family = pick_family(traffic);

	for (unsigned i = 0; i < 3; i++)
		if (one_in(traffic, 2)) {
			flags |= bits[i];
			options++;
		}
	if (one_in(traffic, 10))
		flags |= one_in(traffic, 2) ? 0x4000 : 1;
	put(traffic, flags, 2);
	put(traffic,
	    kind == 0	? 0x6558 :
	    kind == 1	? 0x8847 :
	    kind == 2	? 0x880b :
	    family == 4 ? 0x0800 :
			  0x86dd,
	    2);
	for (; options; options--)
		put(traffic, pick_tenant(traffic), 4);
	if (kind == 0)
		put_ethernet(traffic, depth + 1);
	else if (kind == 1)
		put_mpls(traffic, depth + 1);
	else
		put_ip(traffic, family, depth + 1);
}

static void put_gtp_u(struct traffic *traffic, unsigned depth)
{
	uint64_t flags = traffic_random(traffic, 8);

	put(traffic, one_in(traffic, 10) ? traffic_random(traffic, 256) : 0x30 | flags, 1);
	put(traffic, one_in(traffic, 10) ? 1 : 255, 1);
	put_noise(traffic, 2);
	put(traffic, pick_tenant(traffic), 4);
	if (flags) {
		uint64_t extensions = flags & 4 ? traffic_random(traffic, 10) : 0;

		put_noise(traffic, 3);
		put(traffic, extensions ? 0x85 : 0, 1);
		for (; extensions; extensions--) {
			uint64_t units = one_in(traffic, 10) ? 0 : 1 + traffic_random(traffic, 2);

			put(traffic, units, 1);
			put_noise(traffic, units ? units * 4 - 2 : 2);
			put(traffic, extensions > 1 ? 0x85 : 0, 1);
		}
	}
	put_ip(traffic, pick_family(traffic), depth + 1);
}

static void put_transport(struct traffic *traffic, uint8_t protocol, unsigned depth)
{
	uint16_t from = pick_port(traffic), to = pick_port(traffic);

	/* Most first fragments of a packet say the same; those which do not are forged, or the id is used again. */
	if (traffic->ports && !one_in(traffic, 6)) {
		from = traffic->ports[0];
		to = traffic->ports[1];
	}
	traffic->ports = NULL;
	if (protocol == 47) {
		put_gre(traffic, depth);
		return;
	}
	put(traffic, from, 2);
	put(traffic, to, 2);
	put_noise(traffic, 4);
	if (protocol == 17 && to == 2152)
		put_gtp_u(traffic, depth);
	if (protocol == 17 && to == 4789) {
		put(traffic, one_in(traffic, 10) ? 0 : 8, 1);
		put_noise(traffic, 3);
		put(traffic, pick_tenant(traffic) << 8, 4);
		put_ethernet(traffic, depth + 1);
	}
	put_noise(traffic, traffic_random(traffic, 24));
}

/* A fragment is one of a few packets', so that those of a packet come, in any order, and some never. */
static unsigned pick_fragmented(struct traffic *traffic, uint8_t family)
{
	unsigned i = (unsigned)traffic_random(traffic, TRAFFIC_FRAGMENTED);

	if (traffic->fragmented[i].family != family || one_in(traffic, 6)) {
		pick_address(traffic, family, traffic->fragmented[i].addresses);
		pick_address(traffic, family, traffic->fragmented[i].addresses + 16);
		traffic->fragmented[i].family = family;
		traffic->fragmented[i].protocol =
			protocols[traffic_random(traffic, sizeof(protocols))];
		traffic->fragmented[i].id = (uint32_t)traffic_random(traffic, UINT32_MAX);
		for (unsigned k = 0; k < 2; k++)
			traffic->fragmented[i].ports[k] = pick_port(traffic);
	}
	traffic->ports = traffic->fragmented[i].ports;
	return i;
}

/* Offset in units of 8 bytes, and whether more come. */
static uint64_t pick_offset(struct traffic *traffic)
{
	return one_in(traffic, 2) ? 0 : 1 + traffic_random(traffic, 400);
}

static void put_ipv4(struct traffic *traffic, unsigned depth)
{
	uint64_t words = one_in(traffic, 6) ? traffic_random(traffic, 16) : 5, offset = 0, more = 0;
	uint8_t addresses[32], protocol = protocols[traffic_random(traffic, sizeof(protocols))];
	uint32_t id = (uint32_t)traffic_random(traffic, 65536);

	pick_address(traffic, 4, addresses);
	pick_address(traffic, 4, addresses + 16);
	if (one_in(traffic, 4)) {
		unsigned i = pick_fragmented(traffic, 4);

		memcpy(addresses, traffic->fragmented[i].addresses, sizeof(addresses));
		protocol = traffic->fragmented[i].protocol;
		id = traffic->fragmented[i].id;
		offset = pick_offset(traffic);
		more = offset == 0 || one_in(traffic, 2);
	}
	put(traffic, (one_in(traffic, 50) ? 0x50U : 0x40U) | words, 1);
	put_noise(traffic, 3);
	put(traffic, id, 2);
	put(traffic, more << 13 | offset, 2);
	put(traffic, 64, 1);
	put(traffic, protocol, 1);
	put_noise(traffic, 2);
	for (unsigned i = 0; i < 4; i++)
		put(traffic, addresses[i], 1);
	for (unsigned i = 0; i < 4; i++)
		put(traffic, addresses[16 + i], 1);
	if (words > 5)
		put_noise(traffic, 4 * (words - 5));
	put_transport(traffic, protocol, depth);
}

struct extension {
	uint8_t type;
	uint8_t units; /* as its length field says */
};

static void put_extension(struct traffic *traffic, const struct extension *extension, uint8_t next,
			  uint32_t id, uint64_t piece)
{
	put(traffic, next, 1);
	if (extension->type == 44) {
		put_noise(traffic, 1);
		put(traffic, piece, 2);
		put(traffic, id, 4);
		return;
	}
	put(traffic, extension->units, 1);
	put_noise(traffic, extension->type == 51 ? (extension->units + 2U) * 4 - 2 :
						   (extension->units + 1U) * 8 - 2);
}

static void put_ipv6(struct traffic *traffic, unsigned depth)
{
	static const uint8_t types[] = { 0, 43, 60, 51, 44 };
	struct extension extensions[11];
	unsigned count = one_in(traffic, 3) ? (unsigned)traffic_random(traffic, 11) : 0;
	uint8_t addresses[32], protocol = protocols[traffic_random(traffic, sizeof(protocols))];
	uint32_t id = (uint32_t)traffic_random(traffic, UINT32_MAX);
	uint64_t piece = 0;

	pick_address(traffic, 6, addresses);
	pick_address(traffic, 6, addresses + 16);
	for (unsigned i = 0; i < count; i++) {
		extensions[i].type = types[traffic_random(traffic, sizeof(types))];
		extensions[i].units =
			(uint8_t)(one_in(traffic, 20) ? 255 : traffic_random(traffic, 3));
	}
	if (one_in(traffic, 4)) {
		unsigned i = pick_fragmented(traffic, 6);

		memcpy(addresses, traffic->fragmented[i].addresses, sizeof(addresses));
		protocol = traffic->fragmented[i].protocol;
		id = traffic->fragmented[i].id;
		piece = pick_offset(traffic) << 3;
		piece |= traffic_random(traffic, 4) << 1;
		piece |= (piece >> 3 == 0 || one_in(traffic, 2));
		count = count < 10 ? count : 10;
		extensions[count++] = (struct extension){ 44, 0 };
	}
	put(traffic, one_in(traffic, 50) ? 4 : 6, 1);
	if (traffic->at < traffic->end)
		traffic->at[-1] = (uint8_t)(traffic->at[-1] << 4);
	put_noise(traffic, 5);
	put(traffic, count ? extensions[0].type : protocol, 1);
	put_noise(traffic, 1);
	for (unsigned i = 0; i < 32; i++)
		put(traffic, addresses[i], 1);
	for (unsigned i = 0; i < count; i++)
		put_extension(traffic, &extensions[i],
			      i + 1 < count ? extensions[i + 1].type : protocol, id, piece);
	put_transport(traffic, protocol, depth);
}

static void put_ip(struct traffic *traffic, uint8_t family, unsigned depth)
{
	if (depth > DEEPEST)
		return;
	if (family == 4)
		put_ipv4(traffic, depth);
	else
		put_ipv6(traffic, depth);
}

static void put_ethernet(struct traffic *traffic, unsigned depth)
{
	static const uint16_t tags[] = { 0x8100, 0x88a8, 0x9100 };
	uint8_t mac[6];
	uint16_t vlan;

	if (depth > DEEPEST)
		return;
	for (unsigned i = 0; i < 2; i++) {
		pick_mac(traffic, mac);
		for (unsigned k = 0; k < 6; k++)
			put(traffic, mac[k], 1);
	}
	for (uint64_t n = one_in(traffic, 20) ? 5 : traffic_random(traffic, 3); n; n--) {
		put(traffic, tags[traffic_random(traffic, 3)], 2);
		vlan = pick_vlan(traffic);
		put(traffic, traffic_random(traffic, 16) << 12 | vlan, 2);
	}
	switch (traffic_random(traffic, 10)) {
	case 0:
		put(traffic, 0x8847 + traffic_random(traffic, 2), 2);
		put_mpls(traffic, depth);
		break;
	case 1:
		put(traffic, 0x0806, 2);
		put_noise(traffic, 28);
		break;
	case 2:
	case 3:
	case 4:
		put(traffic, 0x86dd, 2);
		put_ip(traffic, 6, depth);
		break;
	default:
		put(traffic, 0x0800, 2);
		put_ip(traffic, 4, depth);
	}
}

/* The outermost tag aside, as a NIC or the kernel takes it. @return the frame's length then */
static uint32_t strip(struct cap_packet *packet, uint8_t *frame, uint32_t len)
{
	uint16_t type = (uint16_t)(len >= 16 ? frame[12] << 8 | frame[13] : 0);

	if (type != 0x8100 && type != 0x88a8)
		return len;
	packet->vlan_tpid = type;
	packet->vlan_tci = (uint16_t)(frame[14] << 8 | frame[15]);
	memmove(frame + 12, frame + 16, len - 16);
	return len - 4;
}

/* Into memory of exactly its size, whole or in pieces. */
static void lay(struct traffic *traffic, const uint8_t *frame, uint32_t len,
		struct traffic_packet *out)
{
	uint32_t pieces = one_in(traffic, 8) ?
				  2 + (uint32_t)traffic_random(traffic, TRAFFIC_MOST_SEGMENTS - 1) :
				  1;
	uint32_t at = 0;

	for (uint32_t i = 0; i < pieces; i++) {
		uint32_t part = i + 1 < pieces ? (uint32_t)traffic_random(traffic, len - at + 1) :
						 len - at;

		out->pieces[i] = malloc(part ? part : 1);
		memcpy(out->pieces[i], frame + at, part);
		out->segments[i] = (struct cap_segment){ out->pieces[i], part };
		at += part;
	}
	out->packet.data = out->pieces[0];
	out->packet.len = len;
	out->packet.n_segments = pieces;
	out->packet.segments = out->segments;
}

void traffic_packet_make(struct traffic *traffic, bool ethernet, struct traffic_packet *out)
{
	uint8_t frame[TRAFFIC_MOST_BYTES];
	uint32_t len;

	memset(out, 0, sizeof(*out));
	traffic->at = frame;
	traffic->end = frame + sizeof(frame);
	if (ethernet)
		put_ethernet(traffic, 0);
	else
		put_ip(traffic, pick_family(traffic), 0);
	len = (uint32_t)(traffic->at - frame);
	for (uint64_t flips = one_in(traffic, 10) ? traffic_random(traffic, 4) : 0; flips;
	     flips--) {
		const uint64_t at = traffic_random(traffic, len < 80 ? len : 80);

		frame[at] ^= (uint8_t)(1U << traffic_random(traffic, 8));
	}
	if (ethernet && one_in(traffic, 2))
		len = strip(&out->packet, frame, len);
	out->packet.wire_len = len;
	if (one_in(traffic, 4))
		len = (uint32_t)traffic_random(traffic, len + 1);
	lay(traffic, frame, len, out);
	traffic->now_ns += one_in(traffic, 200) ? 501000000ULL : traffic_random(traffic, STEP_NS);
	/* Queues are not in step: what comes later may be older. */
	out->packet.timestamp_ns = traffic->now_ns - traffic_random(traffic, STEP_NS);
}

void traffic_packet_free(struct traffic_packet *packet)
{
	for (unsigned i = 0; i < TRAFFIC_MOST_SEGMENTS; i++)
		free(packet->pieces[i]);
}

static struct cap_prefix make_prefix(struct traffic *traffic)
{
	static const struct cap_prefix crowded[] = { { 4, 24, { 10, 0, 1 } },
						     { 4, 32, { 10, 0, 1, 1 } } };
	struct cap_prefix prefix = { .family = pick_family(traffic) };
	const uint8_t whole = prefix.family == 4 ? 32 : 128;

	if (traffic->crowded && !one_in(traffic, 8))
		return crowded[traffic_random(traffic, 2)];
	pick_address(traffic, prefix.family, prefix.bytes);
	switch (traffic_random(traffic, 4)) {
	case 0:
		prefix.length = (uint8_t)traffic_random(traffic, whole + 1U);
		break;
	case 1:
		prefix.length = (uint8_t)(whole - traffic_random(traffic, 10));
		break;
	default:
		prefix.length = whole;
	}
	for (unsigned bit = prefix.length; bit < 128; bit++)
		prefix.bytes[bit / 8] &= (uint8_t) ~(0x80U >> bit % 8);
	return prefix;
}

static struct cap_port_range make_range(struct traffic *traffic)
{
	const unsigned narrow = one_in(traffic, 2) ? 1 : 4096;
	uint16_t first = pick_port(traffic), last = first;

	if (one_in(traffic, 2))
		last = (uint16_t)(first + traffic_random(traffic, 65536U - first) / narrow);
	return (struct cap_port_range){ first, last };
}

static void make_target(struct traffic *traffic, struct cap_target *target)
{
	unsigned kinds = (unsigned)traffic_random(traffic, 32);

	/* Most have prefixes alone. */
	if (!kinds || one_in(traffic, 2))
		kinds = 1;
	*target = (struct cap_target){ .end_ns = UINT64_MAX };
	target->any_protocol = !one_in(traffic, 4);
	target->protocol = protocols[traffic_random(traffic, sizeof(protocols))];
	target->direction = (uint8_t)traffic_random(traffic, 3);
	for (unsigned i = 0; i < CAP_TARGET_ID_LEN; i++)
		target->id[i] = (uint8_t)traffic_random(traffic, 256);
	if (one_in(traffic, 4)) {
		target->start_ns = BEGIN_NS + traffic_random(traffic, 4000 * STEP_NS);
		if (one_in(traffic, 2))
			target->end_ns =
				target->start_ns + 1 + traffic_random(traffic, 4000 * STEP_NS);
	}
	if (kinds & 1) {
		target->prefix_count = (uint16_t)(1 + traffic_random(traffic, 3));
		target->prefixes = malloc(target->prefix_count * sizeof(*target->prefixes));
		for (unsigned i = 0; i < target->prefix_count; i++)
			target->prefixes[i] = make_prefix(traffic);
	}
	if (kinds & 2) {
		target->port_count = (uint16_t)(1 + traffic_random(traffic, 3));
		target->ports = malloc(target->port_count * sizeof(*target->ports));
		for (unsigned i = 0; i < target->port_count; i++)
			target->ports[i] = make_range(traffic);
	}
	if (kinds & 4) {
		target->mac_count = (uint16_t)(1 + traffic_random(traffic, 2));
		target->macs = malloc(target->mac_count * sizeof(*target->macs));
		for (unsigned i = 0; i < target->mac_count; i++)
			pick_mac(traffic, target->macs[i]);
	}
	if (kinds & 8) {
		target->outer_vlan_count = (uint16_t)(1 + traffic_random(traffic, 2));
		target->outer_vlans =
			malloc(target->outer_vlan_count * sizeof(*target->outer_vlans));
		for (unsigned i = 0; i < target->outer_vlan_count; i++)
			target->outer_vlans[i] = pick_vlan(traffic);
	}
	if (kinds & 16) {
		target->inner_vlan_count = (uint16_t)(1 + traffic_random(traffic, 2));
		target->inner_vlans =
			malloc(target->inner_vlan_count * sizeof(*target->inner_vlans));
		for (unsigned i = 0; i < target->inner_vlan_count; i++)
			target->inner_vlans[i] = pick_vlan(traffic);
	}
}

struct cap_target *traffic_targets_make(struct traffic *traffic, unsigned count)
{
	struct cap_target *targets = calloc(count + 1, sizeof(*targets));

	traffic->crowded = one_in(traffic, 3);
	for (unsigned i = 0; i < count; i++)
		make_target(traffic, &targets[i]);
	return targets;
}

void traffic_targets_free(struct cap_target *targets, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		free(targets[i].prefixes);
		free(targets[i].ports);
		free(targets[i].macs);
		free(targets[i].outer_vlans);
		free(targets[i].inner_vlans);
	}
	free(targets);
}
