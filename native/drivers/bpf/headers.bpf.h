/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/** @file Headers and numbers of protocols, as far as a packet is looked into. */
#ifndef CAPSTAN_BPF_HEADERS_H
#define CAPSTAN_BPF_HEADERS_H

#include <linux/types.h>

#include <bpf/bpf_endian.h>

/* EtherTypes, in the order of the wire. */
#define TYPE_IPV4 bpf_htons(0x0800)
#define TYPE_IPV6 bpf_htons(0x86dd)
#define TYPE_MPLS bpf_htons(0x8847)
#define TYPE_MPLS_UPSTREAM bpf_htons(0x8848)
#define TYPE_BRIDGED bpf_htons(0x6558) /* an Ethernet frame within GRE */
#define TYPE_TAG bpf_htons(0x8100)
#define TYPE_SERVICE_TAG bpf_htons(0x88a8)
#define TYPE_OLD_TAG bpf_htons(0x9100)

#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_DCCP 33
#define PROTOCOL_GRE 47
#define PROTOCOL_SCTP 132
#define PROTOCOL_UDPLITE 136

/* Extension headers of IPv6 that lead on to another header. */
#define EXTENSION_HOP_BY_HOP 0
#define EXTENSION_ROUTING 43
#define EXTENSION_FRAGMENT 44
#define EXTENSION_AUTHENTICATION 51
#define EXTENSION_DESTINATION 60

#define PORT_GTP_U 2152
#define PORT_VXLAN 4789

/* A header on the stack, with room for reading it by 8 bytes at a time. */
#define IN_EIGHTS(type)                               \
	union {                                       \
		type header;                          \
		__u64 eights[(sizeof(type) + 7) / 8]; \
	}

struct ethernet {
	__u16 to[3];
	__u16 from[3];
	__be16 type;
};

struct tag {
	__be16 tci;
	__be16 type;
};

struct ipv4 {
	__u8 version_words; /* version, and length of the header in words of 4 bytes */
	__u8 service;
	__be16 length;
	__be16 id;
	__be16 fragment; /* flags, and offset in units of 8 bytes */
	__u8 hops;
	__u8 protocol;
	__be16 checksum;
	__u32 from;
	__u32 to;
};

#define IPV4_MORE_FRAGMENTS bpf_htons(0x2000)
#define IPV4_OFFSET bpf_htons(0x1fff)

struct ipv6 {
	__u8 version_class;
	__u8 flow[3];
	__be16 length; /* behind this header */
	__u8 next;
	__u8 hops;
	__u32 from[4];
	__u32 to[4];
};

struct extension {
	__u8 next;
	__u8 length; /* in units of 8 bytes beyond the first; authentication: of 4 bytes beyond two */
	__be16 fragment;
	__be32 id;
};

#define IPV6_FRAGMENTED \
	bpf_htons(0xfff9) /* the offset in units of 8 bytes, and whether more follow */
#define IPV6_OFFSET bpf_htons(0xfff8)

struct ports {
	__be16 from;
	__be16 to;
};

#define UDP_LENGTH 8

struct gre {
	__be16 flags;
	__be16 type;
};

#define GRE_CHECKSUM bpf_htons(0x8000)
#define GRE_ROUTING bpf_htons(0x4000)
#define GRE_KEY bpf_htons(0x2000)
#define GRE_SEQUENCE bpf_htons(0x1000)
#define GRE_VERSION bpf_htons(0x0007)

struct gtp_u {
	__u8 flags;
	__u8 type;
	__be16 length;
	__be32 tunnel;
};

#define GTP_U_KIND_MASK 0xf0
#define GTP_U_KIND 0x30	    /* version 1, and the protocol type that is not GTP' */
#define GTP_U_OPTIONAL 0x07 /* any of these flags: four bytes more */
#define GTP_U_EXTENDED 0x04
#define GTP_U_PACKET 255

struct vxlan {
	__u8 flags;
	__u8 rest[7];
};

#define VXLAN_HAS_ID 0x08

#define MPLS_BOTTOM bpf_htonl(0x100)
#define PSEUDOWIRE_CONTROL 4

#endif
