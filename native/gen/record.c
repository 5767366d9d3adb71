// SPDX-License-Identifier: Apache-2.0
#include "record.h"

#include <linux/if_ether.h>
#include <stdbool.h>

#include "bytes.h"
#include "crc32.h"

#define ETHERTYPE_OFFSET (2 * ETH_ALEN)
#define VLAN_TAG_BYTES 4
#define IPV4_UDP_BYTES (20 + 8)
#define IPV6_UDP_BYTES (40 + 8)

static uint32_t frame_crc(const uint8_t *frame, size_t length, size_t offset)
{
	static const uint8_t zero[4];
	size_t field = offset + RECORD_CRC_OFFSET;
	uint32_t crc = crc32_update(0, frame, field);

	crc = crc32_update(crc, zero, sizeof(zero));
	return crc32_update(crc, frame + field + sizeof(zero), length - field - sizeof(zero));
}

void record_seal(uint8_t *frame, size_t length, size_t offset, const struct record *record)
{
	uint8_t *at = frame + offset;

	put32(at, RECORD_MAGIC);
	put32(at + 4, record->stream);
	put64(at + 8, record->number);
	/* One pass over the frame with the field zeroed in place is the value frame_crc() finds. */
	put32(at + RECORD_CRC_OFFSET, 0);
	put32(at + RECORD_CRC_OFFSET, crc32_update(0, frame, length));
}

/* Where the record starts by the frame's ethertypes; 0: the frame is of no shape of ours. */
static size_t record_offset(const uint8_t *frame, size_t captured)
{
	size_t offset = ETHERTYPE_OFFSET;

	while (offset + 2 <= captured) {
		switch (get16(frame + offset)) {
		case ETH_P_8021Q:
		case ETH_P_8021AD:
			offset += VLAN_TAG_BYTES;
			continue;
		case ETH_P_IP:
			return offset + 2 + IPV4_UDP_BYTES;
		case ETH_P_IPV6:
			return offset + 2 + IPV6_UDP_BYTES;
		case RECORD_ETHERTYPE:
			return offset + 2;
		default:
			return 0;
		}
	}
	return 0;
}

/* Either address is enough: one damaged byte must not make our frame a stranger. */
static bool addressed_as_ours(const uint8_t *frame, size_t captured)
{
	return (captured >= 4 && get32(frame) == RECORD_MAC_PREFIX) ||
	       (captured >= ETH_ALEN + 4 && get32(frame + ETH_ALEN) == RECORD_MAC_PREFIX);
}

enum record_verdict record_read(const uint8_t *frame, size_t captured, size_t length,
				struct record *record, int *numbered)
{
	size_t offset = record_offset(frame, captured);
	bool cut = captured < length;

	*numbered = 0;
	if (!offset || captured < offset + RECORD_BYTES || get32(frame + offset) != RECORD_MAGIC) {
		if (!addressed_as_ours(frame, captured))
			return RECORD_FOREIGN;
		return cut && (!offset || captured < offset + RECORD_BYTES) ? RECORD_CUT :
									      RECORD_DAMAGED;
	}
	/* A file may claim less on the wire than it holds; then the claim is the damage. */
	if (!cut && (captured != length ||
		     frame_crc(frame, length, offset) != get32(frame + offset + RECORD_CRC_OFFSET)))
		return RECORD_DAMAGED;
	record->stream = get32(frame + offset + 4);
	record->number = get64(frame + offset + 8);
	*numbered = 1;
	return cut ? RECORD_CUT : RECORD_WHOLE;
}
