/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_TRAFFIC_H
#define CAPSTAN_GEN_TRAFFIC_H

#include <stdint.h>

#include "fault.h"
#include "sizes.h"

enum shape {
	SHAPE_UDP4,	 /**< Ethernet, IPv4, UDP */
	SHAPE_UDP6,	 /**< Ethernet, IPv6, UDP */
	SHAPE_FRAGMENTS, /**< IPv4 datagrams in FRAGMENTS_PER_DATAGRAM fragments, one a frame */
	SHAPE_RAW,	 /**< Ethernet with the experimental ethertype 0x88B5: runts are possible */
};

/** Frames n*3, n*3+1 and n*3+2 are the fragments of one datagram. */
#define FRAGMENTS_PER_DATAGRAM 3

#define VLAN_TAGS_MAX 2

/** As many flows as the last two bytes of an address tell apart. */
#define FLOWS_MAX 65536

/** A VLAN tag as it stands in the frame, in host byte order. */
struct vlan_tag {
	uint16_t tpid; /**< 0x8100, or 0x88a8 for the outer of two */
	uint16_t tci;  /**< priority, drop eligible and id: all 16 bits */
};

/**
 * What the frames of one stream look like: everything but their numbers.
 * Every frame is a pure function of this and its number.
 */
struct traffic {
	enum shape shape;
	struct size_mix sizes;
	uint32_t flows; /**< 1 to FLOWS_MAX; a flow gets a whole round of the size mix at a time */
	unsigned int tag_count;
	struct vlan_tag tags[VLAN_TAGS_MAX]; /**< outermost first */
	uint32_t stream;
};

/** Traffic as asked for in words; NULL: the default. */
struct traffic_words {
	const char *shape;  /**< udp4 | udp6 | fragments | raw */
	const char *size;   /**< see size_mix_parse; default 64, or the shape's smallest above it */
	const char *flows;  /**< default 1 */
	const char *vlan;   /**< ID[,ID]; 0x.... gives all 16 bits of the TCI */
	const char *stream; /**< default 1 */
};

/**
 * Reads the words and checks that they fit together: every size must hold the shape's headers,
 * the tags and the record.
 * @return 0, or -1 with a sentence
 */
int traffic_parse(const struct traffic_words *words, struct traffic *traffic, struct fault *fault);

/** @return bytes before the record: the headers of the shape and the VLAN tags */
uint16_t traffic_record_offset(const struct traffic *traffic);

/** @return the smallest frame in bytes that holds the headers, the tags and the record */
uint16_t traffic_smallest(const struct traffic *traffic);

/** @return the flow (0 to flows - 1) of frame @p number */
uint32_t traffic_flow(const struct traffic *traffic, uint64_t number);

#endif
