// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's programs for targets against the engine's exact matcher: the same sets over the same frames.
 * They run by BPF_PROG_TEST_RUN, whose frames carry no tag beside them; the tagged view is held true on live
 * sockets by the integration tests.
 */
#include "bpf_run.h"
#include "hostile.h"
#include "kernel_select.h"
#include "kernel_targets.h"
#include "match.h"
#include "pcapng.h"
#include "sentence.h"
#include "xdp/capture.h"

/* Generated; its conversions are not ours to mend. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "capture.skel.h"
#pragma GCC diagnostic pop

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SETS 40U
#define FRAMES 600U

static const uint32_t all_tunnels = CAP_TUNNEL_MPLS | CAP_TUNNEL_GRE | CAP_TUNNEL_GTP_U |
				    CAP_TUNNEL_VXLAN;

/* One set in force in all three places. */
struct bench {
	struct cap_kernel_select *select;
	struct capstan_capture *xdp;
	struct cap_kernel_targets *xdp_targets;
	struct cap_target_set *set;
	struct cap_fragments *fragments;
	struct cap_matcher *matcher;
};

static void set_up(struct bench *bench)
{
	struct cap_kernel_target_maps maps;
	struct cap_error err;

	*bench = (struct bench){ 0 };
	if (cap_kernel_select_load(2, &bench->select, &err)) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	bench->xdp = capstan_capture__open_and_load();
	HOLDS(bench->xdp);
	bench->xdp->bss->capstan_armed = 1;
	maps = (struct cap_kernel_target_maps){
		.hosts = bpf_map__fd(bench->xdp->maps.capstan_hosts),
		.prefixes = bpf_map__fd(bench->xdp->maps.capstan_prefixes),
		.plans = bpf_map__fd(bench->xdp->maps.capstan_plans),
		.current = bpf_map__fd(bench->xdp->maps.capstan_current),
	};
	HOLDS(cap_kernel_targets_open(&maps, &bench->xdp_targets, &err) == 0);
}

static void tear_down(struct bench *bench)
{
	cap_matcher_free(bench->matcher);
	cap_fragments_free(bench->fragments);
	cap_target_set_free(bench->set);
	cap_kernel_targets_close(bench->xdp_targets);
	capstan_capture__destroy(bench->xdp);
	cap_kernel_select_free(bench->select);
}

/* @param told how it is told to XDP */
static void put_in_force_told(struct bench *bench, const struct hostile_set *hostile,
			      uint32_t tunnels, const struct cap_active_targets *told)
{
	const struct cap_active_targets active = { .targets = hostile->pointers,
						   .count = hostile->count };
	struct cap_error err;

	cap_matcher_free(bench->matcher);
	cap_fragments_free(bench->fragments);
	cap_target_set_free(bench->set);
	bench->fragments = cap_fragments_create(CAP_FRAGMENT_SLOTS);
	bench->matcher = cap_matcher_create(CAP_LINKTYPE_ETHERNET, tunnels, bench->fragments);
	HOLDS(bench->fragments && bench->matcher);
	HOLDS(cap_target_set_build(hostile->targets, hostile->count, &bench->set, &err) == 0);
	HOLDS(cap_kernel_select_set(bench->select, &active, tunnels, &err) == 0);
	HOLDS(cap_kernel_targets_set(bench->xdp_targets, told ? told : &active, tunnels, &err) ==
	      0);
}

static void put_in_force(struct bench *bench, const struct hostile_set *hostile, uint32_t tunnels)
{
	put_in_force_told(bench, hostile, tunnels, NULL);
}

static bool exact(struct bench *bench, const uint8_t *frame, uint32_t len)
{
	const struct cap_packet packet = { .data = frame,
					   .len = len,
					   .wire_len = len,
					   .timestamp_ns = 1000000000,
					   .n_segments = 1 };
	struct cap_match found[1];

	return cap_match_burst(bench->matcher, bench->set, &packet, 1, found) != 0;
}

/* A matcher that remembers no first fragment: what cannot be known holds. */
static bool exact_without_memory(struct bench *bench, const uint8_t *frame, uint32_t len)
{
	cap_fragments_free(bench->fragments);
	cap_matcher_free(bench->matcher);
	bench->fragments = cap_fragments_create(4);
	bench->matcher = cap_matcher_create(CAP_LINKTYPE_ETHERNET, all_tunnels, bench->fragments);
	HOLDS(bench->fragments && bench->matcher);
	return exact(bench, frame, len);
}

static bool socket_passes(const struct bench *bench, const uint8_t *frame, uint32_t len)
{
	int64_t verdict = bpf_run(cap_kernel_select_fd(bench->select, 1), frame, len);

	HOLDS(verdict == 0 || verdict == 262144);
	return verdict != 0;
}

static bool xdp_passes(const struct bench *bench, const uint8_t *frame, uint32_t len)
{
	int64_t verdict =
		bpf_run_xdp(bpf_program__fd(bench->xdp->progs.capstan_select), frame, len);

	/* There is no socket in this test, so what passes goes on to the kernel's network. */
	HOLDS(verdict == BPF_RUN_XDP_DROP || verdict == BPF_RUN_XDP_PASS);
	return verdict == BPF_RUN_XDP_PASS;
}

static void fail_frame(const char *what, unsigned set, const uint8_t *frame, uint32_t len)
{
	fprintf(stderr, "set %u: %s:", set, what);
	for (uint32_t i = 0; i < len; i++)
		fprintf(stderr, " %02x", frame[i]);
	fprintf(stderr, "\n");
	exit(1);
}

static void the_kernel_rejects_nothing_that_the_engine_would_keep(void)
{
	unsigned kept = 0, rejected = 0, wanted = 0;
	struct cap_kernel_selected counted;
	struct hostile_set hostile;
	struct bench bench;

	set_up(&bench);
	for (unsigned s = 0; s < SETS; s++) {
		hostile_targets(&hostile, HOSTILE_EVERYTHING & ~(s % 4 ? HOSTILE_VLANS : 0U) &
						  ~(s % 3 ? HOSTILE_MACS : 0U));
		put_in_force(&bench, &hostile, all_tunnels);
		for (unsigned i = 0; i < FRAMES; i++) {
			uint8_t frame[HOSTILE_LARGEST];
			uint32_t len = hostile_frame(frame);
			bool socket = socket_passes(&bench, frame, len);
			bool is_wanted = exact_without_memory(&bench, frame, len);

			kept += socket;
			rejected += !socket;
			wanted += is_wanted;
			if (xdp_passes(&bench, frame, len) != socket)
				fail_frame("XDP and socket differ", s, frame, len);
			if (is_wanted && !socket)
				fail_frame("rejected by the kernel, kept by the engine", s, frame,
					   len);
		}
	}
	cap_kernel_select_counters(bench.select, 1, &counted);
	HOLDS(counted.seen == SETS * FRAMES && counted.rejected == rejected);
	cap_kernel_select_counters(bench.select, 0, &counted);
	HOLDS(counted.seen == 0);
	/* Neither all nor none, or the sentence would say nothing. */
	HOLDS(wanted > FRAMES && rejected > FRAMES);
	printf("  %u wanted, %u passed, %u rejected\n", wanted, kept, rejected);
	tear_down(&bench);
}

/* Of addresses alone, and a frame that is whole, the kernel knows as much as the engine. */
static void whole_addresses_are_judged_exactly(void)
{
	struct hostile_set hostile;
	unsigned rejected = 0;
	struct bench bench;

	set_up(&bench);
	for (unsigned s = 0; s < SETS / 2; s++) {
		hostile_targets(&hostile, HOSTILE_HOSTS | HOSTILE_PREFIXES | HOSTILE_DIRECTIONS);
		put_in_force(&bench, &hostile, all_tunnels);
		for (unsigned i = 0; i < FRAMES; i++) {
			struct cap_kernel_selected before, after;
			uint8_t frame[HOSTILE_LARGEST];
			uint32_t len = hostile_frame(frame);
			bool passes;

			cap_kernel_select_counters(bench.select, 1, &before);
			passes = socket_passes(&bench, frame, len);
			cap_kernel_select_counters(bench.select, 1, &after);
			rejected += !passes;
			if (after.unjudged == before.unjudged &&
			    passes != exact(&bench, frame, len))
				fail_frame("judged otherwise than by the engine", s, frame, len);
		}
	}
	HOLDS(rejected > FRAMES);
	tear_down(&bench);
}

/* What the engine keeps must not depend on whether it has seen what the kernel left. */
static bool is_kept_alike(struct bench *all, struct bench *some, const uint8_t *frame, uint32_t len)
{
	bool passes = socket_passes(some, frame, len);
	bool wanted = exact(all, frame, len);

	return wanted == (passes && exact(some, frame, len));
}

static void fragments_are_kept_alike_with_and_without_the_kernel(void)
{
	uint8_t first[HOSTILE_LARGEST], later[HOSTILE_LARGEST];
	struct cap_kernel_selected counted;
	struct hostile_set hostile;
	struct bench all, some;

	set_up(&all);
	set_up(&some);
	for (unsigned s = 0; s < SETS; s++) {
		hostile_targets(&hostile, HOSTILE_HOSTS | HOSTILE_PREFIXES | HOSTILE_PORTS |
						  HOSTILE_PROTOCOLS | HOSTILE_DIRECTIONS);
		put_in_force(&all, &hostile, all_tunnels);
		put_in_force(&some, &hostile, all_tunnels);
		for (unsigned i = 0; i < FRAMES / 2; i++) {
			uint32_t len = hostile_frame(first);

			if (!is_kept_alike(&all, &some, first, len))
				fail_frame("kept or not by what came before", s, first, len);
			hostile_fragments(first, later);
			if (!is_kept_alike(&all, &some, first, HOSTILE_FRAGMENT))
				fail_frame("a first fragment", s, first, HOSTILE_FRAGMENT);
			if (!is_kept_alike(&all, &some, later, HOSTILE_FRAGMENT))
				fail_frame("a later fragment", s, later, HOSTILE_FRAGMENT);
		}
	}
	cap_kernel_select_counters(some.select, 1, &counted);
	HOLDS(counted.rejected > FRAMES);
	tear_down(&all);
	tear_down(&some);
}

/* What a set has that another has not, as a step tells it. */
static unsigned beside(const struct hostile_set *hostile, const bool *is, const bool *was,
		       const struct cap_target **found)
{
	unsigned count = 0;

	for (unsigned i = 0; i < hostile->count; i++)
		if (is[i] && !was[i])
			found[count++] = hostile->pointers[i];
	return count;
}

static void check_frames(struct bench *bench, unsigned set)
{
	for (unsigned i = 0; i < FRAMES / 6; i++) {
		uint8_t frame[HOSTILE_LARGEST];
		uint32_t len = hostile_frame(frame);
		bool passes = socket_passes(bench, frame, len);

		if (xdp_passes(bench, frame, len) != passes)
			fail_frame("a step and a whole set differ", set, frame, len);
		if (!passes && exact_without_memory(bench, frame, len))
			fail_frame("rejected after a change", set, frame, len);
	}
}

/* A set that changes a little is changed in its place, by steps (XDP) or as a whole (socket), and as good as a new one. */
static void a_set_that_changes_a_little_is_judged_as_if_it_were_new(void)
{
	struct hostile_set hostile;
	struct bench bench;

	set_up(&bench);
	for (unsigned s = 0; s < SETS / 4; s++) {
		bool was[HOSTILE_MOST_TARGETS] = { false }, is[HOSTILE_MOST_TARGETS] = { false };
		struct cap_active_targets told = { .is_step = false };

		hostile_targets(&hostile, HOSTILE_EVERYTHING & ~(s % 2 ? HOSTILE_VLANS : 0U));
		for (unsigned step = 0; step < 12; step++) {
			struct hostile_set now = { .count = 0 };

			for (unsigned i = 0; i < hostile.count; i++) {
				is[i] = was[i] != (hostile_random() % 4 == 0);
				if (!is[i])
					continue;
				now.pointers[now.count] = hostile.pointers[i];
				now.targets[now.count++] = hostile.targets[i];
			}
			told.targets = now.pointers;
			told.count = now.count;
			told.added_count = beside(&hostile, is, was, told.added);
			told.removed_count = beside(&hostile, was, is, told.removed);
			put_in_force_told(&bench, &now, all_tunnels, &told);
			told.is_step = true;
			check_frames(&bench, s);
			memcpy(was, is, sizeof(was));
		}
	}
	tear_down(&bench);
}

static void no_targets_are_nobodys_packets(void)
{
	struct hostile_set hostile = { 0 };
	struct bench bench;

	set_up(&bench);
	put_in_force(&bench, &hostile, all_tunnels);
	for (unsigned i = 0; i < FRAMES; i++) {
		uint8_t frame[HOSTILE_LARGEST];
		uint32_t len = hostile_frame(frame);

		HOLDS(!socket_passes(&bench, frame, len) && !xdp_passes(&bench, frame, len));
	}
	tear_down(&bench);
}

/* As when the kernel has no memory: one of the maps is not to be had. */
static void a_set_that_does_not_fit_lets_everything_through(void)
{
	struct cap_kernel_target_maps maps;
	const struct cap_active_targets none = { .count = 0 };
	struct cap_active_targets all;
	struct cap_kernel_targets *lame;
	struct hostile_set hostile;
	uint8_t frame[HOSTILE_LARGEST];
	struct cap_error err;
	struct bench bench;

	set_up(&bench);
	maps = (struct cap_kernel_target_maps){
		.hosts = bpf_map__fd(bench.xdp->maps.capstan_hosts),
		.prefixes = -1,
		.plans = bpf_map__fd(bench.xdp->maps.capstan_plans),
		.current = bpf_map__fd(bench.xdp->maps.capstan_current),
	};
	HOLDS(cap_kernel_targets_open(&maps, &lame, &err) == 0);
	hostile_targets(&hostile, HOSTILE_PREFIXES);
	all = (struct cap_active_targets){ .targets = hostile.pointers, .count = hostile.count };
	HOLDS(cap_kernel_targets_set(lame, &all, 0, &err) < 0);
	HOLDS(strstr(err.text, "the engine alone selects their packets"));
	for (unsigned i = 0; i < FRAMES; i++)
		HOLDS(xdp_passes(&bench, frame, hostile_frame(frame)));
	/* The next one that fits is judged again. */
	HOLDS(cap_kernel_targets_set(lame, &none, 0, &err) == 0);
	HOLDS(!xdp_passes(&bench, frame, hostile_frame(frame)));
	cap_kernel_targets_close(lame);
	tear_down(&bench);
}

static void tables_that_cannot_be_opened_close_nothing_of_others(void)
{
	const struct cap_kernel_target_maps none = {
		.hosts = -1, .prefixes = -1, .plans = -1, .current = -1
	};
	const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct cap_kernel_targets *targets;
	struct cap_error err;

	HOLDS(input >= 0 && (input == 0 || dup2(input, 0) == 0));
	HOLDS(cap_kernel_targets_open(&none, &targets, &err) < 0);
	HOLDS(strstr(err.text, "the kernel gives no tables"));
	HOLDS(fcntl(0, F_GETFD) >= 0); /* what a table has that was never made */
	if (input > 0)
		close(input);
}

static void nested_networks_say_what_those_around_them_say(void)
{
	struct hostile_set hostile = { .count = 4 };
	uint8_t frame[60] = { [12] = 8, [14] = 0x45, [23] = 17 };
	struct bench bench;

	set_up(&bench);
	/* The widest from one side, those within from the other: the longest that fits must tell of both. */
	for (unsigned i = 0; i < 4; i++) {
		struct cap_prefix *prefix = &hostile.prefixes[i][0];

		*prefix = (struct cap_prefix){ .family = 4, .length = (uint8_t)(8 * i) };
		memcpy(prefix->bytes, "\12\24\36", i);
		hostile.targets[i] = (struct cap_target){
			.any_protocol = true,
			.end_ns = UINT64_MAX,
			.prefix_count = 1,
			.prefixes = prefix,
			.direction = i == 0 ? CAP_DIRECTION_TO : CAP_DIRECTION_FROM,
		};
		hostile.pointers[i] = &hostile.targets[i];
	}
	put_in_force(&bench, &hostile, 0);
	memcpy(frame + 26, "\300\1\1\1\12\24\36\1", 8);
	HOLDS(exact(&bench, frame, sizeof(frame)));
	HOLDS(socket_passes(&bench, frame, sizeof(frame)));
	HOLDS(xdp_passes(&bench, frame, sizeof(frame)));
	tear_down(&bench);
}

int main(void)
{
	static const struct sentence needs_bpf[] = {
		{ "the kernel rejects nothing that the engine would keep",
		  the_kernel_rejects_nothing_that_the_engine_would_keep },
		{ "whole addresses are judged exactly", whole_addresses_are_judged_exactly },
		{ "fragments are kept alike with and without the kernel",
		  fragments_are_kept_alike_with_and_without_the_kernel },
		{ "a set that changes a little is judged as if it were new",
		  a_set_that_changes_a_little_is_judged_as_if_it_were_new },
		{ "no targets are nobody's packets", no_targets_are_nobodys_packets },
		{ "a set that does not fit lets everything through",
		  a_set_that_does_not_fit_lets_everything_through },
		{ "tables that cannot be opened close nothing of others",
		  tables_that_cannot_be_opened_close_nothing_of_others },
		{ "nested networks say what those around them say",
		  nested_networks_say_what_those_around_them_say },
	};

	if (geteuid() != 0) {
		puts("skipped: loading BPF programs needs root");
		return 77;
	}
	return HOLD_ALL(needs_bpf);
}
