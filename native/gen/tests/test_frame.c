// SPDX-License-Identifier: Apache-2.0
#include <linux/if_ether.h>
#include <string.h>

#include "../../tests/sentence.h"
#include "bytes.h"
#include "crc32.h"
#include "frame.h"
#include "record.h"

static const char *const shapes[] = { "udp4", "udp6", "fragments", "raw" };
static const char *const vlans[] = { NULL, "5", "0xf064", "100,200" };

static struct traffic traffic_of(const char *shape, const char *vlan, const char *size)
{
	struct traffic_words words = { .shape = shape, .vlan = vlan, .size = size, .flows = "7" };
	struct traffic traffic;
	struct fault fault;

	HOLDS(traffic_parse(&words, &traffic, &fault) == 0);
	return traffic;
}

static void crc_is_the_one_of_zlib(void)
{
	static const uint8_t digits[] = "123456789";
	uint8_t bytes[600];
	uint32_t slow = ~0u;

	HOLDS(crc32_update(0, digits, 9) == 0xcbf43926u);
	HOLDS(crc32_update(0, NULL, 0) == 0);
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + i / 7);
	for (unsigned int i = 0; i < sizeof(bytes); i++) {
		slow ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			slow = slow >> 1 ^ (slow & 1 ? 0xedb88320u : 0);
		/* Every length, and every way of cutting it in two at a third. */
		HOLDS(crc32_update(0, bytes, i + 1) == ~slow);
		HOLDS(crc32_update(crc32_update(0, bytes, i / 3), bytes + i / 3, i + 1 - i / 3) ==
		      ~slow);
	}
}

static void every_frame_is_read_back_as_built(void)
{
	uint8_t frame[FRAME_MAX];

	for (unsigned int s = 0; s < 4; s++) {
		for (unsigned int v = 0; v < 4; v++) {
			struct traffic traffic = traffic_of(shapes[s], vlans[v], "100-9014");

			traffic.stream = 0xdeadbeef;
			for (uint64_t number = 1u << 31; number < (1u << 31) + 200; number++) {
				size_t length = frame_build(&traffic, number, frame);
				struct record record;
				int numbered;

				HOLDS(length == size_mix_at(&traffic.sizes, number));
				HOLDS(record_read(frame, length, length, &record, &numbered) ==
				      RECORD_WHOLE);
				HOLDS(numbered && record.number == number);
				HOLDS(record.stream == 0xdeadbeef);
			}
		}
	}
}

static void the_smallest_frame_is_headers_and_record(void)
{
	static const uint16_t smallest[] = { 62, 82, 62, 34 };
	uint8_t frame[FRAME_MAX];

	for (unsigned int s = 0; s < 4; s++) {
		for (unsigned int v = 0; v < 4; v++) {
			struct traffic traffic = traffic_of(shapes[s], vlans[v], NULL);
			uint16_t least = (uint16_t)(smallest[s] + 4 * traffic.tag_count);
			struct record record;
			int numbered;

			HOLDS(traffic_smallest(&traffic) == least);
			size_mix_raise(&traffic.sizes, least);
			traffic.sizes.cycle[0] = least;
			HOLDS(frame_build(&traffic, 11, frame) == least);
			HOLDS(record_read(frame, least, least, &record, &numbered) == RECORD_WHOLE);
		}
	}
}

static void no_flipped_bit_goes_unnoticed(void)
{
	for (unsigned int s = 0; s < 4; s++) {
		struct traffic traffic = traffic_of(shapes[s], "3,4", "100");
		uint8_t frame[FRAME_MAX];
		size_t length = frame_build(&traffic, 77, frame);

		for (unsigned int bit = 0; bit < length * 8; bit++) {
			struct record record;
			int numbered;

			frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
			HOLDS(record_read(frame, length, length, &record, &numbered) ==
			      RECORD_DAMAGED);
			frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
}

static void a_cut_frame_keeps_its_number_while_the_record_is_whole(void)
{
	struct traffic traffic = traffic_of("udp4", NULL, "200");
	uint8_t frame[FRAME_MAX];
	size_t length = frame_build(&traffic, 5, frame);

	for (size_t kept = 1; kept < length; kept++) {
		struct record record;
		int numbered;
		enum record_verdict verdict = record_read(frame, kept, length, &record, &numbered);

		HOLDS(kept < 4 ? verdict == RECORD_FOREIGN : verdict == RECORD_CUT);
		HOLDS(numbered == (kept >= 62));
		HOLDS(!numbered || record.number == 5);
	}
}

static void a_frame_longer_than_it_was_on_the_wire_is_damaged(void)
{
	struct traffic traffic = traffic_of("udp4", NULL, "100");
	uint8_t frame[FRAME_MAX];
	size_t length = frame_build(&traffic, 5, frame);

	for (size_t claimed = 0; claimed < length; claimed++) {
		struct record record;
		int numbered;

		HOLDS(record_read(frame, length, claimed, &record, &numbered) == RECORD_DAMAGED);
		HOLDS(!numbered);
	}
}

static void strangers_are_foreign(void)
{
	uint8_t arp[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06 };
	struct record record;
	int numbered;

	HOLDS(record_read(arp, sizeof(arp), sizeof(arp), &record, &numbered) == RECORD_FOREIGN);
	put16(arp + 12, ETH_P_8021Q);
	HOLDS(record_read(arp, 14, 14, &record, &numbered) == RECORD_FOREIGN);
	HOLDS(record_read(arp, 0, 0, &record, &numbered) == RECORD_FOREIGN);
}

static void the_ipv4_header_checksum_is_right(void)
{
	struct traffic traffic = traffic_of("udp4", NULL, "imix");
	uint8_t frame[FRAME_MAX];

	for (uint64_t number = 0; number < 70000; number += 17) {
		uint32_t sum = 0;

		frame_build(&traffic, number, frame);
		for (unsigned int i = 0; i < 20; i += 2)
			sum += get16(frame + ETH_HLEN + i);
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		HOLDS(sum == 0xffff);
		HOLDS(get16(frame + ETH_HLEN + 2) ==
		      size_mix_at(&traffic.sizes, number) - ETH_HLEN);
	}
}

static void tags_stand_in_the_frame_as_asked(void)
{
	struct traffic traffic = traffic_of("udp4", "0xf064,200", NULL);
	uint8_t frame[FRAME_MAX];

	frame_build(&traffic, 0, frame);
	HOLDS(get16(frame + 12) == ETH_P_8021AD && get16(frame + 14) == 0xf064);
	HOLDS(get16(frame + 16) == ETH_P_8021Q && get16(frame + 18) == 200);
	HOLDS(get16(frame + 20) == ETH_P_IP);
}

static void three_fragments_make_one_datagram(void)
{
	struct traffic traffic = traffic_of("fragments", NULL, "101-1500");
	uint8_t frame[FRAME_MAX];

	for (uint64_t datagram = 0; datagram < 1000; datagram++) {
		unsigned int end = 0, total = 0;

		for (unsigned int i = 0; i < 3; i++) {
			const uint8_t *ip = frame + ETH_HLEN;
			unsigned int field, payload;

			frame_build(&traffic, datagram * 3 + i, frame);
			field = get16(ip + 6);
			payload = get16(ip + 2) - 20u;
			if (i == 0)
				total = get16(ip + 24);
			HOLDS(get16(ip + 4) == (uint16_t)datagram);
			HOLDS((field & 0x1fff) * 8 == end);
			HOLDS(!(field & 0x2000) == (i == 2));
			end += payload;
		}
		HOLDS(end == total);
	}
}

static void flows_differ_in_address(void)
{
	for (unsigned int s = 0; s < 4; s++) {
		struct traffic traffic = traffic_of(shapes[s], NULL, "100");
		uint8_t a[FRAME_MAX], b[FRAME_MAX];

		/* Three frames on is another flow in every shape; seven flows on is the same. */
		frame_build(&traffic, 0, a);
		frame_build(&traffic, 3, b);
		HOLDS(memcmp(a + 6, b + 6, s == 3 ? 6 : 32) != 0);
		HOLDS(traffic_flow(&traffic, 0) == traffic_flow(&traffic, 21));
	}
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "the CRC is the one of zlib", crc_is_the_one_of_zlib },
		{ "every frame is read back as built", every_frame_is_read_back_as_built },
		{ "the smallest frame is headers and record",
		  the_smallest_frame_is_headers_and_record },
		{ "no flipped bit goes unnoticed", no_flipped_bit_goes_unnoticed },
		{ "a cut frame keeps its number while the record is whole",
		  a_cut_frame_keeps_its_number_while_the_record_is_whole },
		{ "a frame longer than it was on the wire is damaged",
		  a_frame_longer_than_it_was_on_the_wire_is_damaged },
		{ "strangers are foreign", strangers_are_foreign },
		{ "the IPv4 header checksum is right", the_ipv4_header_checksum_is_right },
		{ "tags stand in the frame as asked", tags_stand_in_the_frame_as_asked },
		{ "three fragments make one datagram", three_fragments_make_one_datagram },
		{ "flows differ in address", flows_differ_in_address },
	};

	return HOLD_ALL(sentences);
}
