// SPDX-License-Identifier: Apache-2.0
#include "hostile.h"

#include <string.h>

#define ONE_OF(pool) ((pool)[hostile_random() % (sizeof(pool) / sizeof((pool)[0]))])

static const uint8_t extensions[] = { 0, 43, 44, 51, 60 };
static const uint8_t protocols[] = { 6, 6, 17, 17, 17, 17, 132, 33, 136, 1, 58, 47, 47, 51, 50, 4 };
static const uint16_t known_ports[] = { 80, 443, 53, 1024, 2047, 2152, 2152, 4789, 4789, 65535, 0 };
static const uint16_t types[] = { 0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x86dd,
				  0x8847, 0x8848, 0x0806, 0x6558, 0x8864 };
static const uint16_t tags[] = { 0x8100, 0x8100, 0x88a8, 0x9100 };
static const uint16_t ids[] = { 0, 5, 7, 100, 4095 };

struct growing {
	uint8_t *bytes;
	uint32_t len;
	unsigned depth;
};

/* Small and fixed: a failure can be looked at again. */
static uint32_t random_state = 2463534242U;

uint32_t hostile_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static bool sometimes(unsigned one_in)
{
	return hostile_random() % one_in == 0;
}

static void put(struct growing *frame, uint32_t value, unsigned bytes)
{
	while (bytes-- && frame->len < HOSTILE_LARGEST)
		frame->bytes[frame->len++] = (uint8_t)(value >> (8 * bytes));
}

/* One of few, so that targets hit; the rest differ in one bit or so. */
static void pool_address(uint8_t *address, unsigned len)
{
	memset(address, 0, len);
	memcpy(address, len == 4 ? "\12\1" : "\x20\1\r\xb8", len == 4 ? 2 : 4);
	address[len - 2] = (uint8_t)(hostile_random() % 3);
	address[len - 1] = (uint8_t)(hostile_random() % 6);
	if (sometimes(8))
		address[hostile_random() % len] ^= (uint8_t)(1U << hostile_random() % 8);
}

static void put_address(struct growing *frame, unsigned len)
{
	uint8_t address[16];

	pool_address(address, len);
	for (unsigned i = 0; i < len; i++)
		put(frame, address[i], 1);
}

static void pool_mac(uint8_t *mac)
{
	memcpy(mac, "\2\0\0\0\0", 5);
	mac[5] = (uint8_t)(hostile_random() % 6);
	if (sometimes(10))
		mac[0] ^= 0x40;
}

static void put_view(struct growing *frame, uint16_t type);

static void put_ethernet(struct growing *frame)
{
	unsigned tagged = sometimes(2) ? hostile_random() % 6 : 0;
	uint16_t type = ONE_OF(types);
	uint8_t mac[CAP_MAC_LEN];

	for (unsigned side = 0; side < 2; side++) {
		pool_mac(mac);
		for (unsigned i = 0; i < CAP_MAC_LEN; i++)
			put(frame, mac[i], 1);
	}
	while (tagged--) {
		put(frame, ONE_OF(tags), 2);
		put(frame, (hostile_random() & 0xf000) | ONE_OF(ids), 2);
	}
	put(frame, type, 2);
	put_view(frame, type);
}

static void put_gtp_u(struct growing *frame)
{
	uint8_t flags = sometimes(6) ? (uint8_t)hostile_random() : 0x30 | hostile_random() % 8;
	unsigned extended = flags & 4 ? hostile_random() % 10 : 0;

	put(frame, flags, 1);
	put(frame, sometimes(5) ? 1 : 255, 1);
	put(frame, hostile_random(), 2);
	put(frame, hostile_random(), 4);
	if (flags & 7) {
		put(frame, hostile_random(), 3);
		put(frame, extended ? 0x85 : 0, 1);
	}
	while (extended--) {
		unsigned words = sometimes(12) ? 0 : 1 + hostile_random() % 2;

		put(frame, words, 1);
		for (unsigned i = 0; words && i < words * 4 - 2; i++)
			put(frame, hostile_random(), 1);
		put(frame, extended ? 0x85 : 0, 1);
	}
	put_view(frame, sometimes(2) ? 0x0800 : 0x86dd);
}

static void put_gre(struct growing *frame)
{
	uint16_t flags = sometimes(8) ? (uint16_t)hostile_random() :
					(uint16_t)((hostile_random() % 16) << 12 & 0xb000);
	uint16_t type = ONE_OF(types);

	put(frame, flags, 2);
	put(frame, type, 2);
	for (unsigned bit = 0; bit < 4; bit++)
		if (flags & (0x8000 >> bit) && bit != 1)
			put(frame, hostile_random(), 4);
	put_view(frame, type);
}

static void put_transport(struct growing *frame, uint8_t protocol)
{
	uint16_t to = ONE_OF(known_ports);

	if (protocol == 47) {
		put_gre(frame);
		return;
	}
	put(frame, sometimes(3) ? hostile_random() : ONE_OF(known_ports), 2);
	put(frame, to, 2);
	put(frame, hostile_random(), 4);
	if (protocol != 17)
		put(frame, hostile_random(), 4);
	else if (to == 2152)
		put_gtp_u(frame);
	else if (to == 4789) {
		put(frame, sometimes(5) ? 0 : 0x08000000, 4);
		put(frame, hostile_random(), 4);
		put_view(frame, 0x6558);
	}
}

static void put_ipv4(struct growing *frame)
{
	unsigned words = sometimes(5) ? hostile_random() % 16 : 5;
	uint8_t protocol = ONE_OF(protocols);
	uint16_t piece = sometimes(5) ? (uint16_t)hostile_random() : 0;

	if (sometimes(10))
		piece = sometimes(2) ? 0x2000 : 0x00b9;
	put(frame, (sometimes(20) ? hostile_random() << 4 & 0xf0 : 0x40) | words, 1);
	put(frame, 0, 1);
	put(frame, hostile_random() % 1500, 2);
	put(frame, hostile_random() % 3, 2);
	put(frame, piece, 2);
	put(frame, 64, 1);
	put(frame, protocol, 1);
	put(frame, 0, 2);
	put_address(frame, 4);
	put_address(frame, 4);
	for (unsigned i = 5; i < words; i++)
		put(frame, 0x01010101, 4);
	put_transport(frame, protocol);
}

static void put_extension(struct growing *frame, uint8_t kind, uint8_t next)
{
	unsigned units = kind == 44 ? 0 : hostile_random() % 3;
	unsigned rest = (units + 1) * 8 - 2;

	put(frame, next, 1);
	put(frame, units, 1);
	if (kind == 44) {
		put(frame, sometimes(2) ? hostile_random() : hostile_random() & 1, 2);
		put(frame, hostile_random() % 3, 4);
		return;
	}
	if (kind == 51)
		rest = (units + 2) * 4 - 2;
	for (unsigned i = 0; i < rest; i++)
		put(frame, hostile_random(), 1);
}

static void put_ipv6(struct growing *frame)
{
	unsigned count = sometimes(2) ? hostile_random() % 11 : 0;
	uint8_t protocol = ONE_OF(protocols), kind = ONE_OF(extensions);

	put(frame, (sometimes(20) ? hostile_random() : 0x60000000), 4);
	put(frame, hostile_random() % 1500, 2);
	put(frame, count ? kind : protocol, 1);
	put(frame, 64, 1);
	put_address(frame, 16);
	put_address(frame, 16);
	while (count--) {
		uint8_t next = ONE_OF(extensions);

		if (sometimes(2))
			next = 60;
		put_extension(frame, kind, count ? next : protocol);
		kind = next;
	}
	put_transport(frame, protocol);
}

static void put_mpls(struct growing *frame)
{
	unsigned labels = 1 + hostile_random() % (sometimes(6) ? 12 : 3);
	unsigned kind = hostile_random() % 4;

	while (labels--) {
		put(frame, hostile_random(), 2);
		put(frame, (hostile_random() & 0xfe) | (labels == 0), 1);
		put(frame, 64, 1);
	}
	if (kind == 2)
		put(frame, 0, 4);
	put_view(frame, kind == 0 ? 0x0800 : kind == 1 ? 0x86dd : 0x6558);
}

static void put_view(struct growing *frame, uint16_t type)
{
	if (frame->depth++ > 5)
		return;
	switch (type) {
	case 0x0800:
		put_ipv4(frame);
		break;
	case 0x86dd:
		put_ipv6(frame);
		break;
	case 0x8847:
	case 0x8848:
		put_mpls(frame);
		break;
	case 0x6558:
		put_ethernet(frame);
		break;
	default:
		for (unsigned i = hostile_random() % 60; i; i--)
			put(frame, hostile_random(), 1);
	}
}

uint32_t hostile_frame(uint8_t *frame)
{
	struct growing growing = { .bytes = frame };

	put_view(&growing, 0x6558);
	for (unsigned i = sometimes(2) ? 46 : 0; i; i--)
		put(&growing, 0, 1);
	/* The kernel runs no program on less than an Ethernet header. */
	if (sometimes(3) && growing.len > 14)
		growing.len = 14 + hostile_random() % (growing.len - 13);
	if (sometimes(8))
		frame[hostile_random() % growing.len] = (uint8_t)hostile_random();
	return growing.len;
}

/* IPv6 puts a header of its own between, with room for the id in full. */
static void put_fragment(struct growing *frame, bool six, bool first, const uint8_t *addresses,
			 uint32_t id)
{
	put(frame, 0x0200, 2);
	put(frame, 0, 4);
	put(frame, 0x0200, 2);
	put(frame, 1, 4);
	put(frame, six ? 0x86dd : 0x0800, 2);
	put(frame, six ? 0x60000000 : 0x45000040, 4);
	if (six) {
		put(frame, 46 << 16 | 44 << 8 | 64, 4);
	} else {
		put(frame, id << 16 | (first ? 0x2000 : 0x0005), 4);
		put(frame, 64 << 24 | 17 << 16, 4);
	}
	for (unsigned i = 0; i < (six ? 32U : 8U); i++)
		put(frame, addresses[i], 1);
	if (six) {
		put(frame, 17 << 24 | (first ? 1U : 0x0028), 4);
		put(frame, id, 4);
	}
}

void hostile_fragments(uint8_t *first, uint8_t *later)
{
	static uint32_t id = 1000;
	struct growing one = { .bytes = first }, other = { .bytes = later };
	bool six = sometimes(2);
	uint8_t addresses[32];

	id = id % 60000 + 1;
	pool_address(addresses, six ? 16 : 4);
	pool_address(addresses + (six ? 16 : 4), six ? 16 : 4);
	put_fragment(&one, six, true, addresses, id);
	put_fragment(&other, six, false, addresses, id);
	put(&one, ONE_OF(known_ports), 2);
	put(&one, ONE_OF(known_ports), 2);
	while (one.len < HOSTILE_FRAGMENT)
		put(&one, 0, 1);
	while (other.len < HOSTILE_FRAGMENT)
		put(&other, 0, 1);
}

static void make_prefix(struct cap_prefix *prefix, unsigned kinds)
{
	bool host = !(kinds & HOSTILE_PREFIXES) || (kinds & HOSTILE_HOSTS && sometimes(2));
	unsigned bits;

	*prefix = (struct cap_prefix){ .family = sometimes(2) ? 4 : 6 };
	bits = prefix->family == 4 ? 32 : 128;
	pool_address(prefix->bytes, bits / 8);
	prefix->length = (uint8_t)(host ? bits : hostile_random() % bits);
	for (unsigned bit = prefix->length; bit < bits; bit++)
		prefix->bytes[bit / 8] &= (uint8_t) ~(0x80U >> bit % 8);
}

static void make_ports(struct cap_target *target)
{
	target->port_count = (uint16_t)(1 + hostile_random() % 3);
	for (unsigned i = 0; i < target->port_count; i++) {
		uint16_t a = ONE_OF(known_ports), b = sometimes(2) ? a : ONE_OF(known_ports);

		target->ports[i] = (struct cap_port_range){ a < b ? a : b, a < b ? b : a };
	}
}

static void make_vlans(struct cap_target *target, uint16_t *vlans)
{
	bool inner = sometimes(2);

	vlans[0] = ONE_OF(ids);
	vlans[1] = ONE_OF(ids);
	target->outer_vlans = vlans;
	target->inner_vlans = vlans + 1;
	target->outer_vlan_count = !inner || sometimes(2);
	target->inner_vlan_count = inner;
}

static void make_target(struct hostile_set *set, unsigned at, unsigned kinds)
{
	struct cap_target *target = &set->targets[at];

	*target = (struct cap_target){ .any_protocol = true,
				       .end_ns = UINT64_MAX,
				       .prefixes = set->prefixes[at],
				       .ports = set->ports[at],
				       .macs = set->macs[at] };
	target->id[0] = (uint8_t)at;
	if (kinds & HOSTILE_DIRECTIONS)
		target->direction = (uint8_t)(hostile_random() % 3);
	if (kinds & HOSTILE_PROTOCOLS && sometimes(3)) {
		target->any_protocol = false;
		target->protocol = ONE_OF(protocols);
	}
	while (!target->prefix_count && !target->port_count && !target->mac_count &&
	       !target->outer_vlan_count && !target->inner_vlan_count) {
		if (kinds & (HOSTILE_HOSTS | HOSTILE_PREFIXES) && !sometimes(4))
			target->prefix_count = (uint16_t)(1 + hostile_random() % 4);
		if (kinds & HOSTILE_PORTS && sometimes(4))
			make_ports(target);
		if (kinds & HOSTILE_MACS && sometimes(6))
			target->mac_count = (uint16_t)(1 + hostile_random() % 2);
		if (kinds & HOSTILE_VLANS && sometimes(6))
			make_vlans(target, set->vlans[at]);
	}
	for (unsigned i = 0; i < target->prefix_count; i++)
		make_prefix(&target->prefixes[i], kinds);
	for (unsigned i = 0; i < target->mac_count; i++)
		pool_mac(target->macs[i]);
}

void hostile_targets(struct hostile_set *set, unsigned kinds)
{
	set->count = 1 + hostile_random() % HOSTILE_MOST_TARGETS;
	for (unsigned i = 0; i < set->count; i++) {
		make_target(set, i, kinds);
		set->pointers[i] = &set->targets[i];
	}
}
