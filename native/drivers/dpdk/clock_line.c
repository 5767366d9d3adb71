// SPDX-License-Identifier: Apache-2.0
#include "clock_line.h"

/* The slope is measured over at least this long: two readings off by 100 ns make it 0.1 ppm wrong. */
#define SLOPE_NS (2 * CAP_NS_PER_S)

static uint64_t slope(uint64_t ns, uint64_t ticks)
{
	return (uint64_t)(((unsigned __int128)ns << 32) / ticks);
}

static void lay(struct cap_clock_fit *fit, const struct cap_clock_pair *now)
{
	fit->line.ticks = now->ticks;
	fit->line.wall_ns = now->wall_ns;
}

void cap_clock_publish(struct cap_clock_shared *shared, const struct cap_clock_line *line)
{
	uint64_t turn = shared->turn + 1;
	struct cap_clock_line *copy = &shared->copies[turn & 1];

	/* Released, so that whoever sees a part of this line sees that the turn of the old one is over. */
	__atomic_store_n(&copy->ticks, line->ticks, __ATOMIC_RELEASE);
	__atomic_store_n(&copy->wall_ns, line->wall_ns, __ATOMIC_RELEASE);
	__atomic_store_n(&copy->ns_per_tick, line->ns_per_tick, __ATOMIC_RELEASE);
	__atomic_store_n(&shared->turn, turn, __ATOMIC_RELEASE);
}

void cap_clock_begin(struct cap_clock_fit *fit, const struct cap_clock_pair *now, uint64_t hz)
{
	*fit = (struct cap_clock_fit){ .anchor = *now, .error_ns = now->spread_ns / 2 };
	fit->line.ns_per_tick = slope(CAP_NS_PER_S, hz);
	lay(fit, now);
}

void cap_clock_renew(struct cap_clock_fit *fit, const struct cap_clock_pair *now)
{
	uint64_t expected = cap_clock_at(&fit->line, now->ticks);
	uint64_t off = now->wall_ns > expected ? now->wall_ns - expected : expected - now->wall_ns;

	if (off > CAP_CLOCK_STEP_NS) {
		fit->anchor = *now;
	} else {
		if (off + now->spread_ns / 2 > fit->error_ns)
			fit->error_ns = off + now->spread_ns / 2;
		if (now->wall_ns - fit->anchor.wall_ns >= SLOPE_NS &&
		    now->ticks > fit->anchor.ticks) {
			fit->line.ns_per_tick = slope(now->wall_ns - fit->anchor.wall_ns,
						      now->ticks - fit->anchor.ticks);
			fit->anchor = *now;
		}
	}
	lay(fit, now);
}
