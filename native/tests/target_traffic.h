/* SPDX-License-Identifier: Apache-2.0 */
/** @file Random frames and random targets out of one small world, so that they meet. The same for a seed. */
#ifndef CAPSTAN_TESTS_TARGET_TRAFFIC_H
#define CAPSTAN_TESTS_TARGET_TRAFFIC_H

#include "driver.h"
#include "target.h"

#define TRAFFIC_MOST_BYTES 6000U
#define TRAFFIC_MOST_SEGMENTS 8U

/** Fragmented packets whose fragments may still come. */
#define TRAFFIC_FRAGMENTED 16U

struct traffic {
	uint64_t state;
	uint64_t now_ns;
	struct {
		uint8_t addresses[32], family, protocol;
		uint32_t id;
		uint16_t ports[2];
	} fragmented[TRAFFIC_FRAGMENTED];
	bool crowded;	       /**< most prefixes of targets are one of two */
	const uint16_t *ports; /**< of the fragment in hand, or NULL */
	uint8_t *at, *end;     /**< while a frame is made */
};

/** A packet and the memory that it lies in. */
struct traffic_packet {
	struct cap_packet packet;
	struct cap_segment segments[TRAFFIC_MOST_SEGMENTS];
	uint8_t *pieces[TRAFFIC_MOST_SEGMENTS]; /**< each of exactly its size, from malloc */
};

void traffic_begin(struct traffic *traffic, uint64_t seed);
uint64_t traffic_random(struct traffic *traffic, uint64_t below);

/** @param ethernet else raw IP */
void traffic_packet_make(struct traffic *traffic, bool ethernet, struct traffic_packet *out);
void traffic_packet_free(struct traffic_packet *packet);

/** @return @p count targets, to be freed by traffic_targets_free */
struct cap_target *traffic_targets_make(struct traffic *traffic, unsigned count);
void traffic_targets_free(struct cap_target *targets, unsigned count);

#endif
