// SPDX-License-Identifier: Apache-2.0
/*
 * How long a change of targets takes from being asked for until it is in force and answered, with many in force:
 * milliseconds by the clock, log and its sync included, and of CPU time of the whole process.
 *
 *     bench-change [TARGETS [DIRECTORY]]    100000 of them, in the directory for temporary files
 *
 * Where BPF programs may be loaded, the kernel's tables for a port's targets are changed, too.
 */
#include "clock.h"
#include "kernel_select.h"
#include "target_force.h"
#include "target_store.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHANGES 11U
#define PAUSE_S 1

struct taken {
	double wall_ms, cpu_ms;
};

static void fail(const char *what)
{
	printf("%s\n", what);
	exit(1);
}

/* Hosts of 16.0.0.0/4, each once. */
static void fill_directory(const char *directory, unsigned count)
{
	struct cap_target *targets = calloc(count, sizeof(*targets));
	struct cap_prefix *prefixes = calloc(count, sizeof(*prefixes));
	struct cap_target_list list = { 0 };
	struct cap_target_store store;
	struct cap_error err;

	for (unsigned i = 0; i < count; i++) {
		const uint32_t host = 0x10000000 | ((i * 2654435761U) & 0x0fffffff);

		prefixes[i] = (struct cap_prefix){ .family = 4, .length = 32 };
		targets[i] = (struct cap_target){ .any_protocol = true,
						  .end_ns = UINT64_MAX,
						  .prefix_count = 1,
						  .prefixes = &prefixes[i] };
		for (unsigned b = 0; b < 4; b++) {
			prefixes[i].bytes[b] = (uint8_t)(host >> (24 - 8 * b));
			targets[i].id[12 + b] = (uint8_t)(i >> (24 - 8 * b));
		}
	}
	if (cap_target_store_open(&store, directory, &list, &err) ||
	    cap_target_store_write(&store,
				   (struct cap_target_walk){ .targets = targets, .count = count },
				   0, &err))
		fail(err.text);
	cap_target_store_close(&store);
	cap_target_list_free(&list);
	free(targets);
	free(prefixes);
}

static void change_kernel(void *context, const struct cap_active_targets *active)
{
	struct cap_error err;

	if (cap_kernel_select_set(context, active, 0, &err))
		fail(err.text);
}

static struct taken ask(struct cap_target_force *force, const char *text)
{
	struct pollfd answered = { .fd = cap_target_force_fd(force), .events = POLLIN };
	const struct cap_target_job job = { .text = strdup(text), .len = strlen(text), .fd = -1 };
	const struct timespec pause = { .tv_sec = PAUSE_S };
	const uint64_t begin = cap_monotonic_ns();
	const uint64_t cpu = cap_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	struct cap_error err;
	struct taken taken;
	json_t *answer;
	uint64_t ticket;

	if (cap_target_force_ask(force, &job, &err))
		fail(err.text);
	do
		if (poll(&answered, 1, -1) < 0)
			fail("no answer");
	while (!cap_target_force_answer(force, &ticket, &answer));
	taken = (struct taken){ (double)(cap_monotonic_ns() - begin) / 1e6,
				(double)(cap_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e6 };
	if (!json_is_true(json_object_get(answer, "ok")))
		fail(json_string_value(json_object_get(answer, "error")));
	json_decref(answer);
	/* What follows a change is not what is waited for. */
	nanosleep(&pause, NULL);
	return taken;
}

static int by_wall(const void *a, const void *b)
{
	const double left = ((const struct taken *)a)->wall_ms;
	const double right = ((const struct taken *)b)->wall_ms;

	return (left > right) - (left < right);
}

static void tell(const char *what, struct taken *taken)
{
	qsort(taken, CHANGES, sizeof(*taken), by_wall);
	printf("%-28s in force after %6.1f ms (worst %6.1f), CPU %6.1f ms\n", what,
	       taken[CHANGES / 2].wall_ms, taken[CHANGES - 1].wall_ms, taken[CHANGES / 2].cpu_ms);
	fflush(stdout);
}

static void measure(const char *directory, const char *where, struct cap_kernel_select *select)
{
	struct cap_target_reader reader = { 0 };
	struct cap_target_reader *readers[] = { &reader };
	char text[256], what[64];
	const struct cap_targets_config config = { .directory = (char *)directory };
	struct taken added[CHANGES], removed[CHANGES];
	struct cap_target_force *force;
	struct cap_error err;

	if (cap_target_force_create(&force, &config, readers, 1, &err) ||
	    cap_target_force_load(force, &err) ||
	    cap_target_force_start(force, select ? change_kernel : NULL, select, &err))
		fail(err.text);
	for (unsigned i = 0; i < CHANGES; i++) {
		snprintf(
			text, sizeof(text),
			"{\"add\":[{\"id\":\"7%07x-0000-4000-8000-000000000000\",\"prefixes\":[\"10.0.0.%u\"]}]}",
			i * 12345, i);
		added[i] = ask(force, text);
		snprintf(text, sizeof(text), "{\"remove\":[\"7%07x-0000-4000-8000-000000000000\"]}",
			 i * 12345);
		removed[i] = ask(force, text);
	}
	snprintf(what, sizeof(what), "one target added, %s", where);
	tell(what, added);
	snprintf(what, sizeof(what), "one target removed, %s", where);
	tell(what, removed);
	cap_target_force_close(force);
}

int main(int argc, char **argv)
{
	const unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 100000;
	static const char *const left[] = { "targets.json", "log.jsonl", ".lock" };
	char directory[256], path[300];
	struct cap_kernel_select *select;
	struct cap_error err;

	snprintf(directory, sizeof(directory), "%s/bench-change-XXXXXX",
		 argc > 2 ? argv[2] : "/tmp");
	if (!mkdtemp(directory))
		fail("no directory can be made there");
	/* Log lines are for nobody here. */
	if (!freopen("/dev/null", "w", stderr))
		fail("/dev/null");
	fill_directory(directory, count);
	measure(directory, "engine", NULL);
	if (cap_kernel_select_load(1, &select, &err) == 0) {
		measure(directory, "kernel", select);
		cap_kernel_select_free(select);
	} else {
		printf("%s\n", err.text);
	}
	for (unsigned i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, left[i]);
		unlink(path);
	}
	rmdir(directory);
	return 0;
}
