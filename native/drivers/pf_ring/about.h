/* SPDX-License-Identifier: Apache-2.0 */
/** @file What the method pf_ring is like: for the engine, which may have to tell of it without its library. */
#ifndef CAPSTAN_PF_RING_ABOUT_H
#define CAPSTAN_PF_RING_ABOUT_H

#define CAP_PF_RING_ABOUT                                                                                                                    \
	.name = "pf_ring",                                                                                                                   \
	.summary =                                                                                                                           \
		"PF_RING: the vendor's kernel module copies frames into rings, or its zero-copy driver gives the NIC to the engine",         \
	.sees = "rings that were full; zero-copy: what the NIC counts as dropped. Frames lost before the module only by the NIC's counters", \
	.features = CAP_FEATURE_KERNEL_FILTER | CAP_FEATURE_HARDWARE_TIME |                                                                  \
		    CAP_FEATURE_ZERO_COPY | CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_NETDEV,                                                    \
	.privileges = CAP_PRIVILEGE_NET_RAW | CAP_PRIVILEGE_NET_ADMIN | CAP_PRIVILEGE_BPF

#endif
