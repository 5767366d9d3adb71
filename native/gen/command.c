// SPDX-License-Identifier: Apache-2.0
#include "command.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"

#define OPTIONS_MAX 32
#define RATE_MAX 1000000000u
#define SECONDS_MAX 604800 /* a week */

int span_parse(const struct span_words *words, struct span *span, struct fault *fault)
{
	memset(span, 0, sizeof(*span));
	if (!words->count && !words->seconds)
		return fault_set(fault, "How many frames? Give --count N, --seconds S or both.");
	if (words->first &&
	    number_parse("--first", words->first, 0, NUMBER_MAX, &span->first, fault))
		return -1;
	if (words->count &&
	    number_parse("--count", words->count, 1, NUMBER_MAX, &span->count, fault))
		return -1;
	if (words->rate && number_parse("--rate", words->rate, 0, RATE_MAX, &span->rate, fault))
		return -1;
	if (words->seconds) {
		char *end;

		span->seconds = strtod(words->seconds, &end);
		if (*end || !isfinite(span->seconds) || span->seconds <= 0 ||
		    span->seconds > SECONDS_MAX)
			return fault_set(fault,
					 "--seconds: '%s' is not a time above 0 and up to %d.",
					 words->seconds, SECONDS_MAX);
	}
	return 0;
}

static void print_help(const char *title, const struct command_option *options)
{
	char left[40];

	printf("capstan-gen %s\n\n", title);
	for (; options->name; options++) {
		snprintf(left, sizeof(left), "--%s %s", options->name,
			 options->value ? options->value : "");
		printf("  %-24s %s\n", left, options->help);
	}
}

int command_line(int argc, char **argv, const char *title, const struct command_option *options,
		 int *rest, struct fault *fault)
{
	struct option table[OPTIONS_MAX] = { { "help", no_argument, NULL, 'h' } };
	int found, index = 0;

	for (unsigned int i = 0; options[i].name; i++)
		table[i + 1] = (struct option){
			.name = options[i].name,
			.has_arg = options[i].word ? required_argument : no_argument,
		};
	opterr = 0;
	while ((found = getopt_long(argc, argv, ":h", table, &index)) != -1) {
		if (found == 'h') {
			print_help(title, options);
			exit(EXIT_WELL);
		}
		if (found == ':')
			return fault_set(fault, "%s needs a value; --help explains.",
					 argv[optind - 1]);
		if (found == '?')
			return fault_set(fault, "%s is no option here; --help lists them.",
					 argv[optind - 1]);
		if (options[index - 1].word)
			*options[index - 1].word = optarg;
		else
			*options[index - 1].flag = 1;
	}
	*rest = optind;
	return 0;
}

int command_failed(const char *command, const struct fault *fault)
{
	fprintf(stderr, "capstan-gen %s: %s\n", command, fault->text);
	return EXIT_USAGE;
}
