/* SPDX-License-Identifier: Apache-2.0 */
/** @file Which targets' packets a burst holds: the exact matcher, by which every method selects alike. */
#ifndef CAPSTAN_MATCH_H
#define CAPSTAN_MATCH_H

#include "driver.h"
#include "fragments.h"
#include "target_set.h"

/** Most targets that one packet is told to belong to; what has more is counted. */
#define CAP_MAX_MATCHES 16U

/**
 * Most targets that are judged for one packet, all its views and both sides together: some 40 us, so that nobody can
 * make packets whose price grows with the set. The index leaves fewer, but for targets that it cannot tell apart
 * (thousands with one prefix and the same ports, by time alone; a packet whose ports are not to be seen). What is
 * left unjudged then may be meant: the packet is kept, with `more` and `unsure`, and maybe no target that is told.
 */
#define CAP_MAX_JUDGEMENTS 4096U

/** What was found of a packet that is somebody's, or may be. */
struct cap_match {
	uint32_t count; /**< targets that are told; 0 only where no more were judged */
	bool more;	/**< belongs, or may belong, to more than are told here */
	bool unsure; /**< one of those told could not be judged whole, see target.h; or not all were judged */
	uint32_t targets[CAP_MAX_MATCHES]; /**< positions in the set, ascending: the lowest ones */
};

/** One worker's: room for the burst in hand. */
struct cap_matcher;

/** @return can packets of this LINKTYPE_ value be matched? Ethernet and raw IP can */
bool cap_match_link_type(uint32_t link_type);

/**
 * @param link_type see cap_match_link_type
 * @param tunnels bits of enum cap_tunnel: which are looked into
 * @param fragments shared by the port's workers; outlives the matcher
 * @return NULL: no memory
 */
struct cap_matcher *cap_matcher_create(uint32_t link_type, uint32_t tunnels,
				       struct cap_fragments *fragments);
void cap_matcher_free(struct cap_matcher *matcher);

/** Do without the vector instructions that this processor has: for tests, the results are the same. */
void cap_matcher_use_plain(struct cap_matcher *matcher);

/**
 * Match a burst. The worker's thread; allocates nothing.
 *
 * @param packets as a driver hands them out: in segments, their VLAN tag aside or in the frame
 * @param n at most CAP_BURST
 * @param found room for @p n; set for those packets that are somebody's
 * @return bit i: packet i is somebody's
 */
uint64_t cap_match_burst(struct cap_matcher *matcher, const struct cap_target_set *set,
			 const struct cap_packet *packets, unsigned n, struct cap_match *found);

#endif
