// SPDX-License-Identifier: Apache-2.0
/* A device's own counters on their way into the ledger. */
#include "device_counters.h"
#include "netdev.h"
#include "sentence.h"

#include <string.h>
#include <unistd.h>

static struct cap_ledger_device record;

static struct cap_device_counters begin(void)
{
	struct cap_device_counters counters;

	memset(&record, 0, sizeof(record));
	HOLDS(cap_device_counters_begin(&counters, &record) == 0);
	return counters;
}

static void reads(struct cap_device_counters *counters, unsigned at, const char *name,
		  uint64_t value)
{
	snprintf(counters->now[at].name, sizeof(counters->now[at].name), "%s", name);
	counters->now[at].value = value;
}

static int64_t published(const char *name)
{
	for (unsigned i = 0; i < record.used; i++)
		if (!strcmp(record.counters[i].name, name))
			return (int64_t)record.counters[i].value;
	return -1;
}

static void counters_count_from_arm_and_those_at_rest_take_no_room(void)
{
	struct cap_device_counters counters = begin();

	reads(&counters, 0, "rx_packets", 1000);
	reads(&counters, 1, "rx_crc_errors", 5);
	cap_device_counters_arm(&counters, 2);
	reads(&counters, 0, "rx_packets", 1400);
	reads(&counters, 1, "rx_crc_errors", 5);
	reads(&counters, 2, "rx_new", 3);
	cap_device_counters_publish(&counters, 3);
	HOLDS(record.used == 2 && published("rx_packets") == 400 && published("rx_new") == 3);
	HOLDS(published("rx_crc_errors") == -1 && record.left_out == 0);
	cap_device_counters_free(&counters);
}

static void a_counter_that_moved_to_another_place_is_found_by_its_name(void)
{
	struct cap_device_counters counters = begin();

	reads(&counters, 0, "a", 10);
	reads(&counters, 1, "b", 20);
	cap_device_counters_arm(&counters, 2);
	reads(&counters, 0, "b", 21);
	reads(&counters, 1, "a", 12);
	cap_device_counters_publish(&counters, 2);
	HOLDS(published("a") == 2 && published("b") == 1);
	cap_device_counters_free(&counters);
}

static void a_port_that_is_armed_again_counts_on(void)
{
	struct cap_device_counters counters = begin();

	cap_device_counters_arm(&counters, 0);
	reads(&counters, 0, "rx_missed", 7);
	cap_device_counters_publish(&counters, 1);
	/* Another device behind the same name, which has counted for others before. */
	reads(&counters, 0, "rx_missed", 100);
	cap_device_counters_arm(&counters, 1);
	reads(&counters, 0, "rx_missed", 104);
	cap_device_counters_publish(&counters, 1);
	HOLDS(published("rx_missed") == 11 && record.used == 1);
	cap_device_counters_free(&counters);
}

static void a_counter_never_decreases(void)
{
	struct cap_device_counters counters = begin();

	reads(&counters, 0, "rx", 50);
	cap_device_counters_arm(&counters, 1);
	reads(&counters, 0, "rx", 90);
	cap_device_counters_publish(&counters, 1);
	reads(&counters, 0, "rx", 3); /* cleared */
	cap_device_counters_publish(&counters, 1);
	HOLDS(published("rx") == 40);
	reads(&counters, 0, "rx", 45);
	cap_device_counters_publish(&counters, 1);
	HOLDS(published("rx") == 45);
	cap_device_counters_free(&counters);
}

static void many_queues_do_not_crowd_out_what_was_lost(void)
{
	struct cap_device_counters counters = begin();
	unsigned ordinary = CAP_LEDGER_DEVICE_SLOTS - CAP_LEDGER_LOSS_SLOTS, n = 0;
	char name[32];

	cap_device_counters_arm(&counters, 0);
	for (unsigned q = 0; q < 2 * CAP_LEDGER_DEVICE_SLOTS; q++) {
		snprintf(name, sizeof(name), "rx_q%u_packets", q);
		reads(&counters, n++, name, 1);
	}
	reads(&counters, n++, "rx_missed_errors", 9);
	cap_device_counters_publish(&counters, n);
	HOLDS(record.used == ordinary + 1 && published("rx_missed_errors") == 9);
	HOLDS(record.left_out == 2 * CAP_LEDGER_DEVICE_SLOTS - ordinary);
	HOLDS(record.counters[ordinary].loss == 1 && record.counters[0].loss == 0);

	for (unsigned q = 0; q < CAP_LEDGER_DEVICE_SLOTS; q++) {
		snprintf(name, sizeof(name), "rx_q%u_errors", q);
		reads(&counters, n++, name, 1);
	}
	cap_device_counters_publish(&counters, n);
	HOLDS(record.used == CAP_LEDGER_DEVICE_SLOTS);
	cap_device_counters_free(&counters);
}

static void names_of_loss_are_known_from_names_of_good_packets(void)
{
	static const char *const loss[] = { "rx_missed_errors",	  "rx_out_of_buffer",
					    "port.rx_discards",	  "rx_no_dma_resources",
					    "mac_local_errors",	  "rx_mbuf_allocation_errors",
					    "rx_crc_errors",	  "rx_fifo_errors",
					    "rx_oversize_errors", "rx_no_desc_bytes" };
	static const char *const good[] = { "rx_good_packets", "rx_q0_packets",
					    "rx_size_64_packets", "rx_broadcast_packets",
					    "rx_total_bytes" };

	for (size_t i = 0; i < sizeof(loss) / sizeof(loss[0]); i++)
		HOLDS(cap_tells_of_loss(loss[i]));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		HOLDS(!cap_tells_of_loss(good[i]));
}

static void a_network_device_without_statistics_has_none_and_one_that_is_not_there_is_told(void)
{
	struct cap_device_counter read[4];

	HOLDS(cap_netdev_counters("lo", read, 4) == 0);
	HOLDS(cap_netdev_counters("nothere", read, 4) < 0);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "counters count from arm and those at rest take no room",
		  counters_count_from_arm_and_those_at_rest_take_no_room },
		{ "a counter that moved to another place is found by its name",
		  a_counter_that_moved_to_another_place_is_found_by_its_name },
		{ "a port that is armed again counts on", a_port_that_is_armed_again_counts_on },
		{ "a counter never decreases", a_counter_never_decreases },
		{ "many queues do not crowd out what was lost",
		  many_queues_do_not_crowd_out_what_was_lost },
		{ "names of loss are known from names of good packets",
		  names_of_loss_are_known_from_names_of_good_packets },
		{ "a network device without statistics has none, and one that is not there is told",
		  a_network_device_without_statistics_has_none_and_one_that_is_not_there_is_told },
	};

	return HOLD_ALL(sentences);
}
