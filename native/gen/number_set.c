// SPDX-License-Identifier: Apache-2.0
#include "number_set.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_SHIFT 20 /* a million numbers: 128 KiB */
#define PAGE_MASK (((uint64_t)1 << PAGE_SHIFT) - 1)
/* Arithmetic on bounds stays clear of overflow below this; no sender gets there. */
#define NUMBER_END ((uint64_t)1 << 63)
#define PAGE_WORDS ((size_t)1 << (PAGE_SHIFT - 6))

/* Makes the directory reach @page; what is new in it is empty. */
static enum number_set_result reach(struct number_set *set, uint64_t page)
{
	uint64_t first = page, end = page + 1;
	uint64_t **pages;

	if (set->page_count) {
		if (set->first_page < first)
			first = set->first_page;
		if (set->first_page + set->page_count > end)
			end = set->first_page + set->page_count;
	}
	if (end - first > NUMBER_SET_SPAN >> PAGE_SHIFT)
		return NUMBER_TOO_FAR;
	pages = calloc(end - first, sizeof(*pages));
	if (!pages)
		return NUMBER_NO_MEMORY;
	if (set->page_count)
		memcpy(pages + (set->first_page - first), set->pages,
		       set->page_count * sizeof(*pages));
	free(set->pages);
	set->pages = pages;
	set->first_page = first;
	set->page_count = end - first;
	return NUMBER_NEW;
}

enum number_set_result number_set_add(struct number_set *set, uint64_t number)
{
	uint64_t page = number >> PAGE_SHIFT;
	uint64_t bit = (uint64_t)1 << (number & 63);
	uint64_t **slot, *word;

	if (number >= NUMBER_END)
		return NUMBER_TOO_FAR;
	if (page - set->first_page >= set->page_count) {
		enum number_set_result result = reach(set, page);

		if (result != NUMBER_NEW)
			return result;
	}
	slot = &set->pages[page - set->first_page];
	if (!*slot && !(*slot = calloc(PAGE_WORDS, sizeof(**slot))))
		return NUMBER_NO_MEMORY;
	word = *slot + ((number & PAGE_MASK) >> 6);
	if (*word & bit)
		return NUMBER_KNOWN;
	*word |= bit;
	if (!set->size || number < set->lowest)
		set->lowest = number;
	if (!set->size || number > set->highest)
		set->highest = number;
	set->size++;
	return NUMBER_NEW;
}

/*
 * The first number from @from to @to whose presence in the set is @wanted; @to + 1 when there is
 * none. Goes by whole pages and words where they are all one way.
 */
static uint64_t find(const struct number_set *set, uint64_t from, uint64_t to, bool wanted)
{
	while (from <= to) {
		uint64_t page = (from >> PAGE_SHIFT) - set->first_page;
		const uint64_t *words = page < set->page_count ? set->pages[page] : NULL;
		uint64_t word;

		if (!words) {
			if (!wanted)
				return from;
			from = (from | PAGE_MASK) + 1;
			continue;
		}
		word = words[(from & PAGE_MASK) >> 6];
		if (!wanted)
			word = ~word;
		word >>= from & 63;
		if (word) {
			from += (uint64_t)__builtin_ctzll(word);
			break;
		}
		from = (from | 63) + 1;
	}
	return from <= to ? from : to + 1;
}

bool number_set_gap(const struct number_set *set, uint64_t from, uint64_t to, uint64_t *a,
		    uint64_t *b)
{
	if (from > to)
		return false;
	*a = find(set, from, to, false);
	if (*a > to)
		return false;
	*b = find(set, *a, to, true) - 1;
	return true;
}

void number_set_free(struct number_set *set)
{
	for (uint64_t i = 0; i < set->page_count; i++)
		free(set->pages[i]);
	free(set->pages);
	memset(set, 0, sizeof(*set));
}
