/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Frames and targets that meet each other often: addresses, ports and ids come from small pools, headers
 * nest, and much is a little wrong. The same ones in every run.
 */
#ifndef CAPSTAN_TESTS_HOSTILE_H
#define CAPSTAN_TESTS_HOSTILE_H

#include "target.h"

#define HOSTILE_LARGEST 1500U
#define HOSTILE_MOST_TARGETS 12U

uint32_t hostile_random(void);

/** @return length of a new @p frame, which has room for HOSTILE_LARGEST */
uint32_t hostile_frame(uint8_t *frame);

#define HOSTILE_FRAGMENT 100U

/** Two fragments of one packet, HOSTILE_FRAGMENT long each: the first with ports, the later one without. */
void hostile_fragments(uint8_t *first, uint8_t *later);

/** What a target may name; a bit each. */
enum hostile_kind {
	HOSTILE_HOSTS = 1,
	HOSTILE_PREFIXES = 2,
	HOSTILE_PORTS = 4,
	HOSTILE_PROTOCOLS = 8,
	HOSTILE_MACS = 16,
	HOSTILE_VLANS = 32,
	HOSTILE_DIRECTIONS = 64,
	HOSTILE_EVERYTHING = 127,
};

/** A set of targets and the memory of its terms. */
struct hostile_set {
	struct cap_target targets[HOSTILE_MOST_TARGETS];
	const struct cap_target *pointers[HOSTILE_MOST_TARGETS];
	unsigned count;
	struct cap_prefix prefixes[HOSTILE_MOST_TARGETS][4];
	struct cap_port_range ports[HOSTILE_MOST_TARGETS][3];
	uint8_t macs[HOSTILE_MOST_TARGETS][2][CAP_MAC_LEN];
	uint16_t vlans[HOSTILE_MOST_TARGETS][2];
};

/** @param kinds bits of enum hostile_kind that targets may name */
void hostile_targets(struct hostile_set *set, unsigned kinds);

#endif
