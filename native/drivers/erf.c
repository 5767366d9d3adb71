// SPDX-License-Identifier: Apache-2.0
#include "erf.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MORE_FOLLOW 0x80U
#define TYPE_BITS 0x7fU

/* As many records as decide whether a file without a magic is ERF. */
#define RECORDS_TO_BELIEVE 20

/* Ports of a card are not merged in strict order of time; a year between two packets is no capture. */
#define MOST_BACK_S 1U
#define MOST_AHEAD_S (365U * 86400U)

const char *const cap_erf_fcs_words[] = { "strip", "keep", "none", NULL };

/* The numbers that the reference gives a name, internal ones among them; 26, 30 and 31 have none. */
static const char *const names[] = {
	"TYPE_LEGACY",
	"TYPE_HDLC_POS",
	"TYPE_ETH",
	"TYPE_ATM",
	"TYPE_AAL5",
	"TYPE_MC_HDLC",
	"TYPE_MC_RAW",
	"TYPE_MC_ATM",
	"TYPE_MC_RAW_CHANNEL",
	"TYPE_MC_AAL5",
	"TYPE_COLOR_HDLC_POS",
	"TYPE_COLOR_ETH",
	"TYPE_MC_AAL2",
	"TYPE_IP_COUNTER",
	"TYPE_TCP_FLOW_COUNTER",
	"TYPE_DSM_COLOR_HDLC_POS",
	"TYPE_DSM_COLOR_ETH",
	"TYPE_COLOR_MC_HDLC_POS",
	"TYPE_AAL2",
	"TYPE_COLOR_HASH_POS",
	"TYPE_COLOR_HASH_ETH",
	"TYPE_INFINIBAND",
	"TYPE_IPV4",
	"TYPE_IPV6",
	"TYPE_RAW_LINK",
	"TYPE_INFINIBAND_LINK",
	NULL,
	"TYPE_META",
	"TYPE_OPA_SNC",
	"TYPE_OPA_9B",
	[CAP_ERF_PAD] = "TYPE_PAD",
};

#define N_NAMES (sizeof(names) / sizeof(names[0]))

static const char *name_of(uint8_t type)
{
	return type < N_NAMES ? names[type] : NULL;
}

bool cap_erf_is_documented(uint8_t type)
{
	return name_of(type) != NULL;
}

const char *cap_erf_type_name(uint8_t type, char room[CAP_ERF_NAME])
{
	if (name_of(type))
		return name_of(type);
	snprintf(room, CAP_ERF_NAME, "type %u", type);
	return room;
}

enum cap_erf_kind cap_erf_kind_of(uint8_t type)
{
	switch (type) {
	case CAP_ERF_ETH:
	case CAP_ERF_COLOR_ETH:
	case CAP_ERF_DSM_COLOR_ETH:
	case CAP_ERF_COLOR_HASH_ETH:
		return CAP_ERF_FRAME;
	case CAP_ERF_IP_COUNTER:
	case CAP_ERF_TCP_FLOW_COUNTER:
	case CAP_ERF_META:
	case CAP_ERF_PAD:
		return CAP_ERF_NO_PACKET;
	default:
		return CAP_ERF_OTHER_LINK;
	}
}

bool cap_erf_is_coloured(uint8_t type)
{
	switch (type) {
	case CAP_ERF_COLOR_HDLC_POS:
	case CAP_ERF_COLOR_ETH:
	case CAP_ERF_DSM_COLOR_HDLC_POS:
	case CAP_ERF_DSM_COLOR_ETH:
	case CAP_ERF_COLOR_MC_HDLC_POS:
	case CAP_ERF_COLOR_HASH_POS:
	case CAP_ERF_COLOR_HASH_ETH:
		return true;
	default:
		return false;
	}
}

static uint16_t big16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint64_t stamp_of(const uint8_t *at)
{
	uint64_t stamp;

	memcpy(&stamp, at, sizeof(stamp));
	return le64toh(stamp);
}

/* Where the extension headers end. @return offset in the record, or 0 when they run out of it */
static uint32_t pass_extensions(const uint8_t *at, uint32_t size, unsigned *count)
{
	uint32_t end = CAP_ERF_HEADER;

	for (bool more = at[8] & MORE_FOLLOW; more; end += CAP_ERF_EXTENSION) {
		if (size - end < CAP_ERF_EXTENSION)
			return 0;
		more = at[end] & MORE_FOLLOW;
		(*count)++;
	}
	return end;
}

static uint32_t without_fcs(uint32_t len)
{
	return len > CAP_ETHERNET_FCS ? len - CAP_ETHERNET_FCS : 0;
}

int cap_erf_read(const uint8_t *at, size_t len, enum cap_erf_fcs fcs, struct cap_erf_record *record,
		 struct cap_error *err)
{
	uint32_t end;

	*record = (struct cap_erf_record){ 0 };
	if (len < CAP_ERF_HEADER)
		return -EAGAIN;
	record->type = at[8] & TYPE_BITS;
	record->size = big16(at + 10);
	if (record->type == CAP_ERF_LEGACY)
		return cap_fail(
			err, EBADMSG,
			"a record of type 0, whose length nobody tells: the card or the file is older than ERF");
	if (record->size < CAP_ERF_HEADER)
		return cap_fail(
			err, EBADMSG,
			"a record says that it has %u bytes, and none has fewer than its header's %u",
			record->size, CAP_ERF_HEADER);
	if (len < record->size)
		return -EAGAIN;
	record->timestamp_ns = cap_erf_ns(stamp_of(at));
	record->kind = cap_erf_kind_of(record->type);
	record->flags = at[9];
	record->interface = (uint8_t)((at[9] & 3) | (at[9] & 0x40) >> 4);
	record->coloured = cap_erf_is_coloured(record->type);
	if (record->coloured)
		record->colour = big16(at + 12);
	else if (record->kind != CAP_ERF_NO_PACKET)
		record->lost = big16(at + 12);
	end = pass_extensions(at, record->size, &record->extensions);
	if (!end)
		return cap_fail(err, EILSEQ,
				"a record of %u bytes has extension headers that go on beyond it",
				record->size);
	if (record->kind != CAP_ERF_FRAME)
		return 0;
	if (record->size - end < CAP_ERF_ETHERNET_PAD)
		return cap_fail(err, EILSEQ,
				"an Ethernet record of %u bytes has no room for its frame",
				record->size);
	end += CAP_ERF_ETHERNET_PAD;
	record->frame = at + end;
	record->wire = big16(at + 14);
	if (fcs == CAP_ERF_FCS_STRIP)
		record->wire = without_fcs(record->wire);
	record->captured = record->size - end;
	if (record->captured > record->wire)
		record->captured = record->wire;
	return 0;
}

static bool time_fits(uint64_t before, uint64_t now)
{
	if (now < before)
		return (before - now) >> 32 <= MOST_BACK_S;
	return (now - before) >> 32 <= MOST_AHEAD_S;
}

bool cap_erf_looks_like(const uint8_t *bytes, size_t len)
{
	struct cap_erf_record record;
	struct cap_error err;
	uint64_t before = 0;
	unsigned whole = 0, documented = 0;
	int rc = 0;

	while (whole < RECORDS_TO_BELIEVE) {
		rc = cap_erf_read(bytes, len, CAP_ERF_FCS_NONE, &record, &err);
		if (rc)
			break;
		documented += name_of(record.type) != NULL;
		if (!documented)
			return false;
		/* Padding need not have a time. */
		if (record.type != CAP_ERF_PAD) {
			if (before && !time_fits(before, stamp_of(bytes)))
				return false;
			before = stamp_of(bytes);
		}
		bytes += record.size;
		len -= record.size;
		whole++;
	}
	return 2 * documented > whole && (rc == 0 || rc == -EAGAIN);
}
