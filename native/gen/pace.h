/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_PACE_H
#define CAPSTAN_GEN_PACE_H

#include <stdint.h>

/**
 * A steady pace: frame k is due k/rate seconds after the origin. Time is handed in (nanoseconds of
 * any monotonic clock), so that the arithmetic can be tested without waiting.
 *
 * A sender that was held up catches up by a burst of at most pace.depth frames; what is due beyond
 * that is forgotten by moving the origin, so that a stall never ends in a flood.
 */
struct pace {
	uint64_t rate; /**< frames a second; 0: unpaced */
	uint64_t origin_ns;
	uint64_t sent;	  /**< frames since origin_ns */
	uint32_t depth;	  /**< most frames at once after a stall */
	uint32_t quantum; /**< frames worth waking up for; 1 at low rates */
};

/** Starts pace @p rate at @p now_ns. */
void pace_start(struct pace *pace, uint64_t rate, uint64_t now_ns);

/** @return frames that may be sent now, at most @p most; call pace_sent() for what was sent */
uint32_t pace_due(struct pace *pace, uint64_t now_ns, uint32_t most);

/** Notes @p frames as sent. */
void pace_sent(struct pace *pace, uint32_t frames);

/** @return nanoseconds until a quantum is due; 0: already, or unpaced */
uint64_t pace_wait_ns(const struct pace *pace, uint64_t now_ns);

#endif
