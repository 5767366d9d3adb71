/* SPDX-License-Identifier: Apache-2.0 */
/** @file Who is active, as what matches before the engine is told. */
#ifndef CAPSTAN_ACTIVE_TARGETS_H
#define CAPSTAN_ACTIVE_TARGETS_H

#include "target.h"

/** Most targets that a step adds, and that it removes. */
#define CAP_MOST_STEP 64U

/** Targets are borrowed for the length of the call that has this. */
struct cap_active_targets {
	const struct cap_target *const *targets;
	unsigned count;
	/**
	 * They are those of the call before, but for what follows; a target that was changed is in both. Else nothing
	 * is known of how they differ from those of the call before, if there was one.
	 */
	bool is_step;
	const struct cap_target *added[CAP_MOST_STEP], *removed[CAP_MOST_STEP];
	unsigned added_count, removed_count;
};

#endif
