/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A file of a stream, from its creation through trailer and fsync to its name, and the fsync of that.
 *
 * One operation is under way for a file at a time. A file that is ended leaves its stream at once and
 * comes to its name on its own. Writer thread only, but for the names that status tells.
 */
#ifndef CAPSTAN_STREAM_FILE_H
#define CAPSTAN_STREAM_FILE_H

#include "block.h"
#include "config.h"
#include "ledger.h"
#include "output.h"
#include "pcapng.h"
#include "sink_io.h"

#include <pthread.h>
#include <stdbool.h>

/** What the writer needs of one queue. All borrowed; they outlive the writer. */
struct cap_stream_source {
	struct cap_block_pool *pool;
	struct cap_ledger_queue *ledger;
	const struct cap_ledger_header *header;
	const struct cap_port_config *port;
	const struct cap_port_facts *facts; /**< changed when a port is opened again, under: */
	pthread_mutex_t *facts_lock;
	unsigned queue;
};

/** What all files of a writer share. */
struct cap_files {
	const struct cap_config *config;
	struct cap_output *output;
	const struct cap_io_backend *backend; /**< NULL: the null sink */
	struct cap_io *io;
	unsigned open;	  /**< files that are being written to */
	unsigned closing; /**< files whose trailer or sync is under way */
	bool at_once; /**< there is but one file at a time, and a write of it is a copy in memory */
	unsigned most_open; /**< of both together, where targets have streams of their own */
	uint64_t uses;	    /**< writes started: tells which file's was the longest ago */

	pthread_mutex_t names_lock; /**< for status; nothing that is done for each packet takes it */
	struct cap_stream_file *oldest, *newest; /**< open ones, by when they were begun */
	char whole[CAP_RECENT_FILES][CAP_OUTPUT_NAME_LEN];
	unsigned whole_count;
};

enum cap_file_state { CAP_FILE_WRITING, CAP_FILE_TRAILER, CAP_FILE_SYNC, CAP_FILE_NAME };

struct cap_stream_file {
	struct cap_io_op op; /**< first: an operation leads back to its file */
	struct cap_output_file out;
	const struct cap_stream_source *from;
	enum cap_file_state state;
	int64_t offset; /**< bytes that are surely in it */
	uint64_t packets;
	uint64_t opened_ns;
	uint8_t *pages;	   /**< CAP_PAGE each for the head, the trailer and a gap */
	bool busy;	   /**< a write of it is under way */
	uint64_t last_use; /**< its last write, as `uses` was then */
	unsigned tag;	   /**< the owner's: what is being written */
	uint32_t *sequence;
	const char *target;		 /**< UUID whose packets it has; NULL: the queue's */
	void *owner;			 /**< stream whose it is, for who is told of its writes */
	struct cap_stream_file **holder; /**< where its stream keeps it; NULL once it is ended */
	struct cap_stream_file *older, *newer;
};

/**
 * Choose how to write.
 *
 * @param config,output borrowed
 * @return 0, or negative errno with a sentence
 */
int cap_files_open(struct cap_files *files, const struct cap_config *config,
		   struct cap_output *output, struct cap_error *err);

/** All files have come to their end. */
void cap_files_close(struct cap_files *files);

/**
 * Begin a file.
 *
 * @param from queue whose packets it gets
 * @param target UUID of the target whose packets alone it gets, kept by the caller; or NULL
 * @param sequence number of the stream's last file; goes up by one, and back when nothing came into it
 * @param holder set to the file, and to NULL when it is ended
 * @return 0 or negative errno
 */
int cap_file_begin(struct cap_files *files, const struct cap_stream_source *from,
		   const char *target, uint32_t *sequence, struct cap_stream_file **holder);

/** @return whether one more file may be open */
bool cap_files_have_room(const struct cap_files *files);

/**
 * End the open file that was written to the longest ago, and count that it was early.
 *
 * @return false when all have a write under way
 */
bool cap_files_end_least_used(struct cap_files *files);

/** End all files of one queue. None of them has a write under way. */
void cap_files_end_all(struct cap_files *files, const struct cap_stream_source *from);

/** End the files that have been open as long as a file may, but those with a write under way. */
void cap_files_end_old(struct cap_files *files, uint64_t now);

/** @return nanoseconds until a file that is open now will have been so as long as a file may; UINT64_MAX: none will */
uint64_t cap_files_old_in(const struct cap_files *files, uint64_t now);

/**
 * Take the file from its stream and let it end: with its trailer, synced, under its own name; or thrown
 * away when nothing is in it. No operation of it is under way.
 */
void cap_file_end(struct cap_files *files, struct cap_stream_file *file);

/** Begin a write of the file: its head page where it has none yet. Vectors are then added to its `op`. */
void cap_file_prepare(struct cap_stream_file *file);

/**
 * Add a page to a write that was prepared which tells where packets were lost, for readers and people: a
 * statistics block with a comment.
 *
 * @param lost packets of the queue, since what was written before
 * @param cause its name in the ledger
 */
void cap_file_tell_gap(struct cap_stream_file *file, uint64_t lost, const char *cause);

/** The write that was prepared is to be started. */
void cap_file_submit(struct cap_files *files, struct cap_stream_file *file);

/** Start all writes that are to be; cap_files_written does, too. */
void cap_files_start(struct cap_files *files);

/** Cut the file to what is surely in it: no half block stays. */
void cap_file_cut(const struct cap_stream_file *file);

/**
 * Go on with what has completed.
 *
 * @param any set when anything was
 * @return a file whose write is done, its `op` as it was submitted, `op.result` set; or NULL
 */
struct cap_stream_file *cap_files_written(struct cap_files *files, bool *any);

/**
 * Names for status; any thread. Of open files the newest, as many as of whole ones.
 *
 * @return new reference
 */
json_t *cap_files_open_names(struct cap_files *files);
json_t *cap_files_whole_names(struct cap_files *files);

/** How many files are open now; any thread. */
unsigned cap_files_open_count(struct cap_files *files);

#endif
