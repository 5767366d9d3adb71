// SPDX-License-Identifier: Apache-2.0
/*
 * What the matcher costs: nanoseconds of CPU time for a packet, milliseconds to build a set, bytes a target; for
 * sets of several kinds and sizes against 64-byte packets of which one in a hundred is somebody's.
 *
 *     bench-match                 all cases
 *     bench-match KIND TARGETS    one of them, with as many packets as callgrind has patience for
 */
#include "match.h"
#include "pcapng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FRAME 64U
#define FRAMES 65536U
#define PASSES 60U
#define PASSES_UNDER_CALLGRIND 2U
#define REPEATS 5U
#define HIT_EVERY 100U

enum kind {
	HOSTS4,	   /* IPv4 hosts all over the address space */
	DENSE4,	   /* IPv4 hosts side by side, and the traffic among them */
	PREFIXES4, /* IPv4 prefixes of 28 to 31 bits, and one in 10 000 of 12 to 31 */
	HOSTS6,
	PREFIXES6, /* of 56 to 76 bits */
	MIXED,	   /* all of these */
	KINDS
};

static const char *const names[] = {
	"hosts4", "dense4", "prefixes4", "hosts6", "prefixes6", "mixed"
};

static uint64_t state;

static uint32_t random32(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 20);
}

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void put32(uint8_t *to, uint32_t number)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(number >> (24 - 8 * i));
}

static enum kind kind_of(enum kind kind, unsigned index)
{
	return kind == MIXED ? (enum kind)(index % MIXED) : kind;
}

/* Targets are in 16.0.0.0/4, or dense in 10.0.0.0/8, and in 2001:db8::/32; other traffic, too, or elsewhere. */
static struct cap_prefix make_prefix(enum kind kind, unsigned index)
{
	struct cap_prefix prefix = { .family = 4, .length = 32 };

	switch (kind_of(kind, index)) {
	case HOSTS4:
		put32(prefix.bytes, random32());
		break;
	case DENSE4:
		put32(prefix.bytes, 0x0a000000 + 2 * index);
		break;
	case PREFIXES4:
		put32(prefix.bytes, random32());
		prefix.length = (uint8_t)(12 + random32() % 20);
		/* Short ones would hold much of the traffic. */
		if (index % 10000)
			prefix.length = (uint8_t)(28 + random32() % 4);
		break;
	default:
		prefix.family = 6;
		prefix.length = 128;
		put32(prefix.bytes, 0x20010db8);
		put32(prefix.bytes + 4, random32());
		put32(prefix.bytes + 8, random32());
		put32(prefix.bytes + 12, random32());
		if (kind_of(kind, index) == PREFIXES6)
			prefix.length = (uint8_t)(56 + 4 * (random32() % 6));
	}
	for (unsigned bit = prefix.length; bit < 128; bit++)
		prefix.bytes[bit / 8] &= (uint8_t) ~(0x80U >> bit % 8);
	return prefix;
}

static uint32_t other4(enum kind kind)
{
	/* Odd neighbours of the dense hosts. */
	return kind == DENSE4 ? 0x0a000001 + 2 * (random32() % 100000) : random32();
}

static void make_frame(uint8_t *frame, enum kind kind, const struct cap_prefix *hit)
{
	bool six = hit ? hit->family == 6 :
			 kind == HOSTS6 || kind == PREFIXES6 || (kind == MIXED && random32() % 2);

	memset(frame, 0, FRAME);
	memcpy(frame, "\x02\0\0\0\0\2\x02\0\0\0\0\1", 12);
	if (six) {
		memcpy(frame + 12, "\x86\xdd\x60", 3);
		frame[20] = 17;
		for (unsigned i = 0; i < 2; i++) {
			put32(frame + 22 + 16 * i, 0x20010db8);
			put32(frame + 26 + 16 * i, random32());
			put32(frame + 30 + 16 * i, random32());
			put32(frame + 34 + 16 * i, random32());
		}
		if (hit)
			memcpy(frame + 22, hit->bytes, 16);
		return;
	}
	memcpy(frame + 12, "\x08\0\x45", 3);
	frame[23] = 17;
	put32(frame + 26, other4(kind));
	put32(frame + 30, other4(kind));
	if (hit)
		memcpy(frame + 26, hit->bytes, 4);
}

static struct cap_target_set *make_set(enum kind kind, unsigned count, struct cap_prefix *prefixes,
				       double *build_ms)
{
	struct cap_target *targets = calloc(count, sizeof(*targets));
	struct cap_target_set *set = NULL;
	struct cap_error err;
	double begin;

	for (unsigned i = 0; i < count; i++) {
		prefixes[i] = make_prefix(kind, i);
		targets[i] = (struct cap_target){ .any_protocol = true,
						  .end_ns = UINT64_MAX,
						  .prefix_count = 1,
						  .prefixes = &prefixes[i] };
	}
	begin = cpu_ns();
	if (cap_target_set_build(targets, count, &set, &err))
		fprintf(stderr, "%s\n", err.text);
	*build_ms = (cpu_ns() - begin) / 1e6;
	free(targets);
	return set;
}

static uint64_t pass(struct cap_matcher *matcher, const struct cap_target_set *set,
		     const struct cap_packet *packets, unsigned passes)
{
	static struct cap_match found[CAP_BURST];
	uint64_t matched = 0;

	for (unsigned p = 0; p < passes; p++)
		for (unsigned i = 0; i < FRAMES; i += CAP_BURST)
			matched += (uint64_t)__builtin_popcountll(
				cap_match_burst(matcher, set, packets + i, CAP_BURST, found));
	return matched;
}

static void measure(enum kind kind, unsigned count, unsigned passes, unsigned repeats)
{
	struct cap_prefix *prefixes = malloc(count * sizeof(*prefixes));
	uint8_t *frames = aligned_alloc(64, (size_t)FRAMES * FRAME);
	struct cap_packet *packets = calloc(FRAMES, sizeof(*packets));
	struct cap_fragments *fragments = cap_fragments_create(CAP_FRAGMENT_SLOTS);
	struct cap_matcher *matcher = cap_matcher_create(CAP_LINKTYPE_ETHERNET, 0, fragments);
	double build_ms, best = 1e30;
	struct cap_target_set *set;
	uint64_t matched = 0;

	state = 88172645463325252ULL;
	set = make_set(kind, count, prefixes, &build_ms);
	for (unsigned i = 0; i < FRAMES; i++) {
		make_frame(frames + i * FRAME, kind,
			   i % HIT_EVERY ? NULL : &prefixes[random32() % count]);
		packets[i] = (struct cap_packet){ .data = frames + i * FRAME,
						  .len = FRAME,
						  .wire_len = FRAME,
						  .timestamp_ns = 1,
						  .n_segments = 1 };
	}
	for (unsigned r = 0; r < repeats; r++) {
		double begin = cpu_ns(), ns;

		matched = pass(matcher, set, packets, passes);
		ns = (cpu_ns() - begin) / ((double)passes * FRAMES);
		best = ns < best ? ns : best;
	}
	printf("%-10s %7u targets: %6.1f ns a packet, %5.2f %% matched, built in %6.1f ms, %5.0f bytes a target\n",
	       names[kind], count, best, 100.0 * (double)matched / ((double)passes * FRAMES),
	       build_ms, (double)cap_target_set_memory(set) / count);
	fflush(stdout);
	cap_target_set_free(set);
	cap_matcher_free(matcher);
	cap_fragments_free(fragments);
	free(packets);
	free(frames);
	free(prefixes);
}

int main(int argc, char **argv)
{
	static const unsigned counts[] = { 1, 1000, 100000 };

	for (enum kind kind = 0; kind < KINDS; kind++) {
		if (argc == 3 && !strcmp(argv[1], names[kind]))
			measure(kind, (unsigned)atoi(argv[2]), PASSES_UNDER_CALLGRIND, 1);
		for (unsigned i = 0; argc == 1 && i < sizeof(counts) / sizeof(counts[0]); i++)
			measure(kind, counts[i], PASSES, REPEATS);
	}
	return 0;
}
