/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The vendor's C interface, as far as this driver uses it: the layouts and numbers of PF_RING 8.0 to
 * 9.4 on 64-bit machines, which a library that is opened at run time must have.
 *
 * Only what has stayed the same over those versions is relied upon. The packet header grows at its end
 * from version to version: it is given more room than any has needed.
 */
#ifndef CAPSTAN_PF_RING_ABI_H
#define CAPSTAN_PF_RING_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

/** Protocol family of the module's sockets. */
#define CAP_PFRING_FAMILY 27

/** An open ring; the library's own. */
struct pfring;

/** Flags of pfring_open. */
enum cap_pfring_flag {
	CAP_PFRING_ZC_SYMMETRIC_RSS = 1 << 0, /**< both directions of a flow in one queue */
	CAP_PFRING_PROMISC = 1 << 3,
	CAP_PFRING_HW_TIMESTAMP = 1 << 5,
};

/** Negative results. */
enum cap_pfring_error {
	CAP_PFRING_NO_PACKET = -3,
	CAP_PFRING_END_OF_DEMO = -6, /**< zero-copy without a licence ends after five minutes */
	CAP_PFRING_NOT_SUPPORTED = -7,
	CAP_PFRING_NOT_ENABLED = -12,
};

enum { CAP_PFRING_RX_ONLY = 1 };   /**< of pfring_set_direction */
enum { CAP_PFRING_RECV_ONLY = 2 }; /**< of pfring_set_socket_mode */

/** How a kernel cluster chooses a packet's ring: `cluster_type`. */
enum cap_pfring_cluster {
	CAP_PFRING_FLOW = 0, /**< addresses, ports, protocol and VLAN */
	CAP_PFRING_FLOW_2_TUPLE = 2,
	CAP_PFRING_FLOW_4_TUPLE = 3,
	CAP_PFRING_FLOW_5_TUPLE = 4,
	CAP_PFRING_FLOW_TCP_5_TUPLE = 5, /**< ports and protocol of TCP alone */
	CAP_PFRING_INNER_FLOW = 6,	 /**< the same of what a tunnel carries */
	CAP_PFRING_INNER_FLOW_2_TUPLE = 7,
	CAP_PFRING_INNER_FLOW_4_TUPLE = 8,
	CAP_PFRING_INNER_FLOW_5_TUPLE = 9,
	CAP_PFRING_INNER_FLOW_TCP_5_TUPLE = 10,
	CAP_PFRING_FLOW_IP_5_TUPLE = 11, /**< MAC addresses where there is no IP */
	CAP_PFRING_INNER_FLOW_IP_5_TUPLE = 12,
};

/** Rings of one cluster, at most. */
#define CAP_PFRING_CLUSTER_MOST 64

/** More than the longest form of the header behind `flags`, which is some 200 bytes in 9.4. */
#define CAP_PFRING_HEADER_REST 988

/** `struct pfring_pkthdr`: what comes with a packet. */
struct cap_pfring_header {
	struct timeval ts;     /**< the kernel's time of arrival; 0: nobody took it */
	uint32_t caplen;       /**< bytes present */
	uint32_t len;	       /**< bytes on the wire */
	uint64_t timestamp_ns; /**< the NIC's time, or the kernel's in full; 0: neither */
	uint32_t flags;
	uint8_t rest[CAP_PFRING_HEADER_REST];
};

_Static_assert(offsetof(struct cap_pfring_header, caplen) == 16, "another timeval than the ABI's");
_Static_assert(offsetof(struct cap_pfring_header, timestamp_ns) == 24, "another layout");
_Static_assert(offsetof(struct cap_pfring_header, rest) == 36, "another layout");

/** `pfring_stat`. */
struct cap_pfring_stats {
	uint64_t recv;	/**< packets that the ring's reader took; not those that wait in the ring */
	uint64_t drop;	/**< packets for which the ring, or with zero-copy the NIC, had no room */
	uint64_t shunt; /**< packets left to the NIC by rule: none here */
};

/** `pfring_card_settings`. */
struct cap_pfring_card {
	uint32_t max_packet_size;
	uint32_t rx_ring_slots;
	uint32_t tx_ring_slots;
};

#endif
