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

static void tell(json_t *object, const char *name, uint64_t value)
{
	json_int_t before = json_integer_value(json_object_get(object, name));

	if (value)
		json_object_set_new(object, name, json_integer(before + (json_int_t)value));
}

static void tell_one(json_t *object, const struct cap_erf_tally *tally)
{
	for (unsigned type = 0; type < CAP_ERF_TYPES; type++) {
		char room[CAP_ERF_NAME];

		tell(object, cap_erf_type_name((uint8_t)type, room),
		     cap_sample(&tally->types[type]));
	}
	tell(object, "damaged_records", cap_sample(&tally->damaged));
	tell(object, "loss_counters", cap_sample(&tally->lost));
	tell(object, "loss_counters_saturated", cap_sample(&tally->saturated));
	tell(object, "rx_error", cap_sample(&tally->rx_errors));
	tell(object, "ds_error", cap_sample(&tally->ds_errors));
	tell(object, "truncated", cap_sample(&tally->truncated));
}

void cap_erf_counters(const struct cap_erf_tally *const *tallies, unsigned count, json_t *object)
{
	for (unsigned i = 0; i < count; i++)
		tell_one(object, tallies[i]);
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
