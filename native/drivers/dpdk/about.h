/* SPDX-License-Identifier: Apache-2.0 */
/** @file What the method dpdk is like: for the engine, which may have to tell of it without its library. */
#ifndef CAPSTAN_DPDK_ABOUT_H
#define CAPSTAN_DPDK_ABOUT_H

#include "driver.h"

#define CAP_DPDK_ONCE_A_BURST \
	"the CPU's counter, read once a burst; status says by how much it may be wrong"

static const struct cap_mode cap_dpdk_modes[] = {
	{ .name = "NIC",
	  .asked_by = "a PCI address as interface",
	  .features = CAP_FEATURE_HARDWARE_TIME | CAP_FEATURE_ZERO_COPY | CAP_FEATURE_MULTI_QUEUE,
	  .queues = "as many as the NIC has, by symmetric RSS",
	  .time = "the NIC's where it has a clock that can be read and that its stamps agree with, else " CAP_DPDK_ONCE_A_BURST },
	{ .name = "virtual device",
	  .asked_by = "a name such as net_tap0 as interface, and devargs",
	  .features = CAP_FEATURE_MULTI_QUEUE,
	  .queues = "as many as the device has",
	  .time = CAP_DPDK_ONCE_A_BURST
	  "; net_pcap: microseconds; net_af_packet of DPDK 24.11: the kernel's" },
	{ 0 },
};

static const char *const cap_dpdk_drops[] = { "nic_missed", "nic_no_buffer", "nic_errors", NULL };

#define CAP_DPDK_ABOUT                                                                                                                                                               \
	.name = "dpdk",                                                                                                                                                              \
	.summary =                                                                                                                                                                   \
		"DPDK: a poll-mode driver in the engine has the NIC for itself, by PCI address or as a virtual device",                                                              \
	.wire = "packets taken from the rings, and what the port counts as missed",                                                                                                  \
	.sees = "imissed, rx_nombuf and ierrors of the port; and the kernel's of the sockets under net_af_packet and net_af_xdp, and of the queue of net_tap",                       \
	.drops = cap_dpdk_drops,                                                                                                                                                     \
	.blind =                                                                                                                                                                     \
		"what the kernel's side of another virtual device drops where its driver does not count it; what arrives at a NIC after a crash, of which the length alone is told", \
	.needs = "for a NIC: a driver of DPDK for it, an IOMMU and hugepages",                                                                                                       \
	.features = CAP_FEATURE_HARDWARE_TIME | CAP_FEATURE_ZERO_COPY | CAP_FEATURE_MULTI_QUEUE,                                                                                     \
	.modes = cap_dpdk_modes, .privileges = CAP_PRIVILEGE_IPC_LOCK

#endif
