// SPDX-License-Identifier: Apache-2.0
#include "traffic.h"

#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "record.h"

#define VLAN_TAG_BYTES 4
#define VLAN_ID_MAX 4095
#define SIZE_DEFAULT 64

static const struct {
	const char *name;
	uint16_t headers; /* bytes before the record without VLAN tags */
} shapes[] = {
	[SHAPE_UDP4] = { "udp4", ETH_HLEN + 20 + 8 },
	[SHAPE_UDP6] = { "udp6", ETH_HLEN + 40 + 8 },
	/* A later fragment has payload where the first has the UDP header: one place for all. */
	[SHAPE_FRAGMENTS] = { "fragments", ETH_HLEN + 20 + 8 },
	[SHAPE_RAW] = { "raw", ETH_HLEN },
};

static int parse_shape(const char *text, enum shape *shape, struct fault *fault)
{
	for (unsigned int i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (strcmp(text, shapes[i].name) == 0) {
			*shape = (enum shape)i;
			return 0;
		}
	}
	return fault_set(fault, "--shape: '%s' is unknown; choose udp4, udp6, fragments or raw.",
			 text);
}

static int parse_tag(const char *text, struct vlan_tag *tag, struct fault *fault)
{
	uint64_t most = strncmp(text, "0x", 2) == 0 ? UINT16_MAX : VLAN_ID_MAX;
	uint64_t tci;

	if (number_parse("--vlan", text, 0, most, &tci, fault))
		return -1;
	*tag = (struct vlan_tag){ .tpid = ETH_P_8021Q, .tci = (uint16_t)tci };
	return 0;
}

static int parse_vlan(const char *text, struct traffic *traffic, struct fault *fault)
{
	char copy[32];
	const char *inner = strchr(text, ',');

	if (!inner) {
		traffic->tag_count = 1;
		return parse_tag(text, &traffic->tags[0], fault);
	}
	snprintf(copy, sizeof(copy), "%.*s", (int)(inner - text), text);
	if (parse_tag(copy, &traffic->tags[0], fault) ||
	    parse_tag(inner + 1, &traffic->tags[1], fault))
		return -1;
	traffic->tags[0].tpid = ETH_P_8021AD;
	traffic->tag_count = 2;
	return 0;
}

uint16_t traffic_record_offset(const struct traffic *traffic)
{
	return (uint16_t)(shapes[traffic->shape].headers + traffic->tag_count * VLAN_TAG_BYTES);
}

uint16_t traffic_smallest(const struct traffic *traffic)
{
	return (uint16_t)(traffic_record_offset(traffic) + RECORD_BYTES);
}

int traffic_parse(const struct traffic_words *words, struct traffic *traffic, struct fault *fault)
{
	uint64_t flows = 1, stream = 1;
	uint16_t smallest;

	memset(traffic, 0, sizeof(*traffic));
	if (words->shape && parse_shape(words->shape, &traffic->shape, fault))
		return -1;
	if (words->flows && number_parse("--flows", words->flows, 1, FLOWS_MAX, &flows, fault))
		return -1;
	if (words->stream && number_parse("--stream", words->stream, 0, UINT32_MAX, &stream, fault))
		return -1;
	if (words->vlan && parse_vlan(words->vlan, traffic, fault))
		return -1;
	traffic->flows = (uint32_t)flows;
	traffic->stream = (uint32_t)stream;

	smallest = traffic_smallest(traffic);
	if (!words->size) {
		traffic->sizes = (struct size_mix){ .count = 1,
						    .cycle = { SIZE_DEFAULT },
						    .smallest = SIZE_DEFAULT,
						    .largest = SIZE_DEFAULT };
		size_mix_raise(&traffic->sizes, smallest);
		return 0;
	}
	if (size_mix_parse(words->size, &traffic->sizes, fault))
		return -1;
	if (traffic->sizes.may_grow)
		size_mix_raise(&traffic->sizes, smallest);
	if (traffic->sizes.smallest < smallest)
		return fault_set(
			fault,
			"--size: %u bytes cannot hold the headers of shape %s with %u VLAN tags and "
			"the %d-byte record; use %u bytes or more%s.",
			traffic->sizes.smallest, shapes[traffic->shape].name, traffic->tag_count,
			RECORD_BYTES, smallest,
			traffic->shape == SHAPE_RAW ? "" : ", or --shape raw for runts");
	return 0;
}

uint32_t traffic_flow(const struct traffic *traffic, uint64_t number)
{
	if (traffic->flows == 1)
		return 0;
	if (traffic->shape == SHAPE_FRAGMENTS)
		number /= FRAGMENTS_PER_DATAGRAM;
	if (traffic->sizes.count > 1)
		number /= traffic->sizes.count;
	return (uint32_t)(number % traffic->flows);
}
