/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Targets inside the kernel: the tables that a capture program looks packets up in (drivers/bpf).
 *
 * Hosts and MAC addresses lie in hash tables, networks in tries, VLAN ids and ports in bitmaps. A change
 * builds a second set of them beside the one in force and puts it in force by one store. The kernel's
 * judgement may only be more generous than the engine's exact one, which comes behind it: each target is
 * looked up by one kind of thing that it names, its addresses if it has any.
 */
#ifndef CAPSTAN_KERNEL_TARGETS_H
#define CAPSTAN_KERNEL_TARGETS_H

#include "active_targets.h"
#include "error.h"

struct cap_kernel_targets;

/** The program's maps, owned by the program; drivers/bpf/match.bpf.h. */
struct cap_kernel_target_maps {
	int hosts, prefixes, plans, current;
};

/** @return 0, or negative errno with a sentence. At first nothing is anybody's. */
int cap_kernel_targets_open(const struct cap_kernel_target_maps *maps,
			    struct cap_kernel_targets **opened, struct cap_error *err);

/** The maps stay as they are. */
void cap_kernel_targets_close(struct cap_kernel_targets *tables);

/**
 * Put a set in force, in place of the one before: a packet is judged by one or the other. When this
 * returns no packet is judged by the one before any more. Any thread, one at a time.
 *
 * @param tunnels bits of enum cap_tunnel: which are looked into
 * @return 0, or negative errno with a sentence: the kernel has no room for the set. Then every packet is
 *         let through, for the engine to judge.
 */
int cap_kernel_targets_set(struct cap_kernel_targets *tables,
			   const struct cap_active_targets *active, uint32_t tunnels,
			   struct cap_error *err);

#endif
