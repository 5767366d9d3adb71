/* SPDX-License-Identifier: Apache-2.0 */
/** @file A port of PF_RING and its rings, one a queue, shared by the files of this driver. */
#ifndef CAPSTAN_PF_RING_RING_H
#define CAPSTAN_PF_RING_RING_H

#include "account.h"
#include "kernel_filter.h"
#include "library.h"
#include "module.h"
#include "options.h"

struct cap_queue {
	struct cap_port *port;
	unsigned index;
	struct pfring *ring;
	struct cap_kernel_filter *filter; /**< that the module runs, or NULL */
	struct cap_pfring_header header;
	struct cap_pfring_account account; /**< the worker's */
	unsigned empty_polls;
	uint64_t fresh_ns;    /**< when the ring was last seen empty, where packets have no time */
	uint64_t late_ns;     /**< the longest since then that a packet was taken */
	uint64_t taken;	      /**< packets since arm; read by the main thread */
	uint64_t invalid;     /**< packets whose header makes no sense, beside those */
	uint64_t untimed;     /**< of these, with the time when they were taken */
	uint64_t soft_stamps; /**< of these, with the kernel's time though the NIC's was asked for */
	uint64_t last_ns;     /**< time stamp of the last one */
	uint64_t judged;      /**< taken, when the main thread looked last; its own */
	bool coarse;	      /**< times in whole microseconds came */
	int error;	      /**< the library's, by which receiving ended */
} __attribute__((aligned(64)));

struct cap_port {
	const struct cap_port_config *config;
	const struct cap_pfring_options *options;
	struct cap_pfring_library library;
	struct cap_pfring_module module;
	struct cap_filter *filter;
	unsigned ifindex;
	uint32_t caplen;
	uint32_t module_version; /**< as the ring itself tells: 0x080800, or 0 */
	uint32_t licence_until;	 /**< seconds since the epoch; 0: for ever, or without zero-copy */
	uint32_t slots; /**< of each ring, or of the NIC's with zero-copy; 0 when unknown */
	bool disarmed;	/**< told to the workers: nothing more than what the rings hold */
	bool told_clock, told_stamps, told_filter; /**< sentences that are told once */
	unsigned queue_count;
	struct cap_queue queues[];
};

/**
 * Open all rings of @p port, set up and not enabled; the library is loaded and `options` are there.
 *
 * @return 0, or negative errno with a sentence; cap_pfring_close_rings releases what there is
 */
int cap_pfring_open_rings(struct cap_port *port, struct cap_port_facts *facts,
			  struct cap_error *err);
void cap_pfring_close_rings(struct cap_port *port);

/** Sleep until a packet may be there, at most @p timeout_ms milliseconds. */
void cap_pfring_wait(struct cap_queue *queue, int timeout_ms);

/** The sentence of a negative result of pfring_recv. */
const char *cap_pfring_recv_words(int error);

#endif
