/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_RECORD_H
#define CAPSTAN_GEN_RECORD_H

#include <stddef.h>
#include <stdint.h>

/**
 * The record that every generated frame carries directly after its headers, big endian:
 *
 *      0  magic   "CAPN"
 *      4  stream  u32
 *      8  number  u64
 *     16  crc32   u32, over the whole frame from the destination address to the last byte of
 *                 filler, with this field zero
 */
#define RECORD_BYTES 20
#define RECORD_MAGIC 0x4341504eu
#define RECORD_CRC_OFFSET 16

/** Ethertype of the shape without IP: the first of IEEE's two for local experiments. */
#define RECORD_ETHERTYPE 0x88b5

/** Every address of a generated frame starts so: locally administered, unicast, "CAP". */
#define RECORD_MAC_PREFIX 0x02434150u

enum record_verdict {
	RECORD_WHOLE,	/**< ours, every byte as it was built */
	RECORD_CUT,	/**< ours and numbered, but captured shorter than it was on the wire */
	RECORD_DAMAGED, /**< ours by its magic or addresses, but not as it was built */
	RECORD_FOREIGN, /**< somebody else's frame */
};

struct record {
	uint32_t stream;
	uint64_t number;
};

/** Writes magic, stream, number and the checksum of the finished frame at @p offset. */
void record_seal(uint8_t *frame, size_t length, size_t offset, const struct record *record);

/**
 * Judges a captured frame.
 *
 * @param frame    captured bytes from the destination address on
 * @param captured how many there are
 * @param length   how many there were on the wire
 * @param record   filled when the verdict is RECORD_WHOLE, or RECORD_CUT with a record that is
 *                 whole (then the return through @p numbered is 1)
 * @param numbered set to 1 when @p record holds a number that can be believed, else to 0
 */
enum record_verdict record_read(const uint8_t *frame, size_t captured, size_t length,
				struct record *record, int *numbered);

#endif
