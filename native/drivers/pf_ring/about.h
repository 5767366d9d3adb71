/* SPDX-License-Identifier: Apache-2.0 */
/** @file What the method pf_ring is like: for the engine, which may have to tell of it without its library. */
#ifndef CAPSTAN_PF_RING_ABOUT_H
#define CAPSTAN_PF_RING_ABOUT_H

#include "driver.h"

#define CAP_PF_RING_KERNEL_TIME "the kernel's; with hardware_time the NIC's"

static const struct cap_mode cap_pf_ring_modes[] = {
	{ .name = "zero-copy",
	  .asked_by = "zc true",
	  .features = CAP_FEATURE_HARDWARE_TIME | CAP_FEATURE_ZERO_COPY | CAP_FEATURE_MULTI_QUEUE |
		      CAP_FEATURE_NETDEV,
	  .queues = "as many as the NIC has receive channels, by symmetric RSS",
	  .time = "the NIC's, else the engine's when it takes a packet; status says by how much that may be wrong" },
	{ .name = "cluster",
	  .asked_by = "spread flow, and the other kinds of flow",
	  .features = CAP_FEATURE_KERNEL_FILTER | CAP_FEATURE_HARDWARE_TIME |
		      CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_NETDEV,
	  .queues = "any number: the module spreads by flow",
	  .time = CAP_PF_RING_KERNEL_TIME },
	{ .name = "channels",
	  .asked_by = "several queues",
	  .features = CAP_FEATURE_HARDWARE_TIME | CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_NETDEV,
	  .queues = "as many as the NIC has receive channels, or fewer with several channels each",
	  .time = CAP_PF_RING_KERNEL_TIME },
	{ .name = "one ring",
	  .asked_by = "one queue",
	  .features = CAP_FEATURE_KERNEL_FILTER | CAP_FEATURE_HARDWARE_TIME | CAP_FEATURE_NETDEV,
	  .queues = "one",
	  .time = CAP_PF_RING_KERNEL_TIME },
	{ 0 },
};

static const char *const cap_pf_ring_drops[] = { "ring_full", "invalid", NULL };

#define CAP_PF_RING_ABOUT                                                                                                            \
	.name = "pf_ring",                                                                                                           \
	.summary =                                                                                                                   \
		"PF_RING: the vendor's kernel module copies frames into rings, or its zero-copy driver gives the NIC to the engine", \
	.wire = "what was put into the rings, the module's drops, and what the filter in the kernel rejected",                       \
	.sees = "rings that were full; with zero-copy what the NIC counts as dropped; and packets whose header makes no sense",      \
	.drops = cap_pf_ring_drops,                                                                                                  \
	.blind =                                                                                                                     \
		"what the NIC loses before the module, but for its own counters; with zero-copy what arrives after a crash",         \
	.needs =                                                                                                                     \
		"the vendor's kernel module and libpfring.so; for zero-copy its driver, and a licence for each NIC",                 \
	.modes = cap_pf_ring_modes,                                                                                                  \
	.features = CAP_FEATURE_KERNEL_FILTER | CAP_FEATURE_HARDWARE_TIME |                                                          \
		    CAP_FEATURE_ZERO_COPY | CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_NETDEV,                                            \
	.privileges = CAP_PRIVILEGE_NET_RAW | CAP_PRIVILEGE_NET_ADMIN | CAP_PRIVILEGE_BPF

#endif
