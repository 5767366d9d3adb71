/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A device's own counters on their way into the ledger: by the device's names, counted from arm on,
 * and no more of them than the ledger has room for. Main thread only.
 */
#ifndef CAPSTAN_DEVICE_COUNTERS_H
#define CAPSTAN_DEVICE_COUNTERS_H

#include "ledger.h"

/** Most counters that are read of one device: large NICs have some 30, and 10 a queue. */
#define CAP_DEVICE_COUNTERS 1024

struct cap_device_counters {
	struct cap_device_counter *now;	 /**< room for CAP_DEVICE_COUNTERS */
	struct cap_device_counter *base; /**< when the port was armed */
	unsigned base_count;
	uint64_t before
		[CAP_LEDGER_DEVICE_SLOTS]; /**< what earlier openings of the port left in each slot */
	struct cap_ledger_device *ledger;
};

/** @return 0, or -ENOMEM */
int cap_device_counters_begin(struct cap_device_counters *counters,
			      struct cap_ledger_device *ledger);

void cap_device_counters_free(struct cap_device_counters *counters);

/** Take @p count readings in `now` as where counting begins. */
void cap_device_counters_arm(struct cap_device_counters *counters, unsigned count);

/** Publish what @p count readings in `now` have beyond those at arm. */
void cap_device_counters_publish(struct cap_device_counters *counters, unsigned count);

/** Whether a counter of that name tells of packets that were lost or damaged. */
bool cap_tells_of_loss(const char *name);

/** {"name": value} of the ledger's record. @return new reference */
json_t *cap_device_counters_json(const struct cap_ledger_device *ledger);

#endif
