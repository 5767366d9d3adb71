/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/**
 * @file Targets as the kernel's programs look them up, shared with who fills them in (engine/kernel_targets.h).
 *
 * There are two slots. One is in force and its number stands in capstan_current; a change fills the other
 * and then writes that number, so a packet is judged by one set and never by parts of two.
 *
 * What is here is a coarser sieve than the engine's: it may let more through, and never less.
 */
#ifndef CAPSTAN_BPF_TARGETS_H
#define CAPSTAN_BPF_TARGETS_H

#include <linux/types.h>

#define CAPSTAN_SLOTS 2U

/** Queues of a port that are counted apart: the engine's limit, a power of two. */
#define CAPSTAN_QUEUES 64

/** Inner maps of a slot in the array of host tables; key: struct capstan_address. */
enum capstan_host_table {
	CAPSTAN_HOSTS_IPV4,
	CAPSTAN_HOSTS_IPV6,
	CAPSTAN_HOSTS_MAC,
	CAPSTAN_HOST_TABLES,
};

/** Inner maps of a slot in the array of prefix tables; key: struct capstan_prefix. */
enum capstan_prefix_table { CAPSTAN_PREFIXES_IPV4, CAPSTAN_PREFIXES_IPV6, CAPSTAN_PREFIX_TABLES };

/** An address in network order, what it does not fill is 0: one shape of key for all tables. */
struct capstan_address {
	__u32 words[4];
};

struct capstan_prefix {
	__u32 length; /**< bits */
	struct capstan_address address;
};

/** The sides of a packet that an address or a port counts on. */
#define CAPSTAN_FROM 1U
#define CAPSTAN_TO 2U

/** Bits of capstan_hold.only: what else the targets of an address want. */
#define CAPSTAN_ONLY_PROTOCOL 1U
#define CAPSTAN_ONLY_PORTS 2U

/** What is known of an address: the hull of all targets that name it, or a prefix around it. */
struct capstan_hold {
	__u8 sides; /**< CAPSTAN_FROM, CAPSTAN_TO */
	__u8 only;
	__u8 protocol;
	__u8 reserved;
	__u16 first, last; /**< ports, both included, host order */
};

/** Bits of capstan_plan.kinds: the tables that hold anything. The others are not looked at. */
#define CAPSTAN_KIND_HOSTS_IPV4 (1U << 0)
#define CAPSTAN_KIND_HOSTS_IPV6 (1U << 1)
#define CAPSTAN_KIND_HOSTS_MAC (1U << 2)
#define CAPSTAN_KIND_PREFIXES_IPV4 (1U << 3)
#define CAPSTAN_KIND_PREFIXES_IPV6 (1U << 4)
#define CAPSTAN_KIND_OUTER_VLANS (1U << 5)
#define CAPSTAN_KIND_INNER_VLANS (1U << 6)
#define CAPSTAN_KIND_PORTS (1U << 7)
/** The set does not fit here: every packet is handed up, and the engine judges alone. */
#define CAPSTAN_KIND_EVERYTHING (1U << 8)

#define CAPSTAN_KINDS_IPV4 (CAPSTAN_KIND_HOSTS_IPV4 | CAPSTAN_KIND_PREFIXES_IPV4)
#define CAPSTAN_KINDS_IPV6 (CAPSTAN_KIND_HOSTS_IPV6 | CAPSTAN_KIND_PREFIXES_IPV6)
#define CAPSTAN_KINDS_VLANS (CAPSTAN_KIND_OUTER_VLANS | CAPSTAN_KIND_INNER_VLANS)

/** Encapsulations that are looked into: enum cap_tunnel of targets/target.h. */
#define CAPSTAN_TUNNEL_MPLS (1U << 0)
#define CAPSTAN_TUNNEL_GRE (1U << 1)
#define CAPSTAN_TUNNEL_GTP_U (1U << 2)
#define CAPSTAN_TUNNEL_VXLAN (1U << 3)

/** One slot's part that is no table: value of capstan_plans. */
struct capstan_plan {
	__u32 kinds;
	__u32 tunnels;
	__u8 outer_vlans[4096 /
			 8]; /**< a bit an id; of targets with neither prefix nor MAC address */
	__u8 inner_vlans[4096 / 8]; /**< of those without outer ids, too */
	__u8 ports_from[65536 / 8]; /**< of targets with nothing but ports (and a protocol) */
	__u8 ports_to[65536 / 8];
};

/** What becomes of a packet. */
enum capstan_verdict {
	CAPSTAN_NOBODYS,
	CAPSTAN_MATCHED,
	CAPSTAN_UNJUDGED, /**< what would decide cannot be seen here: the engine judges */
	CAPSTAN_VERDICTS =
		4, /**< a power of two: a remainder needs no CAP_PERFMON, a comparison does */
};

/** How often each was given, by enum capstan_verdict; together what the program has seen. */
struct capstan_verdicts {
	unsigned long long given[CAPSTAN_VERDICTS];
} __attribute__((aligned(64)));

#endif
