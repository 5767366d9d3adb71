/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_PROGRESS_H
#define CAPSTAN_GEN_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Tells on stderr how a run is coming along once it has lasted two seconds: one line that
 * overwrites itself on a terminal, a plain line every few seconds elsewhere.
 */
struct progress {
	const char *verb; /**< "sent", "read" */
	uint64_t total;	  /**< frames expected; 0: not known */
	uint64_t started_ns;
	uint64_t next_ns; /**< when to speak again */
	bool terminal;
	bool spoke;
};

/** Starts at @p now_ns; @p verb is borrowed. */
void progress_start(struct progress *progress, const char *verb, uint64_t total, uint64_t now_ns);

/** Speaks when it is time to; cheap otherwise. */
void progress_tell(struct progress *progress, uint64_t frames, uint64_t now_ns);

/** Clears the line it left on a terminal. */
void progress_end(const struct progress *progress);

#endif
