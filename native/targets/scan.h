/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The first look at a burst: which packets may be somebody's, by the addresses of their outermost IP header.
 *
 * Most packets are nobody's, and this is all that they cost. What is common is taken apart here (Ethernet, up to
 * four tags, IPv4, IPv6), with the burst's addresses gathered first and then looked up one after the other, so that
 * the processor has many of the lookups' memory accesses under way at once. All that is not common, and what
 * may be a tunnel that is asked for, is handed on to be looked at in full, and so is each hit.
 */
#ifndef CAPSTAN_SCAN_H
#define CAPSTAN_SCAN_H

#include "driver.h"
#include "target_index.h"

/** Addresses are asked for four at a time: so many more have room behind the last. */
#define CAP_SCAN_ROOM (CAP_BURST + 4U)

/** A burst's addresses, each packet's source before its destination. */
struct cap_scan {
	uint32_t count4, count6;   /**< packets */
	uint8_t whose4[CAP_BURST]; /**< positions in the burst */
	uint8_t whose6[CAP_BURST];
	uint32_t four[CAP_SCAN_ROOM][2];      /**< host order */
	uint64_t six_upper[CAP_SCAN_ROOM][2]; /**< as they lie in memory */
	uint64_t six_lower[CAP_SCAN_ROOM][2];
};

/**
 * Ask a filter for both addresses of each packet.
 *
 * @return bit k: it has one of the k-th packet's, or seems to
 */
struct cap_probes {
	uint64_t (*four)(const struct cap_scan *scan, const struct cap_prefix_filter *filter,
			 const struct cap_seed *seed);
	uint64_t (*six)(const struct cap_scan *scan, const struct cap_prefix_filter *filter,
			const struct cap_seed *seed);
	uint64_t (*six_hosts)(const struct cap_scan *scan, const struct cap_prefix_filter *filter,
			      const struct cap_seed *seed);
};

/** For any processor, and for those with AVX2: the same answers. */
extern const struct cap_probes cap_probes_plain, cap_probes_avx2;

/** @return the ones that this processor is fastest with */
const struct cap_probes *cap_probes_best(void);

/** @return bit i: packet i is to be looked at in full; no other packet is a target's by its addresses */
uint64_t cap_scan_burst(struct cap_scan *scan, const struct cap_probes *probes,
			const struct cap_target_index *index, uint32_t link_type, uint32_t tunnels,
			const struct cap_packet *packets, unsigned n);

/** The same for targets that name no address: by MAC addresses, VLAN ids and ports of the outermost headers. */
uint64_t cap_scan_anywhere(const struct cap_target_index *index, uint32_t link_type,
			   const struct cap_packet *packets, unsigned n);

#endif
