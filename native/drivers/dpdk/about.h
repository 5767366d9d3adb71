/* SPDX-License-Identifier: Apache-2.0 */
/** @file What the method dpdk is like: for the engine, which may have to tell of it without its library. */
#ifndef CAPSTAN_DPDK_ABOUT_H
#define CAPSTAN_DPDK_ABOUT_H

#define CAP_DPDK_ABOUT                                                                                                                                                                                                                                                                                            \
	.name = "dpdk",                                                                                                                                                                                                                                                                                           \
	.summary =                                                                                                                                                                                                                                                                                                \
		"DPDK: a poll-mode driver in the engine has the NIC for itself, by PCI address or as a virtual device",                                                                                                                                                                                           \
	.sees = "imissed, rx_nombuf and ierrors of the port, and all that it counts under names of its own; what a virtual device's kernel side drops only where its driver counts it; after a crash what a NIC had received a fifth of a second before, and of the time until the next engine its length alone", \
	.features = CAP_FEATURE_HARDWARE_TIME | CAP_FEATURE_ZERO_COPY | CAP_FEATURE_MULTI_QUEUE,                                                                                                                                                                                                                  \
	.privileges = CAP_PRIVILEGE_IPC_LOCK

#endif
