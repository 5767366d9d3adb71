/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The stream of one queue: its full blocks, in their order, into files; or taken apart into the
 * files of targets.
 *
 * Where the disk fails, blocks are held as long as the pool has room and then dropped, oldest first,
 * each with its cause. Writer thread only.
 */
#ifndef CAPSTAN_QUEUE_STREAM_H
#define CAPSTAN_QUEUE_STREAM_H

#include "target_streams.h"

/** Blocks in one write: with 1 MiB blocks large enough for any disk, small enough to be fair. */
#define CAP_STREAM_BATCH 16U

struct cap_queue_stream {
	struct cap_files *files;
	struct cap_stream_source from;
	struct cap_target_streams *targets; /**< NULL: blocks go into the queue's file as they are */
	struct cap_stream_file *file;	    /**< being written, or NULL */
	bool in_flight;			    /**< the file's operation is a write of `batch` */
	unsigned lead;			    /**< pages of that write in front of the blocks */
	uint64_t lost;			    /**< packets dropped, which no file tells of yet */
	struct cap_block *batch[CAP_STREAM_BATCH];
	unsigned count;
	uint64_t waits_since; /**< when the first of `batch` came, to be taken apart; 0: none waits */
	uint32_t sequence;
	bool blocked;
	int blocked_by; /**< negative errno */
	uint64_t retry_at;
	bool last_try; /**< at the end: tried once more since anything was written */
};

/** Take what waits, and write what may be written now. @return true when something was done */
bool cap_queue_stream_advance(struct cap_queue_stream *stream, uint64_t now);

/** The write of a file of the stream is done, however it went. */
void cap_queue_stream_written(struct cap_queue_stream *stream, struct cap_stream_file *file);

/**
 * While the stream is blocked its blocks are held; drop the oldest where the pool runs short.
 *
 * @param all drop all of them: nothing more will be tried
 */
void cap_queue_stream_relieve(struct cap_queue_stream *stream, bool all);

/** It has blocks that could be written now: the writer must not sleep. */
bool cap_queue_stream_is_ready(struct cap_queue_stream *stream);

/** Nothing of it is in memory or under way. */
bool cap_queue_stream_is_idle(struct cap_queue_stream *stream);

/** At the end: let a blocked stream try once more. @return true while it has a try left */
bool cap_queue_stream_try_once_more(struct cap_queue_stream *stream);

/** At the end: end its files once all is in them. */
void cap_queue_stream_end(struct cap_queue_stream *stream);

#endif
