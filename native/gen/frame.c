// SPDX-License-Identifier: Apache-2.0
#include "frame.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "bytes.h"
#include "record.h"
#include "scramble.h"

#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define UDP_BYTES 8
#define HOP_LIMIT 64
#define PORT_DISCARD 9
#define PORT_FIRST 50000 /* dynamic ports of RFC 6335 that tcpdump reads no protocol into */
#define PORT_COUNT 15536

/* 198.18.0.0/15 is for benchmarks (RFC 2544), 2001:db8::/32 for examples (RFC 3849). */
#define IPV4_SOURCE 0xc6120000u
#define IPV4_DESTINATION 0xc6130001u

#define IPV4_DONT_FRAGMENT 0x4000
#define IPV4_MORE_FRAGMENTS 0x2000

static uint8_t *put_ethernet(uint8_t *at, const struct traffic *traffic, uint32_t flow)
{
	static const uint16_t ethertypes[] = {
		[SHAPE_UDP4] = ETH_P_IP,
		[SHAPE_UDP6] = ETH_P_IPV6,
		[SHAPE_FRAGMENTS] = ETH_P_IP,
		[SHAPE_RAW] = RECORD_ETHERTYPE,
	};

	put32(at, RECORD_MAC_PREFIX);
	put16(at + 4, 0xffff);
	put32(at + ETH_ALEN, RECORD_MAC_PREFIX);
	/* Where there are no addresses above, the source address tells the flows apart. */
	put16(at + ETH_ALEN + 4, traffic->shape == SHAPE_RAW ? (uint16_t)flow : 0);
	at += 2 * ETH_ALEN;
	for (unsigned int i = 0; i < traffic->tag_count; i++, at += 4) {
		put16(at, traffic->tags[i].tpid);
		put16(at + 2, traffic->tags[i].tci);
	}
	put16(at, ethertypes[traffic->shape]);
	return at + 2;
}

static uint16_t ipv4_checksum(const uint8_t *header)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < IPV4_BYTES; i += 2)
		sum += get16(header + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

static uint8_t *put_ipv4(uint8_t *at, uint16_t payload, uint16_t id, uint16_t fragment,
			 uint32_t flow)
{
	put16(at, 0x4500);
	put16(at + 2, (uint16_t)(IPV4_BYTES + payload));
	put16(at + 4, id);
	put16(at + 6, fragment);
	at[8] = HOP_LIMIT;
	at[9] = IPPROTO_UDP;
	put16(at + 10, 0);
	put32(at + 12, IPV4_SOURCE + flow);
	put32(at + 16, IPV4_DESTINATION);
	put16(at + 10, ipv4_checksum(at));
	return at + IPV4_BYTES;
}

static uint8_t *put_ipv6(uint8_t *at, uint16_t payload, uint32_t flow)
{
	static const uint8_t source[16] = { 0x20, 0x01, 0x0d, 0xb8 };
	static const uint8_t destination[16] = { 0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, [15] = 1 };

	put32(at, 0x60000000u);
	put16(at + 4, payload);
	at[6] = IPPROTO_UDP;
	at[7] = HOP_LIMIT;
	memcpy(at + 8, source, sizeof(source));
	put32(at + 20, flow + 1);
	memcpy(at + 24, destination, sizeof(destination));
	return at + IPV6_BYTES;
}

static uint8_t *put_udp(uint8_t *at, uint16_t length, uint32_t flow)
{
	put16(at, (uint16_t)(PORT_FIRST + flow % PORT_COUNT));
	put16(at + 2, PORT_DISCARD);
	put16(at + 4, length);
	put16(at + 6, 0);
	return at + UDP_BYTES;
}

/* What fragment @p number carries of its datagram. All but the last are multiples of 8 bytes; the
 * rest of such a frame is a trailer behind the IP packet. */
static uint16_t fragment_payload(const struct traffic *traffic, uint64_t number, size_t headers)
{
	size_t room = size_mix_at(&traffic->sizes, number) - headers;

	if (number % FRAGMENTS_PER_DATAGRAM < FRAGMENTS_PER_DATAGRAM - 1)
		room &= ~(size_t)7;
	return (uint16_t)room;
}

static uint8_t *put_fragment(uint8_t *at, const struct traffic *traffic, uint64_t number,
			     size_t headers, uint32_t flow)
{
	uint64_t datagram = number / FRAGMENTS_PER_DATAGRAM;
	uint64_t index = number % FRAGMENTS_PER_DATAGRAM;
	uint16_t payload = 0, before = 0, total = 0;

	for (unsigned int i = 0; i < FRAGMENTS_PER_DATAGRAM; i++) {
		uint16_t part =
			fragment_payload(traffic, datagram * FRAGMENTS_PER_DATAGRAM + i, headers);

		if (i == index) {
			before = total;
			payload = part;
		}
		total = (uint16_t)(total + part);
	}
	at = put_ipv4(at, payload, (uint16_t)datagram,
		      (uint16_t)(before / 8 |
				 (index < FRAGMENTS_PER_DATAGRAM - 1 ? IPV4_MORE_FRAGMENTS : 0)),
		      flow);
	if (index == 0)
		return put_udp(at, total, flow);
	memset(at, 0, UDP_BYTES);
	return at + UDP_BYTES;
}

static void put_filler(uint8_t *at, size_t length, uint64_t number)
{
	uint64_t word = scramble(number);

	for (; length >= 8; at += 8, length -= 8, word += 0x9e3779b97f4a7c15u)
		put64(at, word);
	for (; length > 0; at++, length--, word >>= 8)
		*at = (uint8_t)word;
}

size_t frame_build(const struct traffic *traffic, uint64_t number, uint8_t *out)
{
	uint32_t flow = traffic_flow(traffic, number);
	size_t length = size_mix_at(&traffic->sizes, number);
	uint8_t *at = put_ethernet(out, traffic, flow);
	struct record record = { .stream = traffic->stream, .number = number };
	size_t above = length - (size_t)(at - out);
	size_t offset;

	switch (traffic->shape) {
	case SHAPE_UDP4:
		at = put_ipv4(at, (uint16_t)(above - IPV4_BYTES), (uint16_t)number,
			      IPV4_DONT_FRAGMENT, flow);
		at = put_udp(at, (uint16_t)(above - IPV4_BYTES), flow);
		break;
	case SHAPE_UDP6:
		at = put_ipv6(at, (uint16_t)(above - IPV6_BYTES), flow);
		at = put_udp(at, (uint16_t)(above - IPV6_BYTES), flow);
		break;
	case SHAPE_FRAGMENTS:
		at = put_fragment(at, traffic, number, length - above + IPV4_BYTES, flow);
		break;
	case SHAPE_RAW:
		break;
	}
	offset = (size_t)(at - out);
	put_filler(at + RECORD_BYTES, length - offset - RECORD_BYTES, number);
	record_seal(out, length, offset, &record);
	return length;
}
