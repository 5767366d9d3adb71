/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file From the ticks of a counter (the CPU's or the NIC's) to the wall clock: a straight line, laid
 * anew several times a second through what both clocks said last.
 */
#ifndef CAPSTAN_DPDK_CLOCK_LINE_H
#define CAPSTAN_DPDK_CLOCK_LINE_H

#include "clock.h"

#include <stdbool.h>
#include <stdint.h>

/** No two clocks drift this far between two looks; time daemons slew by 500 ppm at most. */
#define CAP_CLOCK_STEP_NS (2 * CAP_NS_PER_MS)

/** Both clocks at one moment. */
struct cap_clock_pair {
	uint64_t ticks;
	uint64_t wall_ns;
	uint64_t spread_ns; /**< between the readings on both sides: the pair is off by half of it */
};

struct cap_clock_line {
	uint64_t ticks;	      /**< where the line begins */
	uint64_t wall_ns;     /**< the wall clock there */
	uint64_t ns_per_tick; /**< 32 bits before the point and 32 behind it */
};

/** A line that is being kept. */
struct cap_clock_fit {
	struct cap_clock_line line;
	struct cap_clock_pair anchor; /**< the far end that the slope is taken from */
	uint64_t error_ns;	      /**< largest error found when looking again, so far */
};

/** Wall-clock nanoseconds of @p ticks, which may lie before the line's beginning. */
static inline uint64_t cap_clock_at(const struct cap_clock_line *line, uint64_t ticks)
{
	int64_t since = (int64_t)(ticks - line->ticks);
	__int128 ns = (__int128)since * line->ns_per_tick;

	return line->wall_ns + (uint64_t)(int64_t)(ns >> 32);
}

/**
 * A line that one thread renews and others read, none of which waits for another: two copies, used in
 * turn, of which a reader sees that the one it read has been begun anew.
 */
struct cap_clock_shared {
	struct cap_clock_line copies[2];
	uint64_t turn; /**< how often it was renewed: odd or even is the copy to read */
};

/** Let readers have @p line from now on. One thread. */
void cap_clock_publish(struct cap_clock_shared *shared, const struct cap_clock_line *line);

/** The line as it was published last: a whole one, however long the reader was held up. Any thread. */
static inline struct cap_clock_line cap_clock_read(const struct cap_clock_shared *shared)
{
	uint64_t turn = __atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE), before;
	struct cap_clock_line line;

	do {
		const struct cap_clock_line *copy = &shared->copies[turn & 1];

		before = turn;
		/* Acquired, so that the turn is looked at again after them. */
		line.ticks = __atomic_load_n(&copy->ticks, __ATOMIC_ACQUIRE);
		line.wall_ns = __atomic_load_n(&copy->wall_ns, __ATOMIC_ACQUIRE);
		line.ns_per_tick = __atomic_load_n(&copy->ns_per_tick, __ATOMIC_ACQUIRE);
		turn = __atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE);
	} while (turn != before);
	return line;
}

/** Begin with a counter of @p hz ticks a second, as its maker says. */
void cap_clock_begin(struct cap_clock_fit *fit, const struct cap_clock_pair *now, uint64_t hz);

/**
 * Lay the line through @p now, its slope from what was measured over the last seconds.
 *
 * How far the old line had run off is the error, and is kept; a difference beyond what clocks drift is
 * a step of the wall clock, which is followed and is no error.
 */
void cap_clock_renew(struct cap_clock_fit *fit, const struct cap_clock_pair *now);

#endif
