/* SPDX-License-Identifier: Apache-2.0 */
/** @file From the port's own counters (struct rte_eth_stats) to the ledger's. */
#ifndef CAPSTAN_DPDK_ACCOUNT_H
#define CAPSTAN_DPDK_ACCOUNT_H

#include <stdint.h>

/** What a port's driver counts, 64 bits wide. */
struct cap_dpdk_figures {
	uint64_t received;  /**< ipackets: good packets that reached a ring */
	uint64_t missed;    /**< imissed: dropped for want of a descriptor or of room in the NIC */
	uint64_t no_buffer; /**< rx_nombuf: no buffer could be had for a packet */
	uint64_t errors;    /**< ierrors: damaged on the wire, or refused */
};

/**
 * What was counted since @p base. A counter that went back (some are the difference of two others) stands
 * still at @p last until it has caught up: it never tells of a packet that was not there.
 */
struct cap_dpdk_figures cap_dpdk_since(const struct cap_dpdk_figures *now,
				       const struct cap_dpdk_figures *base,
				       const struct cap_dpdk_figures *last);

/** Packets that the port says it received and the queues have not taken. 0 when they took more. */
uint64_t cap_dpdk_owed(uint64_t received_by_port, uint64_t taken_by_queues);

#endif
