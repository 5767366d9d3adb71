// SPDX-License-Identifier: Apache-2.0
/*
 * Hostile frames: random bytes, and frames of nested tunnels, options and fragments that are cut at every byte and
 * damaged at random, in memory of exactly their size, so that a sanitizer sees every byte read beyond.
 * fuzz_frame_view [ROUNDS [SEED]]
 *
 * Built with -DCAP_LIBFUZZER and -fsanitize=fuzzer it is a target of libFuzzer.
 */
#include "filter.h"
#include "frame_view.h"
#include "match.h"
#include "pcapng.h"
#include "sentence.h"
#include "target_traffic.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uint8_t room[CAP_LOOK_BYTES];

/* What a view says is in itself no contradiction, whatever the frame. */
static void look(const struct cap_packet *packet, uint32_t link_type, uint32_t tunnels)
{
	struct cap_view views[CAP_MAX_VIEWS];
	unsigned n = cap_frame_views(packet, link_type, tunnels, room, views);

	HOLDS(n >= 1 && n <= (tunnels ? CAP_MAX_VIEWS : 1));
	for (unsigned i = 0; i < n; i++) {
		const struct cap_view *view = &views[i];

		HOLDS(view->family == 0 || view->family == 4 || view->family == 6);
		HOLDS(view->family || (!view->has_address[0] && !view->has_address[1]));
		HOLDS(view->family || view->protocol_is != CAP_KNOWN);
		HOLDS(view->family || view->fragment == CAP_WHOLE);
		for (unsigned k = 0; k < 2; k++) {
			HOLDS(view->port_is[k] <= CAP_UNKNOWN && view->vlan_is[k] <= CAP_UNKNOWN);
			HOLDS(view->port_is[k] != CAP_KNOWN || view->protocol_is == CAP_KNOWN);
			HOLDS(view->vlan[k] < 4096);
		}
		HOLDS(view->vlan_is[1] != CAP_KNOWN || view->vlan_is[0] == CAP_KNOWN);
	}
}

static void match(const struct cap_packet *packet, uint32_t link_type)
{
	static struct cap_fragments *fragments;
	static struct cap_target_set *set;
	static struct cap_matcher *matchers[2];
	static struct cap_match found[1];
	struct cap_error err;

	if (!set) {
		struct traffic traffic;
		struct cap_target *targets;

		traffic_begin(&traffic, 1);
		targets = traffic_targets_make(&traffic, 50);
		HOLDS(cap_target_set_build(targets, 50, &set, &err) == 0);
		traffic_targets_free(targets, 50);
		fragments = cap_fragments_create(64);
		matchers[0] = cap_matcher_create(CAP_LINKTYPE_ETHERNET, UINT32_MAX, fragments);
		matchers[1] = cap_matcher_create(CAP_LINKTYPE_RAW, UINT32_MAX, fragments);
		HOLDS(matchers[0] && matchers[1]);
	}
	if (cap_match_burst(matchers[link_type == CAP_LINKTYPE_RAW], set, packet, 1, found))
		HOLDS(found->count >= 1 && found->count <= CAP_MAX_MATCHES);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const uint32_t links[] = { CAP_LINKTYPE_ETHERNET, CAP_LINKTYPE_RAW };
	uint8_t *exact = malloc(len ? len : 1);
	struct cap_packet packet = { .data = exact,
				     .len = (uint32_t)len,
				     .wire_len = (uint32_t)len,
				     .timestamp_ns = 1,
				     .n_segments = 1 };

	memcpy(exact, bytes, len);
	for (unsigned i = 0; i < 2; i++)
		for (uint32_t tagged = 0; tagged < 2; tagged++) {
			packet.vlan_tpid = tagged ? 0x8100 : 0;
			packet.vlan_tci = 0xffff;
			look(&packet, links[i], 0);
			look(&packet, links[i], UINT32_MAX);
			match(&packet, links[i]);
		}
	free(exact);
	return 0;
}

#ifndef CAP_LIBFUZZER
#define ROUNDS 3000UL
#define LONGEST 300U

/* @return bytes of a frame that could be, out of whatever pieces it lies in */
static size_t plausible(struct traffic *traffic, uint8_t *bytes)
{
	struct traffic_packet made;
	size_t len = 0;

	traffic_packet_make(traffic, traffic_random(traffic, 8) > 0, &made);
	for (unsigned i = 0; i < made.packet.n_segments; i++) {
		memcpy(bytes + len, made.pieces[i], made.segments[i].len);
		len += made.segments[i].len;
	}
	traffic_packet_free(&made);
	return len;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
	struct traffic traffic;

	traffic_begin(&traffic, argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
	for (unsigned long i = 0; i < rounds; i++) {
		static uint8_t bytes[TRAFFIC_MOST_BYTES];
		size_t len = plausible(&traffic, bytes);

		if (i % 8 == 0) {
			len = traffic_random(&traffic, LONGEST);
			for (size_t k = 0; k < len; k++)
				bytes[k] = (uint8_t)traffic_random(&traffic, 256);
		}
		for (uint64_t flips = traffic_random(&traffic, 4); len && flips; flips--)
			bytes[traffic_random(&traffic, len)] =
				(uint8_t)traffic_random(&traffic, 256);
		LLVMFuzzerTestOneInput(bytes, len);
		for (size_t cut = 0; cut < len && cut < LONGEST; cut += 1 + i % 3)
			LLVMFuzzerTestOneInput(bytes, cut);
	}
	printf("%lu rounds\n", rounds);
	return 0;
}
#endif
