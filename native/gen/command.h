/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_COMMAND_H
#define CAPSTAN_GEN_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "traffic.h"

/** Exit status of every command: done and all well. */
#define EXIT_WELL 0
/** `check`: the captures are not complete or not undamaged. */
#define EXIT_INCOMPLETE 1
/** Bad command line, or something could not be opened, sent or read. */
#define EXIT_USAGE 2

/** The commands; argv[0] is the command's name. @return the exit status */
int command_send(int argc, char **argv);
int command_write(int argc, char **argv);
int command_check(int argc, char **argv);

/** Which numbers, at what pace: the options that `send` and `write` share. */
struct span_words {
	const char *first, *count, *seconds, *rate;
};

struct span {
	uint64_t first;
	uint64_t count; /**< 0: not given */
	double seconds; /**< 0: not given */
	uint64_t rate;	/**< frames a second; 0: unpaced */
};

/** Frame numbers end here. */
#define NUMBER_MAX ((uint64_t)1 << 62)

/** Reads the words; at least one of count and seconds must be given. @return 0, or -1 */
int span_parse(const struct span_words *words, struct span *span, struct fault *fault);

/** One option of a command: where its word goes, or which flag it sets. */
struct command_option {
	const char *name;
	const char *value; /**< placeholder in the help; NULL: a flag */
	const char *help;
	const char **word; /**< filled with the option's argument */
	int *flag;	   /**< set to 1 */
};

/**
 * Reads a command line. `--help` prints the help and ends the process.
 *
 * @param title   the first line of the help, after "capstan-gen "
 * @param options ends with a member without name
 * @param rest    index of the first argument that is no option
 * @return 0, or -1 with a sentence
 */
int command_line(int argc, char **argv, const char *title, const struct command_option *options,
		 int *rest, struct fault *fault);

/** Prints @p fault as the command's last word. @return EXIT_USAGE */
int command_failed(const char *command, const struct fault *fault);

/* clang-format off */

/** The rows of a command_option table that fill a struct traffic_words. */
#define TRAFFIC_OPTIONS(words)                                                                     \
	{ "size", "SIZES", "64 | 64,512,1514 | 86-1514 | imix; bytes without FCS (64)",            \
	  &(words).size, NULL },                                                                   \
	{ "flows", "N", "spread over N flows (1)", &(words).flows, NULL },                         \
	{ "shape", "SHAPE", "udp4 | udp6 | fragments | raw (udp4)", &(words).shape, NULL },        \
	{ "vlan", "ID[,ID]", "one tag, or two (QinQ); 0xTTTT gives all 16 bits of a TCI",          \
	  &(words).vlan, NULL },                                                                   \
	{ "stream", "N", "stream id in every record (1)", &(words).stream, NULL }

/** The rows of a command_option table that fill a struct span_words. */
#define SPAN_OPTIONS(words)                                                                        \
	{ "count", "N", "this many frames", &(words).count, NULL },                                \
	{ "seconds", "S", "for this long", &(words).seconds, NULL },                               \
	{ "first", "N", "number of the first frame (0)", &(words).first, NULL },                   \
	{ "rate", "PPS", "frames a second; 0 is unpaced (0)", &(words).rate, NULL }

/* clang-format on */

#endif
