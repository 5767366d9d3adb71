/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A target: whose packets are to be captured.
 *
 * A target describes an endpoint. A packet is the target's when all that the target names holds for one
 * side of the packet: with several of a kind (prefixes, port ranges, MAC addresses) one of them is
 * enough, and a kind that is not named holds always. Which sides count is the target's direction: the
 * packet's source (`from`), its destination (`to`), or either. Protocol, VLAN ids and time are the
 * packet's own and not a side's. At least one of prefixes, ports, MAC addresses and VLAN ids is named.
 *
 * Some things cannot be known of every packet: ports of a later fragment whose first one was never seen (and
 * IPv6's protocol of such a fragment), and what lies beyond the end of the frame, be it that the frame was cut
 * or that its sender made it so (frame_view.h has the bounds). What cannot be known holds, and is counted:
 * to lose a target's packet would be the failure. An address that is not whole in the frame holds never.
 */
#ifndef CAPSTAN_TARGET_H
#define CAPSTAN_TARGET_H

#include <stdbool.h>
#include <stdint.h>

/** Most targets in force at once, and most prefixes, ranges and addresses of all of them together. */
#define CAP_MAX_TARGETS 262144U
#define CAP_MAX_TARGET_TERMS 1048576U

/** Longest note with its terminator. */
#define CAP_TARGET_NOTE_LEN 256U

#define CAP_TARGET_ID_LEN 16U
#define CAP_MAC_LEN 6U

enum cap_direction { CAP_DIRECTION_BOTH, CAP_DIRECTION_FROM, CAP_DIRECTION_TO };

/** Where a target comes from: a deployment replaces those of the inventory, and no others. */
enum cap_target_origin { CAP_ORIGIN_RUNTIME, CAP_ORIGIN_INVENTORY };

/** An IPv4 or IPv6 network. Bits behind `length` are 0. */
struct cap_prefix {
	uint8_t family;	   /**< 4 or 6 */
	uint8_t length;	   /**< bits: at most 32, or 128 */
	uint8_t bytes[16]; /**< network order; IPv4: the first four */
};

struct cap_port_range {
	uint16_t first, last; /**< both included, host order */
};

/** Lists are NULL where their count is 0. */
struct cap_target {
	uint8_t id[CAP_TARGET_ID_LEN]; /**< UUID, in the order in which it is written */
	uint8_t direction;	       /**< enum cap_direction */
	uint8_t origin;		       /**< enum cap_target_origin */
	bool any_protocol;
	uint8_t protocol;  /**< IP protocol number, unless any_protocol */
	uint64_t start_ns; /**< first nanosecond of packets' time that counts; 0: always has */
	uint64_t end_ns;   /**< first one that counts no more; UINT64_MAX: there is none */
	uint16_t prefix_count, port_count, mac_count, outer_vlan_count, inner_vlan_count;
	struct cap_prefix *prefixes;
	struct cap_port_range *ports;
	uint8_t (*macs)[CAP_MAC_LEN];
	uint16_t *outer_vlans; /**< ids of the first tag, 0 to 4095 */
	uint16_t *inner_vlans; /**< ids of the second tag */
	char *note;	       /**< for people, or NULL */
};

/** Encapsulations that are looked into, a bit each: the inner packet may be a target's, too. */
enum cap_tunnel {
	CAP_TUNNEL_MPLS = 1U << 0,
	CAP_TUNNEL_GRE = 1U << 1,
	CAP_TUNNEL_GTP_U = 1U << 2,
	CAP_TUNNEL_VXLAN = 1U << 3,
};

/** Deepest nesting that is looked into: the outermost packet and three within. */
#define CAP_MAX_VIEWS 4U

#endif
