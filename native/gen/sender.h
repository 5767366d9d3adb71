/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_SENDER_H
#define CAPSTAN_GEN_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "link.h"
#include "traffic.h"

/** A way of handing frames to a link. One constant table a method; one thread. */
struct sender {
	const char *name; /**< as in --method */
	uint32_t burst;	  /**< most frames in one call of send */
	bool silent;	  /**< a link that does not take its frames says nothing: try one first */

	/**
	 * Prepares to send.
	 * @param traffic borrowed until close
	 * @return the sender's own state, to be given to send and close; NULL with a sentence
	 */
	void *(*open)(const struct link *link, const struct traffic *traffic, struct fault *fault);

	/**
	 * Builds frames @p first to @p first + @p count - 1 and offers each once, in order within
	 * each flow.
	 * @param bytes  raised by the bytes of all frames built
	 * @return frames that the kernel refused to this process's face (the link's own counters say
	 *         more), or -1 with a sentence
	 */
	int64_t (*send)(void *state, uint64_t first, uint32_t count, uint64_t *bytes,
			struct fault *fault);

	/** Releases everything. @p state may be NULL. */
	void (*close)(void *state);
};

extern const struct sender sender_af_packet;
extern const struct sender sender_xdp;

#endif
