// SPDX-License-Identifier: Apache-2.0
#include "index_terms.h"

#include "target_index.h"

#include <stdbool.h>
#include <string.h>

/* Blocks that hold a range of ports between them, see put_ports. */
#define BLOCKS_PER_RANGE 2U

uint32_t cap_terms_bound(const struct cap_target *targets, unsigned count)
{
	uint32_t bound = count;

	for (unsigned i = 0; i < count; i++) {
		bound += targets[i].prefix_count;
		bound += targets[i].mac_count;
		bound += targets[i].outer_vlan_count;
		bound += targets[i].inner_vlan_count;
		bound += BLOCKS_PER_RANGE * targets[i].port_count;
	}
	return bound;
}

static bool is_host(const struct cap_prefix *prefix)
{
	return prefix->length == (prefix->family == 4 ? 32 : 128);
}

/* By which of its terms a target is found: all that it names must hold, so one kind of them is enough. */
static enum cap_term_kind found_by(const struct cap_target *target)
{
	if (target->mac_count)
		return CAP_TERM_MAC;
	if (target->outer_vlan_count)
		return CAP_TERM_VLAN_OUTER;
	return target->inner_vlan_count ? CAP_TERM_VLAN_INNER : CAP_TERM_PORTS;
}

bool cap_term_by_ports(const struct cap_target *target)
{
	return !target->prefix_count && found_by(target) == CAP_TERM_PORTS;
}

static uint32_t protocol_of(const struct cap_target *target)
{
	return target->any_protocol ? CAP_ANY_PROTOCOL : target->protocol;
}

static struct cap_term *put_number(struct cap_term *to, uint32_t number, uint32_t target)
{
	*to = (struct cap_term){ .name = { (uint8_t)(number >> 24), (uint8_t)(number >> 16),
					   (uint8_t)(number >> 8), (uint8_t)number },
				 .target = target };
	return to + 1;
}

/* The smallest block that holds both ports. */
static uint32_t block_around(uint32_t first, uint32_t last)
{
	first |= 65536;
	last |= 65536;
	while (first != last) {
		first >>= 1;
		last >>= 1;
	}
	return first;
}

/*
 * A range that lies across the middle of the smallest block around it may be far smaller than that block (two
 * ports, in the block of all of them), so its halves have a block each. What the blocks hold beyond the range is
 * for the judge to see.
 */
static struct cap_term *put_ports(struct cap_term *to, const struct cap_port_range *range,
				  uint32_t target, enum cap_crowd_kind kind)
{
	uint32_t around = block_around(range->first, range->last), middle = around * 2 + 1;

	if (around >= 65536)
		return put_number(to, CAP_CROWD_KEY(kind, around), target);
	while (middle < 65536)
		middle *= 2;
	middle &= 65535;
	to = put_number(to, CAP_CROWD_KEY(kind, block_around(range->first, middle - 1)), target);
	return put_number(to, CAP_CROWD_KEY(kind, block_around(middle, range->last)), target);
}

uint32_t cap_terms_keys(const struct cap_target *target)
{
	if (target->port_count)
		return BLOCKS_PER_RANGE * target->port_count;
	if (target->inner_vlan_count)
		return target->inner_vlan_count;
	if (target->outer_vlan_count)
		return target->outer_vlan_count;
	return target->mac_count ? target->mac_count : 1U;
}

struct cap_term *cap_terms_put_keys(struct cap_term *to, const struct cap_target *target,
				    uint32_t index, const uint32_t *mac_numbers)
{
	if (target->port_count) {
		for (unsigned i = 0; i < target->port_count; i++)
			to = put_ports(to, &target->ports[i], index, CAP_CROWD_PORTS);
		return to;
	}
	if (target->inner_vlan_count) {
		for (unsigned i = 0; i < target->inner_vlan_count; i++)
			to = put_number(to,
					CAP_CROWD_KEY(CAP_CROWD_VLAN_INNER, target->inner_vlans[i]),
					index);
		return to;
	}
	if (target->outer_vlan_count) {
		for (unsigned i = 0; i < target->outer_vlan_count; i++)
			to = put_number(to,
					CAP_CROWD_KEY(CAP_CROWD_VLAN_OUTER, target->outer_vlans[i]),
					index);
		return to;
	}
	if (!target->mac_count)
		return put_number(to, CAP_CROWD_KEY(CAP_CROWD_REST, protocol_of(target)), index);
	for (unsigned i = 0; i < target->mac_count; i++)
		to = put_number(to, CAP_CROWD_KEY(CAP_CROWD_MAC, mac_numbers[i]), index);
	return to;
}

static struct cap_term *put_prefixes(struct cap_term *to, enum cap_term_kind kind,
				     const struct cap_target *target, uint32_t index)
{
	const bool host = kind == CAP_TERM_HOST4 || kind == CAP_TERM_HOST6;
	const uint8_t family = kind == CAP_TERM_HOST4 || kind == CAP_TERM_PREFIX4 ? 4 : 6;

	for (unsigned i = 0; i < target->prefix_count; i++) {
		const struct cap_prefix *prefix = &target->prefixes[i];

		if (prefix->family != family || is_host(prefix) != host)
			continue;
		*to = (struct cap_term){ .length = prefix->length, .target = index };
		memcpy(to->name, prefix->bytes, family == 4 ? 4 : 16);
		to++;
	}
	return to;
}

static struct cap_term *put_anywhere(struct cap_term *to, enum cap_term_kind kind,
				     const struct cap_target *target, uint32_t index)
{
	const enum cap_term_kind by = found_by(target);

	if (kind == CAP_TERM_MAC && by == kind)
		for (unsigned i = 0; i < target->mac_count; i++, to++) {
			*to = (struct cap_term){ .target = index };
			memcpy(to->name, target->macs[i], CAP_MAC_LEN);
		}
	if (kind == CAP_TERM_VLAN_OUTER && by == kind)
		for (unsigned i = 0; i < target->outer_vlan_count; i++)
			to = put_number(to, target->outer_vlans[i], index);
	if (kind == CAP_TERM_VLAN_INNER && by == kind)
		for (unsigned i = 0; i < target->inner_vlan_count; i++)
			to = put_number(to, target->inner_vlans[i], index);
	if (kind == CAP_TERM_PORTS && by == kind)
		for (unsigned i = 0; i < target->port_count; i++)
			to = put_ports(to, &target->ports[i], index, 0);
	if ((kind == CAP_TERM_ANY_VLAN_OUTER && by == CAP_TERM_VLAN_OUTER) ||
	    (kind == CAP_TERM_ANY_VLAN_INNER && by == CAP_TERM_VLAN_INNER))
		to = put_number(to, 0, index);
	if (kind == CAP_TERM_ANY_PORTS && by == CAP_TERM_PORTS)
		to = put_number(to, protocol_of(target), index);
	return to;
}

uint32_t cap_terms_gather(struct cap_term *terms, enum cap_term_kind kind,
			  const struct cap_target *targets, unsigned count)
{
	struct cap_term *to = terms;

	for (unsigned i = 0; i < count; i++) {
		if (kind < CAP_TERM_MAC)
			to = put_prefixes(to, kind, &targets[i], i);
		else if (!targets[i].prefix_count)
			to = put_anywhere(to, kind, &targets[i], i);
	}
	return (uint32_t)(to - terms);
}

/* Byte @p digit of what is sorted by, the least significant first. */
static uint8_t byte_of(const struct cap_term *term, unsigned digit)
{
	return digit == 0 ? term->length : term->name[CAP_TERM_NAME_LEN - digit];
}

struct cap_term *cap_terms_sort(struct cap_term *terms, struct cap_term *spare, uint32_t count)
{
	for (unsigned digit = 0; count > 1 && digit <= CAP_TERM_NAME_LEN; digit++) {
		uint32_t places[256] = { 0 }, sum = 0;
		struct cap_term *sorted = spare;

		for (uint32_t i = 0; i < count; i++)
			places[byte_of(&terms[i], digit)]++;
		/* Most of the bytes are the same in all of them. */
		if (places[byte_of(terms, digit)] == count)
			continue;
		for (unsigned i = 0; i < 256; i++) {
			uint32_t here = places[i];

			places[i] = sum;
			sum += here;
		}
		for (uint32_t i = 0; i < count; i++)
			sorted[places[byte_of(&terms[i], digit)]++] = terms[i];
		spare = terms;
		terms = sorted;
	}
	return terms;
}
