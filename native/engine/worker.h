/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A worker: one thread a queue that carries packets from the driver's ring into blocks, run to
 * completion. It takes no lock and allocates nothing; it sleeps only when its ring is empty.
 */
#ifndef CAPSTAN_WORKER_H
#define CAPSTAN_WORKER_H

#include "block.h"
#include "comments.h"
#include "config.h"
#include "filter.h"
#include "ledger.h"
#include "match.h"
#include "target_current.h"
#include "writer.h"

#include <pthread.h>

/** What the main thread wants of a port's workers. */
enum cap_order {
	CAP_ORDER_PARK, /**< drain what the rings hold, leave the port alone, and wait */
	CAP_ORDER_RUN,
	CAP_ORDER_STOP, /**< drain what the rings hold, and end */
};

/** Where a worker is. */
enum cap_worker_state {
	CAP_WORKER_PARKED,
	CAP_WORKER_RUNNING,
	CAP_WORKER_LOST,  /**< the driver failed; the worker waits to be parked */
	CAP_WORKER_ENDED, /**< a finite source is at its end, or the order was to stop */
};

struct cap_worker {
	/* Set by the main thread while the worker is parked. */
	const struct cap_driver *driver;
	struct cap_queue *queue;
	const struct cap_filter *filter; /**< exact filter, or NULL */
	struct cap_matcher *matcher;	 /**< where targets say what is captured, else NULL */
	const int *order;		 /**< enum cap_order, shared by the port's workers */
	const bool *gone; /**< the interface is: what the kernel owes will not come */
	uint32_t snaplen;
	int cpu;	   /**< -1: not pinned */
	uint64_t flush_ns; /**< see cap_config.flush_ms */
	bool caches_count; /**< blocks are written by copying them, and not by the disk itself */
	int ended; /**< eventfd that tells the main thread of the worker's end, or -1; shared by all */
	struct cap_block_pool *pool;
	struct cap_ledger_queue *ledger;
	const struct cap_ledger_header *header;
	struct cap_writer *writer;

	/* Shared, each with one writing thread. */
	int state; /**< enum cap_worker_state; written by the worker */
	int error; /**< negative errno when a finite source failed, else 0 */
	struct cap_target_reader targets;
	unsigned rotate_asked; /**< counted up by the main thread */

	/* The worker's own. */
	struct cap_block *block;
	uint64_t block_since; /**< coarse monotonic time of the block's first packet */
	uint64_t chores_at;
	uint64_t dropped_here; /**< here or by the source, not yet told by an epb_dropcount */
	unsigned rotate_done;
	uint64_t received_before; /**< received_packets when this opening of the port was armed */
	struct cap_source_counters before;    /**< sums of earlier openings */
	struct cap_packet packets[CAP_BURST]; /**< of the burst in hand; zeroed before the first */
	struct cap_match matches[CAP_BURST];  /**< of those packets in it that are a target's */
	uint8_t comments[CAP_COMMENTS_ROOM];  /**< of the packet in hand */
	pthread_t thread;
	bool started;
} __attribute__((aligned(64)));

int cap_worker_start(struct cap_worker *worker, struct cap_error *err);
void cap_worker_join(struct cap_worker *worker);

static inline enum cap_worker_state cap_worker_state(const struct cap_worker *worker)
{
	return (enum cap_worker_state)__atomic_load_n(&worker->state, __ATOMIC_ACQUIRE);
}

#endif
