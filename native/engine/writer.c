// SPDX-License-Identifier: Apache-2.0
#include "writer.h"

#include "clock.h"
#include "log.h"
#include "queue_stream.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* Between two looks while there is something to be written. */
#define TICK_MS 50

/* Descriptors of everything but files: ports, rings, clients, libraries. */
#define OTHER_DESCRIPTORS 512U

struct cap_writer {
	const struct cap_config *config;
	struct cap_files files;
	struct cap_queue_stream *streams;
	unsigned stream_count;
	int event;
	bool sleeping, stop;
	pthread_t thread;
	bool started;
};

static bool reap(struct cap_writer *writer)
{
	struct cap_stream_file *file;
	bool any = false;

	while ((file = cap_files_written(&writer->files, &any)))
		cap_queue_stream_written(file->owner, file);
	return any;
}

static bool is_idle(const struct cap_writer *writer)
{
	for (unsigned i = 0; i < writer->stream_count; i++)
		if (!cap_queue_stream_is_idle(&writer->streams[i]))
			return false;
	return writer->files.closing == 0;
}

static bool any_ready(const struct cap_writer *writer)
{
	for (unsigned i = 0; i < writer->stream_count; i++)
		if (cap_queue_stream_is_ready(&writer->streams[i]))
			return true;
	return false;
}

/* Nobody wakes the writer for the next try at a disk that failed, nor for a file's age. @return milliseconds */
static int longest_sleep(const struct cap_writer *writer)
{
	uint64_t ms;

	if (!is_idle(writer))
		return TICK_MS;
	ms = cap_files_old_in(&writer->files, cap_monotonic_ns()) / CAP_NS_PER_MS + 1;
	return ms < TICK_MS ? TICK_MS : ms > INT_MAX ? INT_MAX : (int)ms;
}

static void sleep_until_woken(struct cap_writer *writer)
{
	const struct cap_io_backend *backend = writer->files.backend;
	struct pollfd ready[2] = {
		{ .fd = writer->event, .events = POLLIN },
		{ .fd = backend ? backend->wait_fd(writer->files.io) : -1, .events = POLLIN },
	};
	uint64_t count;

	/* What came before the flag was up is looked for once more; what comes later wakes us. */
	__atomic_store_n(&writer->sleeping, true, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!any_ready(writer))
		poll(ready, 2, longest_sleep(writer));
	__atomic_store_n(&writer->sleeping, false, __ATOMIC_RELAXED);
	if (ready[0].revents && read(writer->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		cap_alert("writer_event", "reading the writer's event failed: %s", strerror(errno));
}

static bool advance_all(struct cap_writer *writer)
{
	uint64_t now = cap_monotonic_ns();
	bool any = false;

	cap_files_end_old(&writer->files, now);
	for (unsigned i = 0; i < writer->stream_count; i++) {
		any |= cap_queue_stream_advance(&writer->streams[i], now);
		cap_queue_stream_relieve(&writer->streams[i], false);
	}
	return any;
}

/* @return true while a blocked stream has a try left; one that writes something has another */
static bool try_once_more(struct cap_writer *writer)
{
	bool any = false;

	for (unsigned i = 0; i < writer->stream_count; i++)
		any |= cap_queue_stream_try_once_more(&writer->streams[i]);
	return any;
}

/* The workers have ended: write everything, and give up only on what a last try did not write. */
static void finish(struct cap_writer *writer)
{
	do {
		while (advance_all(writer) | reap(writer))
			;
		if (try_once_more(writer))
			continue;
		for (unsigned i = 0; i < writer->stream_count; i++) {
			cap_queue_stream_relieve(&writer->streams[i], true);
			cap_queue_stream_end(&writer->streams[i]);
		}
		if (!is_idle(writer))
			sleep_until_woken(writer);
	} while (!is_idle(writer));
}

static void pin(const struct cap_config *config)
{
	cpu_set_t cpus;
	int rc;

	if (!config->writer_core_count)
		return;
	CPU_ZERO(&cpus);
	for (unsigned i = 0; i < config->writer_core_count; i++)
		CPU_SET((size_t)config->writer_cores[i], &cpus);
	rc = pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	if (rc)
		cap_warn("not_pinned", "the writer cannot be pinned to its cores: %s",
			 strerror(rc));
}

static void *writer_main(void *argument)
{
	struct cap_writer *writer = argument;

	pin(writer->config);
	while (!__atomic_load_n(&writer->stop, __ATOMIC_ACQUIRE)) {
		bool any = advance_all(writer);

		any |= reap(writer);
		if (!any)
			sleep_until_woken(writer);
	}
	finish(writer);
	return NULL;
}

/*
 * A file of each target takes a descriptor. The limit that the process starts with is old and low; it may
 * go up to the hard one by itself.
 */
static int allow_open_files(struct cap_files *files, struct cap_error *err)
{
	const unsigned wanted = files->config->output.open_files;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return cap_fail(err, errno, "getrlimit: %s", strerror(errno));
	if (limit.rlim_cur < wanted + OTHER_DESCRIPTORS) {
		limit.rlim_cur = limit.rlim_max < wanted + OTHER_DESCRIPTORS ?
					 limit.rlim_max :
					 wanted + OTHER_DESCRIPTORS;
		if (setrlimit(RLIMIT_NOFILE, &limit))
			return cap_fail(err, errno, "setrlimit: %s", strerror(errno));
	}
	if (limit.rlim_cur < wanted + OTHER_DESCRIPTORS)
		return cap_fail(
			err, EMFILE,
			"output.open_files: %u files need a limit of %u open files, and this process may have %llu: lower it, or raise LimitNOFILE",
			wanted, wanted + OTHER_DESCRIPTORS, (unsigned long long)limit.rlim_cur);
	files->most_open = wanted;
	return 0;
}

static int create_target_streams(struct cap_writer *writer, struct cap_error *err)
{
	int rc;

	if (!writer->config->targets.streams || !writer->files.backend)
		return 0;
	rc = allow_open_files(&writer->files, err);
	for (unsigned i = 0; rc == 0 && i < writer->stream_count; i++)
		rc = cap_target_streams_create(&writer->streams[i].targets, &writer->files,
					       &writer->streams[i].from, err);
	return rc;
}

int cap_writer_create(struct cap_writer **out, const struct cap_config *config,
		      struct cap_output *output, const struct cap_stream_source *sources,
		      unsigned count, struct cap_error *err)
{
	struct cap_writer *writer = calloc(1, sizeof(*writer));
	int rc;

	if (!writer || !(writer->streams = calloc(count, sizeof(*writer->streams)))) {
		free(writer);
		return cap_fail(err, ENOMEM, "out of memory");
	}
	writer->config = config;
	writer->stream_count = count;
	for (unsigned i = 0; i < count; i++) {
		writer->streams[i].files = &writer->files;
		writer->streams[i].from = sources[i];
	}
	rc = cap_files_open(&writer->files, config, output, err);
	writer->files.at_once = count == 1 && output->copies && !config->targets.streams;
	if (rc == 0)
		rc = create_target_streams(writer, err);
	writer->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (rc == 0 && writer->event < 0)
		rc = cap_fail(err, errno, "eventfd: %s", strerror(errno));
	if (rc) {
		cap_writer_free(writer);
		return rc;
	}
	*out = writer;
	return 0;
}

int cap_writer_start(struct cap_writer *writer, struct cap_error *err)
{
	int rc = pthread_create(&writer->thread, NULL, writer_main, writer);

	if (rc)
		return cap_fail(err, rc, "the writer's thread cannot be started: %s", strerror(rc));
	pthread_setname_np(writer->thread, "cap-writer");
	writer->started = true;
	return 0;
}

const char *cap_writer_io_name(const struct cap_writer *writer)
{
	return writer->files.backend ? writer->files.backend->name : "null";
}

static void end_sleep(struct cap_writer *writer)
{
	const uint64_t one = 1;

	/* A full counter means that it has been woken already. */
	if (write(writer->event, &one, sizeof(one)) < 0 && errno != EAGAIN)
		cap_alert("writer_event", "waking the writer failed: %s", strerror(errno));
}

void cap_writer_wake(struct cap_writer *writer)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&writer->sleeping, __ATOMIC_RELAXED))
		end_sleep(writer);
}

void cap_writer_finish(struct cap_writer *writer)
{
	if (!writer->started)
		return;
	__atomic_store_n(&writer->stop, true, __ATOMIC_RELEASE);
	/* The writer looks for blocks before it sleeps, not for this: its next sleep is to end, too. */
	end_sleep(writer);
	pthread_join(writer->thread, NULL);
	writer->started = false;
}

void cap_writer_free(struct cap_writer *writer)
{
	if (!writer)
		return;
	for (unsigned i = 0; i < writer->stream_count; i++)
		cap_target_streams_free(writer->streams[i].targets);
	cap_files_close(&writer->files);
	if (writer->event >= 0)
		close(writer->event);
	free(writer->streams);
	free(writer);
}

json_t *cap_writer_open_files(struct cap_writer *writer)
{
	return cap_files_open_names(&writer->files);
}

json_t *cap_writer_whole_files(struct cap_writer *writer)
{
	return cap_files_whole_names(&writer->files);
}

json_t *cap_writer_open_limits(struct cap_writer *writer)
{
	const unsigned most = writer->files.most_open;
	uint64_t early = 0;

	for (unsigned i = 0; i < writer->stream_count; i++)
		early += cap_sample(&writer->streams[i].from.ledger->writer.files_early);
	return json_pack("{s:i, s:o, s:I}", "open", (int)cap_files_open_count(&writer->files),
			 "most", most ? json_integer(most) : json_null(), "early",
			 (json_int_t)early);
}
