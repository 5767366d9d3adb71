// SPDX-License-Identifier: Apache-2.0
#include "filter.h"
#include "frame_peek.h"
#include "frame_view.h"
#include "scan.h"

#include <arpa/inet.h>

/* IPv4's more-fragments flag and offset. */
#define PIECE WIRE16(0x3fff)

static bool names_mac(const struct cap_target_index *index, const uint8_t *mac)
{
	struct cap_host_search search = cap_index_mac_begin(index, mac);

	return cap_index_mac_next(index, &search, mac);
}

static bool names_tag(const struct cap_target_index *index, unsigned tag, uint16_t tci)
{
	return tag < 2 && index->vlans[tag] && index->vlans[tag][tci & 0xfff];
}

static bool names_port(const struct cap_target_index *index, uint16_t port)
{
	return index->port_map[port / 64] >> port % 64 & 1;
}

static bool names_ports(const struct cap_target_index *index, const uint8_t *transport,
			uint32_t left)
{
	return left < 4 || names_port(index, ntohs(load16(transport))) ||
	       names_port(index, ntohs(load16(transport + 2)));
}

static bool may_be_by_port4(const struct cap_target_index *index, const uint8_t *ip, uint32_t left)
{
	/* Options and fragments are not common. */
	if (left < IPV4_HEADER || ip[0] != 0x45 || load16(ip + 6) & PIECE)
		return true;
	return cap_protocol_has_ports(ip[9]) &&
	       names_ports(index, ip + IPV4_HEADER, left - IPV4_HEADER);
}

static bool may_be_by_port6(const struct cap_target_index *index, const uint8_t *ip, uint32_t left)
{
	if (left < IPV6_HEADER || is_extension(ip[6]))
		return true;
	return cap_protocol_has_ports(ip[6]) &&
	       names_ports(index, ip + IPV6_HEADER, left - IPV6_HEADER);
}

static bool may_be_raw(const struct cap_target_index *index, const uint8_t *ip, uint32_t len)
{
	if (!len || !index->any_ports)
		return !len;
	return ip[0] >> 4 == 4 ? may_be_by_port4(index, ip, len) : may_be_by_port6(index, ip, len);
}

static bool may_be(const struct cap_target_index *index, const struct cap_packet *packet)
{
	const uint8_t *frame = packet->data;
	const uint32_t len = first_length(packet);
	uint32_t at = ETHERNET_HEADER;
	unsigned tags = 0;
	uint16_t type;

	if (len < at)
		return true;
	if (index->macs.bucket_count && (names_mac(index, frame) || names_mac(index, frame + 6)))
		return true;
	if (packet->vlan_tpid && names_tag(index, tags++, packet->vlan_tci))
		return true;
	for (; is_tag(type = load16(frame + at - 2)); at += TAG_LEN, tags++)
		if (tags == MOST_TAGS || len < at + TAG_LEN ||
		    names_tag(index, tags, ntohs(load16(frame + at))))
			return true;
	if (!index->any_ports)
		return false;
	if (type == TYPE_IPV4)
		return may_be_by_port4(index, frame + at, len - at);
	return type == TYPE_IPV6 && may_be_by_port6(index, frame + at, len - at);
}

uint64_t cap_scan_anywhere(const struct cap_target_index *index, uint32_t link_type,
			   const struct cap_packet *packets, unsigned n)
{
	uint64_t found = 0;

	for (unsigned i = 0; i < n; i++) {
		const bool maybe =
			link_type == CAP_LINKTYPE_RAW ?
				may_be_raw(index, packets[i].data, first_length(&packets[i])) :
				may_be(index, &packets[i]);

		found |= (uint64_t)maybe << i;
	}
	return found;
}
