// SPDX-License-Identifier: Apache-2.0
/*
 * Devices count what they like under names that they like, and some count hundreds of things. What never
 * leaves 0 takes no room; what does gets a slot in the ledger for as long as the engine runs. A slot keeps
 * its name, so a reader that finds it finds it again. The last slots are for counters of loss alone.
 */
#include "device_counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Parts of the names that drivers give to what is lost: rx_missed_errors, rx_out_of_buffer, rx_discards ... */
static const char *const words_of_loss[] = {
	"alloc_fail", "crc",	 "discard", "drop",	"err",	     "fifo",   "fragment",
	"jabber",     "lost",	 "miss",    "no_buf",	"no_desc",   "no_dma", "nobuf",
	"nombuf",     "out_of_", "over",    "too_long", "undersize", NULL,
};

bool cap_tells_of_loss(const char *name)
{
	for (unsigned i = 0; words_of_loss[i]; i++)
		if (strcasestr(name, words_of_loss[i]))
			return true;
	return false;
}

int cap_device_counters_begin(struct cap_device_counters *counters,
			      struct cap_ledger_device *ledger)
{
	*counters = (struct cap_device_counters){
		.now = calloc(CAP_DEVICE_COUNTERS, sizeof(*counters->now)),
		.base = calloc(CAP_DEVICE_COUNTERS, sizeof(*counters->base)),
		.ledger = ledger,
	};
	return counters->now && counters->base ? 0 : -ENOMEM;
}

void cap_device_counters_free(struct cap_device_counters *counters)
{
	free(counters->now);
	free(counters->base);
	*counters = (struct cap_device_counters){ 0 };
}

void cap_device_counters_arm(struct cap_device_counters *counters, unsigned count)
{
	struct cap_device_counter *read = counters->now;

	counters->now = counters->base;
	counters->base = read;
	counters->base_count = count;
	for (unsigned i = 0; i < counters->ledger->used; i++)
		counters->before[i] = cap_sample(&counters->ledger->counters[i].value);
}

/* Devices name their counters in one order: the one at the same place is the right one, nearly always. */
static uint64_t at_arm(const struct cap_device_counters *counters, unsigned i)
{
	const char *name = counters->now[i].name;

	if (i < counters->base_count && !strcmp(counters->base[i].name, name))
		return counters->base[i].value;
	for (unsigned b = 0; b < counters->base_count; b++)
		if (!strcmp(counters->base[b].name, name))
			return counters->base[b].value;
	return 0;
}

/* @return the slot of that name, a new one if there is room, or NULL */
static struct cap_ledger_counter *slot_of(struct cap_ledger_device *ledger, const char *name)
{
	uint32_t used = ledger->used;
	struct cap_ledger_counter *slot;
	bool loss;

	for (uint32_t i = 0; i < used; i++)
		if (!strcmp(ledger->counters[i].name, name))
			return &ledger->counters[i];
	loss = cap_tells_of_loss(name);
	if (used >= CAP_LEDGER_DEVICE_SLOTS - (loss ? 0 : CAP_LEDGER_LOSS_SLOTS))
		return NULL;
	slot = &ledger->counters[used];
	memcpy(slot->name, name, sizeof(slot->name));
	slot->loss = loss;
	__atomic_store_n(&ledger->used, used + 1, __ATOMIC_RELEASE);
	return slot;
}

/* As all of the ledger's, a counter never decreases. */
static void raise_to(struct cap_ledger_counter *slot, uint64_t value)
{
	if (value > slot->value)
		cap_publish(&slot->value, value);
}

void cap_device_counters_publish(struct cap_device_counters *counters, unsigned count)
{
	struct cap_ledger_device *ledger = counters->ledger;
	uint64_t left_out = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t base = at_arm(counters, i), value = counters->now[i].value;
		struct cap_ledger_counter *slot;

		/* One that went back was cleared, and counts from 0. */
		if (value == base)
			continue;
		slot = slot_of(ledger, counters->now[i].name);
		if (slot)
			raise_to(slot, counters->before[slot - ledger->counters] +
					       (value > base ? value - base : value));
		else
			left_out++;
	}
	cap_publish(&ledger->left_out, left_out);
}

json_t *cap_device_counters_json(const struct cap_ledger_device *ledger)
{
	json_t *named = json_object();

	for (uint32_t i = 0; i < ledger->used; i++)
		json_object_set_new(
			named, ledger->counters[i].name,
			json_integer((json_int_t)cap_sample(&ledger->counters[i].value)));
	return named;
}
