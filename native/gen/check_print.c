// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "check.h"
#include "number.h"

/* All streams in one, for the figures that add up. */
static struct check_stream sum_of(const struct check_result *result)
{
	struct check_stream sum = { 0 };

	for (unsigned int i = 0; i < result->stream_count; i++) {
		const struct check_stream *one = &result->streams[i];

		if (one->numbers.size) {
			if (!sum.numbers.size || one->numbers.lowest < sum.numbers.lowest)
				sum.numbers.lowest = one->numbers.lowest;
			if (!sum.numbers.size || one->numbers.highest > sum.numbers.highest)
				sum.numbers.highest = one->numbers.highest;
		}
		sum.numbers.size += one->numbers.size;
		sum.numbered += one->numbered;
		sum.doubled += one->doubled;
		sum.out_of_order += one->out_of_order;
		sum.outside += one->outside;
		sum.missing += one->missing;
	}
	return sum;
}

static json_t *stream_json(const struct check_stream *stream)
{
	json_t *json = json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I}", "numbered", (json_int_t)stream->numbered,
		"distinct", (json_int_t)stream->numbers.size, "missing",
		(json_int_t)stream->missing, "doubled", (json_int_t)stream->doubled, "out_of_order",
		(json_int_t)stream->out_of_order, "outside", (json_int_t)stream->outside);
	int some = stream->numbers.size > 0;

	json_object_set_new(json, "first",
			    some ? json_integer((json_int_t)stream->numbers.lowest) : json_null());
	json_object_set_new(json, "last",
			    some ? json_integer((json_int_t)stream->numbers.highest) : json_null());
	return json;
}

static void print_json(const struct check_order *order, const struct check_result *result,
		       const struct check_stream *sum)
{
	json_t *root = stream_json(sum);
	json_t *ranges = json_array(), *streams = json_array(), *unreadable = json_array();

	for (unsigned int i = 0; i < result->range_count; i++)
		json_array_append_new(ranges, json_pack("[I, I]", (json_int_t)result->ranges[i].a,
							(json_int_t)result->ranges[i].b));
	for (unsigned int i = 0; i < result->stream_count; i++) {
		json_t *one = stream_json(&result->streams[i]);

		json_object_set_new(one, "stream", json_integer(result->streams[i].id));
		json_array_append_new(streams, one);
	}
	for (unsigned int i = 0; i < result->unreadable_count; i++)
		json_array_append_new(unreadable,
				      json_pack("{s:s, s:s}", "file", result->unreadable[i].file,
						"why", result->unreadable[i].why));
	json_object_set_new(root, "files", json_integer(order->file_count));
	json_object_set_new(root, "frames", json_integer((json_int_t)result->frames));
	json_object_set_new(root, "foreign", json_integer((json_int_t)result->foreign));
	json_object_set_new(root, "damaged", json_integer((json_int_t)result->damaged));
	json_object_set_new(root, "cut", json_integer((json_int_t)result->cut));
	json_object_set_new(root, "missing_ranges", ranges);
	json_object_set_new(root, "streams", streams);
	json_object_set_new(root, "unreadable", unreadable);
	json_object_set_new(root, "complete", json_boolean(check_complete(result)));
	json_dumpf(root, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(root);
}

static void print_ranges(const struct check_result *result)
{
	enum { SHOWN = 8 };

	for (unsigned int i = 0; i < result->range_count && i < SHOWN; i++) {
		const struct check_range *range = &result->ranges[i];

		printf("%s%" PRIu64, i ? ", " : "            ", range->a);
		if (range->b != range->a)
			printf("-%" PRIu64, range->b);
	}
	if (result->range_count > SHOWN)
		printf(", ... (--json lists up to %d)", CHECK_RANGES_MAX);
	if (result->range_count)
		putchar('\n');
}

static void print_row(const char *label, uint64_t number, const char *rest)
{
	char text[NUMBER_TEXT];

	printf("  %-13s %15s%s\n", label, number_group(number, text), rest);
}

static void print_text(const struct check_order *order, const struct check_result *result,
		       const struct check_stream *sum)
{
	char frames[NUMBER_TEXT];
	const char *verdict = check_complete(result) ? "complete and undamaged" :
			      sum->numbered	     ? "NOT complete" :
						       "nothing numbered in there";

	printf("%u file%s, %s frames: %s\n", order->file_count, order->file_count == 1 ? "" : "s",
	       number_group(result->frames, frames), verdict);
	for (unsigned int i = 0; i < result->stream_count; i++) {
		const struct check_stream *one = &result->streams[i];

		if (one->numbers.size)
			printf("  stream %-6u numbers %" PRIu64 " to %" PRIu64 "\n", one->id,
			       one->numbers.lowest, one->numbers.highest);
	}
	print_row("distinct", sum->numbers.size, "");
	print_row("missing", sum->missing, "");
	print_ranges(result);
	print_row("doubled", sum->doubled, "");
	print_row("out of order", sum->out_of_order, "");
	print_row("damaged", result->damaged, "");
	print_row("cut", result->cut, result->cut ? "   captured shorter than they were" : "");
	print_row("foreign", result->foreign, "");
	if (order->expecting)
		print_row("outside", sum->outside, "");
	for (unsigned int i = 0; i < result->unreadable_count; i++)
		printf("  unreadable    %s: %s\n", result->unreadable[i].file,
		       result->unreadable[i].why);
}

void check_print(const struct check_order *order, const struct check_result *result, bool json)
{
	struct check_stream sum = sum_of(result);

	if (json)
		print_json(order, result, &sum);
	else
		print_text(order, result, &sum);
}
