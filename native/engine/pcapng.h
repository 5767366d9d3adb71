/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The file format: pcapng, written in memory, in pages.
 *
 * Source: the IETF's pcapng draft (draft-ietf-opsawg-pcapng). A file is
 *
 *     page 0          section header block, interface description block
 *     blocks          enhanced packet blocks, each run closed by an interface statistics block
 *     last page       an interface statistics block with the ledger's figures and causes
 *
 * Every piece ends on a page boundary, the statistics blocks' padding options taking up the slack, so
 * that all writes suit O_DIRECT and a file cut at any page-run boundary is a whole pcapng file.
 */
#ifndef CAPSTAN_PCAPNG_H
#define CAPSTAN_PCAPNG_H

#include "block.h"

#include <string.h>

/** Type, length, interface, time stamp (2), captured and original length, closing length. */
#define CAP_EPB_OVERHEAD 32U

/** Room for an epb_dropcount option and the end of options; comments come on top. */
#define CAP_EPB_OPTIONS 16U

/** The statistics block that closes a run of packets: smallest size with all its figures. */
#define CAP_ISB_RESERVE 128U

#define CAP_LINKTYPE_ETHERNET 1U

/** What a file says about the interface that its packets came from. */
struct cap_pcapng_interface {
	const char *name;
	const char *description; /**< method and mode */
	const char *filter;	 /**< expression, or NULL */
	const char *target;	 /**< UUID of the only target whose packets are here, or NULL */
	uint32_t link_type;
	uint32_t snaplen;
	uint32_t fcs_len; /**< if_fcslen in bytes; 0: not said */
};

/** Figures of an interface statistics block; the option names are pcapng's. */
struct cap_pcapng_statistics {
	uint64_t timestamp_ns;
	uint64_t start_ns;     /**< isb_starttime: when counting began */
	uint64_t ifrecv;       /**< isb_ifrecv: reached the wire side of the queue */
	uint64_t ifdrop;       /**< isb_ifdrop: lost before the kernel had them */
	uint64_t filteraccept; /**< isb_filteraccept: passed the filter */
	uint64_t osdrop; /**< isb_osdrop: lost in the kernel, or in what else the engine gets packets from */
	uint64_t usrdeliv; /**< isb_usrdeliv: delivered to the file */
};

struct cap_epb_header {
	uint32_t type, total_len, interface_id, timestamp_high, timestamp_low, captured_len,
		original_len;
};

static inline uint32_t cap_pad4(uint32_t len)
{
	return (len + 3U) & ~3U;
}

/** Bytes that an enhanced packet block with @p captured bytes and no options takes. */
static inline uint32_t cap_epb_size(uint32_t captured)
{
	return CAP_EPB_OVERHEAD + cap_pad4(captured);
}

/** Room for a comment option, beside CAP_EPB_OPTIONS: a packet's note, or a target that it belongs to. */
static inline uint32_t cap_epb_note_size(uint32_t len)
{
	return 4U + cap_pad4(len);
}

/** Put a comment option of @p len bytes at @p at, cap_epb_note_size(len) bytes. @return behind it */
static inline uint8_t *cap_put_comment(uint8_t *at, const char *text, uint32_t len)
{
	const uint16_t option[2] = { 1, (uint16_t)len };

	memcpy(at, option, sizeof(option));
	memcpy(at + 4, text, len);
	memset(at + 4 + len, 0, cap_pad4(len) - len);
	return at + cap_epb_note_size(len);
}

/**
 * Close an enhanced packet block whose packet bytes are already in place behind its header.
 *
 * @param at where the block begins; 4-byte aligned, cap_epb_size(captured) bytes of room,
 *        CAP_EPB_OPTIONS more when there is an option, and @p comments_len more for comments
 * @param dropped packets lost since the one before, told in epb_dropcount when not 0
 * @param comments whole options, as cap_put_comment puts them; none when @p comments_len is 0
 * @return size of the block in bytes
 */
static inline uint32_t cap_epb_close_commented(uint8_t *at, uint32_t captured, uint32_t original,
					       uint64_t timestamp_ns, uint64_t dropped,
					       const uint8_t *comments, uint32_t comments_len)
{
	uint32_t padded = cap_pad4(captured);
	uint32_t options = (dropped ? 12U : 0U) + comments_len;
	uint32_t size = CAP_EPB_OVERHEAD + padded + (options ? options + 4U : 0U);
	/* Member by member: made aside, it would be read back wider than it was written, which stalls. */
	struct cap_epb_header *header = (struct cap_epb_header *)(void *)at;
	uint8_t *end = at + sizeof(*header) + captured;

	header->type = 6;
	header->total_len = size;
	header->interface_id = 0;
	header->timestamp_high = (uint32_t)(timestamp_ns >> 32);
	header->timestamp_low = (uint32_t)timestamp_ns;
	header->captured_len = captured;
	header->original_len = original;
	/* More zeroes than the padding, in one store: what follows overwrites them. */
	memset(end, 0, 4);
	end += padded - captured;
	if (dropped) {
		const uint16_t option[2] = { 4, 8 };

		memcpy(end, option, sizeof(option));
		memcpy(end + 4, &dropped, sizeof(dropped));
		end += 12;
	}
	if (comments_len) {
		memcpy(end, comments, comments_len);
		end += comments_len;
	}
	if (options) {
		memset(end, 0, 4);
		end += 4;
	}
	memcpy(end, &size, sizeof(size));
	return size;
}

/** The same for a packet without a comment. */
static inline uint32_t cap_epb_close(uint8_t *at, uint32_t captured, uint32_t original,
				     uint64_t timestamp_ns, uint64_t dropped)
{
	return cap_epb_close_commented(at, captured, original, timestamp_ns, dropped, NULL, 0);
}

/**
 * Write section header and interface description, filling exactly one page.
 *
 * @param page CAP_PAGE bytes
 * @return 0, or -1 when name, description and filter do not fit (the filter is then left out)
 */
int cap_pcapng_head(uint8_t *page, const struct cap_pcapng_interface *interface);

/**
 * Write an interface statistics block of exactly @p size bytes.
 *
 * @param size multiple of 4, at least CAP_ISB_RESERVE plus the comment's length
 * @param comment text for people, or NULL
 */
void cap_pcapng_statistics(uint8_t *at, uint32_t size, const struct cap_pcapng_statistics *figures,
			   const char *comment);

/**
 * Size of the whole pcapng blocks at the start of a file: where to cut one that a crash left.
 *
 * @param packets incremented by the packet blocks among them
 * @return bytes up to the end of the last whole block, or -1 with errno set
 */
int64_t cap_pcapng_whole_length(int fd, uint64_t *packets);

#endif
