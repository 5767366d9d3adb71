/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file How the targets that a packet may belong to are found: by its addresses, or where a target names none,
 * by its MAC addresses, VLAN ids or ports.
 *
 * Each distinct prefix, MAC address, VLAN id and block of ports is an entry: a list of the targets that name it. A
 * prefix's entry leads on to the next shorter prefix that holds it, so that the longest one gives all.
 *
 * Where many targets share an entry (the subscribers behind one address of a carrier's NAT, one private address
 * in every VLAN) they are told apart by what else they name, before any of them is judged.
 */
#ifndef CAPSTAN_TARGET_INDEX_H
#define CAPSTAN_TARGET_INDEX_H

#include "host_table.h"
#include "prefix_filter.h"
#include "range_tree.h"
#include "target.h"

/** Most targets of an entry that are judged one by one. */
#define CAP_CROWD 64U

/** What a crowd's targets are told apart by: the first of these that a target names. */
enum cap_crowd_kind {
	CAP_CROWD_REST,	 /**< none of these; by protocol */
	CAP_CROWD_PORTS, /**< blocks of ports */
	CAP_CROWD_VLAN_INNER,
	CAP_CROWD_VLAN_OUTER,
	CAP_CROWD_MAC, /**< by hash */
};

/** Key of a crowd's targets: kind and number. */
#define CAP_CROWD_KEY(kind, number) ((uint32_t)(kind) << 28 | ((number)&0x0fffffffU))

/** An entry of many targets: keys[first] and on, ascending, and their targets beside them. */
struct cap_crowd {
	uint32_t entry, first, count;
};

/** An entry; its targets are terms[first] up to the next entry's first. Entry 0 is nobody's. */
struct cap_index_entry {
	uint32_t first;
	uint32_t parent; /**< entry of the next shorter prefix around, or 0 */
};

/** IPv4 prefixes of less than 32 bits. */
struct cap_prefixes4 {
	uint32_t *tops; /**< by the first 16 bits: CAP_TOP_ONE | entry, or which part; NULL: no prefixes */
	uint32_t *parts;  /**< where each part's ranges begin; one more than there are */
	uint16_t *lasts;  /**< of the ranges in a part: the last 16 bits of the last address */
	uint32_t *values; /**< entries of the ranges */
	uint32_t part_count, range_count;
};

#define CAP_TOP_ONE 0x80000000U

/** IPv6 prefixes of less than 128 bits. */
struct cap_prefixes6 {
	struct cap_range_tree
		upper;	 /**< by the first 64 bits: entry, or CAP_DEEP | which part; empty: none */
	uint32_t *parts; /**< for prefixes of more than 64 bits, as for IPv4 */
	uint64_t *lasts;
	uint32_t *values;
	uint32_t part_count, range_count;
};

#define CAP_DEEP 0x80000000U

/** Blocks of 2^k ports that begin at multiples of their size, numbered as a heap: 1 holds all, 65536 + p port p. */
#define CAP_PORT_BLOCKS 131072U

#define CAP_VLAN_IDS 4096U

/** Numbers of protocols, and behind them one for targets that name none. */
#define CAP_ANY_PROTOCOL 256U
#define CAP_PROTOCOLS 257U

struct cap_target_index {
	struct cap_seed seed;
	struct cap_index_entry *entries; /**< one more than there are */
	uint32_t entry_count;
	uint32_t *terms;
	uint32_t term_count;
	struct cap_crowd *crowds; /**< ascending by entry */
	uint32_t crowd_count;
	uint32_t *crowd_keys, *crowd_targets;
	uint32_t crowd_key_count;

	/* Asked first: of all IPv4 prefixes, hosts too; of IPv6 prefixes; of IPv6 hosts. */
	struct cap_prefix_filter filter4, filter6, filter6_hosts;
	struct cap_host_table hosts4; /**< tag: the address */
	struct cap_host_table hosts6; /**< tag: of the hash */
	uint8_t (*hosts6_names)[16];  /**< address of entry hosts6_first + i */
	uint32_t hosts6_first, hosts6_count;
	struct cap_prefixes4 prefixes4;
	struct cap_prefixes6 prefixes6;

	/* Targets without prefixes, each by the first of these that it names. 0 and NULL: there are none. */
	bool anywhere;
	struct cap_host_table macs; /**< tag: of the hash; the judge compares the address */
	uint32_t *vlans[2];	    /**< entries by id of first and second tag */
	uint32_t any_vlan[2];  /**< entry of all of them, for packets whose tag is not to be seen */
	uint32_t *port_blocks; /**< entries by block */
	uint32_t *any_ports;   /**< by protocol, for packets whose ports are not to be seen */
	uint64_t *port_map;    /**< bit p: port p is named */
};

/** What tells longer names in one bucket of a table apart. */
static inline uint32_t cap_index_tag(uint64_t nh)
{
	return (uint32_t)(nh >> 32);
}

/** @return false: no memory; the index is to be freed all the same */
bool cap_target_index_build(struct cap_target_index *index, const struct cap_target *targets,
			    unsigned count);
void cap_target_index_free(struct cap_target_index *index);
size_t cap_target_index_memory(const struct cap_target_index *index);

/** @return entry of an IPv4 host in host order, or 0 */
uint32_t cap_index_host4(const struct cap_target_index *index, uint32_t address);

/** @return entry of an IPv6 host, or 0 */
uint32_t cap_index_host6(const struct cap_target_index *index, const uint8_t *address);

/** @return entry of the longest prefix around an address, or 0 */
uint32_t cap_index_prefix4(const struct cap_target_index *index, uint32_t address);
uint32_t cap_index_prefix6(const struct cap_target_index *index, const uint8_t *address);

/** @return the crowd of an entry, or NULL: it has few targets */
const struct cap_crowd *cap_index_crowd(const struct cap_target_index *index, uint32_t entry);

/** @return the targets that a crowd has under @p key, ascending; *count may be 0 */
const uint32_t *cap_index_crowd_targets(const struct cap_target_index *index,
					const struct cap_crowd *crowd, uint32_t key,
					uint32_t *count);

/** @return a MAC address's number among the keys of a crowd */
uint32_t cap_index_mac_number(const struct cap_target_index *index, const uint8_t *mac);

/** Does @p search find more entries for a MAC address? The judge compares all of it. */
struct cap_host_search cap_index_mac_begin(const struct cap_target_index *index,
					   const uint8_t *mac);
uint32_t cap_index_mac_next(const struct cap_target_index *index, struct cap_host_search *search,
			    const uint8_t *mac);

#endif
