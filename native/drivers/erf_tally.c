// SPDX-License-Identifier: Apache-2.0
#include "erf_tally.h"

#include "ledger.h"

#include <stdio.h>
#include <string.h>

#define SAID(flags) \
	((flags) & (CAP_ERF_FLAG_TRUNCATED | CAP_ERF_FLAG_RX_ERROR | CAP_ERF_FLAG_DS_ERROR))

static void count_losses(struct cap_erf_tally *tally, const struct cap_erf_record *record)
{
	if (record->lost) {
		cap_count(&tally->lost, record->lost);
		cap_count(&tally->saturated, record->lost == CAP_ERF_LOST_MOST);
	}
	cap_count(&tally->bytes, record->size);
}

bool cap_erf_count(struct cap_erf_tally *tally, const struct cap_erf_record *record)
{
	bool first = tally->types[record->type] == 0;

	cap_count(&tally->types[record->type], 1);
	if (record->kind == CAP_ERF_OTHER_LINK)
		cap_count(&tally->other_links, 1);
	if (SAID(record->flags)) {
		cap_count(&tally->truncated, !!(record->flags & CAP_ERF_FLAG_TRUNCATED));
		cap_count(&tally->rx_errors, !!(record->flags & CAP_ERF_FLAG_RX_ERROR));
		cap_count(&tally->ds_errors, !!(record->flags & CAP_ERF_FLAG_DS_ERROR));
	}
	count_losses(tally, record);
	return first;
}

void cap_erf_count_damaged(struct cap_erf_tally *tally, const struct cap_erf_record *record)
{
	cap_count(&tally->damaged, 1);
	count_losses(tally, record);
}

void cap_erf_add(struct cap_erf_tally *sum, const struct cap_erf_tally *more)
{
	for (unsigned type = 0; type < CAP_ERF_TYPES; type++)
		sum->types[type] += cap_sample(&more->types[type]);
	sum->other_links += cap_sample(&more->other_links);
	sum->damaged += cap_sample(&more->damaged);
	sum->lost += cap_sample(&more->lost);
	sum->saturated += cap_sample(&more->saturated);
	sum->rx_errors += cap_sample(&more->rx_errors);
	sum->ds_errors += cap_sample(&more->ds_errors);
	sum->truncated += cap_sample(&more->truncated);
	sum->bytes += cap_sample(&more->bytes);
}

unsigned cap_erf_counters(const struct cap_erf_tally *tally, struct cap_device_counter *out,
			  unsigned max)
{
	const struct {
		const char *name;
		uint64_t value;
	} others[] = {
		{ "record_errors", tally->damaged },
		{ "lost_before_records", tally->lost },
		{ "lost_counter_full", tally->saturated },
		{ "rx_errors", tally->rx_errors },
		{ "ds_errors", tally->ds_errors },
		{ "truncated_records", tally->truncated },
		{ "record_bytes", tally->bytes },
	};
	unsigned n = 0;

	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]) && n < max; i++, n++) {
		snprintf(out[n].name, sizeof(out[n].name), "%s", others[i].name);
		out[n].value = others[i].value;
	}
	for (unsigned type = 0; type < CAP_ERF_TYPES && n < max; type++) {
		char room[CAP_ERF_NAME];

		if (!tally->types[type])
			continue;
		snprintf(out[n].name, sizeof(out[n].name), "%s",
			 cap_erf_type_name((uint8_t)type, room));
		out[n++].value = tally->types[type];
	}
	return n;
}

/* Appends a part of the note, after a comma where one is due. */
static char *say(char *at, const char *begin, const char *words)
{
	const char *gap = at == begin ? "erf: " : ", ";
	size_t len = strlen(words);

	memcpy(at, gap, strlen(gap));
	at += strlen(gap);
	memcpy(at, words, len);
	return at + len;
}

/* By hand: a coloured stream has a note on every packet, and printf would cost more than the rest. */
uint32_t cap_erf_note(const struct cap_erf_record *record, char room[CAP_ERF_NOTE])
{
	static const char digits[] = "0123456789abcdef";
	char *at = room;

	if (record->interface) {
		at = say(at, room, "interface ");
		*at++ = digits[record->interface];
	}
	if (record->coloured) {
		at = say(at, room, "colour 0x");
		for (int shift = 12; shift >= 0; shift -= 4)
			*at++ = digits[record->colour >> shift & 0xf];
	}
	if (SAID(record->flags)) {
		if (record->flags & CAP_ERF_FLAG_RX_ERROR)
			at = say(at, room, "rx error");
		if (record->flags & CAP_ERF_FLAG_DS_ERROR)
			at = say(at, room, "ds error");
		if (record->flags & CAP_ERF_FLAG_TRUNCATED)
			at = say(at, room, "truncated");
	}
	return (uint32_t)(at - room);
}
