/* SPDX-License-Identifier: Apache-2.0 */
/** @file What differs between the rows of the kernel's tables before a change of targets and behind it. */
#ifndef CAPSTAN_KERNEL_PATCH_H
#define CAPSTAN_KERNEL_PATCH_H

#include "active_targets.h"
#include "kernel_rows.h"

enum cap_kernel_act { CAP_ROW_ADD, CAP_ROW_ALTER, CAP_ROW_REMOVE };

struct cap_kernel_patch_row {
	unsigned table;
	enum cap_kernel_act act;
	struct cap_kernel_row row;
};

/** Most rows that are changed one by one: a call each, about a microsecond. */
#define CAP_MOST_PATCHED 4096U

/** A list of them; within a table in the order of their keys. */
struct cap_kernel_patch {
	struct cap_kernel_patch_row *rows; /**< room for CAP_MOST_PATCHED */
	unsigned count;
	unsigned altered_hosts; /**< rows of hash tables that are altered */
};

/** @return 0 or -ENOMEM */
int cap_kernel_patch_open(struct cap_kernel_patch *patch);
void cap_kernel_patch_close(struct cap_kernel_patch *patch);

/** Hold whole tables against each other. @return false: they differ by more than a patch has room for */
bool cap_kernel_patch_compare(struct cap_kernel_patch *patch,
			      const struct cap_kernel_rows before[CAP_KERNEL_TABLES],
			      const struct cap_kernel_rows after[CAP_KERNEL_TABLES]);

/**
 * The same patch from a step alone, without all rows behind it: those that it touches are looked up among the
 * active targets, all of which are gone through.
 *
 * @param before the rows of the active targets before the step
 * @return false: it touches more rows than are worth it
 */
bool cap_kernel_patch_step(struct cap_kernel_patch *patch,
			   const struct cap_kernel_rows before[CAP_KERNEL_TABLES],
			   const struct cap_active_targets *active);

/**
 * Do in @p rows what the patch says.
 *
 * @return 0, or -ENOMEM; then they are as they were
 */
int cap_kernel_patch_rows(const struct cap_kernel_patch *patch,
			  struct cap_kernel_rows rows[CAP_KERNEL_TABLES]);

#endif
