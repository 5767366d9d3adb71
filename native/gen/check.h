/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_CHECK_H
#define CAPSTAN_GEN_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/erf.h"
#include "fault.h"
#include "number_set.h"

/** Streams told apart in one check. */
#define CHECK_STREAMS_MAX 64

/** Ranges of missing numbers listed; all are counted. */
#define CHECK_RANGES_MAX 100

/** What to check and against what. */
struct check_order {
	char *const *files; /**< borrowed; read in this order */
	unsigned int file_count;
	bool one_stream; /**< only frames of `stream` count, others are foreign */
	uint32_t stream;
	bool expecting; /**< numbers first to first + count - 1 should be there */
	uint64_t first, count;
	enum cap_erf_fcs erf_fcs; /**< what ERF files have of the frames' check sequences */
};

struct check_range {
	uint64_t a, b; /**< both included */
};

/** What was found of one stream. */
struct check_stream {
	uint32_t id;
	struct number_set numbers;
	uint64_t numbered;     /**< frames with a number that can be believed */
	uint64_t doubled;      /**< of those: the number was there before */
	uint64_t out_of_order; /**< of those: a higher number came before it in the same file */
	uint64_t outside; /**< frames whose number is not one of the expected; counted only here */
	uint64_t missing; /**< numbers between the expected (or found) ends that did not come */
	/* Within the file being read. */
	bool in_file;
	uint64_t file_highest;
};

struct check_unreadable {
	const char *file; /**< borrowed from the order */
	char why[300];
};

/** What was found. Release with check_free(). */
struct check_result {
	uint64_t frames;
	uint64_t foreign;
	uint64_t damaged;
	uint64_t cut;
	unsigned int stream_count;
	struct check_stream streams[CHECK_STREAMS_MAX]; /**< in the order they appeared */
	unsigned int range_count;
	struct check_range ranges[CHECK_RANGES_MAX]; /**< the first missing ones, by stream */
	unsigned int unreadable_count;
	struct check_unreadable *unreadable; /**< what is before the trouble was still counted */
};

/**
 * Reads the files as a stream and tallies every frame. A file that cannot be read to its end is
 * noted in the result and does not stop the others.
 * @return 0, or -1 with a sentence when no result can be given (memory, absurd numbers)
 */
int check_run(const struct check_order *order, struct check_result *result, struct fault *fault);

/** @return whether all files were read and every number expected came once, whole */
bool check_complete(const struct check_result *result);

/** Prints @p result on stdout, for people or as one JSON object. */
void check_print(const struct check_order *order, const struct check_result *result, bool json);

/** Releases what check_run() allocated. */
void check_free(struct check_result *result);

#endif
