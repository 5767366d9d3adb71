/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file ERF, the extensible record format of DAG cards: one record taken apart, within its bounds.
 *
 * Source: ERF Types Reference (EDM11-01, version 21). A record is
 *
 *     0   8  time stamp, little endian fixed point: 2^-32 s since 1970, UTC
 *     8   1  type (7 bits); the top bit says that extension headers follow
 *     9   1  flags
 *     10  2  rlen: bytes of the record, this header included
 *     12  2  lctr: packets lost before this one; in coloured types, the colour
 *     14  2  wlen: bytes of the packet on the wire
 *     16  8n extension headers, each with the top bit of its first byte set when another follows
 *         2  of Ethernet types: offset and pad, so that the IP header is aligned
 *            the packet, and padding up to rlen
 *
 * all but the time stamp big endian. A file of them has no header of its own.
 */
#ifndef CAPSTAN_ERF_H
#define CAPSTAN_ERF_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAP_ERF_HEADER 16U
#define CAP_ERF_EXTENSION 8U
#define CAP_ERF_ETHERNET_PAD 2U

/** As long as a record can say that it is. */
#define CAP_ERF_LONGEST 65535U

/** An lctr of this many sticks there: that many packets were lost, or more. */
#define CAP_ERF_LOST_MOST 65535U

/** Types are 7 bits wide. */
#define CAP_ERF_TYPES 128U

/** The record types that are told apart here; the other numbers have names only. */
enum cap_erf_type {
	CAP_ERF_LEGACY = 0,
	CAP_ERF_HDLC_POS = 1,
	CAP_ERF_ETH = 2,
	CAP_ERF_COLOR_HDLC_POS = 10,
	CAP_ERF_COLOR_ETH = 11,
	CAP_ERF_IP_COUNTER = 13,
	CAP_ERF_TCP_FLOW_COUNTER = 14,
	CAP_ERF_DSM_COLOR_HDLC_POS = 15,
	CAP_ERF_DSM_COLOR_ETH = 16,
	CAP_ERF_COLOR_MC_HDLC_POS = 17,
	CAP_ERF_COLOR_HASH_POS = 19,
	CAP_ERF_COLOR_HASH_ETH = 20,
	CAP_ERF_META = 27,
	CAP_ERF_PAD = 48,
};

/** Bits of the flags byte. */
enum cap_erf_flag {
	CAP_ERF_FLAG_INTERFACE = 0x43, /**< bits 0 and 1, and bit 6 as the third */
	CAP_ERF_FLAG_VARYING = 0x04,   /**< no padding up to the card's snap length */
	CAP_ERF_FLAG_TRUNCATED = 0x08, /**< cut for want of room in the card */
	CAP_ERF_FLAG_RX_ERROR = 0x10,  /**< damaged on the wire */
	CAP_ERF_FLAG_DS_ERROR = 0x20,  /**< damaged inside the card */
};

/** What becomes of the frame check sequence: Ethernet's last 4 bytes, which wlen counts on most cards. */
enum cap_erf_fcs {
	CAP_ERF_FCS_STRIP, /**< the records have it, and it is taken off */
	CAP_ERF_FCS_KEEP,  /**< the records have it, and it stays */
	CAP_ERF_FCS_NONE,  /**< the card has taken it off already */
};

/** The words of enum cap_erf_fcs in settings, ended by NULL. */
extern const char *const cap_erf_fcs_words[];

/** Bytes of Ethernet's frame check sequence. */
#define CAP_ETHERNET_FCS 4U

/** What a record is to a capture of Ethernet. */
enum cap_erf_kind {
	CAP_ERF_FRAME, /**< an Ethernet frame */
	CAP_ERF_OTHER_LINK, /**< a packet of another kind of link, or of a type that nobody has documented */
	CAP_ERF_NO_PACKET, /**< padding, counters, or words about the capture */
};

/** One record. The frame points into the caller's bytes. */
struct cap_erf_record {
	uint64_t timestamp_ns; /**< nanoseconds since the epoch, UTC; see cap_erf_ns */
	const uint8_t *frame;  /**< of CAP_ERF_FRAME; else NULL */
	uint32_t captured;     /**< bytes there are of the frame */
	uint32_t wire; /**< bytes that it had on the wire; the FCS as enum cap_erf_fcs says */
	uint32_t size; /**< of the whole record: where the next one begins */
	enum cap_erf_kind kind;
	bool coloured;
	uint16_t colour;     /**< all 16 bits, where coloured */
	uint16_t lost;	     /**< packets before it; 0 where the type has no such counter */
	uint8_t type;	     /**< without the extension bit */
	uint8_t flags;	     /**< enum cap_erf_flag */
	uint8_t interface;   /**< port of the card: 0 to 7 */
	unsigned extensions; /**< extension headers that were passed over */
};

/**
 * Take the record at @p at apart. Reads nothing beyond @p len bytes, whatever they hold.
 *
 * @param len bytes that there are; more than one record may be
 * @return 0;
 *         -EAGAIN: fewer bytes than the record has (record->size is set when its header is there, else 0);
 *         -EILSEQ with a sentence: the record contradicts itself, but its size holds (record->size);
 *         -EBADMSG with a sentence: this is no record, and where the next one begins nobody knows
 */
int cap_erf_read(const uint8_t *at, size_t len, enum cap_erf_fcs fcs, struct cap_erf_record *record,
		 struct cap_error *err);

/**
 * Nanoseconds since the epoch of a time stamp in 2^-32 s (233 ps), rounded to the nearest, halves up:
 * half a nanosecond off at most, and the nanosecond that a stamp was made from by cap_erf_stamp.
 */
static inline uint64_t cap_erf_ns(uint64_t stamp)
{
	const uint64_t half = UINT64_C(1) << 31;

	return (stamp >> 32) * UINT64_C(1000000000) +
	       (((stamp & UINT32_MAX) * UINT64_C(1000000000) + half) >> 32);
}

/** The time stamp nearest to @p ns nanoseconds since the epoch; those of 2106 and later do not fit. */
static inline uint64_t cap_erf_stamp(uint64_t ns)
{
	const uint64_t second = UINT64_C(1000000000);

	return (ns / second << 32) + (((ns % second << 32) + second / 2) / second);
}

/** What a type is to a capture of Ethernet, as cap_erf_record.kind tells it. */
enum cap_erf_kind cap_erf_kind_of(uint8_t type);

/** Whether records of a type have a colour in place of the loss counter. */
bool cap_erf_is_coloured(uint8_t type);

/** Room for the name of any type. */
#define CAP_ERF_NAME 24

/** Whether the reference has a name for a type. */
bool cap_erf_is_documented(uint8_t type);

/** The documented name of a type such as "TYPE_ETH", or "type 31" in @p room where it has none. */
const char *cap_erf_type_name(uint8_t type, char room[CAP_ERF_NAME]);

/**
 * Whether @p bytes can be the beginning of an ERF file, which has no magic: one whole record at least, the first
 * and most of the others of documented types, with lengths that hold and times within a year of each other (a
 * second at most back).
 */
bool cap_erf_looks_like(const uint8_t *bytes, size_t len);

#endif
