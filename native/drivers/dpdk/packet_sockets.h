/* SPDX-License-Identifier: Apache-2.0 */
/** @file What the kernel counts for net_af_packet's sockets, which that driver of DPDK does not ask for. */
#ifndef CAPSTAN_DPDK_PACKET_SOCKETS_H
#define CAPSTAN_DPDK_PACKET_SOCKETS_H

#include "driver.h"

#include <stdint.h>

/** The sockets of one device, which the driver opened and closes. */
struct cap_packet_sockets {
	unsigned count;
	int fds[CAP_MAX_QUEUES];
	uint64_t received; /**< put into the rings since they were found */
	uint64_t missed;   /**< rings had no room for, since then */
};

/**
 * Find them among this process's open files: bound to that network device, with a ring as DPDK has it
 * (TPACKET_V2; methods of our own have another). Two devices of DPDK over one network device would be taken
 * for one.
 */
void cap_packet_sockets_find(struct cap_packet_sockets *sockets, unsigned if_index);

/**
 * Add what was counted since the last time. The kernel's counters are cleared by reading: should the driver
 * of another release read them, too, each packet is in one of both counts.
 */
void cap_packet_sockets_renew(struct cap_packet_sockets *sockets);

#endif
