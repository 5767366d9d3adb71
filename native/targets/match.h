/* SPDX-License-Identifier: Apache-2.0 */
/** @file Which targets' packets a burst holds: the exact matcher, by which every method selects alike. */
#ifndef CAPSTAN_MATCH_H
#define CAPSTAN_MATCH_H

#include "driver.h"
#include "target_set.h"

/** Most targets that one packet is told to belong to; what has more is counted. */
#define CAP_MAX_MATCHES 16U

/** What was found of one packet. */
struct cap_match {
	uint32_t count; /**< targets, 0: nobody's */
	bool more;	/**< belongs to more than fit here */
	bool unsure;	/**< one of them could not be judged whole, see target.h */
	uint32_t targets[CAP_MAX_MATCHES]; /**< positions in the set, ascending */
};

/** What one worker remembers between bursts: the first fragments that it has seen. */
struct cap_matcher;

/** @param fragments most first fragments remembered at once; the oldest goes */
struct cap_matcher *cap_matcher_create(uint32_t tunnels, unsigned fragments);
void cap_matcher_free(struct cap_matcher *matcher);

/**
 * Match a burst. The worker's thread; allocates nothing.
 *
 * @param packets as a driver hands them out: in segments, their VLAN tag aside or in the frame
 * @param found set for each of the @p n packets (at most CAP_BURST)
 * @return how many packets are somebody's
 */
unsigned cap_match_burst(struct cap_matcher *matcher, const struct cap_target_set *set,
			 const struct cap_packet *packets, unsigned n, struct cap_match *found);

#endif
