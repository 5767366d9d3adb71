// SPDX-License-Identifier: Apache-2.0
/* The checker against files with every kind of damage, in both formats. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../tests/sentence.h"
#include "check.h"
#include "write.h"

#define FRAMES 1000

static const char *const endings[] = { "pcap", "pcapng" };

/* A finished check of one written file; the file is gone. */
struct outcome {
	struct check_result result;
	struct check_stream *stream; /* the first */
	char folder[64], path[128];
};

static struct write_order plain_order(const char *path)
{
	struct traffic_words words = { .size = "imix", .flows = "5" };
	struct write_order order = { .path = path, .first = 500, .count = FRAMES, .rate = 1000 };
	struct fault fault;

	HOLDS(traffic_parse(&words, &order.traffic, &fault) == 0);
	order.damage.corrupt = order.damage.twice = order.damage.swap = DAMAGE_NONE;
	order.damage.garbage = order.damage.drop_a = DAMAGE_NONE;
	return order;
}

static void make_folder(struct outcome *outcome, const char *ending)
{
	memset(outcome, 0, sizeof(*outcome));
	snprintf(outcome->folder, sizeof(outcome->folder), "/tmp/capstan-gen-check-XXXXXX");
	HOLDS(mkdtemp(outcome->folder));
	snprintf(outcome->path, sizeof(outcome->path), "%s/x.%s", outcome->folder, ending);
}

static void check_path(struct outcome *outcome, struct check_order order)
{
	char *files[] = { outcome->path };
	struct fault fault;

	order.files = files;
	order.file_count = 1;
	HOLDS(check_run(&order, &outcome->result, &fault) == 0);
	outcome->stream = &outcome->result.streams[0];
	unlink(outcome->path);
	rmdir(outcome->folder);
}

static void write_and_check(struct outcome *outcome, const char *ending, struct damage damage,
			    struct check_order check)
{
	struct write_order order;
	struct write_result written;
	struct fault fault;

	make_folder(outcome, ending);
	order = plain_order(outcome->path);
	if (damage.corrupt)
		order.damage.corrupt = damage.corrupt;
	if (damage.twice)
		order.damage.twice = damage.twice;
	if (damage.swap)
		order.damage.swap = damage.swap;
	if (damage.garbage)
		order.damage.garbage = damage.garbage;
	if (damage.drop_a) {
		order.damage.drop_a = damage.drop_a;
		order.damage.drop_b = damage.drop_b;
	}
	order.damage.snap = damage.snap;
	order.damage.corrupt_bit = damage.corrupt_bit;
	order.damage.truncate_last = damage.truncate_last;
	HOLDS(write_run(&order, &written, &fault) == 0);
	check_path(outcome, check);
}

#define EACH_ENDING(ending) \
	for (const char *const *ending = endings; ending < endings + 2; ending++)

static void a_whole_file_is_complete(void)
{
	EACH_ENDING(ending)
	{
		struct outcome o;

		write_and_check(&o, *ending, (struct damage){ 0 }, (struct check_order){ 0 });
		HOLDS(check_complete(&o.result));
		HOLDS(o.result.frames == FRAMES && o.stream->numbers.size == FRAMES);
		HOLDS(o.stream->numbers.lowest == 500 && o.stream->numbers.highest == 1499);
		check_free(&o.result);
	}
}

static void left_out_frames_are_missing_by_range(void)
{
	EACH_ENDING(ending)
	{
		struct outcome o;

		write_and_check(&o, *ending, (struct damage){ .drop_a = 600, .drop_b = 610 },
				(struct check_order){ 0 });
		HOLDS(!check_complete(&o.result));
		HOLDS(o.stream->missing == 11 && o.result.range_count == 1);
		HOLDS(o.result.ranges[0].a == 600 && o.result.ranges[0].b == 610);
		HOLDS(o.stream->out_of_order == 0 && o.result.damaged == 0);
		check_free(&o.result);
	}
}

static void frames_lost_at_the_ends_are_missing_when_expected(void)
{
	struct outcome o;

	write_and_check(&o, "pcapng", (struct damage){ .drop_a = 500, .drop_b = 509 },
			(struct check_order){ .expecting = true, .first = 490, .count = 1020 });
	HOLDS(o.stream->missing == 30 && o.result.range_count == 2);
	HOLDS(o.result.ranges[0].a == 490 && o.result.ranges[0].b == 509);
	HOLDS(o.result.ranges[1].a == 1500 && o.result.ranges[1].b == 1509);
	check_free(&o.result);
}

static void numbers_not_expected_are_outside(void)
{
	struct outcome o;

	write_and_check(&o, "pcapng", (struct damage){ 0 },
			(struct check_order){ .expecting = true, .first = 500, .count = 10 });
	HOLDS(o.stream->numbered == 10 && o.stream->outside == FRAMES - 10);
	HOLDS(check_complete(&o.result));
	check_free(&o.result);
}

static void another_stream_is_foreign_and_the_asked_one_missing(void)
{
	struct outcome o;

	write_and_check(&o, "pcapng", (struct damage){ 0 },
			(struct check_order){
				.one_stream = true, .stream = 9, .expecting = true, .count = 5 });
	HOLDS(o.result.foreign == FRAMES && o.stream->id == 9 && o.stream->missing == 5);
	HOLDS(!check_complete(&o.result));
	check_free(&o.result);
}

static void a_flipped_bit_is_one_damaged_frame(void)
{
	EACH_ENDING(ending)
	{
		for (uint32_t bit = 0; bit < 64 * 8; bit += 13) {
			struct outcome o;

			write_and_check(&o, *ending,
					(struct damage){ .corrupt = 700, .corrupt_bit = bit },
					(struct check_order){ 0 });
			HOLDS(o.result.damaged == 1 && o.result.foreign == 0);
			HOLDS(o.stream->missing == 1 && o.result.ranges[0].a == 700);
			check_free(&o.result);
		}
	}
}

static void a_frame_written_twice_is_doubled(void)
{
	struct outcome o;

	write_and_check(&o, "pcap", (struct damage){ .twice = 800 }, (struct check_order){ 0 });
	HOLDS(o.stream->doubled == 1 && o.stream->numbered == FRAMES + 1);
	HOLDS(o.stream->out_of_order == 0 && o.stream->missing == 0);
	HOLDS(!check_complete(&o.result));
	check_free(&o.result);
}

static void a_frame_after_its_successor_is_out_of_order(void)
{
	struct outcome o;

	write_and_check(&o, "pcapng", (struct damage){ .swap = 800 }, (struct check_order){ 0 });
	HOLDS(o.stream->out_of_order == 1 && o.stream->doubled == 0);
	HOLDS(check_complete(&o.result));
	check_free(&o.result);
}

static void frames_kept_short_are_cut_but_numbered(void)
{
	EACH_ENDING(ending)
	{
		struct outcome o;

		write_and_check(&o, *ending, (struct damage){ .snap = 64 },
				(struct check_order){ 0 });
		/* Of twelve frames five are longer than 64 bytes; 1000 is 83 rounds and 4 more. */
		HOLDS(o.result.cut == 83 * 5 + 2 || o.result.cut == 83 * 5 + 1);
		HOLDS(o.stream->missing == 0 && o.result.damaged == 0);
		HOLDS(!check_complete(&o.result));
		check_free(&o.result);
	}
}

static void a_truncated_file_is_unreadable_from_there(void)
{
	EACH_ENDING(ending)
	{
		struct outcome o;

		write_and_check(&o, *ending, (struct damage){ .truncate_last = true },
				(struct check_order){ 0 });
		HOLDS(o.result.unreadable_count == 1);
		HOLDS(strstr(o.result.unreadable[0].why, "truncated"));
		HOLDS(o.stream->numbers.size == FRAMES - 1);
		HOLDS(!check_complete(&o.result));
		check_free(&o.result);
	}
}

static void a_garbage_length_is_unreadable_from_there(void)
{
	EACH_ENDING(ending)
	{
		struct outcome o;

		write_and_check(&o, *ending, (struct damage){ .garbage = 900 },
				(struct check_order){ 0 });
		HOLDS(o.result.unreadable_count == 1);
		HOLDS(o.stream->numbers.size == 400);
		check_free(&o.result);
	}
}

static void no_capture_at_all_is_unreadable(void)
{
	static const char *const contents[] = { "", "x", "this is no capture file at all" };

	for (unsigned int i = 0; i < 3; i++) {
		struct outcome o;
		FILE *out;

		make_folder(&o, "pcap");
		out = fopen(o.path, "wb");
		HOLDS(out);
		fputs(contents[i], out);
		fclose(out);
		check_path(&o, (struct check_order){ 0 });
		HOLDS(o.result.unreadable_count == 1 && !check_complete(&o.result));
		check_free(&o.result);
	}
}

static void order_is_judged_within_a_file(void)
{
	struct outcome a, b;
	struct write_result written;
	struct write_order order;
	struct check_result result;
	struct fault fault;
	char *files[2];

	make_folder(&a, "pcap");
	make_folder(&b, "pcapng");
	order = plain_order(a.path);
	order.first = 2000;
	HOLDS(write_run(&order, &written, &fault) == 0);
	order = plain_order(b.path);
	HOLDS(write_run(&order, &written, &fault) == 0);
	files[0] = a.path;
	files[1] = b.path;
	HOLDS(check_run(&(struct check_order){ .files = files, .file_count = 2 }, &result,
			&fault) == 0);
	HOLDS(result.streams[0].out_of_order == 0 && result.streams[0].missing == 500);
	HOLDS(result.ranges[0].a == 1500 && result.ranges[0].b == 1999);
	check_free(&result);
	unlink(a.path);
	unlink(b.path);
	rmdir(a.folder);
	rmdir(b.folder);
}

static void numbers_may_start_anywhere_but_not_lie_absurdly_far_apart(void)
{
	struct number_set set = { 0 };
	uint64_t a, b;

	HOLDS(number_set_add(&set, (uint64_t)1 << 60) == NUMBER_NEW);
	HOLDS(number_set_add(&set, (uint64_t)1 << 60) == NUMBER_KNOWN);
	HOLDS(number_set_add(&set, ((uint64_t)1 << 60) - 3000000) == NUMBER_NEW);
	HOLDS(set.size == 2);
	HOLDS(number_set_gap(&set, set.lowest, set.highest, &a, &b));
	HOLDS(a == set.lowest + 1 && b == set.highest - 1);
	HOLDS(!number_set_gap(&set, set.highest, set.highest, &a, &b));
	HOLDS(number_set_gap(&set, 5, 6, &a, &b) && a == 5 && b == 6);
	HOLDS(number_set_add(&set, 0) == NUMBER_TOO_FAR);
	HOLDS(number_set_add(&set, UINT64_MAX) == NUMBER_TOO_FAR);
	HOLDS(set.size == 2);
	number_set_free(&set);
}

static void gaps_are_found_wherever_they_lie(void)
{
	static const uint64_t gone[] = { 0,   1,   63,	    64,	     65,      127,
					 128, 300, 1048575, 1048576, 1048577, 2999999 };
	struct number_set set = { 0 };
	uint64_t a, b, from = 0;
	unsigned int left_out = 0;

	for (uint64_t number = 0; number < 3000000; number++) {
		if (left_out < 12 && number == gone[left_out])
			left_out++;
		else
			HOLDS(number_set_add(&set, number) == NUMBER_NEW);
	}
	for (unsigned int i = 0; i < 12;) {
		HOLDS(number_set_gap(&set, from, 2999999, &a, &b));
		HOLDS(a == gone[i]);
		while (i + 1 < 12 && gone[i + 1] == gone[i] + 1)
			i++;
		HOLDS(b == gone[i++]);
		from = b + 1;
	}
	HOLDS(!number_set_gap(&set, from, 2999999, &a, &b));
	number_set_free(&set);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "a whole file is complete", a_whole_file_is_complete },
		{ "left-out frames are missing, by range", left_out_frames_are_missing_by_range },
		{ "frames lost at the ends are missing when expected",
		  frames_lost_at_the_ends_are_missing_when_expected },
		{ "numbers not expected are outside", numbers_not_expected_are_outside },
		{ "another stream is foreign and the one asked for missing",
		  another_stream_is_foreign_and_the_asked_one_missing },
		{ "a flipped bit is one damaged frame", a_flipped_bit_is_one_damaged_frame },
		{ "a frame written twice is doubled", a_frame_written_twice_is_doubled },
		{ "a frame after its successor is out of order",
		  a_frame_after_its_successor_is_out_of_order },
		{ "frames kept short are cut but numbered",
		  frames_kept_short_are_cut_but_numbered },
		{ "a truncated file is unreadable from there",
		  a_truncated_file_is_unreadable_from_there },
		{ "a garbage length is unreadable from there",
		  a_garbage_length_is_unreadable_from_there },
		{ "no capture at all is unreadable", no_capture_at_all_is_unreadable },
		{ "order is judged within a file", order_is_judged_within_a_file },
		{ "numbers may start anywhere but not lie absurdly far apart",
		  numbers_may_start_anywhere_but_not_lie_absurdly_far_apart },
		{ "gaps are found wherever they lie", gaps_are_found_wherever_they_lie },
	};

	return HOLD_ALL(sentences);
}
