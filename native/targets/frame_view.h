/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file What targets are judged by in one packet: the frame's views, the outermost packet first and then
 * what its tunnels hold.
 *
 * The bytes of the frame decide and not the lengths that its headers claim. A thing is known, known to be
 * absent (an ARP packet has no ports), or unknown: it lies beyond the end of the frame, whether that was
 * cut or its sender made it so, beyond CAP_LOOK_BYTES, behind more headers than are walked, or in another
 * fragment. All work is bounded: a packet cannot ask for more than the bounds below.
 */
#ifndef CAPSTAN_FRAME_VIEW_H
#define CAPSTAN_FRAME_VIEW_H

#include "driver.h"
#include "target.h"

/** How far into a frame is looked: what lies behind is as if the frame ended there. */
#define CAP_LOOK_BYTES 4096U

/** Most VLAN tags of one Ethernet header, one that the NIC took out included. */
#define CAP_MAX_TAGS 4U

/** Most IPv6 extension headers, MPLS labels and GTP-U extension headers, each. */
#define CAP_MAX_EXTENSIONS 8U

enum cap_presence {
	CAP_ABSENT, /**< the packet has no such thing */
	CAP_KNOWN,
	CAP_UNKNOWN, /**< it may have one: not to be seen from here */
};

enum cap_side { CAP_FROM, CAP_TO };

enum cap_fragment_kind { CAP_WHOLE, CAP_FIRST_FRAGMENT, CAP_LATER_FRAGMENT };

/** One packet as it is, or as a tunnel carries it. Pairs are by enum cap_side. */
struct cap_view {
	uint8_t family;	     /**< 4 or 6; 0: not IP, or not to be seen */
	bool has_address[2]; /**< the whole address is in the frame */
	bool has_mac[2];     /**< the whole MAC address is */
	uint8_t protocol_is; /**< enum cap_presence, as the next two */
	uint8_t port_is[2];
	uint8_t vlan_is[2]; /**< first and second tag */
	uint8_t protocol;   /**< IPv6: behind the extension headers */
	uint8_t fragment;   /**< enum cap_fragment_kind */
	uint16_t port[2];
	uint16_t vlan[2];
	uint32_t fragment_id;
	uint64_t tunnel; /**< what carries it: kind, and VNI, TEID, GRE key or last MPLS labels; 0: none */
	uint8_t mac[2][CAP_MAC_LEN];
	uint8_t address[2][16];
};

/** Does IP's @p protocol have ports where TCP has them? */
bool cap_protocol_has_ports(uint8_t protocol);

/**
 * Take a packet apart.
 *
 * @param link_type CAP_LINKTYPE_ETHERNET or CAP_LINKTYPE_RAW
 * @param tunnels bits of enum cap_tunnel: which are looked into
 * @param room CAP_LOOK_BYTES for the bytes of a packet in segments
 * @return how many of @p views are set: 1 to CAP_MAX_VIEWS
 */
unsigned cap_frame_views(const struct cap_packet *packet, uint32_t link_type, uint32_t tunnels,
			 uint8_t *room, struct cap_view views[CAP_MAX_VIEWS]);

#endif
