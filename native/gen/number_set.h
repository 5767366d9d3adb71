/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_NUMBER_SET_H
#define CAPSTAN_GEN_NUMBER_SET_H

#include <stdbool.h>
#include <stdint.h>

/** The widest span of numbers one set takes: a gigabyte of bits. */
#define NUMBER_SET_SPAN ((uint64_t)1 << 33)

/**
 * A set of frame numbers: pages of bits, made where a number falls. Costs a bit for each number of
 * the pages touched (1e8 consecutive numbers: 12.5 MB), whatever number they start with.
 */
struct number_set {
	uint64_t **pages; /**< page i holds numbers from (first_page + i) << NUMBER_PAGE_SHIFT */
	uint64_t first_page;
	uint64_t page_count;
	uint64_t size;		  /**< numbers in the set */
	uint64_t lowest, highest; /**< of the numbers in it, when size is not 0 */
};

enum number_set_result {
	NUMBER_NEW,
	NUMBER_KNOWN,	/**< was in the set already */
	NUMBER_TOO_FAR, /**< the set would span more than NUMBER_SET_SPAN */
	NUMBER_NO_MEMORY,
};

/** Puts @p number in. A zeroed struct is an empty set. */
enum number_set_result number_set_add(struct number_set *set, uint64_t number);

/**
 * Finds the first run of numbers that are not in the set.
 *
 * @param from first number looked at
 * @param to   last number looked at
 * @param a,b  filled with the run's first and last number
 * @return whether there is one
 */
bool number_set_gap(const struct number_set *set, uint64_t from, uint64_t to, uint64_t *a,
		    uint64_t *b);

/** Releases the pages and makes the set empty. */
void number_set_free(struct number_set *set);

#endif
