/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The writer: one thread that takes full blocks from all queues and puts them into files.
 *
 * Each queue has a stream of files of its own, so that a file's packets are in the order in which
 * their queue received them. One write is under way for each file at a time, of as many blocks as are
 * waiting: what is in a file is always a prefix of its stream. Where targets have streams of their own,
 * blocks are taken apart first (target_streams.h). Where the disk fails, blocks are held
 * as long as the pool has room and then dropped, oldest first, each with its cause.
 */
#ifndef CAPSTAN_WRITER_H
#define CAPSTAN_WRITER_H

#include "stream_file.h"

struct cap_writer;

/**
 * Set up, without starting the thread.
 *
 * @param output borrowed
 * @return 0, or negative errno with a sentence
 */
int cap_writer_create(struct cap_writer **writer, const struct cap_config *config,
		      struct cap_output *output, const struct cap_stream_source *sources,
		      unsigned count, struct cap_error *err);

int cap_writer_start(struct cap_writer *writer, struct cap_error *err);

/** Name of the way in which it writes: "io_uring", "pwrite" or "null". */
const char *cap_writer_io_name(const struct cap_writer *writer);

/** Tell it that a block was pushed. Any thread; a system call only when the writer sleeps. */
void cap_writer_wake(struct cap_writer *writer);

/** Write what is in the queues' rings, finish all files, and join. The workers have ended. */
void cap_writer_finish(struct cap_writer *writer);
void cap_writer_free(struct cap_writer *writer);

/** Names for status; each is freed by the caller with json_decref. */
json_t *cap_writer_open_files(struct cap_writer *writer);
json_t *cap_writer_whole_files(struct cap_writer *writer);

/**
 * How many files are open, how many may be (null where targets have none of their own), and how many ended
 * early for that: {"open": N, "most": N, "early": N}.
 */
json_t *cap_writer_open_limits(struct cap_writer *writer);

#endif
