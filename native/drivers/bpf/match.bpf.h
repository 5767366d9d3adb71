/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/**
 * @file Whether a packet may be a target's, for programs of two kinds. Who includes this says how: the type
 * of a program's context as CAPSTAN_CONTEXT, as `capstan_load` how bytes of the frame are read, and as
 * `capstan_load_plain` how where they lie in most frames.
 *
 * It takes a frame apart as targets/frame_view.c does, within the same bounds, and is more generous where it
 * knows less: it asks for one thing of each target (an address, else a MAC address, else a VLAN id, else a
 * port), with the hull of protocol and ports where that costs nothing. Fragments are judged by their address
 * alone, the first ones too: the engine takes the later ones' ports from it.
 *
 * Each step is a global function, which the verifier looks at once and by itself. The programs are loaded
 * without CAP_PERFMON: then no offset into stack or packet may be a variable, and what varies goes through
 * helpers; and loops are unrolled, because the verifier follows what a CPU may speculate, which has no bound.
 * And until 6.7 nothing may be written by bytes over what was written by 8 whole ones, not even what helpers read:
 * so keys of tables, which are written so, lie in functions apart from headers, which helpers read. `struct look`
 * is no stack to the functions that it is given to.
 */
#ifndef CAPSTAN_BPF_MATCH_H
#define CAPSTAN_BPF_MATCH_H

#include <bpf/bpf_helpers.h>

#include "headers.bpf.h"
#include "targets.h"

/* The bounds of targets/frame_view.h and target.h, beside LOOK_BYTES. */
#define MAX_TAGS 4U
#define MAX_EXTENSIONS 8U
#define MAX_VIEWS 4U

/* Two neighbours of 4 bytes as one of 8, and of 2 bytes as one of 4. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PAIR(first, second) ((__u64)(__u32)(first) | (__u64)(second) << 32)
#define FIRST(pair) ((__u32)(pair))
#define SECOND(pair) ((__u32)((pair) >> 32))
#define WORD(first, second) ((__u32)(__u16)(first) | (__u32)(second) << 16)
#else
#define PAIR(first, second) ((__u64)(first) << 32 | (__u32)(second))
#define FIRST(pair) ((__u32)((pair) >> 32))
#define SECOND(pair) ((__u32)(pair))
#define WORD(first, second) ((__u32)(first) << 16 | (__u16)(second))
#endif

/* In `tag`, beside the 12 bits of an id: there is one. */
#define TAG_PRESENT 0x1000U

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, CAPSTAN_SLOTS *CAPSTAN_HOST_TABLES);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_HASH);
			__uint(max_entries, 1);
			__uint(key_size, sizeof(struct capstan_address));
			__uint(value_size, sizeof(struct capstan_hold));
		});
} capstan_hosts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, CAPSTAN_SLOTS *CAPSTAN_PREFIX_TABLES);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_LPM_TRIE);
			__uint(map_flags, BPF_F_NO_PREALLOC);
			__uint(max_entries, 1);
			__uint(key_size, sizeof(struct capstan_prefix));
			__uint(value_size, sizeof(struct capstan_hold));
		});
} capstan_prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CAPSTAN_SLOTS);
	__type(key, __u32);
	__type(value, struct capstan_plan);
} capstan_plans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} capstan_current SEC(".maps");

/* What is known of one packet so far, and where to go on. No padding: the verifier wants every byte set. */
struct look {
	__u32 slot, kinds, tunnels;
	__u32 at;      /* where the next header begins */
	__u32 verdict; /* enum capstan_verdict */
	__u32 tag;     /* the outer tag, where it is not in the frame; 0: there is none */
	__be16 type;   /* of the next header, as an EtherType; 0: there is none */
	__u8 protocol;
	__u8 known;    /* the protocol is */
	__u8 fragment; /* the packet is one */
	__u8 reserved[3];
	struct capstan_hold from, to; /* addresses that count if protocol and ports do */
};

/* What would tell is not in the frame, or not to be found: only a port or a VLAN id holds unseen. */
static __always_inline void cannot_see(struct look *look, __u32 kinds)
{
	look->type = 0;
	if (look->kinds & kinds)
		look->verdict = CAPSTAN_UNJUDGED;
}

static __always_inline void widen(struct capstan_hold *hull, const struct capstan_hold *hold)
{
	if (!hull->sides) {
		*hull = *hold;
		return;
	}
	if (hull->protocol != hold->protocol)
		hull->only &= ~CAPSTAN_ONLY_PROTOCOL;
	if (hull->first > hold->first)
		hull->first = hold->first;
	if (hull->last < hold->last)
		hull->last = hold->last;
	hull->only &= hold->only;
}

static __always_inline void take(struct look *look, const struct capstan_hold *hold, __u32 side)
{
	if (!hold || !(hold->sides & side))
		return;
	if (!hold->only)
		look->verdict = CAPSTAN_MATCHED;
	else
		widen(side == CAPSTAN_FROM ? &look->from : &look->to, hold);
}

/* @param first,second the address, by 8 bytes; @param table of enum capstan_host_table */
__attribute__((noinline)) int capstan_host(struct look *look, __u64 first, __u64 second,
					   __u32 table, __u32 side)
{
	const __u64 key[2] = { first, second };
	void *hosts;
	__u64 at;

	if (!look)
		return 0;
	at = PAIR(look->slot * CAPSTAN_HOST_TABLES + table, 0);
	hosts = bpf_map_lookup_elem(&capstan_hosts, &at);
	/* A slot that is being emptied: the packet was judged while the set changed. */
	if (!hosts)
		look->verdict = CAPSTAN_UNJUDGED;
	else
		take(look, bpf_map_lookup_elem(hosts, key), side);
	return 0;
}

/* @param table of enum capstan_prefix_table */
__attribute__((noinline)) int capstan_network(struct look *look, __u64 first, __u64 second,
					      __u32 table, __u32 side)
{
	const __u32 bits = table == CAPSTAN_PREFIXES_IPV4 ? 32 : 128;
	/* struct capstan_prefix, and 4 bytes that are no part of it. */
	const __u64 key[3] = { PAIR(bits, FIRST(first)), PAIR(SECOND(first), FIRST(second)),
			       PAIR(SECOND(second), 0) };
	void *prefixes;
	__u64 at;

	if (!look)
		return 0;
	at = PAIR(look->slot * CAPSTAN_PREFIX_TABLES + table, 0);
	prefixes = bpf_map_lookup_elem(&capstan_prefixes, &at);
	if (!prefixes)
		look->verdict = CAPSTAN_UNJUDGED;
	else
		take(look, bpf_map_lookup_elem(prefixes, key), side);
	return 0;
}

static __always_inline const struct capstan_plan *plan_of(__u32 slot)
{
	__u64 key = PAIR(slot, 0);

	return bpf_map_lookup_elem(&capstan_plans, &key);
}

/*
 * Which of a bitmap's bytes has a bit. The compiler knows of 16 bits that came in the other order of bytes that
 * they are 16, and would leave the mask out; verifiers before 6.13 do not.
 */
static __always_inline __u64 byte_of(__u64 bit, const __u64 bytes)
{
	__u64 byte = bit >> 3;

	asm volatile("%0 &= %1" : "+r"(byte) : "i"(bytes - 1));
	return byte;
}

/* Ids of the first or second tag, one bitmap each. */
__attribute__((noinline)) int capstan_vlan(struct look *look, __u32 position, __u32 id)
{
	const struct capstan_plan *plan;
	__u64 byte = byte_of(id & 0xfff, sizeof(plan->outer_vlans));

	if (!look)
		return 0;
	plan = plan_of(look->slot);
	if (plan &&
	    ((position == 0 ? plan->outer_vlans[byte] : plan->inner_vlans[byte]) >> (id & 7)) & 1)
		look->verdict = CAPSTAN_MATCHED;
	return 0;
}

__attribute__((noinline)) int capstan_ports(struct look *look, __u32 from, __u32 to)
{
	const struct capstan_plan *plan;

	if (!look)
		return 0;
	plan = plan_of(look->slot);
	if (plan &&
	    ((plan->ports_from[byte_of(from, sizeof(plan->ports_from))] >> (from & 7)) & 1 ||
	     (plan->ports_to[byte_of(to, sizeof(plan->ports_to))] >> (to & 7)) & 1))
		look->verdict = CAPSTAN_MATCHED;
	return 0;
}

/* @param parts three, of the address */
static __always_inline void look_up_mac(struct look *look, const __u16 *parts, __u32 side)
{
	capstan_host(look, PAIR(WORD(parts[0], parts[1]), WORD(parts[2], 0)), 0, CAPSTAN_HOSTS_MAC,
		     side);
}

static __always_inline int is_tag(__be16 type)
{
	return type == TYPE_TAG || type == TYPE_SERVICE_TAG || type == TYPE_OLD_TAG;
}

/* An Ethernet header: MAC addresses, tags, and what lies behind them. */
__attribute__((noinline)) int capstan_ethernet(CAPSTAN_CONTEXT *ctx, struct look *look)
{
	IN_EIGHTS(struct ethernet) in;
	struct tag tag;
	__u32 tags = 0;

	if (!look)
		return 0;
	if (capstan_load_plain(ctx, look->at, &in, sizeof(in.header))) {
		cannot_see(look, CAPSTAN_KIND_HOSTS_MAC | CAPSTAN_KINDS_VLANS | CAPSTAN_KIND_PORTS);
		return 0;
	}
	if (look->kinds & CAPSTAN_KIND_HOSTS_MAC) {
		look_up_mac(look, in.header.from, CAPSTAN_FROM);
		look_up_mac(look, in.header.to, CAPSTAN_TO);
	}
	if (look->tag) {
		if (look->kinds & CAPSTAN_KIND_OUTER_VLANS)
			capstan_vlan(look, 0, look->tag);
		look->tag = 0;
		tags = 1;
	}
	look->type = in.header.type;
	look->at += sizeof(in.header);
	/* Their number is bounded, and a tag that the NIC took out counts. */
#pragma unroll
	for (__u32 i = 0; i < MAX_TAGS + 1; i++) {
		if (!is_tag(look->type))
			break;
		if (tags == MAX_TAGS || capstan_load(ctx, look->at, &tag, sizeof(tag))) {
			cannot_see(look, CAPSTAN_KINDS_VLANS | CAPSTAN_KIND_PORTS);
			return 0;
		}
		if (tags == 0 && look->kinds & CAPSTAN_KIND_OUTER_VLANS)
			capstan_vlan(look, 0, bpf_ntohs(tag.tci));
		if (tags == 1 && look->kinds & CAPSTAN_KIND_INNER_VLANS)
			capstan_vlan(look, 1, bpf_ntohs(tag.tci));
		tags++;
		look->type = tag.type;
		look->at += sizeof(tag);
	}
	return 0;
}

static __always_inline void begin_packet(struct look *look)
{
	look->type = 0;
	look->protocol = 0;
	look->known = 0;
	look->fragment = 0;
	look->from = (struct capstan_hold){ 0 };
	look->to = (struct capstan_hold){ 0 };
}

static __always_inline void look_up_ipv4(struct look *look, __u32 word, __u32 side)
{
	if (look->kinds & CAPSTAN_KIND_HOSTS_IPV4)
		capstan_host(look, PAIR(word, 0), 0, CAPSTAN_HOSTS_IPV4, side);
	if (look->kinds & CAPSTAN_KIND_PREFIXES_IPV4)
		capstan_network(look, PAIR(word, 0), 0, CAPSTAN_PREFIXES_IPV4, side);
}

/* @return whether what follows the header is to be looked at */
__attribute__((noinline)) int capstan_ipv4(CAPSTAN_CONTEXT *ctx, struct look *look)
{
	IN_EIGHTS(struct ipv4) in;

	if (!look)
		return 0;
	begin_packet(look);
	if (capstan_load_plain(ctx, look->at, &in, sizeof(in.header))) {
		/* The source's address may be in a frame that ends before the destination's. */
		cannot_see(look, CAPSTAN_KINDS_IPV4 | CAPSTAN_KIND_PORTS);
		return 0;
	}
	if (in.header.version_words >> 4 != 4)
		return 0;
	look_up_ipv4(look, in.header.from, CAPSTAN_FROM);
	if (look->verdict != CAPSTAN_MATCHED)
		look_up_ipv4(look, in.header.to, CAPSTAN_TO);
	look->protocol = in.header.protocol;
	look->known = 1;
	look->fragment = !!(in.header.fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET));
	/* In a later fragment, and behind a header that contradicts itself, there are no ports to be read. */
	if (in.header.fragment & IPV4_OFFSET ||
	    (in.header.version_words & 15) * 4 < sizeof(in.header))
		look->at = LOOK_BYTES;
	else
		look->at += (in.header.version_words & 15) * 4;
	return 1;
}

static __always_inline void look_up_ipv6(struct look *look, const __u32 *words, __u32 side)
{
	const __u64 first = PAIR(words[0], words[1]), second = PAIR(words[2], words[3]);

	if (look->kinds & CAPSTAN_KIND_HOSTS_IPV6)
		capstan_host(look, first, second, CAPSTAN_HOSTS_IPV6, side);
	if (look->kinds & CAPSTAN_KIND_PREFIXES_IPV6)
		capstan_network(look, first, second, CAPSTAN_PREFIXES_IPV6, side);
}

static __always_inline int is_extension(__u8 next)
{
	return next == EXTENSION_HOP_BY_HOP || next == EXTENSION_ROUTING ||
	       next == EXTENSION_FRAGMENT || next == EXTENSION_AUTHENTICATION ||
	       next == EXTENSION_DESTINATION;
}

/* From extension header to extension header, to what the packet carries. */
static __always_inline void walk_extensions(CAPSTAN_CONTEXT *ctx, struct look *look, __u8 next)
{
	struct extension header;

#pragma unroll
	for (__u32 i = 0; i <= MAX_EXTENSIONS; i++) {
		__u32 length;

		if (!is_extension(next)) {
			look->protocol = next;
			look->known = 1;
			return;
		}
		if (capstan_load(ctx, look->at, &header, sizeof(header)))
			break;
		length = (header.length + 1U) * 8;
		if (next == EXTENSION_AUTHENTICATION)
			length = (header.length + 2U) * 4;
		if (next == EXTENSION_FRAGMENT) {
			length = sizeof(header);
			if (header.fragment & IPV6_FRAGMENTED)
				look->fragment = 1;
			if (header.fragment & IPV6_OFFSET)
				break;
		}
		next = header.next;
		look->at += length;
	}
	look->at = LOOK_BYTES;
}

/* @return whether what follows the headers is to be looked at */
__attribute__((noinline)) int capstan_ipv6(CAPSTAN_CONTEXT *ctx, struct look *look)
{
	IN_EIGHTS(struct ipv6) in;

	if (!look)
		return 0;
	begin_packet(look);
	if (capstan_load_plain(ctx, look->at, &in, sizeof(in.header))) {
		cannot_see(look, CAPSTAN_KINDS_IPV6 | CAPSTAN_KIND_PORTS);
		return 0;
	}
	if (in.header.version_class >> 4 != 6)
		return 0;
	look_up_ipv6(look, in.header.from, CAPSTAN_FROM);
	if (look->verdict != CAPSTAN_MATCHED)
		look_up_ipv6(look, in.header.to, CAPSTAN_TO);
	look->at += sizeof(in.header);
	if (look->verdict != CAPSTAN_MATCHED)
		walk_extensions(ctx, look, in.header.next);
	return 1;
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP ||
	       protocol == PROTOCOL_DCCP || protocol == PROTOCOL_UDPLITE;
}

/* Of an IP packet's first byte. */
static __always_inline __be16 type_by_version(CAPSTAN_CONTEXT *ctx, __u32 at)
{
	__u8 first;

	if (capstan_load(ctx, at, &first, 1))
		return 0;
	if (first >> 4 == 4)
		return TYPE_IPV4;
	return first >> 4 == 6 ? TYPE_IPV6 : 0;
}

static __always_inline int is_mpls(__be16 type)
{
	return type == TYPE_MPLS || type == TYPE_MPLS_UPSTREAM;
}

/* GRE at look->at: what it carries. */
__attribute__((noinline)) int capstan_gre(CAPSTAN_CONTEXT *ctx, struct look *look)
{
	struct gre header;

	if (!look || capstan_load(ctx, look->at, &header, sizeof(header)) ||
	    header.flags & (GRE_ROUTING | GRE_VERSION))
		return 0;
	look->at += sizeof(header);
	look->at += header.flags & GRE_CHECKSUM ? 4 : 0;
	look->at += header.flags & GRE_KEY ? 4 : 0;
	look->at += header.flags & GRE_SEQUENCE ? 4 : 0;
	if (header.type == TYPE_IPV4 || header.type == TYPE_IPV6 || header.type == TYPE_BRIDGED ||
	    is_mpls(header.type))
		look->type = header.type;
	return 0;
}

/* One extension header at look->at. @return the kind of the next one, 0: there is none, or below 0: this is none */
static __always_inline int skip_gtp_u_extension(CAPSTAN_CONTEXT *ctx, struct look *look)
{
	__u8 length, next;

	if (capstan_load(ctx, look->at, &length, 1) || length == 0)
		return -1;
	look->at += length * 4U;
	return capstan_load(ctx, look->at - 1, &next, 1) ? -1 : next;
}

/* GTP-U at look->at: the subscriber's packet. */
__attribute__((noinline)) int capstan_gtp_u(CAPSTAN_CONTEXT *ctx, struct look *look)
{
	struct gtp_u header;
	__u8 kind;
	int next = 0;

	if (!look || capstan_load(ctx, look->at, &header, sizeof(header)) ||
	    (header.flags & GTP_U_KIND_MASK) != GTP_U_KIND || header.type != GTP_U_PACKET)
		return 0;
	look->at += sizeof(header);
	if (header.flags & GTP_U_OPTIONAL) {
		if (capstan_load(ctx, look->at + 3, &kind, 1))
			return 0;
		look->at += 4;
		if (header.flags & GTP_U_EXTENDED)
			next = kind;
	}
#pragma unroll
	for (__u32 i = 0; i < MAX_EXTENSIONS; i++)
		if (next > 0)
			next = skip_gtp_u_extension(ctx, look);
	if (next == 0)
		look->type = type_by_version(ctx, look->at);
	return 0;
}

static __always_inline void enter_vxlan(CAPSTAN_CONTEXT *ctx, struct look *look)
{
	struct vxlan header;

	if (capstan_load(ctx, look->at, &header, sizeof(header)) || !(header.flags & VXLAN_HAS_ID))
		return;
	look->at += sizeof(header);
	look->type = TYPE_BRIDGED;
}

/* A stack of labels at look->at: IP behind it, or an Ethernet frame with or without a control word. */
__attribute__((noinline)) int capstan_mpls(CAPSTAN_CONTEXT *ctx, struct look *look)
{
	__be32 label = 0;
	__be16 type;
	__u8 first;

	if (!look)
		return 0;
	look->type = 0;
#pragma unroll
	for (__u32 i = 0; i < MAX_EXTENSIONS; i++) {
		if (label & MPLS_BOTTOM)
			break;
		if (capstan_load(ctx, look->at, &label, sizeof(label)))
			return 0;
		look->at += sizeof(label);
	}
	if (!(label & MPLS_BOTTOM) || capstan_load(ctx, look->at, &first, 1))
		return 0;
	look->type = type_by_version(ctx, look->at);
	if (look->type)
		return 0;
	look->type = TYPE_BRIDGED;
	if (first >> 4 == 0 &&
	    !capstan_load(ctx, look->at + PSEUDOWIRE_CONTROL + 12, &type, sizeof(type)) &&
	    (type == TYPE_IPV4 || type == TYPE_IPV6 || is_tag(type) || is_mpls(type)))
		look->at += PSEUDOWIRE_CONTROL;
	return 0;
}

/* An address that counts only with a protocol or ports: do they fit, or can they not be seen? */
static __always_inline int holds(const struct look *look, const struct capstan_hold *hold,
				 int port_known, __u16 port)
{
	if (!hold->sides)
		return 0;
	if (look->fragment || !look->known)
		return 1;
	if (hold->only & CAPSTAN_ONLY_PROTOCOL && hold->protocol != look->protocol)
		return 0;
	if (!(hold->only & CAPSTAN_ONLY_PORTS))
		return 1;
	if (!has_ports(look->protocol))
		return 0;
	return !port_known || (port >= hold->first && port <= hold->last);
}

/* What an IP packet carries, at look->at: its ports, and the packet within. */
__attribute__((noinline)) int capstan_transport(CAPSTAN_CONTEXT *ctx, struct look *look)
{
	IN_EIGHTS(struct ports) in = { .eights = { 0 } };
	int known = 0;

	if (!look)
		return 0;
	if (look->known && has_ports(look->protocol))
		known = !capstan_load_plain(ctx, look->at, &in, sizeof(in.header));
	if (holds(look, &look->from, known, bpf_ntohs(in.header.from)) ||
	    holds(look, &look->to, known, bpf_ntohs(in.header.to))) {
		look->verdict = CAPSTAN_MATCHED;
		return 0;
	}
	if (look->kinds & CAPSTAN_KIND_PORTS) {
		if (look->fragment || !look->known || (has_ports(look->protocol) && !known))
			look->verdict = CAPSTAN_UNJUDGED;
		else if (known)
			capstan_ports(look, bpf_ntohs(in.header.from), bpf_ntohs(in.header.to));
	}
	if (look->protocol == PROTOCOL_GRE && look->known && look->tunnels & CAPSTAN_TUNNEL_GRE)
		return capstan_gre(ctx, look);
	if (look->protocol != PROTOCOL_UDP || !known)
		return 0;
	look->at += UDP_LENGTH;
	if (in.header.to == bpf_htons(PORT_GTP_U) && look->tunnels & CAPSTAN_TUNNEL_GTP_U)
		return capstan_gtp_u(ctx, look);
	if (in.header.to == bpf_htons(PORT_VXLAN) && look->tunnels & CAPSTAN_TUNNEL_VXLAN)
		enter_vxlan(ctx, look);
	return 0;
}

/* One packet within the frame; look->type says afterwards whether there is another within that. */
static __always_inline void look_at_view(CAPSTAN_CONTEXT *ctx, struct look *look)
{
	int more = 0;

	if (!look->type || look->verdict)
		return;
	if (look->type == TYPE_BRIDGED)
		capstan_ethernet(ctx, look);
	if (look->verdict)
		return;
	if (look->type == TYPE_IPV4)
		more = capstan_ipv4(ctx, look);
	else if (look->type == TYPE_IPV6)
		more = capstan_ipv6(ctx, look);
	else if (is_mpls(look->type) && look->tunnels & CAPSTAN_TUNNEL_MPLS)
		capstan_mpls(ctx, look);
	else
		look->type = 0;
	if (more && !look->verdict)
		capstan_transport(ctx, look);
}

/* A fresh look, where the set in force is known. @return enum capstan_verdict, or CAPSTAN_VERDICTS: go on */
__attribute__((noinline)) int capstan_begin(struct look *look, __u32 tag)
{
	const struct capstan_plan *plan;
	const __u32 *current;
	__u64 zero = 0;

	if (!look)
		return CAPSTAN_UNJUDGED;
	current = bpf_map_lookup_elem(&capstan_current, &zero);
	if (!current)
		return CAPSTAN_UNJUDGED;
	look->slot = *(const volatile __u32 *)current;
	plan = plan_of(look->slot);
	if (!plan || plan->kinds & CAPSTAN_KIND_EVERYTHING)
		return CAPSTAN_UNJUDGED;
	look->kinds = plan->kinds;
	look->tunnels = plan->tunnels;
	look->tag = tag;
	look->type = TYPE_BRIDGED;
	return look->kinds ? CAPSTAN_VERDICTS : CAPSTAN_NOBODYS;
}

/*
 * @param tag the outer tag, where it is not in the frame: its id and TAG_PRESENT, else 0
 * @return enum capstan_verdict
 */
__attribute__((noinline)) int capstan_judge(CAPSTAN_CONTEXT *ctx, __u32 tag)
{
	struct look look = { 0 };
	int verdict = capstan_begin(&look, tag);

	if (verdict != CAPSTAN_VERDICTS)
		return verdict;
	look_at_view(ctx, &look);
	look_at_view(ctx, &look);
	look_at_view(ctx, &look);
	look_at_view(ctx, &look);
	_Static_assert(MAX_VIEWS == 4, "so many are looked at");
	return (int)look.verdict;
}

/* Several CPUs may serve one queue, so the addition is atomic. */
static __always_inline void count(unsigned long long *given, __u32 verdict)
{
	__sync_fetch_and_add(&given[verdict % CAPSTAN_VERDICTS], 1);
}

#endif
