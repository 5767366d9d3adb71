// SPDX-License-Identifier: Apache-2.0
#include "frame_view.h"

#include "filter.h"
#include "pcapng.h"

#include <string.h>

enum ethertype {
	TYPE_NONE = 0,
	TYPE_IPV4 = 0x0800,
	TYPE_BRIDGED = 0x6558, /* GRE's name for an Ethernet frame */
	TYPE_VLAN = 0x8100,
	TYPE_IPV6 = 0x86dd,
	TYPE_MPLS = 0x8847,
	TYPE_MPLS_UPSTREAM = 0x8848,
	TYPE_SERVICE_VLAN = 0x88a8,
	TYPE_OLD_SERVICE_VLAN = 0x9100, /* before 802.1ad had a number of its own */
};

enum ip_protocol {
	IP_HOP_BY_HOP = 0,
	IP_TCP = 6,
	IP_UDP = 17,
	IP_ROUTING = 43,
	IP_FRAGMENT = 44,
	IP_GRE = 47,
	IP_AUTHENTICATION = 51,
	IP_DESTINATION_OPTIONS = 60,
	IP_DCCP = 33,
	IP_SCTP = 132,
	IP_UDP_LITE = 136,
};

#define ETHERNET_HEADER 14U
#define TAG_LEN 4U
#define IPV4_HEADER 20U
#define IPV6_HEADER 40U
#define UDP_HEADER 8U
#define MPLS_LABEL 4U
#define PSEUDOWIRE_CONTROL 4U
#define GRE_HEADER 4U
#define GTP_HEADER 8U
#define GTP_ENDPOINT 4U
#define GTP_OPTIONAL 4U
#define VXLAN_ID 4U
#define VXLAN_HEADER 8U

#define PORT_GTP_U 2152U
#define PORT_VXLAN 4789U

/* GRE's first word: RFC 2784, 2890, and RFC 1701's routing, which nobody sends. */
#define GRE_CHECKSUM 0x8000U
#define GRE_ROUTING 0x4000U
#define GRE_KEY 0x2000U
#define GRE_SEQUENCE 0x1000U
#define GRE_VERSION 0x0007U

/* GTP-U's first byte, 3GPP TS 29.281: version 1, protocol type GTP, and what follows the header. */
#define GTP_KIND_MASK 0xf0U
#define GTP_KIND 0x30U
#define GTP_EXTENSION 0x04U
#define GTP_ANY_OPTIONAL 0x07U
#define GTP_G_PDU 255U

#define VXLAN_HAS_ID 0x08U

struct frame {
	const uint8_t *bytes;
	uint32_t len;
	uint32_t tunnels;
};

/* Where the packet within begins, and by what its tunnel is known; type TYPE_NONE: there is none. */
struct inner {
	uint16_t type;
	uint32_t at;
	uint64_t tunnel;
};

/* The kind lies above the id; above GRE's key is whether there is one. */
#define TUNNEL(kind, id) ((uint64_t)(kind) << 60 | (id))

/* Three labels of 20 bits: the last ones are those which tell customers apart. */
#define MPLS_LABEL_BITS 20
#define MPLS_LABELS_MASK ((1ULL << 60) - 1)

static bool has(const struct frame *frame, uint32_t at, uint32_t len)
{
	return at <= frame->len && len <= frame->len - at;
}

static uint16_t read16(const struct frame *frame, uint32_t at)
{
	return (uint16_t)(frame->bytes[at] << 8 | frame->bytes[at + 1]);
}

static uint32_t read32(const struct frame *frame, uint32_t at)
{
	return (uint32_t)read16(frame, at) << 16 | read16(frame, at + 2);
}

static bool is_tag(uint16_t type)
{
	return type == TYPE_VLAN || type == TYPE_SERVICE_VLAN || type == TYPE_OLD_SERVICE_VLAN;
}

static bool is_mpls(uint16_t type)
{
	return type == TYPE_MPLS || type == TYPE_MPLS_UPSTREAM;
}

bool cap_protocol_has_ports(uint8_t protocol)
{
	return protocol == IP_TCP || protocol == IP_UDP || protocol == IP_SCTP ||
	       protocol == IP_DCCP || protocol == IP_UDP_LITE;
}

static void set_unknown_behind_ethernet(struct cap_view *view)
{
	view->protocol_is = CAP_UNKNOWN;
	view->port_is[CAP_FROM] = CAP_UNKNOWN;
	view->port_is[CAP_TO] = CAP_UNKNOWN;
}

static void set_unknown_ports(struct cap_view *view)
{
	const uint8_t ports = view->protocol_is == CAP_UNKNOWN ||
					      cap_protocol_has_ports(view->protocol) ?
				      CAP_UNKNOWN :
				      CAP_ABSENT;

	view->port_is[CAP_FROM] = ports;
	view->port_is[CAP_TO] = ports;
}

static void set_protocol(struct cap_view *view, uint8_t protocol)
{
	view->protocol_is = CAP_KNOWN;
	view->protocol = protocol;
}

/* Addresses and tags. @return what lies behind; type TYPE_NONE where that is unknown, too */
static struct inner read_ethernet(const struct frame *frame, uint32_t at, struct cap_view *view,
				  const uint16_t *stripped)
{
	unsigned tags = 0;
	uint16_t type;

	if (has(frame, at, CAP_MAC_LEN)) {
		memcpy(view->mac[CAP_TO], frame->bytes + at, CAP_MAC_LEN);
		view->has_mac[CAP_TO] = true;
	}
	if (has(frame, at, 2 * CAP_MAC_LEN)) {
		memcpy(view->mac[CAP_FROM], frame->bytes + at + CAP_MAC_LEN, CAP_MAC_LEN);
		view->has_mac[CAP_FROM] = true;
	}
	if (stripped) {
		view->vlan_is[tags] = CAP_KNOWN;
		view->vlan[tags++] = *stripped & 0xfff;
	}
	for (at += 2 * CAP_MAC_LEN; has(frame, at, 2); at += TAG_LEN) {
		type = read16(frame, at);
		if (!is_tag(type))
			return (struct inner){ type, at + 2, 0 };
		if (tags == CAP_MAX_TAGS || !has(frame, at, TAG_LEN))
			break;
		if (tags < 2) {
			view->vlan_is[tags] = CAP_KNOWN;
			view->vlan[tags] = read16(frame, at + 2) & 0xfff;
		}
		tags++;
	}
	/* The frame ends before its type, or in a tag. */
	for (; tags < 2; tags++)
		view->vlan_is[tags] = CAP_UNKNOWN;
	set_unknown_behind_ethernet(view);
	return (struct inner){ TYPE_NONE, 0, 0 };
}

static void read_address(const struct frame *frame, uint32_t at, uint32_t len,
			 struct cap_view *view, enum cap_side side)
{
	if (!has(frame, at, len))
		return;
	memcpy(view->address[side], frame->bytes + at, len);
	view->has_address[side] = true;
}

/* Of an IP packet's first byte: which of the two, or neither. */
static uint16_t type_by_version(const struct frame *frame, uint32_t at)
{
	if (!has(frame, at, 1))
		return TYPE_NONE;
	if (frame->bytes[at] >> 4 == 4)
		return TYPE_IPV4;
	return frame->bytes[at] >> 4 == 6 ? TYPE_IPV6 : TYPE_NONE;
}

static struct inner enter_gre(const struct frame *frame, uint32_t at)
{
	const struct inner none = { TYPE_NONE, 0, 0 };
	uint64_t tunnel = TUNNEL(CAP_TUNNEL_GRE, 0);
	uint16_t flags, type;

	if (!(frame->tunnels & CAP_TUNNEL_GRE) || !has(frame, at, GRE_HEADER))
		return none;
	flags = read16(frame, at);
	type = read16(frame, at + 2);
	if (flags & (GRE_ROUTING | GRE_VERSION))
		return none;
	at += GRE_HEADER;
	at += flags & GRE_CHECKSUM ? 4 : 0;
	if (flags & GRE_KEY && has(frame, at, 4))
		tunnel |= 1ULL << 32 | read32(frame, at);
	at += flags & GRE_KEY ? 4 : 0;
	at += flags & GRE_SEQUENCE ? 4 : 0;
	if (type != TYPE_IPV4 && type != TYPE_IPV6 && type != TYPE_BRIDGED && !is_mpls(type))
		return none;
	return (struct inner){ type, at, tunnel };
}

static struct inner enter_gtp_u(const struct frame *frame, uint32_t at)
{
	const struct inner none = { TYPE_NONE, 0, 0 };
	uint64_t tunnel;
	uint8_t flags, next = 0;

	if (!has(frame, at, GTP_HEADER))
		return none;
	tunnel = TUNNEL(CAP_TUNNEL_GTP_U, read32(frame, at + GTP_ENDPOINT));
	flags = frame->bytes[at];
	if ((flags & GTP_KIND_MASK) != GTP_KIND || frame->bytes[at + 1] != GTP_G_PDU)
		return none;
	at += GTP_HEADER;
	if (flags & GTP_ANY_OPTIONAL) {
		if (!has(frame, at, GTP_OPTIONAL))
			return none;
		at += GTP_OPTIONAL;
		if (flags & GTP_EXTENSION)
			next = frame->bytes[at - 1];
	}
	for (unsigned i = 0; next; i++) {
		uint32_t len;

		if (i == CAP_MAX_EXTENSIONS || !has(frame, at, 1))
			return none;
		len = frame->bytes[at] * 4U;
		if (len == 0 || !has(frame, at, len))
			return none;
		at += len;
		next = frame->bytes[at - 1];
	}
	return (struct inner){ type_by_version(frame, at), at, tunnel };
}

static struct inner enter_vxlan(const struct frame *frame, uint32_t at)
{
	if (!has(frame, at, VXLAN_HEADER) || !(frame->bytes[at] & VXLAN_HAS_ID))
		return (struct inner){ TYPE_NONE, 0, 0 };
	return (struct inner){ TYPE_BRIDGED, at + VXLAN_HEADER,
			       TUNNEL(CAP_TUNNEL_VXLAN, read32(frame, at + VXLAN_ID) >> 8) };
}

static struct inner enter_udp(const struct frame *frame, uint32_t at, const struct cap_view *view)
{
	const struct inner none = { TYPE_NONE, 0, 0 };

	if (view->port_is[CAP_TO] != CAP_KNOWN)
		return none;
	if (view->port[CAP_TO] == PORT_GTP_U && frame->tunnels & CAP_TUNNEL_GTP_U)
		return enter_gtp_u(frame, at + UDP_HEADER);
	if (view->port[CAP_TO] == PORT_VXLAN && frame->tunnels & CAP_TUNNEL_VXLAN)
		return enter_vxlan(frame, at + UDP_HEADER);
	return none;
}

/* What follows the IP header, of a packet that is whole or a first fragment. */
static struct inner read_transport(const struct frame *frame, uint32_t at, struct cap_view *view)
{
	if (cap_protocol_has_ports(view->protocol)) {
		for (enum cap_side side = CAP_FROM; side <= CAP_TO; side++) {
			view->port_is[side] = has(frame, at + 2 * side, 2) ? CAP_KNOWN :
									     CAP_UNKNOWN;
			if (view->port_is[side] == CAP_KNOWN)
				view->port[side] = read16(frame, at + 2 * side);
		}
	}
	if (view->protocol == IP_UDP)
		return enter_udp(frame, at, view);
	if (view->protocol == IP_GRE)
		return enter_gre(frame, at);
	return (struct inner){ TYPE_NONE, 0, 0 };
}

static struct inner read_ipv4(const struct frame *frame, uint32_t at, struct cap_view *view)
{
	const struct inner none = { TYPE_NONE, 0, 0 };
	uint32_t header;
	uint16_t piece;

	if (has(frame, at, 1) && frame->bytes[at] >> 4 != 4)
		return none;
	view->family = 4;
	read_address(frame, at + 12, 4, view, CAP_FROM);
	read_address(frame, at + 16, 4, view, CAP_TO);
	view->protocol_is = CAP_UNKNOWN;
	if (has(frame, at, 10))
		set_protocol(view, frame->bytes[at + 9]);
	set_unknown_ports(view);
	if (view->protocol_is == CAP_UNKNOWN)
		return none;
	header = (frame->bytes[at] & 0x0fU) * 4;
	piece = read16(frame, at + 6);
	view->fragment_id = read16(frame, at + 4);
	if (piece & 0x1fff) {
		view->fragment = CAP_LATER_FRAGMENT;
		return none;
	}
	if (piece & 0x2000)
		view->fragment = CAP_FIRST_FRAGMENT;
	if (header < IPV4_HEADER)
		return none;
	return read_transport(frame, at + header, view);
}

/* The fragment header at @p at. @return false when nothing behind it belongs to the packet's beginning */
static bool read_fragment_header(const struct frame *frame, uint32_t at, struct cap_view *view)
{
	const uint16_t piece = read16(frame, at + 2);

	/* A fragment of a fragment: what the outer one says stands. */
	if (view->fragment != CAP_WHOLE)
		return !(piece & 0xfff8);
	view->fragment_id = (uint32_t)read16(frame, at + 4) << 16 | read16(frame, at + 6);
	if (piece & 0xfff8)
		view->fragment = CAP_LATER_FRAGMENT;
	else if (piece & 1)
		view->fragment = CAP_FIRST_FRAGMENT;
	return view->fragment != CAP_LATER_FRAGMENT;
}

static struct inner read_ipv6(const struct frame *frame, uint32_t at, struct cap_view *view)
{
	const struct inner none = { TYPE_NONE, 0, 0 };
	uint8_t next;

	if (has(frame, at, 1) && frame->bytes[at] >> 4 != 6)
		return none;
	view->family = 6;
	read_address(frame, at + 8, 16, view, CAP_FROM);
	read_address(frame, at + 24, 16, view, CAP_TO);
	set_unknown_behind_ethernet(view);
	if (!has(frame, at, 7))
		return none;
	next = frame->bytes[at + 6];
	at += IPV6_HEADER;
	for (unsigned i = 0;; i++) {
		uint32_t len;

		switch (next) {
		case IP_HOP_BY_HOP:
		case IP_ROUTING:
		case IP_DESTINATION_OPTIONS:
		case IP_AUTHENTICATION:
		case IP_FRAGMENT:
			break;
		default:
			set_protocol(view, next);
			view->port_is[CAP_FROM] = view->port_is[CAP_TO] = CAP_ABSENT;
			return read_transport(frame, at, view);
		}
		if (i == CAP_MAX_EXTENSIONS || !has(frame, at, 8))
			return none;
		len = (frame->bytes[at + 1] + 1U) * 8;
		if (next == IP_AUTHENTICATION)
			len = (frame->bytes[at + 1] + 2U) * 4;
		if (next == IP_FRAGMENT) {
			len = 8;
			if (!read_fragment_header(frame, at, view))
				return none;
		}
		next = frame->bytes[at];
		at += len;
	}
}

/* Behind the bottom of the stack: IP, or a pseudowire's Ethernet with or without a control word. */
static struct inner enter_mpls(const struct frame *frame, uint32_t at)
{
	const struct inner none = { TYPE_NONE, 0, 0 };
	struct inner inner;
	uint64_t labels = 0;
	bool bottom = false;

	if (!(frame->tunnels & CAP_TUNNEL_MPLS))
		return none;
	for (unsigned i = 0; !bottom; i++, at += MPLS_LABEL) {
		if (i == CAP_MAX_EXTENSIONS || !has(frame, at, MPLS_LABEL))
			return none;
		bottom = frame->bytes[at + 2] & 1;
		labels = labels << MPLS_LABEL_BITS | read32(frame, at) >> 12;
	}
	if (!has(frame, at, 1))
		return none;
	labels = TUNNEL(CAP_TUNNEL_MPLS, labels & MPLS_LABELS_MASK);
	inner = (struct inner){ type_by_version(frame, at), at, labels };
	if (inner.type != TYPE_NONE)
		return inner;
	/* A control word begins with four 0 bits (RFC 4385), and so do many vendors' addresses. */
	if (frame->bytes[at] >> 4 == 0 && has(frame, at, PSEUDOWIRE_CONTROL + ETHERNET_HEADER)) {
		const uint16_t type = read16(frame, at + PSEUDOWIRE_CONTROL + 2 * CAP_MAC_LEN);

		if (type == TYPE_IPV4 || type == TYPE_IPV6 || is_tag(type) || is_mpls(type))
			at += PSEUDOWIRE_CONTROL;
	}
	return (struct inner){ TYPE_BRIDGED, at, labels };
}

static struct inner read_network(const struct frame *frame, struct inner here,
				 struct cap_view *view)
{
	if (here.type == TYPE_IPV4)
		return read_ipv4(frame, here.at, view);
	if (here.type == TYPE_IPV6)
		return read_ipv6(frame, here.at, view);
	if (is_mpls(here.type))
		return enter_mpls(frame, here.at);
	return (struct inner){ TYPE_NONE, 0, 0 };
}

/* An inner packet without an Ethernet header of its own has the addresses and tags of the one around. */
static void inherit(struct cap_view *view, const struct cap_view *around)
{
	memcpy(view->has_mac, around->has_mac, sizeof(view->has_mac));
	memcpy(view->mac, around->mac, sizeof(view->mac));
	memcpy(view->vlan_is, around->vlan_is, sizeof(view->vlan_is));
	memcpy(view->vlan, around->vlan, sizeof(view->vlan));
}

static const uint8_t *look_at(const struct cap_packet *packet, uint8_t *room, uint32_t *len)
{
	uint32_t used = 0;

	*len = packet->len < CAP_LOOK_BYTES ? packet->len : CAP_LOOK_BYTES;
	if (packet->n_segments <= 1)
		return packet->data;
	for (unsigned i = 0; i < packet->n_segments && used < *len; i++) {
		uint32_t part = packet->segments[i].len;

		if (part > *len - used)
			part = *len - used;
		memcpy(room + used, packet->segments[i].data, part);
		used += part;
	}
	*len = used;
	return room;
}

unsigned cap_frame_views(const struct cap_packet *packet, uint32_t link_type, uint32_t tunnels,
			 uint8_t *room, struct cap_view views[CAP_MAX_VIEWS])
{
	struct frame frame = { .tunnels = tunnels };
	const uint16_t *stripped = packet->vlan_tpid ? &packet->vlan_tci : NULL;
	struct inner here = { TYPE_BRIDGED, 0, 0 };
	unsigned n = 0;

	frame.bytes = look_at(packet, room, &frame.len);
	if (link_type == CAP_LINKTYPE_RAW)
		here.type = type_by_version(&frame, 0);
	do {
		struct cap_view *view = &views[n];

		*view = (struct cap_view){ .tunnel = here.tunnel };
		if (here.type == TYPE_BRIDGED)
			here = read_ethernet(&frame, here.at, view, n == 0 ? stripped : NULL);
		else if (n > 0)
			inherit(view, &views[n - 1]);
		here = read_network(&frame, here, view);
		n++;
	} while (here.type != TYPE_NONE && n < CAP_MAX_VIEWS);
	return n;
}
