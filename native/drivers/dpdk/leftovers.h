/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file What DPDK processes leave behind when they are killed, and what it takes to know that they were.
 *
 * A process that keeps its memory in files of hugetlbfs (rtemap_0 and so on; this engine does not) leaves
 * these, with their hugepages, which then lack for whoever comes next.
 */
#ifndef CAPSTAN_DPDK_LEFTOVERS_H
#define CAPSTAN_DPDK_LEFTOVERS_H

#include <stdbool.h>

/** What was found in hugetlbfs. */
struct cap_leftovers {
	unsigned removed; /**< files that nobody held */
	unsigned in_use;  /**< files that a living process holds, by its lock or in its memory */
	unsigned failed;  /**< files that could not be judged or removed */
};

/**
 * Remove from every hugetlbfs the files that dead DPDK processes left there. Those that anybody has locked
 * or mapped stay, and so does everything that is not named as DPDK names its pages.
 *
 * @param mounts the table of file systems: "/proc/self/mounts"
 * @param proc the processes: "/proc"
 */
struct cap_leftovers cap_leftover_pages_remove(const char *mounts, const char *proc);

/**
 * Remove the empty folders that engines made for EAL and had no time to remove.
 *
 * @param base where they lie: "/var/run/dpdk"
 * @return how many were removed
 */
unsigned cap_leftover_folders_remove(const char *base);

/**
 * Remove the socket at which a memif's server was listening that died: it would keep the next from listening.
 * One at which somebody answers stays.
 *
 * @param devargs of the port: "role=server,socket=PATH,socket-abstract=no"; others have nothing to remove
 * @return whether one was removed
 */
bool cap_leftover_socket_remove(const char *devargs);

#endif
