/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_ERF_WRITE_H
#define CAPSTAN_GEN_ERF_WRITE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "fault.h"

/** Types taken in turn, at most. */
#define ERF_TYPES_MAX 16

/** Extension headers of a record, at most; the format knows no bound. */
#define ERF_EXTENSIONS_MAX 64

/** What the records of an ERF file look like, beside their frames. */
struct erf_look {
	unsigned int type_count;
	uint8_t types[ERF_TYPES_MAX]; /**< one after the other; those that are not Ethernet hold filler */
	unsigned int extensions;
	unsigned int interfaces; /**< ports 0 to interfaces - 1 of the card in turn */
	uint16_t colour;	 /**< of the first record that has one; counts up from there */
	uint16_t lost;		 /**< loss counter of every lost_every-th frame that has one */
	uint64_t lost_every;
	uint8_t flags; /**< set in every flags_every-th frame, beside the interface */
	uint64_t flags_every;
	bool no_fcs; /**< frames come without their check sequence */
};

/** The look as asked for in words; NULL: the default. */
struct erf_words {
	const char *types;	/**< LIST of names or numbers; default eth */
	const char *extensions; /**< default 0 */
	const char *interfaces; /**< default 1 */
	const char *colour;	/**< default 1 */
	const char *lost;	/**< N[:EVERY]; default 0 */
	const char *flags;	/**< BITS[:EVERY]; default 0 */
	int no_fcs;
};

/** Reads the words. @return 0, or -1 with a sentence */
int erf_look_parse(const struct erf_words *words, struct erf_look *look, struct fault *fault);

/** A frame on its way into a record; the frame itself is in capture_file.h. */
struct captured;

/**
 * Writes the records that are due before the next frame: those of types that are not Ethernet.
 *
 * @param written records written so far, of all types; counted up
 */
void erf_write_others(FILE *out, const struct captured *frame, uint64_t *written);

/** Writes the frame's record. */
void erf_write_frame(FILE *out, const struct captured *frame, uint64_t *written);

#endif
