// SPDX-License-Identifier: Apache-2.0
#include "clock.h"
#include "sentence.h"
#include "target_file.h"
#include "target_force.h"
#include "target_store.h"
#include "target_words.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ONE "00000000-0000-4000-8000-000000000001"
#define TWO "00000000-0000-4000-8000-000000000002"
#define SIX "00000000-0000-4000-8000-000000000006"
#define HOST(id, host) "{\"id\":\"" id "\",\"prefixes\":[\"192.0.2." host "\"]}"
#define ADD(targets) "{\"who\":\"test\",\"add\":[" targets "]}"
#define LONG "a note that makes the file longer than the record of the next change is: "
#define ADD_ONE ADD(HOST(ONE, "1"))

/* By how much the host's clock was set; read by the targets' thread, too. */
static int64_t clock_set_ns;

/* In place of the C library's: a test may set the clock. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	const long rc = syscall(SYS_clock_gettime, clock, now);

	if (rc == 0 && clock == CLOCK_REALTIME) {
		const int64_t ns = (int64_t)now->tv_sec * INT64_C(1000000000) + now->tv_nsec +
				   __atomic_load_n(&clock_set_ns, __ATOMIC_SEQ_CST);

		now->tv_sec = ns / INT64_C(1000000000);
		now->tv_nsec = ns % INT64_C(1000000000);
	}
	return (int)rc;
}

static void set_clock(int64_t seconds)
{
	__atomic_store_n(&clock_set_ns, seconds * INT64_C(1000000000), __ATOMIC_SEQ_CST);
}

/* The disk does not; read by the targets' thread, too. */
static bool no_truncating, no_syncing;

int ftruncate(int fd, off_t size)
{
	if (__atomic_load_n(&no_truncating, __ATOMIC_SEQ_CST)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_ftruncate, fd, size);
}

int fsync(int fd)
{
	if (__atomic_load_n(&no_syncing, __ATOMIC_SEQ_CST)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static void break_disk(bool truncating, bool syncing)
{
	__atomic_store_n(&no_truncating, truncating, __ATOMIC_SEQ_CST);
	__atomic_store_n(&no_syncing, syncing, __ATOMIC_SEQ_CST);
}

static char place[64];

static void begin(void)
{
	snprintf(place, sizeof(place), "/tmp/capstan-force-XXXXXX");
	HOLDS(mkdtemp(place));
}

static const char *in_place(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", place, name);
	return path;
}

static void end(void)
{
	unlink(in_place(CAP_TARGET_FILE_NAME));
	unlink(in_place("." CAP_TARGET_FILE_NAME ".new"));
	unlink(in_place(CAP_TARGET_LOG_NAME));
	unlink(in_place("moved.jsonl"));
	unlink(in_place(".lock"));
	HOLDS(rmdir(place) == 0); /* nothing else is left there */
}

static off_t size_of(const char *name)
{
	struct stat about;

	return stat(in_place(name), &about) ? 0 : about.st_size;
}

/* The one-shot change. @return its code */
static int change(const char *text, json_t **answer, struct cap_error *err)
{
	int ends[2], rc;

	HOLDS(pipe(ends) == 0);
	HOLDS(write(ends[1], text, strlen(text)) == (ssize_t)strlen(text));
	close(ends[1]);
	*answer = NULL;
	rc = cap_target_change_directory(place, ends[0], answer, err);
	close(ends[0]);
	return rc;
}

static long number(json_t *answer, const char *key)
{
	return (long)json_integer_value(json_object_get(answer, key));
}

/* What a restart finds: how many, and the serial. */
static unsigned restart(uint64_t *serial)
{
	struct cap_target_store store;
	struct cap_target_list list = { 0 };
	struct cap_error err = { "" };
	int rc = cap_target_store_open(&store, place, &list, &err);
	unsigned count = list.count;

	if (rc)
		fprintf(stderr, "%s\n", err.text);
	HOLDS(rc == 0);
	*serial = store.serial;
	cap_target_list_free(&list);
	cap_target_store_close(&store);
	return count;
}

static void a_change_is_written_and_a_restart_finds_it(void)
{
	struct cap_error err;
	uint64_t serial;
	json_t *answer;

	begin();
	HOLDS(change(ADD(HOST(ONE, "1") "," HOST(TWO, "2")), &answer, &err) == 0);
	HOLDS(number(answer, "added") == 2 && number(answer, "serial") == 1);
	json_decref(answer);
	HOLDS(restart(&serial) == 2 && serial == 1);
	HOLDS(change("{\"remove\":[\"" ONE "\",\"" TWO "\"],\"add\":[" HOST(TWO, "9") "]}", &answer,
		     &err) == 0);
	HOLDS(number(answer, "removed") == 1 && number(answer, "changed") == 1);
	HOLDS(number(answer, "added") == 0 && number(answer, "count") == 1);
	json_decref(answer);
	HOLDS(restart(&serial) == 1 && serial == 2);
	end();
}

static void a_change_of_nothing_leaves_no_trace(void)
{
	struct cap_error err;
	json_t *answer;
	off_t log;

	begin();
	HOLDS(change(ADD_ONE, &answer, &err) == 0);
	json_decref(answer);
	log = size_of(CAP_TARGET_LOG_NAME);
	HOLDS(change("{\"replace\":true,\"add\":[" HOST(ONE, "1") "]}", &answer, &err) == 0);
	HOLDS(number(answer, "serial") == 1 && number(answer, "changed") == 0);
	json_decref(answer);
	HOLDS(change("{\"dry_run\":true,\"remove\":[\"" ONE "\"]}", &answer, &err) == 0);
	HOLDS(number(answer, "removed") == 1 && number(answer, "serial") == 1);
	json_decref(answer);
	HOLDS(size_of(CAP_TARGET_LOG_NAME) == log);
	end();
}

static void the_inventory_replaces_its_own_and_no_others(void)
{
	struct cap_error err;
	json_t *answer;

	begin();
	HOLDS(change(ADD_ONE, &answer, &err) == 0);
	json_decref(answer);
	HOLDS(change("{\"origin\":\"inventory\",\"replace\":true,\"add\":[" HOST(TWO, "2") "]}",
		     &answer, &err) == 0);
	HOLDS(number(answer, "count") == 2);
	json_decref(answer);
	HOLDS(change("{\"origin\":\"inventory\",\"replace\":true,\"add\":[" HOST(SIX, "6") "]}",
		     &answer, &err) == 0);
	HOLDS(number(answer, "removed") == 1 && number(answer, "added") == 1);
	json_decref(answer);
	HOLDS(change("{\"remove\":[\"" SIX "\"]}", &answer, &err) < 0);
	HOLDS(strstr(err.text, SIX) && strstr(err.text, "the inventory's"));
	HOLDS(change("{\"origin\":\"inventory\",\"replace\":true,\"add\":[" HOST(ONE, "1") "]}",
		     &answer, &err) < 0);
	HOLDS(strstr(err.text, ONE) && strstr(err.text, "run time"));
	HOLDS(change("{\"replace\":true}", &answer, &err) == 0);
	HOLDS(number(answer, "removed") == 1 && number(answer, "count") == 1);
	json_decref(answer);
	end();
}

/* What is wrong, and the word that the sentence must hold. */
static const struct {
	const char *text, *names;
} wrong[] = {
	{ "", "JSON object" },
	{ "{\"add\":{}}", "add: must be a list" },
	{ ADD_ONE "x", "behind the end" },
	{ ADD(HOST(ONE, "1") "," HOST(ONE, "2")), "twice" },
	{ ADD(HOST(TWO, "2") ",{\"id\":\"" SIX "\"}"), "add[1]" },
	{ "{\"add\":[" HOST(TWO, "2") "],\"colour\":1}", "colour" },
	{ "{\"add\":[{\"id\":\"" SIX "\",\"vlans\":[1],\"origin\":\"inventory\"}]}", "origin" },
	{ "{\"remove\":[\"" SIX "\"]}", "is not in force" },
	{ "{\"remove\":[\"" ONE "\",\"" ONE "\"]}", "twice" },
	{ "{\"remove\":[7]}", "remove[0]" },
	{ "{\"remove\":[\"" ONE "\"],\"replace\":true}", "does not go with replace" },
	{ "{\"replace\":1}", "true or false" },
	{ "{\"origin\":\"me\"}", "runtime, inventory" },
	{ "{\"who\":\"\"}", "who" },
	{ ADD_ONE, "in force already" },
};

static void what_is_refused_changes_nothing(void)
{
	struct cap_error err;
	uint64_t serial;
	json_t *answer;
	off_t log;

	begin();
	HOLDS(change(ADD_ONE, &answer, &err) == 0);
	json_decref(answer);
	log = size_of(CAP_TARGET_LOG_NAME);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int rc = change(wrong[i].text, &answer, &err);

		if (rc >= 0 || !strstr(err.text, wrong[i].names)) {
			fprintf(stderr, "%s\n-> %d: %s\n", wrong[i].text, rc, err.text);
			exit(1);
		}
		HOLDS(restart(&serial) == 1 && serial == 1);
		HOLDS(size_of(CAP_TARGET_LOG_NAME) == log);
	}
	end();
}

static void limit_files(rlim_t bytes)
{
	const struct rlimit limit = { bytes, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	HOLDS(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void a_log_that_is_full_leaves_all_as_it_was(void)
{
	struct cap_error err;
	uint64_t serial;
	json_t *answer;
	off_t log;

	begin();
	HOLDS(change(ADD_ONE, &answer, &err) == 0);
	json_decref(answer);
	log = size_of(CAP_TARGET_LOG_NAME);
	limit_files((rlim_t)log + 20); /* a piece of the record fits */
	HOLDS(change(ADD(HOST(TWO, "2")), &answer, &err) < 0);
	limit_files(RLIM_INFINITY);
	HOLDS(strstr(err.text, CAP_TARGET_LOG_NAME) && strstr(err.text, "nothing was changed"));
	HOLDS(size_of(CAP_TARGET_LOG_NAME) == log);
	HOLDS(restart(&serial) == 1 && serial == 1);
	end();
}

static void a_change_that_only_the_log_has_is_in_force_after_a_restart(void)
{
	struct cap_error err;
	char moved[128];
	uint64_t serial;
	json_t *answer;
	off_t file;

	begin();
	HOLDS(change(ADD(HOST(ONE, "1") ",{\"id\":\"" SIX
					"\",\"vlans\":[1],\"note\":\"" LONG LONG LONG "\"}"),
		     &answer, &err) == 0);
	json_decref(answer);
	file = size_of(CAP_TARGET_FILE_NAME);
	snprintf(moved, sizeof(moved), "%s", in_place("moved.jsonl"));
	HOLDS(rename(in_place(CAP_TARGET_LOG_NAME), moved) == 0);
	limit_files(
		(rlim_t)file); /* the log, begun anew, has room; the file with one more has not */
	HOLDS(change("{\"remove\":[\"" ONE "\"],\"add\":[" HOST(TWO, "2") "," HOST(ONE, "7") "]}",
		     &answer, &err) == 0);
	json_decref(answer);
	HOLDS(size_of(CAP_TARGET_FILE_NAME) == file);
	HOLDS(access(in_place("." CAP_TARGET_FILE_NAME ".new"), F_OK) < 0);
	limit_files(RLIM_INFINITY);
	HOLDS(restart(&serial) == 3 && serial == 2);
	HOLDS(size_of(CAP_TARGET_FILE_NAME) > file); /* caught up with */
	HOLDS(restart(&serial) == 3 && serial == 2);
	end();
}

static void a_record_that_was_never_finished_is_cut_off(void)
{
	static const char piece[] =
		"{\"serial\":2,\"time\":\"2026-12-01T00:00:00Z\",\"added\":[{\"id";
	struct cap_error err;
	uint64_t serial;
	json_t *answer;
	off_t log;
	int fd;

	begin();
	HOLDS(change(ADD_ONE, &answer, &err) == 0);
	json_decref(answer);
	log = size_of(CAP_TARGET_LOG_NAME);
	fd = open(in_place(CAP_TARGET_LOG_NAME), O_WRONLY | O_APPEND);
	HOLDS(write(fd, piece, sizeof(piece) - 1) == sizeof(piece) - 1);
	close(fd);
	fd = open(in_place("." CAP_TARGET_FILE_NAME ".new"), O_WRONLY | O_CREAT, 0600);
	HOLDS(write(fd, piece, sizeof(piece) - 1) == sizeof(piece) - 1);
	close(fd);
	HOLDS(restart(&serial) == 1 && serial == 1);
	HOLDS(size_of(CAP_TARGET_LOG_NAME) == log);
	HOLDS(change(ADD(HOST(TWO, "2")), &answer, &err) == 0);
	json_decref(answer);
	HOLDS(restart(&serial) == 2 && serial == 2);
	end();
}

static void all_is_there_again_from_the_log_alone(void)
{
	struct cap_error err;
	uint64_t serial;
	json_t *answer;

	begin();
	HOLDS(change(ADD_ONE, &answer, &err) == 0);
	json_decref(answer);
	HOLDS(change("{\"origin\":\"inventory\",\"add\":[" HOST(SIX, "6") "]}", &answer, &err) ==
	      0);
	json_decref(answer);
	HOLDS(change("{\"remove\":[\"" ONE "\"],\"add\":[" HOST(TWO, "2") "]}", &answer, &err) ==
	      0);
	json_decref(answer);
	HOLDS(unlink(in_place(CAP_TARGET_FILE_NAME)) == 0);
	HOLDS(restart(&serial) == 2 && serial == 3);
	end();
}

/* An engine's targets with one worker, whose loop the test is. */
struct running {
	struct cap_targets_config config;
	struct cap_target_reader reader, *readers[1];
	struct cap_target_force *force;
};

static void start(struct running *running, cap_target_active_hook hook, void *context)
{
	struct cap_error err = { "" };

	*running = (struct running){ .config.directory = place };
	running->readers[0] = &running->reader;
	HOLDS(cap_target_force_create(&running->force, &running->config, running->readers, 1,
				      &err) == 0);
	HOLDS(cap_target_force_load(running->force, &err) == 0);
	HOLDS(cap_target_force_start(running->force, hook, context, &err) == 0);
}

/* The worker leaves, the force closes, and the directory goes. */
static void finish(struct running *running)
{
	cap_target_leave(&running->reader);
	cap_target_force_close(running->force);
	end();
}

/* @return the answer, when there is one within the time */
static json_t *await(struct running *running, uint64_t ticket, int milliseconds)
{
	struct pollfd ready = { .fd = cap_target_force_fd(running->force), .events = POLLIN };
	json_t *answer = NULL;
	uint64_t of;

	for (int left = milliseconds; left > 0 && !answer; left -= 50) {
		poll(&ready, 1, 50);
		if (cap_target_force_answer(running->force, &of, &answer))
			HOLDS(of == ticket);
	}
	return answer;
}

static json_t *ask(struct running *running, const char *text)
{
	struct cap_target_job job = { .ticket = 7,
				      .peer = { .uid = 0, .pid = 1 },
				      .text = strdup(text),
				      .len = strlen(text),
				      .fd = -1 };
	struct cap_error err;
	json_t *answer;

	HOLDS(cap_target_force_ask(running->force, &job, &err) == 0);
	answer = await(running, 7, 10000);
	HOLDS(answer);
	return answer;
}

static void an_answer_comes_when_workers_find_the_new_set(void)
{
	const struct cap_target_set *before, *now;
	struct cap_target_summary summary;
	struct running running;
	json_t *answer;

	begin();
	start(&running, NULL, NULL);
	before = cap_target_take(&running.reader);
	HOLDS(before && cap_target_set_count(before) == 0);
	answer = ask(&running, ADD_ONE);
	HOLDS(json_is_true(json_object_get(answer, "ok")) && number(answer, "serial") == 1);
	json_decref(answer);
	HOLDS(cap_target_set_count(before) == 0); /* the worker has not passed it: it is there */
	now = cap_target_take(&running.reader);
	HOLDS(cap_target_set_count(now) == 1);
	answer = ask(&running, ADD_ONE);
	HOLDS(json_is_false(json_object_get(answer, "ok")));
	HOLDS(strstr(json_string_value(json_object_get(answer, "error")), "in force already"));
	json_decref(answer);
	HOLDS(cap_target_take(&running.reader) == now);
	cap_target_force_summary(running.force, &summary);
	HOLDS(summary.count == 1 && summary.active == 1 && summary.serial == 1);
	HOLDS(summary.runtime == 1 && summary.changeable && !summary.behind);
	finish(&running);
}

static void nobody_waits_for_a_worker_that_waits_for_packets(void)
{
	const unsigned changes = 20;
	struct running running;
	unsigned made = 0;

	begin();
	start(&running, NULL, NULL);
	cap_target_take(&running.reader);
	cap_target_leave(&running.reader);
	for (unsigned i = 0; i < changes; i++) {
		char text[128];
		json_t *answer;

		snprintf(text, sizeof(text),
			 "{\"add\":[{\"id\":\"00000000-0000-4000-8000-%012u\",\"vlans\":[1]}]}", i);
		answer = ask(&running, text);
		made += json_is_true(json_object_get(answer, "ok"));
		json_decref(answer);
	}
	HOLDS(made == changes);
	HOLDS(cap_target_set_count(cap_target_take(&running.reader)) == changes);
	finish(&running);
}

static void a_worker_that_does_not_pass_keeps_a_few_sets_and_then_changes_wait(void)
{
	struct running running;
	unsigned taken = 0;
	json_t *answer;
	bool ok = true;

	begin();
	start(&running, NULL, NULL);
	cap_target_take(&running.reader);
	while (ok && taken < 100) {
		char text[128];

		snprintf(text, sizeof(text),
			 "{\"add\":[{\"id\":\"00000000-0000-4000-8000-%012u\",\"vlans\":[1]}]}",
			 taken);
		answer = ask(&running, text);
		ok = json_is_true(json_object_get(answer, "ok"));
		if (!ok)
			HOLDS(strstr(json_string_value(json_object_get(answer, "error")),
				     "try again later"));
		taken += ok;
		json_decref(answer);
	}
	HOLDS(taken == 8);
	HOLDS(cap_target_set_count(cap_target_take(&running.reader)) == 8);
	answer = ask(&running, ADD_ONE);
	HOLDS(json_is_false(json_object_get(answer, "ok"))); /* id ...1 is one of them */
	json_decref(answer);
	answer = ask(&running, "{\"remove\":[\"" ONE "\"]}");
	HOLDS(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
	cap_target_force_close(running.force);
	end();
}

static void one_directory_has_one_owner(void)
{
	struct running running;
	struct cap_error err;
	json_t *answer;

	begin();
	start(&running, NULL, NULL);
	HOLDS(change(ADD_ONE, &answer, &err) == -EBUSY && strstr(err.text, "control socket"));
	cap_target_force_close(running.force);
	HOLDS(change(ADD_ONE, &answer, &err) == 0);
	json_decref(answer);
	end();
}

struct heard {
	unsigned calls, count; /* atomic */
};

static void hear(void *context, const struct cap_active_targets *active)
{
	struct heard *heard = context;

	__atomic_store_n(&heard->count, active->count, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&heard->calls, 1, __ATOMIC_SEQ_CST);
}

static void await_count(const struct heard *heard, unsigned count)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	for (unsigned looks = 0; looks < 1000; looks++) {
		if (__atomic_load_n(&heard->count, __ATOMIC_SEQ_CST) == count)
			return;
		nanosleep(&pause, NULL);
	}
	HOLDS(!"told of as many within ten seconds");
}

/* ONE always, and TWO in its window. */
static void ask_for_window(struct running *running, uint64_t start, uint64_t stop)
{
	char text[256], from[CAP_TIME_TEXT], to[CAP_TIME_TEXT];
	json_t *answer;

	cap_time_text(start, from);
	cap_time_text(stop, to);
	snprintf(text, sizeof(text),
		 ADD(HOST(ONE, "1") ",{\"id\":\"" TWO
				    "\",\"vlans\":[1],\"start\":\"%s\",\"end\":\"%s\"}"),
		 from, to);
	answer = ask(running, text);
	HOLDS(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
}

static unsigned active_now(const struct running *running)
{
	struct cap_target_summary summary;

	cap_target_force_summary(running->force, &summary);
	return summary.active;
}

static void who_becomes_active_is_told(void)
{
	const uint64_t now = cap_realtime_ns();
	struct heard heard = { 0 };
	struct running running;

	begin();
	start(&running, hear, &heard);
	HOLDS(heard.calls == 1 && heard.count == 0);
	ask_for_window(&running, now + 121 * CAP_NS_PER_S, now + 122 * CAP_NS_PER_S);
	await_count(&heard, 2); /* a second from now: two minutes before its start */
	HOLDS(active_now(&running) == 1);
	finish(&running);
}

static void a_start_is_told_long_before_so_that_no_delay_makes_it_late(void)
{
	const uint64_t now = cap_realtime_ns();
	struct heard heard = { 0 };
	struct running running;

	begin();
	start(&running, hear, &heard);
	ask_for_window(&running, now + 60 * CAP_NS_PER_S, now + 61 * CAP_NS_PER_S);
	HOLDS(heard.count == 2);
	HOLDS(active_now(&running) == 1);
	finish(&running);
}

static void an_end_is_told_when_it_is_past(void)
{
	const uint64_t now = cap_realtime_ns();
	struct heard heard = { 0 };
	struct running running;

	begin();
	start(&running, hear, &heard);
	ask_for_window(&running, now - CAP_NS_PER_S, now - CAP_NS_PER_MS);
	HOLDS(heard.count == 2);
	HOLDS(active_now(&running) == 1);
	await_count(&heard, 1);
	HOLDS(cap_realtime_ns() >= now + CAP_NS_PER_S);
	finish(&running);
}

/* More than a set of one part is built anew for. */
#define MANY 6000U

static void ask_for_many(struct running *running)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	json_t *answer;

	HOLDS(out);
	fputs("{\"add\":[", out);
	for (unsigned i = 0; i < MANY; i++)
		fprintf(out,
			"%s{\"id\":\"10000000-0000-4000-8000-%012u\",\"prefixes\":[\"10.%u.%u.1\"]}",
			i ? "," : "", i, i / 256, i % 256);
	fputs("]}", out);
	HOLDS(fclose(out) == 0);
	answer = ask(running, text);
	HOLDS(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
	free(text);
}

/* @return the merged set, as the worker takes it */
static const struct cap_target_set *await_merged(struct running *running)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	const struct cap_target_set *set;

	for (unsigned looks = 0; looks < 1000; looks++) {
		set = cap_target_take(&running->reader);
		if (cap_target_set_is_merged(set))
			return set;
		nanosleep(&pause, NULL);
	}
	HOLDS(!"merged within ten seconds");
	return NULL;
}

/* Follows the steps that it is told of. */
struct follower {
	unsigned count, steps, added, removed;
};

static void follow(void *context, const struct cap_active_targets *active)
{
	struct follower *follower = context;

	if (active->is_step) {
		follower->steps++;
		follower->count += active->added_count - active->removed_count;
		follower->added = active->added_count;
		follower->removed = active->removed_count;
	} else {
		follower->count = active->count;
	}
	HOLDS(follower->count == active->count);
}

static void few_changes_of_many_targets_are_steps_and_are_merged_behind_the_answer(void)
{
	struct follower follower = { 0 };
	struct cap_target_summary summary;
	const struct cap_target_set *set;
	struct running running;
	uint64_t serial;
	json_t *answer;

	begin();
	start(&running, follow, &follower);
	ask_for_many(&running);
	HOLDS(follower.steps == 0 && follower.count == MANY);
	answer = ask(&running, ADD(HOST(ONE, "1") "," HOST(TWO, "2")));
	HOLDS(number(answer, "added") == 2 && number(answer, "count") == MANY + 2);
	json_decref(answer);
	HOLDS(follower.steps == 1 && follower.added == 2 && follower.removed == 0);
	/* One that is gone from the first part, one from the second; one that is changed, and one that is not yet. */
	answer = ask(&running,
		     "{\"remove\":[\"10000000-0000-4000-8000-000000000007\",\"" ONE "\",\"" TWO
		     "\"],\"add\":[" HOST(
			     TWO, "9") ",{\"id\":\"" SIX
				       "\",\"vlans\":[1],\"start\":\"2200-01-01T00:00:00Z\"}]}");
	HOLDS(number(answer, "added") == 1 && number(answer, "removed") == 2 &&
	      number(answer, "changed") == 1 && number(answer, "count") == MANY + 1);
	json_decref(answer);
	HOLDS(follower.steps == 2 && follower.added == 1 && follower.removed == 3);
	set = await_merged(&running);
	HOLDS(cap_target_set_count(set) == MANY + 1);
	HOLDS(set->parts[0]->targets[0].prefixes[0].bytes[3] == 9);
	cap_target_force_summary(running.force, &summary);
	HOLDS(summary.serial == 3 && summary.count == MANY + 1 && summary.active == MANY);
	HOLDS(follower.steps == 2 && follower.count == MANY);
	/* What is refused names no half of a set either. */
	answer = ask(&running, "{\"remove\":[\"10000000-0000-4000-8000-000000000007\"]}");
	HOLDS(strstr(json_string_value(json_object_get(answer, "error")), "is not in force"));
	json_decref(answer);
	cap_target_leave(&running.reader);
	cap_target_force_close(running.force);
	HOLDS(restart(&serial) == MANY + 1 && serial == 3);
	end();
}

static void a_clock_that_is_set_changes_who_is_active(void)
{
	const uint64_t now = cap_realtime_ns();
	struct heard heard = { 0 };
	struct running running;

	begin();
	start(&running, hear, &heard);
	ask_for_window(&running, now - 3600 * CAP_NS_PER_S, now - 1800 * CAP_NS_PER_S);
	HOLDS(heard.count == 1);
	set_clock(-2700); /* within the window */
	await_count(&heard, 2);
	set_clock(-7200); /* before it */
	await_count(&heard, 1);
	set_clock(-2700);
	await_count(&heard, 2);
	set_clock(0);
	await_count(&heard, 1);
	finish(&running);
}

static bool is_behind(const struct running *running)
{
	struct cap_target_summary summary;

	cap_target_force_summary(running->force, &summary);
	return summary.behind;
}

static void await_behind(const struct running *running, bool behind)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	for (unsigned looks = 0; looks < 2000; looks++) {
		if (is_behind(running) == behind)
			return;
		nanosleep(&pause, NULL);
	}
	HOLDS(!"within twenty seconds");
}

static void a_file_is_tried_again_when_the_clock_is_set_back_meanwhile(void)
{
	struct running running;

	begin();
	start(&running, NULL, NULL);
	HOLDS(mkdir(in_place("." CAP_TARGET_FILE_NAME ".new"), 0700) == 0); /* in its way */
	json_decref(ask(&running, ADD_ONE));
	await_behind(&running, true);
	set_clock(-7200);
	HOLDS(rmdir(in_place("." CAP_TARGET_FILE_NAME ".new")) == 0);
	await_behind(&running, false);
	set_clock(0);
	finish(&running);
}

/* A port whose kernel takes its time. */
struct slow_port {
	bool slow, within; /* atomic */
};

static void be_slow(void *context, const struct cap_active_targets *active)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct slow_port *port = context;

	(void)active;
	__atomic_store_n(&port->within, true, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&port->slow, __ATOMIC_SEQ_CST))
		nanosleep(&pause, NULL);
	__atomic_store_n(&port->within, false, __ATOMIC_SEQ_CST);
}

static int ask_for_host(struct running *running, uint64_t ticket, struct cap_error *err)
{
	struct cap_target_job job = { .ticket = ticket, .fd = -1, .text = malloc(128) };
	int rc;

	HOLDS(job.text);
	job.len = (size_t)snprintf(
		job.text, 128,
		"{\"add\":[{\"id\":\"00000000-0000-4000-8000-%012u\",\"vlans\":[1]}]}",
		(unsigned)ticket);
	rc = cap_target_force_ask(running->force, &job, err);
	if (rc)
		free(job.text);
	return rc;
}

static void await_answers(struct running *running, uint64_t first, uint64_t last)
{
	for (uint64_t ticket = first; ticket <= last; ticket++) {
		json_t *answer = await(running, ticket, 10000);

		HOLDS(json_is_true(json_object_get(answer, "ok")));
		json_decref(answer);
		cap_target_take(&running->reader);
	}
}

static void as_many_changes_are_taken_as_have_room_for_their_answers(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct slow_port port = { 0 };
	struct running running;
	struct cap_error err;

	begin();
	start(&running, be_slow, &port);
	port.slow = true;
	HOLDS(ask_for_host(&running, 1, &err) == 0);
	while (!__atomic_load_n(&port.within, __ATOMIC_SEQ_CST))
		nanosleep(&pause, NULL);
	for (unsigned ticket = 2; ticket <= CAP_TARGET_JOBS; ticket++)
		HOLDS(ask_for_host(&running, ticket, &err) == 0);
	HOLDS(ask_for_host(&running, 99, &err) == -EAGAIN);
	HOLDS(strstr(err.text, "16 changes wait already"));
	__atomic_store_n(&port.slow, false, __ATOMIC_SEQ_CST);
	/* In hand or answered, each keeps its place until its answer was taken. */
	for (unsigned i = 0; i < 200; i++) {
		HOLDS(ask_for_host(&running, 99, &err) == -EAGAIN);
		nanosleep(&pause, NULL);
		cap_target_take(&running.reader);
	}
	await_answers(&running, 1, 1);
	HOLDS(ask_for_host(&running, CAP_TARGET_JOBS + 1, &err) == 0);
	HOLDS(ask_for_host(&running, 99, &err) == -EAGAIN);
	await_answers(&running, 2, CAP_TARGET_JOBS + 1);
	finish(&running);
}

static bool is_taken(struct running *running, const char *text, const char *says)
{
	json_t *answer = ask(running, text);
	const bool taken = json_is_true(json_object_get(answer, "ok"));

	if (!taken)
		HOLDS(strstr(json_string_value(json_object_get(answer, "error")), says));
	json_decref(answer);
	cap_target_take(&running->reader);
	return taken;
}

/* What a broken disk left of a change that was refused: @p piece of its record, or the whole of it. */
static void leave_rest(struct running *running, bool piece)
{
	const off_t log = size_of(CAP_TARGET_LOG_NAME);

	break_disk(true, !piece);
	if (piece)
		limit_files((rlim_t)log + 20);
	HOLDS(!is_taken(running, ADD(HOST(TWO, "2")), "nothing was changed"));
	limit_files(RLIM_INFINITY);
	HOLDS(piece ? size_of(CAP_TARGET_LOG_NAME) == log + 20 :
		      size_of(CAP_TARGET_LOG_NAME) > log + 20);
}

static void a_refused_record_that_stays_in_the_log_is_followed_by_no_other(void)
{
	struct running running;
	uint64_t serial;
	off_t log, rest;

	for (unsigned piece = 0; piece < 2; piece++) {
		begin();
		start(&running, NULL, NULL);
		HOLDS(is_taken(&running, ADD_ONE, ""));
		log = size_of(CAP_TARGET_LOG_NAME);
		leave_rest(&running, piece);
		rest = size_of(CAP_TARGET_LOG_NAME);
		break_disk(true, false);
		for (unsigned i = 0; i < 2; i++)
			HOLDS(!is_taken(&running, ADD(HOST(SIX, "6")), "cannot be taken back"));
		HOLDS(size_of(CAP_TARGET_LOG_NAME) == rest);
		break_disk(false, true);
		HOLDS(!is_taken(&running, ADD(HOST(SIX, "6")), "cannot be taken back"));
		HOLDS(size_of(CAP_TARGET_LOG_NAME) == log);
		break_disk(false, false);
		HOLDS(is_taken(&running, "{\"remove\":[\"" ONE "\"]}", ""));
		HOLDS(is_taken(&running, ADD(HOST(SIX, "6")), ""));
		cap_target_leave(&running.reader);
		cap_target_force_close(running.force);
		HOLDS(unlink(in_place(CAP_TARGET_FILE_NAME)) == 0); /* the log alone tells */
		HOLDS(restart(&serial) == 1 && serial == 3);
		end();
	}
}

static void a_log_that_is_moved_away_takes_its_rest_along(void)
{
	struct running running;
	uint64_t serial;
	char moved[128];

	begin();
	start(&running, NULL, NULL);
	HOLDS(is_taken(&running, ADD_ONE, ""));
	leave_rest(&running, true);
	snprintf(moved, sizeof(moved), "%s", in_place("moved.jsonl"));
	HOLDS(rename(in_place(CAP_TARGET_LOG_NAME), moved) == 0);
	break_disk(true, false);
	HOLDS(is_taken(&running, ADD(HOST(TWO, "2")), ""));
	break_disk(false, false);
	cap_target_leave(&running.reader);
	cap_target_force_close(running.force);
	HOLDS(restart(&serial) == 2 && serial == 2);
	end();
}

static void a_piece_that_a_restart_cannot_cut_off_is_followed_by_no_record(void)
{
	struct running running;
	uint64_t serial;
	off_t rest;

	begin();
	start(&running, NULL, NULL);
	HOLDS(is_taken(&running, ADD_ONE, ""));
	leave_rest(&running, true);
	break_disk(true, false);
	rest = size_of(CAP_TARGET_LOG_NAME);
	cap_target_leave(&running.reader);
	cap_target_force_close(running.force);
	start(&running, NULL, NULL);
	HOLDS(!is_taken(&running, ADD(HOST(TWO, "2")), "cannot be taken back"));
	HOLDS(size_of(CAP_TARGET_LOG_NAME) == rest);
	break_disk(false, false);
	HOLDS(is_taken(&running, ADD(HOST(TWO, "2")), ""));
	cap_target_leave(&running.reader);
	cap_target_force_close(running.force);
	HOLDS(restart(&serial) == 2 && serial == 2);
	end();
}

static void a_set_that_is_read_from_a_file_is_not_changed(void)
{
	struct running running = { 0 };
	struct cap_target_job job = { .fd = -1 };
	struct cap_error err;
	json_t *answer;

	begin();
	HOLDS(change(ADD_ONE, &answer, &err) == 0);
	json_decref(answer);
	running.config.file = strdup(in_place(CAP_TARGET_FILE_NAME));
	running.readers[0] = &running.reader;
	HOLDS(cap_target_force_create(&running.force, &running.config, running.readers, 1, &err) ==
	      0);
	HOLDS(cap_target_force_load(running.force, &err) == 0);
	HOLDS(cap_target_set_count(cap_target_take(&running.reader)) == 1);
	HOLDS(cap_target_force_ask(running.force, &job, &err) == -EROFS);
	HOLDS(strstr(err.text, "targets.directory"));
	cap_target_force_close(running.force);
	free(running.config.file);
	end();
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "a change is written, and a restart finds it",
		  a_change_is_written_and_a_restart_finds_it },
		{ "a change of nothing leaves no trace", a_change_of_nothing_leaves_no_trace },
		{ "the inventory replaces its own and no others",
		  the_inventory_replaces_its_own_and_no_others },
		{ "what is refused changes nothing", what_is_refused_changes_nothing },
		{ "a log that is full leaves all as it was",
		  a_log_that_is_full_leaves_all_as_it_was },
		{ "a change that only the log has is in force after a restart",
		  a_change_that_only_the_log_has_is_in_force_after_a_restart },
		{ "a record that was never finished is cut off",
		  a_record_that_was_never_finished_is_cut_off },
		{ "all is there again from the log alone", all_is_there_again_from_the_log_alone },
		{ "an answer comes when workers find the new set",
		  an_answer_comes_when_workers_find_the_new_set },
		{ "nobody waits for a worker that waits for packets",
		  nobody_waits_for_a_worker_that_waits_for_packets },
		{ "a worker that does not pass keeps a few sets, and then changes wait",
		  a_worker_that_does_not_pass_keeps_a_few_sets_and_then_changes_wait },
		{ "one directory has one owner", one_directory_has_one_owner },
		{ "who becomes active is told", who_becomes_active_is_told },
		{ "a start is told long before, so that no delay makes it late",
		  a_start_is_told_long_before_so_that_no_delay_makes_it_late },
		{ "an end is told when it is past", an_end_is_told_when_it_is_past },
		{ "few changes of many targets are steps, and are merged behind the answer",
		  few_changes_of_many_targets_are_steps_and_are_merged_behind_the_answer },
		{ "a clock that is set changes who is active",
		  a_clock_that_is_set_changes_who_is_active },
		{ "a file is tried again when the clock is set back meanwhile",
		  a_file_is_tried_again_when_the_clock_is_set_back_meanwhile },
		{ "as many changes are taken as have room for their answers",
		  as_many_changes_are_taken_as_have_room_for_their_answers },
		{ "a refused record that stays in the log is followed by no other",
		  a_refused_record_that_stays_in_the_log_is_followed_by_no_other },
		{ "a log that is moved away takes its rest along",
		  a_log_that_is_moved_away_takes_its_rest_along },
		{ "a piece that a restart cannot cut off is followed by no record",
		  a_piece_that_a_restart_cannot_cut_off_is_followed_by_no_record },
		{ "a set that is read from a file is not changed",
		  a_set_that_is_read_from_a_file_is_not_changed },
	};

	return HOLD_ALL(sentences);
}
