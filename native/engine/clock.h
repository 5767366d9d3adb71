/* SPDX-License-Identifier: Apache-2.0 */
/** @file Clocks, in nanoseconds. */
#ifndef CAPSTAN_CLOCK_H
#define CAPSTAN_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CAP_NS_PER_S UINT64_C(1000000000)
#define CAP_NS_PER_MS UINT64_C(1000000)
#define CAP_NS_PER_US UINT64_C(1000)

/** Bytes that cap_rfc3339 and cap_file_stamp need, terminator included. */
#define CAP_RFC3339_LEN 32

static inline uint64_t cap_clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * CAP_NS_PER_S + (uint64_t)now.tv_nsec;
}

/** Wall clock: what packet time stamps use. */
static inline uint64_t cap_realtime_ns(void)
{
	return cap_clock_ns(CLOCK_REALTIME);
}

/** For intervals; not stepped by time daemons. */
static inline uint64_t cap_monotonic_ns(void)
{
	return cap_clock_ns(CLOCK_MONOTONIC);
}

/** A few nanoseconds to read, as exact as the kernel's tick: for the packet path's deadlines. */
static inline uint64_t cap_coarse_ns(void)
{
	return cap_clock_ns(CLOCK_MONOTONIC_COARSE);
}

/** "2026-11-23T19:30:00.123456Z" of a wall-clock time. */
void cap_rfc3339(uint64_t realtime_ns, char out[CAP_RFC3339_LEN]);

/** "20261123T193000.123456789Z": sorts by time and is safe in a file name. */
void cap_file_stamp(uint64_t realtime_ns, char out[CAP_RFC3339_LEN]);

#endif
