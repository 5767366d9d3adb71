/* SPDX-License-Identifier: Apache-2.0 */
/** @file What is counted of ERF records beside their packets, and what of a record goes into a file. */
#ifndef CAPSTAN_ERF_TALLY_H
#define CAPSTAN_ERF_TALLY_H

#include "driver.h"
#include "erf.h"

/** Counted since arm; one thread writes, others may read. */
struct cap_erf_tally {
	uint64_t types[CAP_ERF_TYPES]; /**< records of each type */
	uint64_t other_links;	       /**< of these, CAP_ERF_OTHER_LINK */
	uint64_t damaged;	       /**< records that contradict themselves: -EILSEQ */
	uint64_t lost; /**< sum of the loss counters: a lower bound where `saturated` is not 0 */
	uint64_t saturated; /**< loss counters that stood at CAP_ERF_LOST_MOST */
	uint64_t rx_errors, ds_errors, truncated; /**< flags */
	uint64_t bytes;				  /**< of all records */
};

/** Count a record that cap_erf_read has read. @return whether it is the first of its type */
bool cap_erf_count(struct cap_erf_tally *tally, const struct cap_erf_record *record);

/** Count a record that contradicts itself. */
void cap_erf_count_damaged(struct cap_erf_tally *tally, const struct cap_erf_record *record);

/** Add the figures of @p more to @p sum; another thread may be counting @p more. */
void cap_erf_add(struct cap_erf_tally *sum, const struct cap_erf_tally *more);

/**
 * The figures of @p tally as counters of a device, by the types' names; types that never came are left out.
 *
 * @param out room for @p max of them
 * @return how many there are in @p out
 */
unsigned cap_erf_counters(const struct cap_erf_tally *tally, struct cap_device_counter *out,
			  unsigned max);

/** Room for the longest note. */
#define CAP_ERF_NOTE 72

/**
 * Words for what a frame's own format has no place for: the card's port other than 0, colour, flags:
 * "erf: interface 1, colour 0x002a, rx error".
 *
 * @return length of the words in @p room, which need no terminator; 0: there is nothing to say
 */
uint32_t cap_erf_note(const struct cap_erf_record *record, char room[CAP_ERF_NOTE]);

#endif
