// SPDX-License-Identifier: Apache-2.0
#include "pcapng.h"

#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

enum block_type {
	BLOCK_INTERFACE = 1,
	BLOCK_STATISTICS = 5,
	BLOCK_PACKET = 6,
	BLOCK_SECTION = 0x0A0D0D0A,
};

enum option_code {
	OPT_END = 0,
	OPT_COMMENT = 1,
	SHB_OS = 3,
	SHB_USERAPPL = 4,
	IF_NAME = 2,
	IF_DESCRIPTION = 3,
	IF_TSRESOL = 9,
	IF_FILTER = 11,
	IF_OS = 12,
	IF_FCSLEN = 13,
	ISB_STARTTIME = 2,
	ISB_ENDTIME = 3,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
	ISB_FILTERACCEPT = 6,
	ISB_OSDROP = 7,
	ISB_USRDELIV = 8,
	/* The draft sets codes with the top bit aside for local use; readers skip those they do not know. */
	OPT_PADDING = 0x8001,
};

#define BYTE_ORDER_MAGIC 0x1A2B3C4DU
#define TSRESOL_NANOSECONDS 9
#define OPTION_HEADER 4U
#define BLOCK_OVERHEAD 12U

/* Appends to a pcapng block of a size known beforehand. */
struct cursor {
	uint8_t *at, *end;
};

static void put(struct cursor *out, const void *bytes, uint32_t len)
{
	memcpy(out->at, bytes, len);
	out->at += len;
}

static void put_u32(struct cursor *out, uint32_t value)
{
	put(out, &value, sizeof(value));
}

static void put_option_head(struct cursor *out, enum option_code code, uint32_t len)
{
	const uint16_t head[2] = { (uint16_t)code, (uint16_t)len };

	put(out, head, sizeof(head));
}

static void put_option(struct cursor *out, enum option_code code, const void *value, uint32_t len)
{
	put_option_head(out, code, len);
	put(out, value, len);
	memset(out->at, 0, cap_pad4(len) - len);
	out->at += cap_pad4(len) - len;
}

static void put_text(struct cursor *out, enum option_code code, const char *text)
{
	put_option(out, code, text, (uint32_t)strlen(text));
}

static void put_u64(struct cursor *out, enum option_code code, uint64_t value)
{
	put_option(out, code, &value, sizeof(value));
}

/* pcapng writes time stamps as two words, the high one first, whatever the byte order. */
static void put_timestamp(struct cursor *out, uint64_t ns)
{
	put_u32(out, (uint32_t)(ns >> 32));
	put_u32(out, (uint32_t)ns);
}

static void put_time_option(struct cursor *out, enum option_code code, uint64_t ns)
{
	put_option_head(out, code, 8);
	put_timestamp(out, ns);
}

/* Fill up to the end of the block, which closes with its length. */
static void put_padding_and_close(struct cursor *out, uint32_t block_len)
{
	uint32_t room = (uint32_t)(out->end - out->at) - OPTION_HEADER - 4;

	while (room >= OPTION_HEADER) {
		uint32_t len = room - OPTION_HEADER;

		if (len > UINT16_MAX - 3)
			len = (UINT16_MAX - 3) & ~3U;
		put_option_head(out, OPT_PADDING, len);
		memset(out->at, 0, len);
		out->at += len;
		room -= OPTION_HEADER + len;
	}
	put_option_head(out, OPT_END, 0);
	put_u32(out, block_len);
}

static void open_block(struct cursor *out, uint8_t *at, uint32_t size, enum block_type type)
{
	*out = (struct cursor){ .at = at, .end = at + size };
	put_u32(out, type);
	put_u32(out, size);
}

static uint32_t text_option_size(const char *text)
{
	return OPTION_HEADER + cap_pad4((uint32_t)strlen(text));
}

int cap_pcapng_head(uint8_t *page, const struct cap_pcapng_interface *interface)
{
	const uint32_t interface_fixed = BLOCK_OVERHEAD + 8 + OPTION_HEADER * 2 + 4;
	const uint8_t resolution = TSRESOL_NANOSECONDS, fcs_len = (uint8_t)interface->fcs_len;
	const uint16_t version[2] = { 1, 0 };
	const uint16_t link[2] = { (uint16_t)interface->link_type, 0 };
	struct utsname kernel;
	struct cursor out;
	char os[256], target[64];
	uint32_t size, section_size;
	bool filter_fits = true;

	uname(&kernel);
	snprintf(os, sizeof(os), "%s %s", kernel.sysname, kernel.release);

	size = interface_fixed + text_option_size(interface->name) +
	       text_option_size(interface->description) + text_option_size(os) +
	       (fcs_len ? OPTION_HEADER + 4 : 0);
	/* The filter's first byte says what language it is in: 0 is a libpcap expression. */
	if (interface->filter) {
		uint32_t with_filter =
			size + OPTION_HEADER + cap_pad4(1 + (uint32_t)strlen(interface->filter));

		filter_fits = with_filter <= CAP_PAGE - 512;
		if (filter_fits)
			size = with_filter;
	}
	section_size = CAP_PAGE - size;

	open_block(&out, page, section_size, BLOCK_SECTION);
	put_u32(&out, BYTE_ORDER_MAGIC);
	put(&out, version, sizeof(version));
	put_u32(&out, UINT32_MAX); /* section length: not given, two words of ones */
	put_u32(&out, UINT32_MAX);
	put_text(&out, SHB_OS, os);
	put_text(&out, SHB_USERAPPL, CAP_PROGRAM " " CAP_VERSION);
	if (interface->target) {
		snprintf(target, sizeof(target), "target %s", interface->target);
		put_text(&out, OPT_COMMENT, target);
	}
	put_padding_and_close(&out, section_size);

	open_block(&out, page + section_size, size, BLOCK_INTERFACE);
	put(&out, link, sizeof(link));
	put_u32(&out, interface->snaplen);
	put_text(&out, IF_NAME, interface->name);
	put_text(&out, IF_DESCRIPTION, interface->description);
	put_text(&out, IF_OS, os);
	put_option(&out, IF_TSRESOL, &resolution, 1);
	if (fcs_len)
		put_option(&out, IF_FCSLEN, &fcs_len, 1);
	if (interface->filter && filter_fits) {
		uint32_t len = 1 + (uint32_t)strlen(interface->filter);

		put_option_head(&out, IF_FILTER, len);
		memset(out.at, 0, cap_pad4(len));
		memcpy(out.at + 1, interface->filter, len - 1);
		out.at += cap_pad4(len);
	}
	put_padding_and_close(&out, size);
	return filter_fits ? 0 : -1;
}

void cap_pcapng_statistics(uint8_t *at, uint32_t size, const struct cap_pcapng_statistics *figures,
			   const char *comment)
{
	struct cursor out;

	open_block(&out, at, size, BLOCK_STATISTICS);
	put_u32(&out, 0);
	put_timestamp(&out, figures->timestamp_ns);
	put_time_option(&out, ISB_STARTTIME, figures->start_ns);
	put_time_option(&out, ISB_ENDTIME, figures->timestamp_ns);
	put_u64(&out, ISB_IFRECV, figures->ifrecv);
	put_u64(&out, ISB_IFDROP, figures->ifdrop);
	put_u64(&out, ISB_FILTERACCEPT, figures->filteraccept);
	put_u64(&out, ISB_OSDROP, figures->osdrop);
	put_u64(&out, ISB_USRDELIV, figures->usrdeliv);
	if (comment)
		put_text(&out, OPT_COMMENT, comment);
	put_padding_and_close(&out, size);
}

/* A piece of a file in memory: walking a file block by block would cost system calls for each packet. */
struct window {
	int fd;
	int64_t at;
	size_t len;
	uint8_t bytes[1 << 20];
};

/* @return @p len bytes of the file from @p at, or NULL with errno set, 0 when the file is shorter */
static const uint8_t *look(struct window *window, int64_t at, size_t len)
{
	if (at < window->at || at + (int64_t)len > window->at + (int64_t)window->len) {
		ssize_t got = pread(window->fd, window->bytes, sizeof(window->bytes), at);

		if (got < 0)
			return NULL;
		window->at = at;
		window->len = (size_t)got;
		errno = 0;
		if (window->len < len)
			return NULL;
	}
	return window->bytes + (at - window->at);
}

int64_t cap_pcapng_whole_length(int fd, uint64_t *packets)
{
	struct window *window = calloc(1, sizeof(*window));
	int64_t at = 0;

	if (!window)
		return -1;
	window->fd = fd;
	for (;;) {
		const uint8_t *here = look(window, at, 8);
		uint32_t head[2], tail;

		if (!here)
			break;
		memcpy(head, here, sizeof(head));
		if (head[1] < BLOCK_OVERHEAD || head[1] % 4 ||
		    (at == 0 && head[0] != BLOCK_SECTION)) {
			errno = 0;
			break;
		}
		here = look(window, at + head[1] - (int64_t)sizeof(tail), sizeof(tail));
		if (!here)
			break;
		memcpy(&tail, here, sizeof(tail));
		errno = 0;
		if (tail != head[1])
			break;
		*packets += head[0] == BLOCK_PACKET;
		at += head[1];
	}
	free(window);
	return errno ? -1 : at;
}
