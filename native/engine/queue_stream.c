// SPDX-License-Identifier: Apache-2.0
#include "queue_stream.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Blocks that a queue keeps free while its stream is blocked, so that its worker can go on. */
#define KEEP_FREE 4U

_Static_assert(CAP_STREAM_BATCH + 2 <= CAP_IO_VECTORS,
	       "a write has room for a batch, a head page and one that tells of a gap");

/*
 * Full blocks wait so long for others to be taken apart with them: a target's packets of several blocks
 * are one run, and only its last page is filled in part.
 */
#define GATHER_NS (100 * CAP_NS_PER_MS)

#define RETRY_NS (500 * CAP_NS_PER_MS)

static void give_back(struct cap_queue_stream *stream, struct cap_block *block)
{
	block->used = 0;
	block->packets = 0;
	block->bytes = 0;
	block->last_of_file = false;
	cap_spsc_push(&stream->from.pool->free, block);
}

static void delivered(struct cap_queue_stream *stream, struct cap_block *block)
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

static const char *cause_of(int rc)
{
	return means_full(rc) ? "sink_full" : "sink_error";
}

static void dropped(struct cap_queue_stream *stream, struct cap_block *block)
{
	struct cap_ledger_writer *ledger = &stream->from.ledger->writer;

	cap_count(means_full(stream->blocked_by) ? &ledger->sink_full : &ledger->sink_error,
		  block->packets);
	stream->lost += block->packets;
	give_back(stream, block);
}

static void take_from_batch(struct cap_queue_stream *stream, unsigned n)
{
	stream->count -= n;
	memmove(stream->batch, stream->batch + n, stream->count * sizeof(stream->batch[0]));
}

static void block_stream(struct cap_queue_stream *stream, int rc, const char *doing)
{
	cap_count(&stream->from.ledger->writer.write_errors, 1);
	if (!stream->blocked)
		cap_alert(
			"sink_blocked",
			"%s queue %u: %s in %s failed: %s: packets are held, then dropped as %s, until it works again",
			stream->from.port->interface, stream->from.queue, doing,
			stream->files->config->output.directory, strerror(-rc), cause_of(rc));
	stream->blocked = true;
	stream->blocked_by = rc;
	stream->retry_at = cap_monotonic_ns() + RETRY_NS;
}

static void unblock_stream(struct cap_queue_stream *stream)
{
	if (stream->blocked)
		cap_info("sink_recovered", "%s queue %u: writing works again",
			 stream->from.port->interface, stream->from.queue);
	stream->blocked = false;
}

/* Before each write: by the clock a fast link would be far below the floor between two looks. */
static int keep_space_free(struct cap_queue_stream *stream)
{
	struct cap_ledger_writer *ledger = &stream->from.ledger->writer;
	uint64_t removed = 0, bytes = 0;
	int rc = cap_output_keep_free(stream->files->output, &removed, &bytes);

	cap_count(&ledger->files_removed, removed);
	cap_count(&ledger->removed_bytes, bytes);
	return rc;
}

/* A block that only says "rotate" carries nothing to write. */
static void gather(struct cap_queue_stream *stream)
{
	while (stream->count < CAP_STREAM_BATCH) {
		struct cap_block *block = cap_spsc_pop(&stream->from.pool->full);

		if (!block)
			return;
		stream->batch[stream->count++] = block;
	}
}

static bool ends_file_at(const struct cap_queue_stream *stream, unsigned i)
{
	return stream->batch[i]->last_of_file;
}

/* Fill the operation with the blocks that still fit this file. @return false when the first does not */
static bool fill_operation(struct cap_queue_stream *stream)
{
	struct cap_stream_file *file = stream->file;
	struct cap_io_op *op = &file->op;
	int64_t end;

	cap_file_prepare(file);
	if (stream->lost)
		cap_file_tell_gap(file, stream->lost, cause_of(stream->blocked_by));
	stream->lead = op->count;
	end = file->offset + (int64_t)op->count * CAP_PAGE;
	for (unsigned i = 0; i < stream->count; i++) {
		struct cap_block *block = stream->batch[i];
		bool empty_file = file->offset == 0 && i == 0;

		if (!empty_file && (uint64_t)end + block->used + CAP_PAGE >
					   stream->files->config->output.rotate_bytes)
			return i > 0;
		op->vectors[op->count++] = (struct iovec){ block->data, block->used };
		end += block->used;
		if (ends_file_at(stream, i))
			break;
	}
	return true;
}

/* Without a disk to wait for. @return true when there was anything */
static bool deliver_to_null(struct cap_queue_stream *stream)
{
	const bool any = stream->count > 0;

	for (unsigned i = 0; i < stream->count; i++) {
		cap_count(&stream->from.ledger->writer.written_bytes, stream->batch[i]->used);
		delivered(stream, stream->batch[i]);
	}
	stream->count = 0;
	return any;
}

/* Whole blocks into the queue's file. @return true when something was done */
static bool write_batch(struct cap_queue_stream *stream)
{
	int rc;

	if (stream->file && !fill_operation(stream))
		cap_file_end(stream->files, stream->file);
	if (!stream->file) {
		rc = cap_file_begin(stream->files, &stream->from, NULL, &stream->sequence,
				    &stream->file);
		if (rc) {
			block_stream(stream, rc, "creating a file");
			return false;
		}
		stream->file->owner = stream;
		fill_operation(stream);
	}
	stream->in_flight = true;
	cap_file_submit(stream->files, stream->file);
	cap_files_start(stream->files);
	return true;
}

/* Without the packets that earlier rounds have counted. */
static void drop_oldest(struct cap_queue_stream *stream)
{
	struct cap_block *oldest = stream->batch[0];

	if (stream->targets) {
		uint64_t counted = cap_target_streams_counted(stream->targets);

		cap_target_streams_skip(stream->targets, oldest);
		oldest->packets -= counted;
	}
	take_from_batch(stream, 1);
	dropped(stream, oldest);
}

/* @return true when a round was over, and its packets are counted */
static bool settle_round(struct cap_queue_stream *stream)
{
	struct cap_ledger_writer *ledger = &stream->from.ledger->writer;
	struct cap_round_end end;

	if (!cap_round_settle(stream->targets, &end))
		return false;
	cap_count(&ledger->delivered_packets, end.packets);
	cap_count(&ledger->delivered_bytes, end.bytes);
	cap_count(means_full(stream->blocked_by) ? &ledger->sink_full : &ledger->sink_error,
		  end.dropped);
	cap_count(&ledger->sink_error, end.malformed);
	cap_count(&ledger->partly_written, end.dropped_partly);
	for (unsigned i = 0; i < end.blocks; i++)
		give_back(stream, stream->batch[i]);
	take_from_batch(stream, end.blocks);
	if (end.any_written)
		unblock_stream(stream);
	if (end.rotate)
		cap_files_end_all(stream->files, &stream->from);
	return true;
}

/* Packets into the files of their targets. @return true when something was done */
static bool write_apart(struct cap_queue_stream *stream)
{
	/* Where something fails, one write at a time tells when it works again. */
	unsigned most = stream->blocked ? 1 : UINT_MAX, started = 0;
	int rc = 0;

	if (!cap_round_is_on(stream->targets))
		rc = cap_round_begin(stream->targets, stream->batch, stream->count);
	if (rc) {
		block_stream(stream, rc, "taking blocks apart");
		return false;
	}
	rc = cap_round_submit(stream->targets, most, &started, stream);
	if (rc)
		block_stream(stream, rc, "creating a file");
	stream->in_flight = cap_round_in_flight(stream->targets) > 0;
	return settle_round(stream) || started > 0;
}

static bool round_is_on(const struct cap_queue_stream *stream)
{
	return stream->targets && cap_round_is_on(stream->targets);
}

/* Nothing but the wish to rotate. @return true when there was one */
static bool take_marker(struct cap_queue_stream *stream)
{
	struct cap_block *marker = stream->batch[0];

	if (!stream->count || marker->used)
		return false;
	cap_files_end_all(stream->files, &stream->from);
	take_from_batch(stream, 1);
	give_back(stream, marker);
	return true;
}

/* The worker was not made to seal it by the time that its packets may wait. */
static bool was_full(const struct cap_block *block)
{
	return block->used >= block->size / 4 * 3 && !block->last_of_file;
}

/* @return true while a round of more blocks is worth waiting for, and the pool can do without these */
static bool waits_for_more(struct cap_queue_stream *stream, uint64_t now)
{
	const unsigned spare = stream->from.pool->count / 4;

	if (!stream->waits_since)
		stream->waits_since = now;
	if (!stream->blocked && stream->count < CAP_STREAM_BATCH && stream->count < spare &&
	    was_full(stream->batch[stream->count - 1]) && now - stream->waits_since < GATHER_NS)
		return true;
	stream->waits_since = 0;
	return false;
}

bool cap_queue_stream_advance(struct cap_queue_stream *stream, uint64_t now)
{
	int rc;

	if (stream->blocked && (stream->in_flight || now < stream->retry_at))
		return false;
	if (!round_is_on(stream)) {
		if (stream->in_flight)
			return false;
		gather(stream);
		if (!stream->files->backend)
			return deliver_to_null(stream);
		if (take_marker(stream))
			return true;
		if (stream->count == 0 || (stream->targets && waits_for_more(stream, now)))
			return false;
	}
	rc = keep_space_free(stream);
	if (rc) {
		block_stream(stream, rc, "keeping space free");
		return false;
	}
	return stream->targets ? write_apart(stream) : write_batch(stream);
}

/* Blocks wholly inside the first @p bytes of the write are delivered. @return how many bytes they have */
static int64_t settle_written(struct cap_queue_stream *stream, int64_t bytes)
{
	const struct cap_io_op *op = &stream->file->op;
	unsigned blocks = 0;
	int64_t settled = 0;

	for (unsigned i = 0; i < op->count; i++) {
		int64_t len = (int64_t)op->vectors[i].iov_len;

		if (settled + len > bytes)
			break;
		settled += len;
		if (i >= stream->lead)
			blocks++;
	}
	/* A head page without a block is not worth keeping. */
	if (blocks == 0)
		return 0;
	stream->lost = 0;
	cap_count(&stream->from.ledger->writer.written_bytes, (uint64_t)settled);
	for (unsigned i = 0; i < blocks; i++) {
		stream->file->packets += stream->batch[i]->packets;
		delivered(stream, stream->batch[i]);
	}
	take_from_batch(stream, blocks);
	return settled;
}

static void batch_written(struct cap_queue_stream *stream, struct cap_stream_file *file)
{
	int64_t result = file->op.result, asked = 0, settled;
	unsigned last = file->op.count - stream->lead - 1;
	bool rotate = ends_file_at(stream, last);

	stream->in_flight = false;
	for (unsigned i = 0; i < file->op.count; i++)
		asked += (int64_t)file->op.vectors[i].iov_len;
	settled = settle_written(stream, result > 0 ? result : 0);
	file->offset += settled;
	if (result == asked) {
		unblock_stream(stream);
		if (rotate)
			cap_file_end(stream->files, file);
		return;
	}
	/*
	 * A short write is how a disk that fills up begins; the next would say so. Whatever it was, no
	 * half block stays in the file, which is ended here; the rest waits for the next one.
	 */
	cap_file_cut(file);
	block_stream(stream, result < 0 ? (int)result : -ENOSPC, "writing");
	if (settled > 0) {
		stream->retry_at = 0; /* it may only have been this file's end */
		stream->last_try = false;
	}
	cap_file_end(stream->files, file);
}

static void run_written(struct cap_queue_stream *stream, struct cap_stream_file *file)
{
	bool retry_now = false;
	int rc = cap_round_written(stream->targets, file, &retry_now);

	stream->in_flight = cap_round_in_flight(stream->targets) > 0;
	if (rc)
		block_stream(stream, rc, "writing");
	if (rc == 0 || retry_now) {
		stream->retry_at = 0;
		stream->last_try = false;
	}
	settle_round(stream);
}

void cap_queue_stream_written(struct cap_queue_stream *stream, struct cap_stream_file *file)
{
	if (stream->targets)
		run_written(stream, file);
	else
		batch_written(stream, file);
}

void cap_queue_stream_relieve(struct cap_queue_stream *stream, bool all)
{
	struct cap_block_pool *pool = stream->from.pool;

	if (!stream->blocked || stream->in_flight)
		return;
	for (;;) {
		gather(stream);
		if (!stream->count ||
		    (!all && stream->count + cap_spsc_count(&pool->full) + KEEP_FREE < pool->count))
			return;
		if (round_is_on(stream)) {
			cap_round_give_up(stream->targets);
			settle_round(stream);
			if (!stream->blocked)
				return;
		} else {
			drop_oldest(stream);
		}
	}
}

bool cap_queue_stream_is_ready(struct cap_queue_stream *stream)
{
	return cap_spsc_count(&stream->from.pool->full) && !stream->blocked && !stream->in_flight &&
	       !round_is_on(stream);
}

bool cap_queue_stream_is_idle(struct cap_queue_stream *stream)
{
	return !stream->in_flight && !stream->count && !cap_spsc_count(&stream->from.pool->full);
}

bool cap_queue_stream_try_once_more(struct cap_queue_stream *stream)
{
	if (!stream->blocked || stream->in_flight || stream->last_try)
		return false;
	stream->last_try = true;
	stream->retry_at = 0;
	return true;
}

void cap_queue_stream_end(struct cap_queue_stream *stream)
{
	if (cap_queue_stream_is_idle(stream))
		cap_files_end_all(stream->files, &stream->from);
}
