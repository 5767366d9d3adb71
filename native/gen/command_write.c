// SPDX-License-Identifier: Apache-2.0
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "number.h"
#include "write.h"

#define RATE_DEFAULT 1000000

struct damage_words {
	const char *corrupt, *drop, *twice, *swap, *snap, *garbage;
};

/* "A<separator>B", or "A" alone, which leaves @b as it is. */
static int parse_pair(const char *option, const char *text, char separator, uint64_t *a,
		      uint64_t *b, struct fault *fault)
{
	char copy[64];
	char *second;

	snprintf(copy, sizeof(copy), "%s", text);
	second = strchr(copy, separator);
	if (second)
		*second++ = '\0';
	if (number_parse(option, copy, 0, NUMBER_MAX, a, fault))
		return -1;
	return second ? number_parse(option, second, 0, NUMBER_MAX, b, fault) : 0;
}

static int parse_damage(const struct damage_words *words, struct damage *damage,
			struct fault *fault)
{
	uint64_t bit = 0, snap = 0;

	damage->corrupt = damage->twice = damage->swap = damage->garbage = DAMAGE_NONE;
	damage->drop_a = DAMAGE_NONE;
	if (words->corrupt &&
	    parse_pair("--corrupt", words->corrupt, ':', &damage->corrupt, &bit, fault))
		return -1;
	if (words->drop) {
		if (parse_pair("--drop", words->drop, '-', &damage->drop_a, &damage->drop_b, fault))
			return -1;
		if (!strchr(words->drop, '-'))
			damage->drop_b = damage->drop_a;
		if (damage->drop_b < damage->drop_a)
			return fault_set(fault, "--drop: the range %s runs backwards.",
					 words->drop);
	}
	if ((words->twice &&
	     number_parse("--twice", words->twice, 0, NUMBER_MAX, &damage->twice, fault)) ||
	    (words->swap &&
	     number_parse("--swap", words->swap, 0, NUMBER_MAX, &damage->swap, fault)) ||
	    (words->garbage && number_parse("--garbage-length", words->garbage, 0, NUMBER_MAX,
					    &damage->garbage, fault)) ||
	    (words->snap && number_parse("--snap", words->snap, 1, FRAME_MAX, &snap, fault)))
		return -1;
	if (bit >= FRAME_MAX * 8)
		return fault_set(fault, "--corrupt: no frame has a bit %llu.",
				 (unsigned long long)bit);
	damage->corrupt_bit = (uint32_t)bit;
	damage->snap = (uint32_t)snap;
	return 0;
}

static int parse(int argc, char **argv, struct write_order *order, int *json, struct fault *fault)
{
	struct traffic_words traffic = { 0 };
	struct span_words span_words = { 0 };
	struct damage_words damage = { 0 };
	struct erf_words erf = { 0 };
	struct span span;
	int rest, truncate = 0;
	const struct command_option options[] = {
		SPAN_OPTIONS(span_words),
		TRAFFIC_OPTIONS(traffic),
		{ "truncate-last", NULL, "end in the middle of the last frame", NULL, &truncate },
		{ "corrupt", "N[:BIT]", "flip a bit of frame N", &damage.corrupt, NULL },
		{ "drop", "A[-B]", "leave frames A to B out", &damage.drop, NULL },
		{ "twice", "N", "write frame N two times", &damage.twice, NULL },
		{ "swap", "N", "write frame N after N+1", &damage.swap, NULL },
		{ "snap", "BYTES", "keep the first BYTES of each frame", &damage.snap, NULL },
		{ "garbage-length", "N", "give frame N's block an absurd length", &damage.garbage,
		  NULL },
		{ "erf-types", "LIST", "of records, in turn: eth,color_eth,pad,27 ... (eth)",
		  &erf.types, NULL },
		{ "erf-extensions", "N", "extension headers of each record (0)", &erf.extensions,
		  NULL },
		{ "erf-interfaces", "N", "ports of the card, in turn (1)", &erf.interfaces, NULL },
		{ "erf-colour", "C", "first colour, counting up (1)", &erf.colour, NULL },
		{ "erf-lost", "N[:EVERY]", "loss counter of every EVERYth frame (0)", &erf.lost,
		  NULL },
		{ "erf-flags", "BITS[:EVERY]", "flags of every EVERYth frame (0)", &erf.flags,
		  NULL },
		{ "erf-no-fcs", NULL, "frames without their check sequence", NULL, &erf.no_fcs },
		{ "json", NULL, "one JSON object on stdout", NULL, json },
		{ NULL, NULL, NULL, NULL, NULL },
	};

	if (command_line(argc, argv, "write FILE (--count N | --seconds S --rate PPS) [options]",
			 options, &rest, fault))
		return -1;
	if (rest != argc - 1)
		return fault_set(fault, "Give one file name, something.pcap, .pcapng or .erf.");
	if (span_parse(&span_words, &span, fault) ||
	    traffic_parse(&traffic, &order->traffic, fault) ||
	    parse_damage(&damage, &order->damage, fault) ||
	    erf_look_parse(&erf, &order->erf, fault))
		return -1;
	order->damage.truncate_last = truncate;
	order->path = argv[rest];
	order->first = span.first;
	order->rate = span.rate ? span.rate : RATE_DEFAULT;
	order->count = (uint64_t)((double)order->rate * span.seconds);
	if (span.count && (!order->count || span.count < order->count))
		order->count = span.count;
	return 0;
}

int command_write(int argc, char **argv)
{
	struct write_order order = { 0 };
	struct write_result result;
	char frames[NUMBER_TEXT];
	struct fault fault;
	int json = 0;

	if (parse(argc, argv, &order, &json, &fault) || write_run(&order, &result, &fault))
		return command_failed("write", &fault);
	if (json) {
		json_t *root = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "file", order.path,
					 "frames", (json_int_t)result.frames, "bytes",
					 (json_int_t)result.bytes, "first", (json_int_t)order.first,
					 "next", (json_int_t)(order.first + order.count), "stream",
					 (json_int_t)order.traffic.stream);

		json_dumpf(root, stdout, JSON_INDENT(1));
		putchar('\n');
		json_decref(root);
	} else {
		printf("%s: %s frames, numbers %llu to %llu of stream %u\n", order.path,
		       number_group(result.frames, frames), (unsigned long long)order.first,
		       (unsigned long long)(order.first + order.count - 1), order.traffic.stream);
	}
	return EXIT_WELL;
}
