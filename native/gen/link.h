/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_LINK_H
#define CAPSTAN_GEN_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "traffic.h"

/** A network interface to send through, looked up in this process's network namespace. */
struct link {
	char name[IFNAMSIZ];
	int index;
	uint32_t mtu;	    /**< bytes above the Ethernet header */
	uint32_t tx_queues; /**< real ones */
};

/** What a link says it did since it was made. Independent of what the socket calls returned. */
struct link_counters {
	uint64_t tx_packets, tx_bytes, tx_dropped, tx_errors;
	uint64_t xdp_xmit_errors; /**< sum of ethtool's tx_queue_N_xdp_xmit_errors; 0 if none */
};

/**
 * Moves this process into network namespace @p name (of /run/netns, or a path with a slash).
 * @return 0, or -1 with a sentence
 */
int netns_enter(const char *name, struct fault *fault);

/**
 * Looks @p name up and refuses it when it is down or has no carrier.
 * @return 0, or -1 with a sentence
 */
int link_open(const char *name, struct link *link, struct fault *fault);

/** @return 0, or -1 with a sentence when frames of @p traffic are too long for the link's MTU */
int link_holds(const struct link *link, const struct traffic *traffic, struct fault *fault);

/** Reads the counters by RTM_GETLINK and ethtool. @return 0, or -1 with a sentence */
int link_counters_read(const struct link *link, struct link_counters *counters,
		       struct fault *fault);

/** @return @p now - @p before, field by field */
struct link_counters link_counters_since(const struct link_counters *now,
					 const struct link_counters *before);

#endif
