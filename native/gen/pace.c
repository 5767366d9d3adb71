// SPDX-License-Identifier: Apache-2.0
#include "pace.h"

#define NS_PER_SECOND 1000000000u

/* Below this much time between two wake-ups a core does little but wake up. */
#define QUANTUM_NS 50000u
#define QUANTUM_MAX 32u

/* "A few tens" at low rates; a millisecond's worth, about one lost time slice, at high ones. */
#define DEPTH_MIN 32u
#define DEPTH_NS 1000000u

__extension__ typedef unsigned __int128 wide;

static uint64_t frames_in(uint64_t rate, uint64_t ns)
{
	return (uint64_t)((wide)rate * ns / NS_PER_SECOND);
}

/* The first instant, from the origin, at which @frames more intervals have passed. */
static uint64_t ns_for(uint64_t rate, uint64_t frames)
{
	return (uint64_t)(((wide)frames * NS_PER_SECOND + rate - 1) / rate);
}

void pace_start(struct pace *pace, uint64_t rate, uint64_t now_ns)
{
	uint64_t quantum = frames_in(rate, QUANTUM_NS);
	uint64_t depth = frames_in(rate, DEPTH_NS);

	*pace = (struct pace){
		.rate = rate,
		.origin_ns = now_ns,
		.depth = depth < DEPTH_MIN ? DEPTH_MIN : (uint32_t)depth,
		.quantum = quantum < 1		 ? 1 :
			   quantum > QUANTUM_MAX ? QUANTUM_MAX :
						   (uint32_t)quantum,
	};
}

uint32_t pace_due(struct pace *pace, uint64_t now_ns, uint32_t most)
{
	uint64_t due;

	if (!pace->rate)
		return most;
	due = frames_in(pace->rate, now_ns - pace->origin_ns) + 1; /* the first is due at once */
	if (due <= pace->sent)
		return 0;
	due -= pace->sent;
	if (due > pace->depth) {
		pace->origin_ns += ns_for(pace->rate, due - pace->depth);
		due = pace->depth;
	}
	return due < most ? (uint32_t)due : most;
}

void pace_sent(struct pace *pace, uint32_t frames)
{
	pace->sent += frames;
}

uint64_t pace_wait_ns(const struct pace *pace, uint64_t now_ns)
{
	uint64_t ready;

	if (!pace->rate)
		return 0;
	ready = pace->origin_ns + ns_for(pace->rate, pace->sent + pace->quantum - 1);
	return ready > now_ns ? ready - now_ns : 0;
}
