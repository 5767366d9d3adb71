/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Enhanced packet blocks as workers write them: whose a packet is, by its comments, and a copy of
 * it for one target.
 */
#ifndef CAPSTAN_PACKET_BLOCK_H
#define CAPSTAN_PACKET_BLOCK_H

#include "comments.h"

#include <stdbool.h>
#include <stdint.h>

struct cap_packet_block {
	const uint8_t *at; /**< NULL: not a packet's block */
	uint32_t size;
	uint32_t original; /**< wire length */
	uint64_t timestamp_ns;
	uint64_t dropped; /**< epb_dropcount */
	unsigned target_count;
	const char *targets
		[CAP_MAX_MATCHES]; /**< CAP_FOLDER_LEN characters in the block: UUIDs, or what a driver noted that looks alike */
	bool more; /**< it belongs to others as well, which are not named */
};

/**
 * Read the block at @p at.
 *
 * @param room bytes up to the end of the blocks
 * @return its size, or -1 when it is none
 */
int64_t cap_packet_block_read(const uint8_t *at, uint32_t room, struct cap_packet_block *packet);

/**
 * Copy a packet's block for one target: without the comments of others, and with @p dropped for its
 * epb_dropcount.
 *
 * @param to room for the packet's size and CAP_EPB_OPTIONS
 * @param target UUID; empty: the comments stay as they are
 * @return size of the copy
 */
uint32_t cap_packet_block_copy(uint8_t *to, const uint8_t *packet, uint64_t dropped,
			       const char *target);

/** Wire length of the packet. */
uint32_t cap_packet_block_original(const uint8_t *packet);

#endif
