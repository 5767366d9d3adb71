// SPDX-License-Identifier: Apache-2.0
#include "scan.h"

#include "filter.h"
#include "frame_peek.h"

#include <endian.h>
#include <string.h>

/* Packets whose bytes are fetched ahead: about as many as a core has lines under way at once. */
#define AHEAD 12U

/* What becomes of a packet. */
enum look {
	LOOK_NO_FURTHER, /* no address in it can be a target's */
	LOOK_UP,	 /* by its addresses, which are gathered */
	LOOK_IN_FULL,
};

static inline bool is_tunnel_port(uint16_t port, uint32_t tunnels)
{
	return (port == PORT_GTP_U && tunnels & CAP_TUNNEL_GTP_U) ||
	       (port == PORT_VXLAN && tunnels & CAP_TUNNEL_VXLAN);
}

/* May there be a tunnel behind the header? With options in between: it may. */
static bool may_tunnel4(const uint8_t *ip, uint32_t left, uint32_t tunnels)
{
	if (ip[9] == PROTOCOL_GRE)
		return tunnels & CAP_TUNNEL_GRE;
	if (ip[9] != PROTOCOL_UDP)
		return false;
	return (ip[0] & 0x0f) != 5 || left < IPV4_HEADER + 4 ||
	       is_tunnel_port(load16(ip + IPV4_HEADER + 2), tunnels);
}

static bool may_tunnel6(const uint8_t *ip, uint32_t left, uint32_t tunnels)
{
	switch (ip[6]) {
	case PROTOCOL_GRE:
		return tunnels & CAP_TUNNEL_GRE;
	case PROTOCOL_UDP:
		return left < IPV6_HEADER + 4 ||
		       is_tunnel_port(load16(ip + IPV6_HEADER + 2), tunnels);
	default:
		return is_extension(ip[6]);
	}
}

static inline enum look gather4(struct cap_scan *scan, unsigned i, const uint8_t *ip, uint32_t left,
				uint32_t tunnels)
{
	if (left < IPV4_HEADER || (tunnels && may_tunnel4(ip, left, tunnels)))
		return LOOK_IN_FULL;
	scan->whose4[scan->count4] = (uint8_t)i;
	scan->four[scan->count4][0] = be32toh(load32(ip + 12));
	scan->four[scan->count4][1] = be32toh(load32(ip + 16));
	scan->count4++;
	return LOOK_UP;
}

static inline enum look gather6(struct cap_scan *scan, unsigned i, const uint8_t *ip, uint32_t left,
				uint32_t tunnels)
{
	if (left < IPV6_HEADER || (tunnels && may_tunnel6(ip, left, tunnels)))
		return LOOK_IN_FULL;
	scan->whose6[scan->count6] = (uint8_t)i;
	for (unsigned side = 0; side < 2; side++) {
		scan->six_upper[scan->count6][side] = load64(ip + 8 + 16 * side);
		scan->six_lower[scan->count6][side] = load64(ip + 16 + 16 * side);
	}
	scan->count6++;
	return LOOK_UP;
}

static inline enum look gather(struct cap_scan *scan, unsigned i, uint16_t type, const uint8_t *ip,
			       uint32_t left, uint32_t tunnels)
{
	if (type == TYPE_IPV4)
		return gather4(scan, i, ip, left, tunnels);
	if (type == TYPE_IPV6)
		return gather6(scan, i, ip, left, tunnels);
	if (type == TYPE_MPLS || type == TYPE_MPLS_UPSTREAM)
		return tunnels & CAP_TUNNEL_MPLS ? LOOK_IN_FULL : LOOK_NO_FURTHER;
	return LOOK_NO_FURTHER;
}

static enum look gather_tagged(struct cap_scan *scan, unsigned i, const uint8_t *frame,
			       uint32_t len, uint32_t tunnels)
{
	uint32_t at = ETHERNET_HEADER;

	for (unsigned tags = 0; is_tag(load16(frame + at - 2)); tags++, at += TAG_LEN)
		if (tags == MOST_TAGS || len < at + TAG_LEN)
			return LOOK_IN_FULL;
	return gather(scan, i, load16(frame + at - 2), frame + at, len - at, tunnels);
}

static enum look gather_raw(struct cap_scan *scan, unsigned i, const uint8_t *ip, uint32_t len,
			    uint32_t tunnels)
{
	if (len && ip[0] >> 4 == 4)
		return gather4(scan, i, ip, len, tunnels);
	if (len && ip[0] >> 4 == 6)
		return gather6(scan, i, ip, len, tunnels);
	return LOOK_IN_FULL;
}

static uint64_t gather_burst(struct cap_scan *scan, uint32_t link_type, uint32_t tunnels,
			     const struct cap_packet *packets, unsigned n)
{
	const bool ethernet = link_type != CAP_LINKTYPE_RAW;
	uint64_t in_full = 0;

	scan->count4 = 0;
	scan->count6 = 0;
	for (unsigned i = 0; i < n && i < AHEAD; i++)
		__builtin_prefetch(packets[i].data);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *frame = packets[i].data;
		const uint32_t len = first_length(&packets[i]);
		enum look look;

		if (i + AHEAD < n)
			__builtin_prefetch(packets[i + AHEAD].data);
		if (ethernet && len >= ETHERNET_HEADER) {
			const uint16_t type = load16(frame + ETHERNET_HEADER - 2);

			look = is_tag(type) ? gather_tagged(scan, i, frame, len, tunnels) :
					      gather(scan, i, type, frame + ETHERNET_HEADER,
						     len - ETHERNET_HEADER, tunnels);
		} else {
			look = ethernet ? LOOK_IN_FULL : gather_raw(scan, i, frame, len, tunnels);
		}
		in_full |= (uint64_t)(look == LOOK_IN_FULL) << i;
	}
	return in_full;
}

/* @param whose positions of @p count packets. @return bits of the burst for bits of the gathered */
static uint64_t spread(uint64_t gathered, const uint8_t *whose, uint32_t count)
{
	uint64_t burst = 0;

	/* All of the burst's packets are alike, mostly. */
	if (count && whose[count - 1] == count - 1)
		return gathered;
	for (; gathered; gathered &= gathered - 1)
		burst |= 1ULL << whose[__builtin_ctzll(gathered)];
	return burst;
}

/* Of those that the filters let through, the ones whose address is in the index. */
static uint64_t confirm4(const struct cap_scan *scan, const struct cap_target_index *index,
			 uint64_t maybe)
{
	uint64_t sure = maybe;

	for (; maybe; maybe &= maybe - 1) {
		const unsigned k = (unsigned)__builtin_ctzll(maybe);
		const uint32_t *addresses = scan->four[k];

		if (!cap_index_host4(index, addresses[0]) &&
		    !cap_index_host4(index, addresses[1]) &&
		    !cap_index_prefix4(index, addresses[0]) &&
		    !cap_index_prefix4(index, addresses[1]))
			sure &= ~(1ULL << k);
	}
	return sure;
}

static bool is_in6(const struct cap_target_index *index, uint64_t upper, uint64_t lower)
{
	const uint64_t halves[2] = { upper, lower };
	uint8_t address[16];

	memcpy(address, halves, sizeof(address));
	return cap_index_host6(index, address) || cap_index_prefix6(index, address);
}

static uint64_t confirm6(const struct cap_scan *scan, const struct cap_target_index *index,
			 uint64_t maybe)
{
	uint64_t sure = maybe;

	for (; maybe; maybe &= maybe - 1) {
		const unsigned k = (unsigned)__builtin_ctzll(maybe);

		if (!is_in6(index, scan->six_upper[k][0], scan->six_lower[k][0]) &&
		    !is_in6(index, scan->six_upper[k][1], scan->six_lower[k][1]))
			sure &= ~(1ULL << k);
	}
	return sure;
}

uint64_t cap_scan_burst(struct cap_scan *scan, const struct cap_probes *probes,
			const struct cap_target_index *index, uint32_t link_type, uint32_t tunnels,
			const struct cap_packet *packets, unsigned n)
{
	uint64_t found = gather_burst(scan, link_type, tunnels, packets, n);
	uint64_t maybe6 = 0;

	if (scan->count4 && index->filter4.word_count)
		found |= spread(confirm4(scan, index,
					 probes->four(scan, &index->filter4, &index->seed)),
				scan->whose4, scan->count4);
	if (scan->count6 && index->filter6.word_count)
		maybe6 |= probes->six(scan, &index->filter6, &index->seed);
	if (scan->count6 && index->filter6_hosts.word_count)
		maybe6 |= probes->six_hosts(scan, &index->filter6_hosts, &index->seed);
	return found | spread(confirm6(scan, index, maybe6), scan->whose6, scan->count6);
}
