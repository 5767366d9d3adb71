/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_SEND_H
#define CAPSTAN_GEN_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "link.h"
#include "sender.h"
#include "traffic.h"

/** A run of numbered frames. At least one of count and seconds bounds it. */
struct send_order {
	const char *method; /**< "auto", or a sender's name */
	struct link link;
	struct traffic traffic;
	uint64_t first; /**< number of the first frame */
	uint64_t count; /**< frames; 0: as many as the seconds allow */
	double seconds; /**< 0: as long as the count needs */
	uint64_t rate;	/**< frames a second; 0: unpaced */
};

/** What came of a run. */
struct send_result {
	const char *method; /**< the sender used */
	uint64_t frames;    /**< built and offered: numbers first to first + frames - 1 */
	uint64_t bytes;	    /**< of those */
	uint64_t accepted;  /**< what the link took, by its own counters */
	uint64_t refused;   /**< frames - accepted */
	uint64_t disowned;  /**< refused to this process's face by a return code */
	double elapsed;	    /**< seconds */
	bool interrupted;   /**< ended by SIGINT or SIGTERM */
	bool disturbed; /**< the counters moved by more than was offered: others used the link */
	struct link_counters counters; /**< the link's, over the run */
};

/** Carries out @p order. @return 0, or -1 with a sentence */
int send_run(const struct send_order *order, struct send_result *result, struct fault *fault);

/** Prints @p result on stdout, for people or as one JSON object. */
void send_print(const struct send_order *order, const struct send_result *result, bool json);

#endif
