/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_CAPTURE_FILE_H
#define CAPSTAN_GEN_CAPTURE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "erf_write.h"
#include "fault.h"

/** A frame on its way into a file. */
struct captured {
	uint64_t time_ns; /**< since 1970 */
	uint32_t length;  /**< bytes on the wire */
	uint32_t kept;	  /**< of those, bytes in the file */
	const uint8_t *bytes;
	uint64_t sequence;	    /**< frames before it in the file */
	const struct erf_look *erf; /**< how ERF writes it */
	uint64_t *erf_written;	    /**< records of ERF before it; counted up */
};

/** A capture format: one constant table each. The functions only write; ferror() tells of failure. */
struct capture_format {
	const char *ending; /**< of file names, with the dot */
	/** Writes what stands before the first frame. */
	void (*begin)(FILE *out);
	/** Writes what stands before a frame and is none; NULL: nothing does. */
	void (*others)(FILE *out, const struct captured *frame);
	/** Writes one frame. */
	void (*frame)(FILE *out, const struct captured *frame);
	/** Where, from the start of a frame's block, its length field is. */
	size_t length_field;
	/** A length that no block can have, as it stands in the file. */
	size_t absurd_bytes;
	uint8_t absurd[4];
};

/** @return the format for @p path by its ending (.pcap, .pcapng, .erf), or NULL with a sentence */
const struct capture_format *capture_format_for(const char *path, struct fault *fault);

#endif
