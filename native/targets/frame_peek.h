/* SPDX-License-Identifier: Apache-2.0 */
/** @file What the first looks at a frame share: numbers as they stand on the wire, read where they lie. */
#ifndef CAPSTAN_FRAME_PEEK_H
#define CAPSTAN_FRAME_PEEK_H

#include "driver.h"

#include <string.h>

/* In the byte order of the wire, as this machine reads them. */
#define WIRE16(number) __builtin_bswap16(number)
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "WIRE16 turns bytes round");

#define TYPE_IPV4 WIRE16(0x0800)
#define TYPE_IPV6 WIRE16(0x86dd)
#define TYPE_MPLS WIRE16(0x8847)
#define TYPE_MPLS_UPSTREAM WIRE16(0x8848)
#define TYPE_VLAN WIRE16(0x8100)
#define TYPE_SERVICE_VLAN WIRE16(0x88a8)
#define TYPE_OLD_SERVICE_VLAN WIRE16(0x9100)
#define PORT_GTP_U WIRE16(2152)
#define PORT_VXLAN WIRE16(4789)

#define ETHERNET_HEADER 14U
#define TAG_LEN 4U
#define MOST_TAGS 4U
#define IPV4_HEADER 20U
#define IPV6_HEADER 40U
#define PROTOCOL_UDP 17
#define PROTOCOL_GRE 47

static inline uint16_t load16(const uint8_t *at)
{
	uint16_t number;

	memcpy(&number, at, sizeof(number));
	return number;
}

static inline uint32_t load32(const uint8_t *at)
{
	uint32_t number;

	memcpy(&number, at, sizeof(number));
	return number;
}

static inline uint64_t load64(const uint8_t *at)
{
	uint64_t number;

	memcpy(&number, at, sizeof(number));
	return number;
}

/* IPv6 extension headers that are walked. */
static inline bool is_extension(uint8_t next)
{
	return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

static inline bool is_tag(uint16_t type)
{
	return type == TYPE_VLAN || type == TYPE_SERVICE_VLAN || type == TYPE_OLD_SERVICE_VLAN;
}

static inline uint32_t first_length(const struct cap_packet *packet)
{
	return packet->n_segments > 1 ? packet->segments[0].len : packet->len;
}

#endif
