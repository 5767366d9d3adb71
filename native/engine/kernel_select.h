/* SPDX-License-Identifier: Apache-2.0 */
/** @file Targets inside the kernel for packet sockets: one program a port, which counts for each queue. */
#ifndef CAPSTAN_KERNEL_SELECT_H
#define CAPSTAN_KERNEL_SELECT_H

#include "active_targets.h"
#include "kernel_filter.h"

struct cap_kernel_select;

/** What the program did with one queue's packets: seen = matched + unjudged + rejected. */
struct cap_kernel_selected {
	uint64_t seen;
	uint64_t rejected;
	uint64_t unjudged; /**< let through because only the engine can tell */
};

/**
 * Load the programs. At first nothing is anybody's.
 *
 * @param queues at most CAP_MAX_QUEUES
 * @return 0, or negative errno with a sentence: the kernel refuses, -EPERM without CAP_BPF
 */
int cap_kernel_select_load(unsigned queues, struct cap_kernel_select **loaded,
			   struct cap_error *err);
void cap_kernel_select_free(struct cap_kernel_select *loaded);

/** As cap_kernel_targets_set. */
int cap_kernel_select_set(struct cap_kernel_select *loaded, const struct cap_active_targets *active,
			  uint32_t tunnels, struct cap_error *err);

/** Let @p filter judge what passes on queue @p queue, and count what it sees. @return 0 or negative errno */
int cap_kernel_select_chain(struct cap_kernel_select *loaded, unsigned queue,
			    const struct cap_kernel_filter *filter);

/** File descriptor of a queue's program, owned by @p loaded. */
int cap_kernel_select_fd(const struct cap_kernel_select *loaded, unsigned queue);

/** Make it the filter of socket @p fd, in place of the one there. @return 0 or negative errno */
int cap_kernel_select_attach(const struct cap_kernel_select *loaded, unsigned queue, int fd);

/** Since load, by counters of the program's own. */
void cap_kernel_select_counters(const struct cap_kernel_select *loaded, unsigned queue,
				struct cap_kernel_selected *out);

#endif
