// SPDX-License-Identifier: Apache-2.0
#include "comments.h"

/* Of a UUID's bytes: where a dash comes in front (RFC 9562). */
#define DASHES (1U << 4 | 1U << 6 | 1U << 8 | 1U << 10)

_Static_assert(4U + ((CAP_TARGET_COMMENT_LEN + 3U) & ~3U) == 48U, "a target's comment");

static void write_target(char *text, const uint8_t *id)
{
	static const char digits[] = "0123456789abcdef";

	memcpy(text, "target ", 7);
	text += 7;
	for (unsigned i = 0; i < CAP_TARGET_ID_LEN; i++) {
		if (DASHES >> i & 1)
			*text++ = '-';
		*text++ = digits[id[i] >> 4];
		*text++ = digits[id[i] & 15];
	}
}

uint32_t cap_comments_put(uint8_t *room, const struct cap_packet *packet,
			  const struct cap_target_set *set, const struct cap_match *match)
{
	uint8_t *at = room;

	if (packet->note_len)
		at = cap_put_comment(at, packet->note, packet->note_len);
	for (uint32_t i = 0; match && i < match->count; i++) {
		char text[CAP_TARGET_COMMENT_LEN];

		write_target(text, cap_target_set_at(set, match->targets[i])->id);
		at = cap_put_comment(at, text, sizeof(text));
	}
	if (match && match->more)
		at = cap_put_comment(at, CAP_MORE_COMMENT, sizeof(CAP_MORE_COMMENT) - 1);
	return (uint32_t)(at - room);
}
