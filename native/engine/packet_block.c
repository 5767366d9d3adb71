// SPDX-License-Identifier: Apache-2.0
#include "packet_block.h"

#include "output.h"
#include "pcapng.h"

#include <string.h>

enum { BLOCK_PACKET = 6, OPT_END = 0, OPT_COMMENT = 1, EPB_DROPCOUNT = 4 };

#define BLOCK_HEAD 8U
#define CLOSING 4U
#define OPTION_HEAD 4U
#define DROPCOUNT_LEN 8U

static const char target_word[] = "target ";

#define TARGET_LEN (sizeof(target_word) - 1)
_Static_assert(TARGET_LEN + CAP_FOLDER_LEN == CAP_TARGET_COMMENT_LEN, "a target's comment");

/* An option in a block; `len` without its padding. */
struct option {
	const uint8_t *at;
	uint16_t code, len;
	uint32_t size; /* with head and padding */
};

/* @return false at the end of the options, or when what is left is none */
static bool next_option(const uint8_t *at, const uint8_t *end, struct option *option)
{
	if (end - at < (int64_t)OPTION_HEAD)
		return false;
	memcpy(&option->code, at, sizeof(option->code));
	memcpy(&option->len, at + 2, sizeof(option->len));
	option->at = at;
	option->size = OPTION_HEAD + cap_pad4(option->len);
	return option->code != OPT_END && option->size <= end - at;
}

/* @return where the UUID is in a comment that looks like a target's, or NULL */
static const char *named_target(const struct option *option)
{
	const char *text = (const char *)option->at + OPTION_HEAD;

	if (option->code != OPT_COMMENT || option->len != CAP_TARGET_COMMENT_LEN ||
	    memcmp(text, target_word, TARGET_LEN) != 0)
		return NULL;
	return text + TARGET_LEN;
}

static bool says_more(const struct option *option)
{
	return option->code == OPT_COMMENT && option->len == sizeof(CAP_MORE_COMMENT) - 1 &&
	       !memcmp(option->at + OPTION_HEAD, CAP_MORE_COMMENT, option->len);
}

static const uint8_t *options_of(const uint8_t *at, const struct cap_epb_header *header)
{
	return at + sizeof(*header) + cap_pad4(header->captured_len);
}

int64_t cap_packet_block_read(const uint8_t *at, uint32_t room, struct cap_packet_block *packet)
{
	struct cap_epb_header header;
	struct option option;
	const uint8_t *next, *end;
	uint32_t again;

	if (room < BLOCK_HEAD + CLOSING)
		return -1;
	memcpy(&header, at, BLOCK_HEAD);
	if (header.total_len < BLOCK_HEAD + CLOSING || header.total_len > room ||
	    header.total_len % 4)
		return -1;
	memcpy(&again, at + header.total_len - CLOSING, sizeof(again));
	if (again != header.total_len)
		return -1;
	packet->at = NULL;
	if (header.type != BLOCK_PACKET)
		return header.total_len;
	if (header.total_len < CAP_EPB_OVERHEAD)
		return -1;
	memcpy(&header, at, sizeof(header));
	if (header.captured_len > header.total_len - CAP_EPB_OVERHEAD)
		return -1;
	*packet = (struct cap_packet_block){
		.at = at,
		.size = header.total_len,
		.original = header.original_len,
		.timestamp_ns = (uint64_t)header.timestamp_high << 32 | header.timestamp_low,
	};
	end = at + header.total_len - CLOSING;
	for (next = options_of(at, &header); next_option(next, end, &option); next += option.size) {
		const char *target = named_target(&option);

		if (option.code == EPB_DROPCOUNT && option.len == DROPCOUNT_LEN)
			memcpy(&packet->dropped, option.at + OPTION_HEAD, DROPCOUNT_LEN);
		else if (target && packet->target_count < CAP_MAX_MATCHES)
			packet->targets[packet->target_count++] = target;
		else if (target || says_more(&option))
			packet->more = true;
	}
	return header.total_len;
}

/* Whether a target's copy keeps an option: epb_dropcount is written anew. */
static bool is_kept(const struct option *option, const char *target)
{
	const char *named = named_target(option);

	if (option->code == EPB_DROPCOUNT)
		return false;
	if (!*target || (named && !memcmp(named, target, CAP_FOLDER_LEN)))
		return true;
	/* A driver's note may look like a target's. */
	return named ? !cap_output_is_folder(named, CAP_FOLDER_LEN) : !says_more(option);
}

uint32_t cap_packet_block_copy(uint8_t *to, const uint8_t *packet, uint64_t dropped,
			       const char *target)
{
	struct cap_epb_header header;
	const uint8_t *next, *end;
	struct option option;
	uint32_t used, fixed;

	memcpy(&header, packet, sizeof(header));
	next = options_of(packet, &header);
	end = packet + header.total_len - CLOSING;
	fixed = used = (uint32_t)(next - packet);
	memcpy(to, packet, used);
	for (; next_option(next, end, &option); next += option.size) {
		if (!is_kept(&option, target))
			continue;
		memcpy(to + used, option.at, option.size);
		used += option.size;
	}
	if (dropped) {
		const uint16_t head[2] = { EPB_DROPCOUNT, DROPCOUNT_LEN };

		memcpy(to + used, head, sizeof(head));
		memcpy(to + used + OPTION_HEAD, &dropped, sizeof(dropped));
		used += OPTION_HEAD + DROPCOUNT_LEN;
	}
	if (used > fixed) {
		memset(to + used, OPT_END, OPTION_HEAD);
		used += OPTION_HEAD;
	}
	used += CLOSING;
	memcpy(to + used - CLOSING, &used, sizeof(used));
	memcpy(to + sizeof(header.type), &used, sizeof(used));
	return used;
}

uint32_t cap_packet_block_original(const uint8_t *packet)
{
	struct cap_epb_header header;

	memcpy(&header, packet, sizeof(header));
	return header.original_len;
}
