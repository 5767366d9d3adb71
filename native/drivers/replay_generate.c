// SPDX-License-Identifier: Apache-2.0
#include "replay_generate.h"

#include "clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

/* IPv4 and UDP headers in an Ethernet frame: the least that the generator makes. */
#define LEAST_GENERATED 42
#define MOST_GENERATED 65535

/* Frames begin at multiples of a cache line. */
#define FRAME_ALIGNMENT 64U

struct frame {
	const uint8_t *data;
	uint32_t len;
};

struct cap_generator {
	const struct cap_generate_options *options;
	uint8_t *memory;
	struct frame *frames;
	uint64_t position; /* of the next frame */
	uint64_t handed;
};

static int read_sizes(struct cap_settings *in, struct cap_generate_options *options,
		      struct cap_error *err)
{
	json_t *list = cap_settings_take(in, "sizes"), *one = cap_settings_take(in, "size");
	size_t i;

	if (list && one)
		return cap_fail(
			err, EINVAL,
			"options.generate: \"size\" and \"sizes\" exclude each other: keep one");
	if (!list && !one)
		return 0;
	if (list && (!json_is_array(list) || !json_array_size(list) ||
		     json_array_size(list) > CAP_GENERATE_SIZES))
		return cap_fail(err, EINVAL,
				"options.generate.sizes: must be a list of 1 to %u frame sizes",
				CAP_GENERATE_SIZES);
	options->size_count = list ? (unsigned)json_array_size(list) : 1;
	for (i = 0; i < options->size_count; i++) {
		json_t *size = list ? json_array_get(list, i) : one;

		options->sizes[i] = json_integer_value(size);
		if (!json_is_integer(size) || options->sizes[i] < LEAST_GENERATED ||
		    options->sizes[i] > MOST_GENERATED)
			return cap_fail(err, EINVAL,
					"options.generate.%s: must be %s from %d to %d",
					list ? "sizes" : "size", list ? "integers" : "an integer",
					LEAST_GENERATED, MOST_GENERATED);
	}
	return 0;
}

int cap_generate_read(json_t *object, struct cap_generate_options *options, struct cap_error *err)
{
	struct cap_settings in;
	int rc = cap_settings_open(&in, object, err, "options.generate");

	if (rc == 0)
		rc = cap_settings_int(&in, "packets", 0, INT64_MAX, &options->packets, err);
	if (rc == 0)
		rc = read_sizes(&in, options, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "flows", 1, 1 << 24, &options->flows, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "distinct", 1, 1 << 24, &options->distinct, err);
	return cap_settings_close(&in, rc, err);
}

static void generate_frame(uint8_t *frame, uint32_t size, uint32_t flow)
{
	struct ether_header ethernet = { .ether_dhost = { 2, 0, 0, 0, 0, 2 },
					 .ether_shost = { 2, 0, 0, 0, 0, 1 },
					 .ether_type = htons(ETHERTYPE_IP) };
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .tot_len = htons((uint16_t)(size - sizeof(ethernet))),
			    .ttl = 64,
			    .protocol = IPPROTO_UDP,
			    .saddr = htonl(0xC6120000U | (flow & 0xffff)),
			    .daddr = htonl(0xC6130000U | (flow >> 16)) };
	struct udphdr udp = { .source = htons((uint16_t)(1024 + flow % 60000)),
			      .dest = htons(4789),
			      .len = htons((uint16_t)(size - sizeof(ethernet) - sizeof(ip))) };

	memcpy(frame, &ethernet, sizeof(ethernet));
	memcpy(frame + sizeof(ethernet), &ip, sizeof(ip));
	memcpy(frame + sizeof(ethernet) + sizeof(ip), &udp, sizeof(udp));
	for (uint32_t i = LEAST_GENERATED; i < size; i++)
		frame[i] = (uint8_t)(flow + i);
}

static uint32_t size_of(const struct cap_generate_options *options, int64_t index)
{
	return (uint32_t)options->sizes[index % options->size_count];
}

static size_t room_of(const struct cap_generate_options *options, int64_t index)
{
	return (size_of(options, index) + FRAME_ALIGNMENT - 1) & ~(FRAME_ALIGNMENT - 1);
}

int cap_generator_make(const struct cap_generate_options *options, struct cap_generator **generator,
		       struct cap_error *err)
{
	struct cap_generator *made = calloc(1, sizeof(*made));
	size_t total = 0, at = 0;

	if (!made)
		return cap_fail(err, ENOMEM, "replay: out of memory");
	for (int64_t i = 0; i < options->distinct; i++)
		total += room_of(options, i);
	made->options = options;
	made->memory = aligned_alloc(FRAME_ALIGNMENT, total);
	made->frames = calloc((uint32_t)options->distinct, sizeof(*made->frames));
	if (!made->memory || !made->frames) {
		cap_generator_free(made);
		return cap_fail(err, ENOMEM, "replay: no memory for %lld frames: lower distinct",
				(long long)options->distinct);
	}
	for (int64_t i = 0; i < options->distinct; at += room_of(options, i), i++) {
		made->frames[i] = (struct frame){ made->memory + at, size_of(options, i) };
		generate_frame(made->memory + at, size_of(options, i),
			       (uint32_t)(i % options->flows));
	}
	*generator = made;
	return 0;
}

void cap_generator_free(struct cap_generator *generator)
{
	if (!generator)
		return;
	free(generator->memory);
	free(generator->frames);
	free(generator);
}

int cap_generator_burst(struct cap_generator *generator, struct cap_packet *packets, unsigned max)
{
	const uint64_t distinct = (uint64_t)generator->options->distinct;
	const uint64_t limit = (uint64_t)generator->options->packets;
	const struct frame *frames = generator->frames;
	uint64_t now = cap_realtime_ns(), position = generator->position;
	unsigned n = max;

	if (limit && limit - generator->handed < n) {
		n = (unsigned)(limit - generator->handed);
		if (n == 0)
			return -ENODATA;
	}
	for (unsigned i = 0; i < n; i++) {
		packets[i] = (struct cap_packet){ .data = frames[position].data,
						  .len = frames[position].len,
						  .wire_len = frames[position].len,
						  .timestamp_ns = now + i,
						  .n_segments = 1 };
		if (++position == distinct)
			position = 0;
	}
	generator->position = position;
	generator->handed += n;
	return (int)n;
}
