/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The process's one EAL: its arguments, derived from all ports, and its log.
 *
 * EAL can be initialised once in a process and holds its state in globals of its own; so does this.
 */
#ifndef CAPSTAN_DPDK_EAL_H
#define CAPSTAN_DPDK_EAL_H

#include "options.h"

#include <sched.h>

#define CAP_EAL_MAX_ARGUMENTS 64
#define CAP_EAL_TEXT 16384

/** argv of rte_eal_init, with the memory that its words lie in. */
struct cap_eal_arguments {
	int count;
	char *words[CAP_EAL_MAX_ARGUMENTS + 1];
	char text[CAP_EAL_TEXT];
	size_t used;
};

/**
 * Derive EAL's arguments.
 *
 * In memory alone: nothing is left in hugetlbfs or /run after a crash, and there is no secondary process
 * to be let in. One core, which is all of @p cpus, so that EAL pins no thread. Only the ports' own PCI
 * devices are taken.
 *
 * @param pid makes the file prefix this process's own
 * @return 0, or -E2BIG with a sentence
 */
int cap_eal_arguments(struct cap_eal_arguments *arguments,
		      const struct cap_port_config *const *ports, unsigned count,
		      const cpu_set_t *cpus, int pid, struct cap_error *err);

/** Memory for the buffers of all ports, in MiB: what EAL takes at start where there are no hugepages. */
unsigned cap_eal_megabytes(const struct cap_port_config *const *ports, unsigned count);

/** Check hosts and ports, and initialise EAL. @return 0, or a sentence */
int cap_eal_start(const struct cap_port_config *const *ports, unsigned count,
		  struct cap_error *err);

/** The first warning or error that DPDK logged since the last call: the cause; "" when none. Main thread. */
const char *cap_eal_complaint(void);

#endif
