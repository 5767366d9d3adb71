// SPDX-License-Identifier: Apache-2.0
#include "drivers.h"

#include "loadable.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64

const struct cap_driver *const cap_drivers[] = {
	&cap_driver_pcap, &cap_driver_af_packet, &cap_driver_af_xdp, &cap_driver_replay, NULL,
};

const struct cap_driver *cap_driver_find(const char *name, struct cap_error *err)
{
	for (unsigned i = 0; cap_drivers[i]; i++)
		if (!strcmp(cap_drivers[i]->name, name))
			return cap_drivers[i];
	for (unsigned i = 0; cap_loadables[i].about; i++)
		if (!strcmp(cap_loadables[i].about->name, name))
			return cap_loadable_load(&cap_loadables[i], err);
	cap_fail(err, EINVAL, "\"%s\" is not a method of this engine: see capstan-engine --methods",
		 name);
	return NULL;
}

void *cap_port_alloc(size_t size)
{
	void *memory =
		aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));

	return memory ? memset(memory, 0, size) : NULL;
}

void cap_degraded(struct cap_port_facts *facts, const char *format, ...)
{
	unsigned slot = facts->degraded_count;
	va_list args;

	if (slot >= CAP_MAX_DEGRADED)
		slot = CAP_MAX_DEGRADED - 1;
	else
		facts->degraded_count++;
	va_start(args, format);
	cap_sentence(facts->degraded[slot], sizeof(facts->degraded[slot]), format, args);
	va_end(args);
}
