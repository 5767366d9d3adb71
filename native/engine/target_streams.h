/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The streams of a queue's targets: takes full blocks apart, and brings each packet into the files
 * of its targets, which the packet's comments name.
 *
 * Work goes in rounds. A round takes packets from the blocks, in their order, until its memory is full;
 * a target's packets lie in it as one run of whole pages, closed by a statistics block; each run is one
 * write. Only when all runs are written, or given up, are the round's packets counted: as delivered when
 * all copies of a packet are in files, and else as dropped. So memory is bounded however many targets
 * there are, and the blocks are held until then.
 *
 * A copy names its own target alone: a file tells nothing of others. Its epb_dropcount counts what the
 * queue lost since the packet before it in the same stream. A packet whose comments do not name all of
 * its targets, or none, goes into a file of the queue as well, in the directory itself, as it is.
 *
 * Writer thread only.
 */
#ifndef CAPSTAN_TARGET_STREAMS_H
#define CAPSTAN_TARGET_STREAMS_H

#include "stream_file.h"

struct cap_target_streams;

/** How far a round came. */
struct cap_round_end {
	unsigned blocks;	 /**< whose packets are all counted now */
	uint64_t packets, bytes; /**< delivered */
	uint64_t dropped;
	uint64_t dropped_partly; /**< of these, how many are in files of some of their targets */
	uint64_t malformed;	 /**< packets that could not be told apart */
	bool any_written;	 /**< some run of it is in a file */
	bool rotate;		 /**< the last block asked for it */
};

/**
 * Prepare for one queue.
 *
 * @param files,from borrowed
 */
int cap_target_streams_create(struct cap_target_streams **streams, struct cap_files *files,
			      const struct cap_stream_source *from, struct cap_error *err);
void cap_target_streams_free(struct cap_target_streams *streams);

/**
 * Begin a round with as many packets of @p blocks as it has room for. The blocks stay untouched until it
 * is over; the next round goes on behind its last packet.
 *
 * @return 0, or -ENOMEM when not even one packet could be taken
 */
int cap_round_begin(struct cap_target_streams *streams, struct cap_block *const *blocks,
		    unsigned count);

bool cap_round_is_on(const struct cap_target_streams *streams);

/** Runs whose write is under way. */
unsigned cap_round_in_flight(const struct cap_target_streams *streams);

/**
 * Start the writes of runs that wait, as far as files may be open.
 *
 * @param most how many
 * @param started set to how many were
 * @param owner of the files, to whom their writes are told
 * @return 0, or negative errno when a file could not be made
 */
int cap_round_submit(struct cap_target_streams *streams, unsigned most, unsigned *started,
		     void *owner);

/**
 * A file's write is done.
 *
 * @param retry_now set when the file had been written to before: it may only have been this one's end
 * @return 0, or negative errno: its run waits again
 */
int cap_round_written(struct cap_target_streams *streams, struct cap_stream_file *file,
		      bool *retry_now);

/** No write will be tried any more: what waits is dropped. None is under way. */
void cap_round_give_up(struct cap_target_streams *streams);

/** @return true when all runs are written or given up: then the round is over, and *end says how */
bool cap_round_settle(struct cap_target_streams *streams, struct cap_round_end *end);

/** Packets of the first of the next blocks that are counted already. */
uint64_t cap_target_streams_counted(const struct cap_target_streams *streams);

/** Its first block, with what is not counted of it yet, goes to nobody. */
void cap_target_streams_skip(struct cap_target_streams *streams, const struct cap_block *block);

#endif
