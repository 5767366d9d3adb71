/* SPDX-License-Identifier: Apache-2.0 */
/** @file A packet's comments in the file: its driver's note, and the targets that it belongs to. */
#ifndef CAPSTAN_COMMENTS_H
#define CAPSTAN_COMMENTS_H

#include "match.h"
#include "pcapng.h"

/** "target 01234567-89ab-cdef-0123-456789abcdef", without a terminator. */
#define CAP_TARGET_COMMENT_LEN 43U

/** What says that a packet is of more targets than its comments tell. */
#define CAP_MORE_COMMENT "target and more"

/** A note, as many targets as are told, and that there are more; each with its option's header. */
#define CAP_COMMENTS_ROOM (4U + CAP_MAX_NOTE + CAP_MAX_MATCHES * 48U + 20U)

/**
 * Put @p packet's comments at @p room, each an option of its own.
 *
 * @param room CAP_COMMENTS_ROOM bytes
 * @param set,match NULL: not matched against targets
 * @return bytes: a multiple of 4, 0 when there are none
 */
uint32_t cap_comments_put(uint8_t *room, const struct cap_packet *packet,
			  const struct cap_target_set *set, const struct cap_match *match);

#endif
