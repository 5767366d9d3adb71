// SPDX-License-Identifier: Apache-2.0
#include "engine.h"

#include "driver.h"
#include "filter.h"
#include "ledger.h"
#include "log.h"
#include "methods.h"
#include "pcapng.h"
#include "target_file.h"
#include "target_force.h"
#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
	"Usage: " CAP_PROGRAM " --config FILE [--check] [--log json|text] [--die-with-parent]\n"
	"       " CAP_PROGRAM " --targets DIR --change FILE\n"
	"       " CAP_PROGRAM " --methods [--json] | --ledger-layout | --version | --help\n"
	"\n"
	"Capture packets as FILE (engine.json) says, until SIGTERM; SIGHUP begins new files.\n"
	"\n"
	"  --config FILE       what to capture, and where to\n"
	"  --check             read FILE, compile its filters, read its targets, and say what is wrong; capture nothing\n"
	"  --log json|text     form of the records on standard error (json)\n"
	"  --die-with-parent   stop cleanly when the process that started this one ends\n"
	"  --targets DIR       change the targets that are kept there, while no engine has them; root becomes DIR's owner\n"
	"  --change FILE       the change, as the control socket takes it; - reads it from standard input\n"
	"  --methods           the capture methods, and what each can and cannot do\n"
	"  --ledger-layout     where each counter lies in the ledger, as JSON\n"
	"\n"
	"Exit: 0 clean stop, 2 command line or configuration, 3 could not be set up, 4 failed while running\n";

/*
 * From here on an allocation has pages of its own, which go back when it is freed. By itself the C library raises this
 * to the largest that was freed, and then keeps what a change of many targets took.
 */
#define OWN_PAGES_BYTES (128 << 10)

struct request {
	const char *config, *targets, *change;
	bool check, methods, json, layout;
	pid_t parent; /* to stop with, or 0 */
};

static void print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(value);
}

static int fail(enum cap_exit code, const struct cap_error *err)
{
	cap_alert("failed", "%s", err->text);
	return code;
}

static int check_filters(const struct cap_config *config, struct cap_error *err)
{
	for (unsigned i = 0; i < config->port_count; i++) {
		struct cap_filter *filter;
		int rc;

		if (!config->ports[i].filter)
			continue;
		rc = cap_filter_compile(config->ports[i].filter, CAP_LINKTYPE_ETHERNET, &filter,
					err);
		if (rc)
			return cap_fail_in(err, rc, "ports[%u]", i);
		cap_filter_free(filter);
	}
	return 0;
}

/* Without taking them from an engine that runs. */
static int check_targets(const struct cap_targets_config *targets, struct cap_error *err)
{
	struct cap_target_list list = { 0 };
	char path[PATH_MAX];
	uint64_t serial;
	int rc = 0;

	if (targets->directory)
		snprintf(path, sizeof(path), "%s/" CAP_TARGET_FILE_NAME, targets->directory);
	else if (targets->file)
		snprintf(path, sizeof(path), "%s", targets->file);
	if (targets->directory || targets->file)
		rc = cap_target_file_load(path, &list, &serial, err);
	cap_target_list_free(&list);
	/* A directory that has none yet is an empty set. */
	return rc == -ENOENT && targets->directory ? 0 : rc;
}

/* The engine has to be able to change later what is changed now: root becomes the directory's owner. */
static int become_owner(const char *directory, struct cap_error *err)
{
	struct stat about;

	if (geteuid() != 0)
		return 0;
	if (stat(directory, &about))
		return cap_fail(err, errno, "%s: cannot be looked at: %s: make it first", directory,
				strerror(errno));
	if (setgroups(0, NULL) || setegid(about.st_gid) || seteuid(about.st_uid))
		return cap_fail(err, errno, "%s: cannot become its owner: %s", directory,
				strerror(errno));
	return 0;
}

static int change_targets(const struct request *request)
{
	struct cap_error err;
	json_t *answer;
	int fd, rc;

	if (!request->targets || !request->change) {
		fputs(CAP_PROGRAM ": --targets DIR and --change FILE belong together: see --help\n",
		      stderr);
		return CAP_EXIT_USAGE;
	}
	fd = strcmp(request->change, "-") ? open(request->change, O_RDONLY | O_CLOEXEC) :
					    STDIN_FILENO;
	if (fd < 0) {
		cap_fail(&err, errno, "%s: cannot be opened: %s", request->change, strerror(errno));
		return fail(CAP_EXIT_USAGE, &err);
	}
	rc = become_owner(request->targets, &err);
	if (rc == 0)
		rc = cap_target_change_directory(request->targets, fd, &answer, &err);
	if (rc)
		return fail(rc == -EINVAL || rc == -EEXIST || rc == -E2BIG ? CAP_EXIT_USAGE :
									     CAP_EXIT_FAILED,
			    &err);
	print_json(answer);
	return CAP_EXIT_CLEAN;
}

static int run(const struct request *request)
{
	struct cap_config config;
	struct cap_error err;
	int code;

	if (cap_config_load(request->config, &config, &err))
		return fail(CAP_EXIT_USAGE, &err);
	if (check_filters(&config, &err)) {
		cap_fail_in(&err, 0, "%s", request->config);
		cap_config_free(&config);
		return fail(CAP_EXIT_USAGE, &err);
	}
	if (request->check) {
		code = check_targets(&config.targets, &err) ? fail(CAP_EXIT_USAGE, &err) :
							      CAP_EXIT_CLEAN;
		cap_config_free(&config);
		return code;
	}
	code = cap_engine_run(&config, request->parent, &err);
	cap_config_free(&config);
	return code == CAP_EXIT_CLEAN ? code : fail(code, &err);
}

/* @return -1 to go on, or the exit code */
static int parse(int argc, char **argv, struct request *request)
{
	enum {
		CONFIG = 1,
		CHECK,
		LOG,
		TARGETS,
		CHANGE,
		METHODS,
		JSON,
		LAYOUT,
		PARENT,
		VERSION,
		HELP
	};
	static const struct option options[] = {
		{ "config", required_argument, NULL, CONFIG },
		{ "check", no_argument, NULL, CHECK },
		{ "log", required_argument, NULL, LOG },
		{ "targets", required_argument, NULL, TARGETS },
		{ "change", required_argument, NULL, CHANGE },
		{ "methods", no_argument, NULL, METHODS },
		{ "json", no_argument, NULL, JSON },
		{ "ledger-layout", no_argument, NULL, LAYOUT },
		{ "die-with-parent", no_argument, NULL, PARENT },
		{ "version", no_argument, NULL, VERSION },
		{ "help", no_argument, NULL, HELP },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case CONFIG:
			request->config = optarg;
			break;
		case CHECK:
			request->check = true;
			break;
		case LOG:
			if (strcmp(optarg, "json") && strcmp(optarg, "text")) {
				fprintf(stderr,
					CAP_PROGRAM ": --log: write json or text, not \"%s\"\n",
					optarg);
				return CAP_EXIT_USAGE;
			}
			cap_log_as_text(!strcmp(optarg, "text"));
			break;
		case TARGETS:
			request->targets = optarg;
			break;
		case CHANGE:
			request->change = optarg;
			break;
		case METHODS:
			request->methods = true;
			break;
		case JSON:
			request->json = true;
			break;
		case LAYOUT:
			request->layout = true;
			break;
		case PARENT:
			request->parent = getppid();
			break;
		case VERSION:
			puts(CAP_PROGRAM " " CAP_VERSION);
			return CAP_EXIT_CLEAN;
		case HELP:
			fputs(usage, stdout);
			return CAP_EXIT_CLEAN;
		default:
			return CAP_EXIT_USAGE; /* getopt has told what is wrong */
		}
	}
	if (optind < argc) {
		fprintf(stderr, CAP_PROGRAM ": \"%s\" is not expected: see --help\n", argv[optind]);
		return CAP_EXIT_USAGE;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct request request = { 0 };
	int code = parse(argc, argv, &request);

	if (code >= 0)
		return code;
	/* An allocator that will not have it (the sanitizers') costs memory, and no more. */
	(void)mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES);
	if (request.methods) {
		if (request.json)
			print_json(cap_methods());
		else
			cap_methods_print(stdout);
		return CAP_EXIT_CLEAN;
	}
	if (request.layout) {
		print_json(cap_ledger_layout());
		return CAP_EXIT_CLEAN;
	}
	if (request.targets || request.change)
		return change_targets(&request);
	if (!request.config) {
		fputs(CAP_PROGRAM ": --config FILE is missing: see --help\n", stderr);
		return CAP_EXIT_USAGE;
	}
	return run(&request);
}
