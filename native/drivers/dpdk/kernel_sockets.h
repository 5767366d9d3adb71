/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file What the kernel counts for the sockets under net_af_packet and net_af_xdp. The first of these drivers of DPDK
 * asks for none of it; the second for rx_dropped, and not for rx_ring_full, which is what a slow reader loses.
 */
#ifndef CAPSTAN_DPDK_KERNEL_SOCKETS_H
#define CAPSTAN_DPDK_KERNEL_SOCKETS_H

#include "driver.h"

#include <stdbool.h>
#include <stdint.h>

/** Files that are looked at: the engine has a few a port and queue, and new ones get the lowest numbers. */
#define CAP_KERNEL_SOCKET_FILES 4096

/** The sockets of one device. Its driver opens and closes them. */
struct cap_kernel_sockets {
	bool before[CAP_KERNEL_SOCKET_FILES]; /**< sockets of others, which were there before the device */
	unsigned count;
	bool xdp; /**< they are AF_XDP's, else AF_PACKET's */
	int fds[CAP_MAX_QUEUES];
	uint64_t received; /**< put into the rings since they were found; AF_PACKET's alone */
	uint64_t missed;   /**< rings had no room for, or no memory was free for, since then */
};

/** Note which sockets there are, before the device is made. */
void cap_kernel_sockets_begin(struct cap_kernel_sockets *sockets);

/** Find those of this process that have been opened since. */
void cap_kernel_sockets_find(struct cap_kernel_sockets *sockets);

/**
 * Look at their counters. AF_PACKET's are cleared by reading: should the driver of another release read them, too,
 * each packet is in one of both counts.
 */
void cap_kernel_sockets_renew(struct cap_kernel_sockets *sockets);

#endif
