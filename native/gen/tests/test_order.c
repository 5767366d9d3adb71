// SPDX-License-Identifier: Apache-2.0
/* What a person orders in words: sizes, traffic, numbers, pace. */
#include <string.h>

#include "../../tests/sentence.h"
#include "command.h"
#include "number.h"
#include "pace.h"
#include "sizes.h"
#include "traffic.h"

#define MS 1000000u
#define SECOND 1000000000u

static void a_list_of_sizes_is_cycled(void)
{
	struct size_mix mix;
	struct fault fault;

	HOLDS(size_mix_parse("64,512,1514", &mix, &fault) == 0);
	HOLDS(mix.smallest == 64 && mix.largest == 1514);
	HOLDS(size_mix_at(&mix, 0) == 64 && size_mix_at(&mix, 4) == 512);
	HOLDS(size_mix_at(&mix, 3000002) == 1514);
}

static void a_range_is_covered_evenly(void)
{
	unsigned int seen[1455] = { 0 };
	struct size_mix mix;
	struct fault fault;

	HOLDS(size_mix_parse("60-1514", &mix, &fault) == 0);
	for (uint64_t number = 0; number < 1455 * 100; number++) {
		uint16_t size = size_mix_at(&mix, number);

		HOLDS(size >= 60 && size <= 1514);
		seen[size - 60]++;
	}
	for (unsigned int i = 0; i < 1455; i++)
		HOLDS(seen[i] > 50 && seen[i] < 160);
}

static void imix_is_seven_four_one(void)
{
	unsigned int small = 0, middle = 0, large = 0;
	struct size_mix mix;
	struct fault fault;

	HOLDS(size_mix_parse("imix", &mix, &fault) == 0);
	for (uint64_t number = 0; number < 1200; number++) {
		small += size_mix_at(&mix, number) == 64;
		middle += size_mix_at(&mix, number) == 570;
		large += size_mix_at(&mix, number) == 1514;
	}
	HOLDS(small == 700 && middle == 400 && large == 100);
}

static void nonsense_sizes_are_refused(void)
{
	static const char *const nonsense[] = { "",	"x",   "64,",  "64;65", "-64",	   "100-64",
						"9217", "0",   "64-x", "+64",	"64,,128", "0x",
						" 64",	"1e3", "64-",  "0x40 " };
	struct size_mix mix;
	struct fault fault;

	for (unsigned int i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		HOLDS(size_mix_parse(nonsense[i], &mix, &fault) == -1);
}

static void a_size_too_small_names_the_smallest(void)
{
	struct traffic_words words = { .size = "64", .shape = "udp6", .vlan = "1,2" };
	struct traffic traffic;
	struct fault fault;

	HOLDS(traffic_parse(&words, &traffic, &fault) == -1);
	HOLDS(strstr(fault.text, "use 90 bytes"));
	words.size = "imix";
	HOLDS(traffic_parse(&words, &traffic, &fault) == 0);
	HOLDS(size_mix_at(&traffic.sizes, 0) == 90);
	words.size = NULL;
	HOLDS(traffic_parse(&words, &traffic, &fault) == 0);
	HOLDS(size_mix_at(&traffic.sizes, 0) == 90);
}

static void nonsense_traffic_is_refused(void)
{
	static const struct traffic_words nonsense[] = {
		{ .shape = "tcp" }, { .flows = "0" },	 { .flows = "65537" },
		{ .vlan = "4096" }, { .vlan = "1,2,3" }, { .vlan = "0x10000" },
		{ .vlan = ",2" },   { .stream = "-1" },	 { .stream = "4294967296" },
		{ .vlan = "" },
	};
	struct traffic traffic;
	struct fault fault;

	for (unsigned int i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		HOLDS(traffic_parse(&nonsense[i], &traffic, &fault) == -1);
}

static void a_run_must_be_bounded(void)
{
	struct span_words words = { .rate = "5" };
	struct span span;
	struct fault fault;

	HOLDS(span_parse(&words, &span, &fault) == -1);
	words.seconds = "0.5";
	HOLDS(span_parse(&words, &span, &fault) == 0 && span.rate == 5);
	words.seconds = "nan";
	HOLDS(span_parse(&words, &span, &fault) == -1);
	words.seconds = "";
	HOLDS(span_parse(&words, &span, &fault) == -1);
	words = (struct span_words){ .count = "0" };
	HOLDS(span_parse(&words, &span, &fault) == -1);
}

static void numbers_are_grouped_in_threes(void)
{
	char text[NUMBER_TEXT];

	HOLDS(strcmp(number_group(0, text), "0") == 0);
	HOLDS(strcmp(number_group(999, text), "999") == 0);
	HOLDS(strcmp(number_group(1000, text), "1 000") == 0);
	HOLDS(strcmp(number_group(UINT64_MAX, text), "18 446 744 073 709 551 615") == 0);
}

static void a_pace_is_exact_over_time(void)
{
	struct pace pace;
	uint64_t sent = 0, start = 123456789;

	pace_start(&pace, 30000, start);
	for (uint64_t now = start; now < start + SECOND; now += MS / 10) {
		uint32_t due = pace_due(&pace, now, 1000);

		HOLDS(due <= 4);
		pace_sent(&pace, due);
		sent += due;
	}
	HOLDS(sent >= 29996 && sent <= 30000);
}

static void waiting_ends_when_the_next_frame_is_due(void)
{
	struct pace pace;

	pace_start(&pace, 1000, 0);
	HOLDS(pace_due(&pace, 0, 64) == 1);
	pace_sent(&pace, 1);
	HOLDS(pace_due(&pace, 0, 64) == 0);
	HOLDS(pace_wait_ns(&pace, 0) == MS);
	HOLDS(pace_wait_ns(&pace, MS - 1) == 1);
	HOLDS(pace_due(&pace, MS - 1, 64) == 0);
	HOLDS(pace_wait_ns(&pace, MS) == 0 && pace_due(&pace, MS, 64) == 1);
}

static void a_stall_ends_in_a_few_tens_of_frames_not_a_flood(void)
{
	struct pace pace;
	uint32_t due;

	pace_start(&pace, 10000, 0);
	due = pace_due(&pace, 10 * (uint64_t)SECOND, 1000000);
	HOLDS(due == 32);
	pace_sent(&pace, due);
	/* What was forgotten stays forgotten: the next is one interval away. */
	HOLDS(pace_due(&pace, 10 * (uint64_t)SECOND, 1000000) <= 1);
	HOLDS(pace_due(&pace, 10 * (uint64_t)SECOND + MS, 1000000) <= 11);
}

static void high_paces_are_sent_in_small_bursts(void)
{
	struct pace pace;

	pace_start(&pace, 1000000, 0);
	pace_sent(&pace, pace_due(&pace, 0, 64));
	HOLDS(pace.quantum == 32);
	HOLDS(pace_wait_ns(&pace, 0) == 32000);
}

static void unpaced_is_always_due(void)
{
	struct pace pace;

	pace_start(&pace, 0, 0);
	HOLDS(pace_due(&pace, 0, 64) == 64);
	pace_sent(&pace, 64);
	HOLDS(pace_due(&pace, 0, 64) == 64 && pace_wait_ns(&pace, 0) == 0);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "a list of sizes is cycled", a_list_of_sizes_is_cycled },
		{ "a range is covered evenly", a_range_is_covered_evenly },
		{ "imix is seven, four, one", imix_is_seven_four_one },
		{ "nonsense sizes are refused", nonsense_sizes_are_refused },
		{ "a size too small names the smallest", a_size_too_small_names_the_smallest },
		{ "nonsense traffic is refused", nonsense_traffic_is_refused },
		{ "a run must be bounded", a_run_must_be_bounded },
		{ "numbers are grouped in threes", numbers_are_grouped_in_threes },
		{ "a pace is exact over time", a_pace_is_exact_over_time },
		{ "waiting ends when the next frame is due",
		  waiting_ends_when_the_next_frame_is_due },
		{ "a stall ends in a few tens of frames, not a flood",
		  a_stall_ends_in_a_few_tens_of_frames_not_a_flood },
		{ "high paces are sent in small bursts", high_paces_are_sent_in_small_bursts },
		{ "unpaced is always due", unpaced_is_always_due },
	};

	return HOLD_ALL(sentences);
}
