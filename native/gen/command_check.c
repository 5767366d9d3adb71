// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "check.h"
#include "command.h"
#include "number.h"

static int parse_fcs(const char *word, enum cap_erf_fcs *fcs, struct fault *fault)
{
	for (int i = 0; cap_erf_fcs_words[i]; i++)
		if (!strcmp(cap_erf_fcs_words[i], word)) {
			*fcs = (enum cap_erf_fcs)i;
			return 0;
		}
	return fault_set(fault, "--erf-fcs: '%s' is none of strip, keep and none.", word);
}

static int parse(int argc, char **argv, struct check_order *order, int *json, struct fault *fault)
{
	const char *first = NULL, *count = NULL, *stream = NULL, *fcs = NULL;
	uint64_t id = 0;
	int rest;
	const struct command_option options[] = {
		{ "first", "N", "first number that should be there (0)", &first, NULL },
		{ "count", "N", "how many numbers should be there (as found)", &count, NULL },
		{ "stream", "N", "look at this stream only (all)", &stream, NULL },
		{ "erf-fcs", "WORD",
		  "of ERF files: strip | keep | none, where they have none (strip)", &fcs, NULL },
		{ "json", NULL, "one JSON object on stdout", NULL, json },
		{ NULL, NULL, NULL, NULL, NULL },
	};

	if (command_line(argc, argv, "check FILE... [options]", options, &rest, fault))
		return -1;
	if (rest == argc)
		return fault_set(fault, "Which captures? Give at least one file.");
	if (first && !count)
		return fault_set(fault, "--first needs --count: together they name the range.");
	if ((first && number_parse("--first", first, 0, NUMBER_MAX, &order->first, fault)) ||
	    (count && number_parse("--count", count, 1, NUMBER_MAX, &order->count, fault)) ||
	    (fcs && parse_fcs(fcs, &order->erf_fcs, fault)) ||
	    (stream && number_parse("--stream", stream, 0, UINT32_MAX, &id, fault)))
		return -1;
	order->files = argv + rest;
	order->file_count = (unsigned int)(argc - rest);
	order->expecting = count;
	order->one_stream = stream;
	order->stream = (uint32_t)id;
	return 0;
}

int command_check(int argc, char **argv)
{
	struct check_order order = { 0 };
	struct check_result result;
	struct fault fault;
	int json = 0, status = EXIT_USAGE;

	if (parse(argc, argv, &order, &json, &fault))
		return command_failed("check", &fault);
	if (check_run(&order, &result, &fault)) {
		command_failed("check", &fault);
	} else {
		check_print(&order, &result, json);
		if (!result.unreadable_count)
			status = check_complete(&result) ? EXIT_WELL : EXIT_INCOMPLETE;
	}
	check_free(&result);
	return status;
}
