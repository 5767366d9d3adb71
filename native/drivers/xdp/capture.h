/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/** @file What the XDP program and the af_xdp driver share. */
#ifndef CAPSTAN_XDP_CAPTURE_H
#define CAPSTAN_XDP_CAPTURE_H

#include "../bpf/targets.h"

/** Queues that the program can serve: the engine's limit, a power of two. Higher ones share the slots. */
#define CAPSTAN_XDP_QUEUES 64

/** One queue's counters, on a cache line of their own. */
struct capstan_xdp_counters {
	unsigned long long seen;    /**< frames that arrived and were not judged by targets */
	unsigned long long unbound; /**< no socket on this queue: passed to the kernel */
	unsigned long long untimed; /**< the driver has no room for a time stamp */
	unsigned long long judged[CAPSTAN_VERDICTS]; /**< the others, by enum capstan_verdict */
} __attribute__((aligned(64)));

/** Put in front of each frame by the program: the frame's metadata. Size a multiple of 4, at most 32. */
struct capstan_xdp_stamp {
	unsigned long long monotonic_ns; /**< CLOCK_MONOTONIC when the program saw the frame */
	unsigned long long magic;	 /**< CAPSTAN_XDP_MAGIC ^ monotonic_ns: the stamp is ours */
};

#define CAPSTAN_XDP_MAGIC 0x4341505354414e21ULL

#endif
