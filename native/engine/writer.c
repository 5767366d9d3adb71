// SPDX-License-Identifier: Apache-2.0
#include "writer.h"

#include "clock.h"
#include "log.h"
#include "pcapng.h"
#include "sink_io.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Blocks in one write: with 1 MiB blocks large enough for any disk, small enough to be fair. */
#define BATCH 16U

/* Blocks that a queue keeps free while its stream is blocked, so that its worker can go on. */
#define KEEP_FREE 4U

#define RETRY_NS (500 * CAP_NS_PER_MS)
#define SPACE_CHECK_NS (200 * CAP_NS_PER_MS)
#define TICK_MS 50

enum file_state { FILE_WRITING, FILE_TRAILER, FILE_SYNC };

struct file {
	struct cap_io_op op; /* first: an operation leads back to its file */
	struct cap_output_file out;
	struct stream *stream;
	enum file_state state;
	int64_t offset; /* bytes that are surely in it */
	uint64_t packets;
	uint64_t opened_ns;
	uint8_t *pages; /* CAP_PAGE for the head, CAP_PAGE for the trailer */
	struct file *next;
};

struct stream {
	struct cap_stream_source from;
	struct file *file; /* being written, or NULL */
	bool in_flight;	   /* the file's operation is a write of `batch` */
	struct cap_block *batch[BATCH];
	unsigned count;
	uint32_t sequence;
	bool blocked;
	int blocked_by; /* negative errno */
	uint64_t retry_at;
	uint64_t space_checked;
	bool last_try; /* at the end: tried once more since anything was written */
};

struct cap_writer {
	const struct cap_config *config;
	struct cap_output *output;
	const struct cap_io_backend *backend; /* NULL: the null sink */
	struct cap_io *io;
	struct stream *streams;
	unsigned stream_count;
	unsigned closing; /* files whose trailer or sync is under way */
	int event;
	bool at_once; /* there is but one file at a time, and a write of it is a copy in memory */
	bool sleeping, stop;
	pthread_t thread;
	bool started;

	pthread_mutex_t names_lock; /* for status; the packet path never takes it */
	char whole[CAP_RECENT_FILES][NAME_MAX + 1];
	unsigned whole_count;
};

static void give_back(struct stream *stream, struct cap_block *block)
{
	block->used = 0;
	block->packets = 0;
	block->bytes = 0;
	block->last_of_file = false;
	cap_spsc_push(&stream->from.pool->free, block);
}

static void delivered(struct stream *stream, struct cap_block *block)
{
	struct cap_ledger_writer *ledger = &stream->from.ledger->writer;

	cap_count(&ledger->delivered_packets, block->packets);
	cap_count(&ledger->delivered_bytes, block->bytes);
	give_back(stream, block);
}

static bool means_full(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT;
}

static void dropped(struct stream *stream, struct cap_block *block)
{
	struct cap_ledger_writer *ledger = &stream->from.ledger->writer;

	cap_count(means_full(stream->blocked_by) ? &ledger->sink_full : &ledger->sink_error,
		  block->packets);
	give_back(stream, block);
}

static void take_from_batch(struct stream *stream, unsigned n)
{
	stream->count -= n;
	memmove(stream->batch, stream->batch + n, stream->count * sizeof(stream->batch[0]));
}

static void block_stream(struct cap_writer *writer, struct stream *stream, int rc,
			 const char *doing)
{
	cap_count(&stream->from.ledger->writer.write_errors, 1);
	if (!stream->blocked)
		cap_alert(
			"sink_blocked",
			"%s queue %u: %s in %s failed: %s: packets are held, then dropped as %s, until it works again",
			stream->from.port->interface, stream->from.queue, doing,
			writer->config->output.directory, strerror(-rc),
			means_full(rc) ? "sink_full" : "sink_error");
	stream->blocked = true;
	stream->blocked_by = rc;
	stream->retry_at = cap_monotonic_ns() + RETRY_NS;
}

static void unblock_stream(struct stream *stream)
{
	if (stream->blocked)
		cap_info("sink_recovered", "%s queue %u: writing works again",
			 stream->from.port->interface, stream->from.queue);
	stream->blocked = false;
}

/* The ledger's figures as pcapng names them. */
static void read_figures(const struct stream *stream, struct cap_pcapng_statistics *figures)
{
	const struct cap_ledger_queue *ledger = stream->from.ledger;
	uint64_t wire = cap_sample(&ledger->worker.wire_packets);
	uint64_t nic = cap_sample(&ledger->monitor.nic_lost);
	uint64_t filtered = cap_sample(&ledger->worker.filtered_kernel) +
			    cap_sample(&ledger->worker.filtered_engine);

	*figures = (struct cap_pcapng_statistics){
		.timestamp_ns = cap_realtime_ns(),
		.start_ns = cap_sample(&stream->from.header->armed_realtime_ns),
		.ifrecv = wire + nic,
		.ifdrop = nic,
		.filteraccept = wire - filtered,
		.osdrop = cap_sample(&ledger->worker.kernel_dropped) +
			  cap_sample(&ledger->worker.ring_full) +
			  cap_sample(&ledger->worker.unbound),
		.usrdeliv = cap_sample(&ledger->writer.delivered_packets),
	};
}

static void free_file(struct file *file)
{
	free(file->pages);
	free(file);
}

static void remember_whole(struct cap_writer *writer, const char *name)
{
	pthread_mutex_lock(&writer->names_lock);
	snprintf(writer->whole[writer->whole_count++ % CAP_RECENT_FILES], sizeof(writer->whole[0]),
		 "%s", name);
	pthread_mutex_unlock(&writer->names_lock);
}

static void set_current_file(struct cap_writer *writer, struct stream *stream, struct file *file)
{
	pthread_mutex_lock(&writer->names_lock);
	stream->file = file;
	pthread_mutex_unlock(&writer->names_lock);
}

static void commit_file(struct cap_writer *writer, struct file *file)
{
	struct cap_ledger_writer *ledger = &file->stream->from.ledger->writer;
	int rc = cap_output_commit(writer->output, &file->out);

	if (rc) {
		cap_count(&ledger->write_errors, 1);
		cap_alert(
			"file_not_committed",
			"%s: cannot be given its name: %s: its packets stay in the hidden .part file",
			file->out.name, strerror(-rc));
	} else {
		cap_count(&ledger->files_whole, 1);
		remember_whole(writer, file->out.name);
		cap_info("file_whole", "%s: %lld bytes", file->out.name, (long long)file->offset);
	}
	free_file(file);
	writer->closing--;
}

/* A name says that a file is whole; one that the disk did not confirm does not get it. */
static void leave_unsynced(struct cap_writer *writer, struct file *file, int rc)
{
	struct cap_ledger_writer *ledger = &file->stream->from.ledger->writer;

	cap_count(&ledger->write_errors, 1);
	cap_count(&ledger->unsynced_packets, file->packets);
	cap_alert(
		"sync_failed",
		"%s: the disk did not confirm its %llu packets: %s: it stays hidden, and the next start recovers what is there",
		file->out.name, (unsigned long long)file->packets, strerror(-rc));
	cap_output_abandon(&file->out);
	free_file(file);
	writer->closing--;
}

static void submit_sync(struct cap_writer *writer, struct file *file)
{
	file->state = FILE_SYNC;
	file->op.kind = CAP_IO_SYNC;
	writer->backend->submit(writer->io, &file->op);
}

/* The last page of a file: the ledger as it stands, for people in the comment as well. */
static void submit_trailer(struct cap_writer *writer, struct file *file)
{
	const struct stream *stream = file->stream;
	uint8_t *page = file->pages + CAP_PAGE;
	json_t *causes = cap_ledger_causes(stream->from.ledger);
	char *text = json_dumps(causes, JSON_COMPACT | JSON_SORT_KEYS);
	struct cap_pcapng_statistics figures;
	char comment[1024];

	read_figures(stream, &figures);
	snprintf(comment, sizeof(comment),
		 "capstan ledger: wire %llu, delivered %llu, filtered %llu, dropped %s",
		 (unsigned long long)figures.ifrecv, (unsigned long long)figures.usrdeliv,
		 (unsigned long long)(figures.ifrecv - figures.ifdrop - figures.filteraccept),
		 text ? text : "?");
	cap_pcapng_statistics(page, CAP_PAGE, &figures, comment);
	free(text);
	json_decref(causes);

	file->state = FILE_TRAILER;
	file->op.kind = CAP_IO_WRITE;
	file->op.offset = file->offset;
	file->op.count = 1;
	file->op.vectors[0] = (struct iovec){ page, CAP_PAGE };
	writer->backend->submit(writer->io, &file->op);
}

/* Take the file from its stream and finish it on its own; the stream may begin the next. */
static void end_file(struct cap_writer *writer, struct stream *stream)
{
	struct file *file = stream->file;

	set_current_file(writer, stream, NULL);
	if (file->offset == 0) {
		cap_output_discard(writer->output, &file->out);
		free_file(file);
		return;
	}
	writer->closing++;
	submit_trailer(writer, file);
}

static int begin_file(struct cap_writer *writer, struct stream *stream)
{
	const struct cap_stream_source *from = &stream->from;
	struct cap_port_facts facts;
	const struct cap_pcapng_interface interface = {
		.name = from->port->interface,
		.description = facts.effective_mode,
		.filter = from->port->filter,
		.link_type = from->facts->link_type, /* the same at every opening */
		.snaplen = from->facts->snaplen,
		.fcs_len = from->facts->fcs_len,
	};
	struct file *file = calloc(1, sizeof(*file));
	int rc;

	if (!file || posix_memalign((void **)&file->pages, CAP_PAGE, 2UL * CAP_PAGE)) {
		free(file);
		return -ENOMEM;
	}
	rc = cap_output_create(writer->output, from->port->interface, from->queue,
			       ++stream->sequence, &file->out);
	if (rc) {
		free_file(file);
		return rc;
	}
	pthread_mutex_lock(from->facts_lock);
	facts = *from->facts;
	pthread_mutex_unlock(from->facts_lock);
	if (cap_pcapng_head(file->pages, &interface))
		cap_warn(
			"filter_not_in_file",
			"%s: the filter is too long for the file's header; it applies all the same",
			file->out.name);
	file->op.fd = file->out.fd;
	file->op.at_once = writer->at_once;
	file->stream = stream;
	file->opened_ns = cap_monotonic_ns();
	set_current_file(writer, stream, file);
	cap_count(&from->ledger->writer.files_opened, 1);
	return 0;
}

static int keep_space_free(struct cap_writer *writer, struct stream *stream, uint64_t now)
{
	struct cap_ledger_writer *ledger = &stream->from.ledger->writer;
	uint64_t removed = 0, bytes = 0;
	int rc;

	if (!stream->blocked && now - stream->space_checked < SPACE_CHECK_NS)
		return 0;
	stream->space_checked = now;
	rc = cap_output_keep_free(writer->output, &removed, &bytes);
	cap_count(&ledger->files_removed, removed);
	cap_count(&ledger->removed_bytes, bytes);
	return rc;
}

static bool is_old(const struct cap_writer *writer, const struct file *file, uint64_t now)
{
	uint64_t limit = writer->config->output.rotate_seconds * CAP_NS_PER_S;

	return limit && now - file->opened_ns >= limit;
}

/* A block that only says "rotate" carries nothing to write. */
static void gather(struct stream *stream)
{
	while (stream->count < BATCH) {
		struct cap_block *block = cap_spsc_pop(&stream->from.pool->full);

		if (!block)
			return;
		stream->batch[stream->count++] = block;
	}
}

static bool ends_file_at(const struct stream *stream, unsigned i)
{
	return stream->batch[i]->last_of_file;
}

/* Fill the operation with the blocks that still fit this file. @return false when the first does not */
static bool fill_operation(struct cap_writer *writer, struct stream *stream)
{
	struct file *file = stream->file;
	struct cap_io_op *op = &file->op;
	int64_t end = file->offset;

	op->kind = CAP_IO_WRITE;
	op->offset = file->offset;
	op->count = 0;
	if (file->offset == 0) {
		op->vectors[op->count++] = (struct iovec){ file->pages, CAP_PAGE };
		end += CAP_PAGE;
	}
	for (unsigned i = 0; i < stream->count; i++) {
		struct cap_block *block = stream->batch[i];
		bool empty_file = file->offset == 0 && i == 0;

		if (!empty_file &&
		    (uint64_t)end + block->used + CAP_PAGE > writer->config->output.rotate_bytes)
			return i > 0;
		op->vectors[op->count++] = (struct iovec){ block->data, block->used };
		end += block->used;
		if (ends_file_at(stream, i))
			break;
	}
	return true;
}

/* Without a disk to wait for. */
static void deliver_to_null(struct stream *stream)
{
	for (unsigned i = 0; i < stream->count; i++) {
		cap_count(&stream->from.ledger->writer.written_bytes, stream->batch[i]->used);
		delivered(stream, stream->batch[i]);
	}
	stream->count = 0;
}

/* @return true when something was done */
static bool advance(struct cap_writer *writer, struct stream *stream, uint64_t now)
{
	int rc;

	if (stream->in_flight || (stream->blocked && now < stream->retry_at))
		return false;
	gather(stream);
	if (!writer->backend) {
		bool any = stream->count > 0;

		deliver_to_null(stream);
		return any;
	}
	if (stream->file && is_old(writer, stream->file, now))
		end_file(writer, stream);
	/* Nothing but the wish to rotate. */
	if (stream->count && stream->batch[0]->used == 0) {
		struct cap_block *marker = stream->batch[0];

		if (stream->file)
			end_file(writer, stream);
		take_from_batch(stream, 1);
		give_back(stream, marker);
		return true;
	}
	if (stream->count == 0)
		return false;

	rc = keep_space_free(writer, stream, now);
	if (rc) {
		block_stream(writer, stream, rc, "keeping space free");
		return false;
	}
	if (stream->file && !fill_operation(writer, stream))
		end_file(writer, stream);
	if (!stream->file) {
		rc = begin_file(writer, stream);
		if (rc) {
			block_stream(writer, stream, rc, "creating a file");
			return false;
		}
		fill_operation(writer, stream);
	}
	stream->in_flight = true;
	writer->backend->submit(writer->io, &stream->file->op);
	return true;
}

/* Blocks wholly inside the first @p bytes of the write are delivered. @return how many bytes they have */
static int64_t settle_written(struct stream *stream, int64_t bytes)
{
	const struct cap_io_op *op = &stream->file->op;
	unsigned blocks = 0, head = stream->file->offset == 0 ? 1 : 0;
	int64_t settled = 0;

	for (unsigned i = 0; i < op->count; i++) {
		int64_t len = (int64_t)op->vectors[i].iov_len;

		if (settled + len > bytes)
			break;
		settled += len;
		if (i >= head)
			blocks++;
	}
	/* A head page without a block is not worth keeping. */
	if (blocks == 0)
		return 0;
	cap_count(&stream->from.ledger->writer.written_bytes, (uint64_t)settled);
	for (unsigned i = 0; i < blocks; i++) {
		stream->file->packets += stream->batch[i]->packets;
		delivered(stream, stream->batch[i]);
	}
	take_from_batch(stream, blocks);
	return settled;
}

static void write_done(struct cap_writer *writer, struct stream *stream)
{
	struct file *file = stream->file;
	int64_t result = file->op.result, asked = 0, settled;
	unsigned last = file->op.count - (file->offset == 0 ? 2 : 1);
	bool rotate = ends_file_at(stream, last);

	stream->in_flight = false;
	for (unsigned i = 0; i < file->op.count; i++)
		asked += (int64_t)file->op.vectors[i].iov_len;
	settled = settle_written(stream, result > 0 ? result : 0);
	file->offset += settled;
	if (result == asked) {
		unblock_stream(stream);
		if (rotate)
			end_file(writer, stream);
		return;
	}
	/*
	 * A short write is how a disk that fills up begins; the next would say so. Whatever it was, no
	 * half block stays in the file, which is ended here; the rest waits for the next one.
	 */
	if (ftruncate(file->op.fd, file->offset))
		cap_alert("file_not_cut", "%s: cannot be cut to its last whole block: %s",
			  file->out.name, strerror(errno));
	block_stream(writer, stream, result < 0 ? (int)result : -ENOSPC, "writing");
	if (settled > 0) {
		stream->retry_at = 0; /* it may only have been this file's end */
		stream->last_try = false;
	}
	end_file(writer, stream);
}

static void file_done(struct cap_writer *writer, struct file *file)
{
	int64_t result = file->op.result;

	switch (file->state) {
	case FILE_WRITING:
		write_done(writer, file->stream);
		return;
	case FILE_TRAILER:
		if (result == CAP_PAGE) {
			file->offset += CAP_PAGE;
			cap_count(&file->stream->from.ledger->writer.written_bytes, CAP_PAGE);
		} else if (ftruncate(file->op.fd, file->offset)) {
			cap_alert("file_not_cut", "%s: cannot be cut to its last whole block: %s",
				  file->out.name, strerror(errno));
		}
		submit_sync(writer, file);
		return;
	case FILE_SYNC:
		if (result < 0)
			leave_unsynced(writer, file, (int)result);
		else
			commit_file(writer, file);
		return;
	}
}

/* While a stream is blocked its blocks are held; when the pool runs short the oldest go. */
static void relieve(struct stream *stream, bool all)
{
	struct cap_block_pool *pool = stream->from.pool;

	if (!stream->blocked || stream->in_flight)
		return;
	for (;;) {
		struct cap_block *oldest;

		gather(stream);
		if (!stream->count ||
		    (!all && stream->count + cap_spsc_count(&pool->full) + KEEP_FREE < pool->count))
			return;
		oldest = stream->batch[0];
		take_from_batch(stream, 1);
		dropped(stream, oldest);
	}
}

static bool reap(struct cap_writer *writer)
{
	struct cap_io_op *op;
	bool any = false;

	while (writer->backend && (op = writer->backend->completed(writer->io))) {
		file_done(writer, (struct file *)(void *)op);
		any = true;
	}
	return any;
}

static bool is_idle(const struct cap_writer *writer)
{
	for (unsigned i = 0; i < writer->stream_count; i++)
		if (writer->streams[i].in_flight || writer->streams[i].count ||
		    cap_spsc_count(&writer->streams[i].from.pool->full))
			return false;
	return writer->closing == 0;
}

static void sleep_until_woken(struct cap_writer *writer)
{
	struct pollfd ready[2] = {
		{ .fd = writer->event, .events = POLLIN },
		{ .fd = writer->backend ? writer->backend->wait_fd(writer->io) : -1,
		  .events = POLLIN },
	};
	uint64_t count;

	/* Blocks pushed before the flag was up are looked for once more; later ones wake us. */
	__atomic_store_n(&writer->sleeping, true, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < writer->stream_count; i++) {
		if (cap_spsc_count(&writer->streams[i].from.pool->full) &&
		    !writer->streams[i].blocked && !writer->streams[i].in_flight) {
			__atomic_store_n(&writer->sleeping, false, __ATOMIC_RELAXED);
			return;
		}
	}
	poll(ready, 2, TICK_MS);
	__atomic_store_n(&writer->sleeping, false, __ATOMIC_RELAXED);
	if (ready[0].revents && read(writer->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		cap_alert("writer_event", "reading the writer's event failed: %s", strerror(errno));
}

static bool advance_all(struct cap_writer *writer)
{
	uint64_t now = cap_monotonic_ns();
	bool any = false;

	for (unsigned i = 0; i < writer->stream_count; i++) {
		any |= advance(writer, &writer->streams[i], now);
		relieve(&writer->streams[i], false);
	}
	return any;
}

/* @return true while a blocked stream has a try left; one that writes something has another */
static bool try_once_more(struct cap_writer *writer)
{
	bool any = false;

	for (unsigned i = 0; i < writer->stream_count; i++) {
		struct stream *stream = &writer->streams[i];

		if (!stream->blocked || stream->in_flight || stream->last_try)
			continue;
		stream->last_try = true;
		stream->retry_at = 0;
		any = true;
	}
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
			struct stream *stream = &writer->streams[i];

			relieve(stream, true);
			if (stream->file && !stream->in_flight && !stream->count &&
			    !cap_spsc_count(&stream->from.pool->full))
				end_file(writer, stream);
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

static int choose_backend(struct cap_writer *writer, struct cap_error *err)
{
	int rc;

	if (writer->config->output.sink == CAP_SINK_NULL)
		return 0;
	writer->backend = writer->config->io == CAP_IO_PWRITE ? &cap_io_pwrite : &cap_io_uring;
	rc = writer->backend->open(&writer->io, err);
	if (rc && writer->config->io == CAP_IO_AUTO) {
		cap_warn("no_io_uring", "writing with pwrite: %s", err->text);
		writer->backend = &cap_io_pwrite;
		rc = writer->backend->open(&writer->io, err);
	}
	if (rc)
		writer->backend = NULL;
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
	writer->output = output;
	writer->stream_count = count;
	writer->at_once = count == 1 && output->copies;
	pthread_mutex_init(&writer->names_lock, NULL);
	for (unsigned i = 0; i < count; i++)
		writer->streams[i].from = sources[i];
	writer->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = writer->event < 0 ? cap_fail(err, errno, "eventfd: %s", strerror(errno)) :
				 choose_backend(writer, err);
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
	return writer->backend ? writer->backend->name : "null";
}

void cap_writer_wake(struct cap_writer *writer)
{
	const uint64_t one = 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* A full counter means that it has been woken already. */
	if (__atomic_load_n(&writer->sleeping, __ATOMIC_RELAXED) &&
	    write(writer->event, &one, sizeof(one)) < 0 && errno != EAGAIN)
		cap_alert("writer_event", "waking the writer failed: %s", strerror(errno));
}

void cap_writer_finish(struct cap_writer *writer)
{
	if (!writer->started)
		return;
	__atomic_store_n(&writer->stop, true, __ATOMIC_RELEASE);
	cap_writer_wake(writer);
	pthread_join(writer->thread, NULL);
	writer->started = false;
}

void cap_writer_free(struct cap_writer *writer)
{
	if (!writer)
		return;
	if (writer->backend)
		writer->backend->close(writer->io);
	if (writer->event >= 0)
		close(writer->event);
	pthread_mutex_destroy(&writer->names_lock);
	free(writer->streams);
	free(writer);
}

json_t *cap_writer_open_files(struct cap_writer *writer)
{
	json_t *names = json_array();

	pthread_mutex_lock(&writer->names_lock);
	for (unsigned i = 0; i < writer->stream_count; i++)
		if (writer->streams[i].file)
			json_array_append_new(names,
					      json_string(writer->streams[i].file->out.name));
	pthread_mutex_unlock(&writer->names_lock);
	return names;
}

json_t *cap_writer_whole_files(struct cap_writer *writer)
{
	json_t *names = json_array();
	unsigned count, first;

	pthread_mutex_lock(&writer->names_lock);
	count = writer->whole_count;
	first = count > CAP_RECENT_FILES ? count - CAP_RECENT_FILES : 0;
	for (unsigned i = first; i < count; i++)
		json_array_append_new(names, json_string(writer->whole[i % CAP_RECENT_FILES]));
	pthread_mutex_unlock(&writer->names_lock);
	return names;
}
