// SPDX-License-Identifier: Apache-2.0
#include "eal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MIB (1UL << 20)

/* Largest buffer that a port may ask for: a jumbo frame's place in a packet socket's ring, and its head. */
#define LARGEST_BUFFER (16384UL + 512UL)

/* EAL's own needs, and its rings and tables for each queue. */
#define OWN_MEGABYTES 64U

static int add(struct cap_eal_arguments *arguments, struct cap_error *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int add(struct cap_eal_arguments *arguments, struct cap_error *err, const char *format, ...)
{
	size_t room = sizeof(arguments->text) - arguments->used;
	char *word = arguments->text + arguments->used;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(word, room, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= room || arguments->count >= CAP_EAL_MAX_ARGUMENTS)
		return cap_fail(err, E2BIG,
				"dpdk: too many ports or CPUs for one engine: run several engines");
	arguments->used += (size_t)len + 1;
	arguments->words[arguments->count++] = word;
	arguments->words[arguments->count] = NULL;
	return 0;
}

/* One logical core that is all of these CPUs: EAL would pin us to one of them. */
static int add_cores(struct cap_eal_arguments *arguments, const cpu_set_t *cpus,
		     struct cap_error *err)
{
	char list[CPU_SETSIZE * 5] = "";
	size_t used = 0;

	for (unsigned i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, cpus))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%u",
						 used ? "," : "", i);
	return add(arguments, err, "--lcores=0@(%s)", list);
}

unsigned cap_eal_megabytes(const struct cap_port_config *const *ports, unsigned count)
{
	unsigned long bytes = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct cap_dpdk_options *options = ports[i]->options;

		bytes += ports[i]->queues * LARGEST_BUFFER *
			 cap_dpdk_buffers((unsigned)options->descriptors);
	}
	return (unsigned)(bytes / MIB) + OWN_MEGABYTES;
}

int cap_eal_arguments(struct cap_eal_arguments *arguments,
		      const struct cap_port_config *const *ports, unsigned count,
		      const cpu_set_t *cpus, int pid, struct cap_error *err)
{
	const struct cap_dpdk_options *first = ports[0]->options;
	bool any_pci = false;
	int rc;

	arguments->count = 0;
	arguments->used = 0;
	rc = add(arguments, err, "capstan-engine");
	if (rc == 0)
		rc = add(arguments, err, "--file-prefix=capstan-%d", pid);
	/* Memory from malloc counts as EAL's legacy kind, which it does not call in-memory. */
	if (rc == 0)
		rc = add(arguments, err, first->huge ? "--in-memory" : "--no-shconf");
	if (rc == 0)
		rc = add(arguments, err, "--no-telemetry");
	if (rc == 0)
		rc = add(arguments, err, "--log-level=notice");
	if (rc == 0)
		rc = add_cores(arguments, cpus, err);
	if (rc == 0 && !first->huge)
		rc = add(arguments, err, "--no-huge");
	if (rc == 0 && !first->huge)
		rc = add(arguments, err, "-m");
	if (rc == 0 && !first->huge)
		rc = add(arguments, err, "%u", cap_eal_megabytes(ports, count));
	for (unsigned i = 0; rc == 0 && i < count; i++) {
		char device[CAP_DPDK_DEVARGS];

		if (!cap_dpdk_is_pci(ports[i]->interface))
			continue;
		any_pci = true;
		cap_dpdk_device_string(ports[i], 0, device);
		rc = add(arguments, err, "-a");
		if (rc == 0)
			rc = add(arguments, err, "%s", device);
	}
	if (rc == 0 && !any_pci)
		rc = add(arguments, err, "--no-pci");
	return rc;
}
