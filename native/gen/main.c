// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "command.h"

static const struct command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "send", "send numbered frames through a network interface", command_send },
	{ "write", "write numbered frames to a pcap or pcapng file", command_write },
	{ "check", "tell what is missing, doubled or damaged in captures of them", command_check },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fputs("capstan-gen makes numbered, checksummed frames and finds them again.\n\n", out);
	for (unsigned int i = 0; i < COMMANDS; i++)
		fprintf(out, "  capstan-gen %-6s  %s\n", commands[i].name, commands[i].summary);
	fputs("\n`capstan-gen COMMAND --help` explains a command; `--version` tells the version.\n",
	      out);
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	for (unsigned int i = 0; i < COMMANDS; i++)
		if (strcmp(word, commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (strcmp(word, "--version") == 0) {
		puts("capstan-gen " CAPSTAN_VERSION);
		return 0;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		usage(stdout);
		return 0;
	}
	if (*word)
		fprintf(stderr, "capstan-gen: there is no command '%s'.\n", word);
	usage(stderr);
	return EXIT_USAGE;
}
