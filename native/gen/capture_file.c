// SPDX-License-Identifier: Apache-2.0
#include "capture_file.h"

#include <endian.h>
#include <string.h>

#define NS_PER_SECOND 1000000000u
#define LINKTYPE_ETHERNET 1
#define SNAPLEN 262144 /* as large as libpcap reads */

#define PCAP_MAGIC_NS 0xa1b23c4du

#define PCAPNG_SECTION 0x0a0d0d0au
#define PCAPNG_INTERFACE 1
#define PCAPNG_PACKET 6
#define PCAPNG_BYTE_ORDER 0x1a2b3c4du
#define PCAPNG_IF_TSRESOL 9
#define PCAPNG_PACKET_OVERHEAD 32

static void write32(FILE *out, uint32_t value)
{
	value = htole32(value);
	fwrite(&value, sizeof(value), 1, out);
}

static void write16(FILE *out, uint16_t value)
{
	value = htole16(value);
	fwrite(&value, sizeof(value), 1, out);
}

static void pcap_begin(FILE *out)
{
	write32(out, PCAP_MAGIC_NS);
	write16(out, 2);
	write16(out, 4);
	write32(out, 0);
	write32(out, 0);
	write32(out, SNAPLEN);
	write32(out, LINKTYPE_ETHERNET);
}

static void pcap_frame(FILE *out, const struct captured *frame)
{
	write32(out, (uint32_t)(frame->time_ns / NS_PER_SECOND));
	write32(out, (uint32_t)(frame->time_ns % NS_PER_SECOND));
	write32(out, frame->kept);
	write32(out, frame->length);
	fwrite(frame->bytes, 1, frame->kept, out);
}

static void pcapng_begin(FILE *out)
{
	write32(out, PCAPNG_SECTION);
	write32(out, 28);
	write32(out, PCAPNG_BYTE_ORDER);
	write16(out, 1);
	write16(out, 0);
	write32(out, UINT32_MAX); /* section length, 64 bits: not told */
	write32(out, UINT32_MAX);
	write32(out, 28);

	write32(out, PCAPNG_INTERFACE);
	write32(out, 32);
	write16(out, LINKTYPE_ETHERNET);
	write16(out, 0);
	write32(out, SNAPLEN);
	write16(out, PCAPNG_IF_TSRESOL);
	write16(out, 1);
	write32(out, 9); /* nanoseconds, padded to four bytes */
	write32(out, 0); /* end of options */
	write32(out, 32);
}

static void pcapng_frame(FILE *out, const struct captured *frame)
{
	static const uint8_t padding[4];
	uint32_t pad = -frame->kept & 3;
	uint32_t total = PCAPNG_PACKET_OVERHEAD + frame->kept + pad;

	write32(out, PCAPNG_PACKET);
	write32(out, total);
	write32(out, 0);
	write32(out, (uint32_t)(frame->time_ns >> 32));
	write32(out, (uint32_t)frame->time_ns);
	write32(out, frame->kept);
	write32(out, frame->length);
	fwrite(frame->bytes, 1, frame->kept, out);
	fwrite(padding, 1, pad, out);
	write32(out, total);
}

static void erf_begin(FILE *out)
{
	(void)out;
}

static void erf_others(FILE *out, const struct captured *frame)
{
	erf_write_others(out, frame, frame->erf_written);
}

static void erf_frame(FILE *out, const struct captured *frame)
{
	erf_write_frame(out, frame, frame->erf_written);
}

/* Absurd are 2 GiB, and in ERF, whose lengths have two bytes, less than a header. */
static const struct capture_format formats[] = {
	{ ".pcap", pcap_begin, NULL, pcap_frame, 8, 4, { 0xff, 0xff, 0xff, 0x7f } },
	{ ".pcapng", pcapng_begin, NULL, pcapng_frame, 4, 4, { 0xff, 0xff, 0xff, 0x7f } },
	{ ".erf", erf_begin, erf_others, erf_frame, 10, 2, { 0, 7 } },
};

const struct capture_format *capture_format_for(const char *path, struct fault *fault)
{
	size_t length = strlen(path);

	for (unsigned int i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		size_t ending = strlen(formats[i].ending);

		if (length > ending && strcmp(path + length - ending, formats[i].ending) == 0)
			return &formats[i];
	}
	fault_set(fault, "%s: name the file something.pcap, something.pcapng or something.erf.",
		  path);
	return NULL;
}
