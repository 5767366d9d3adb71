// SPDX-License-Identifier: Apache-2.0
/* Steps of the kernel's rows against the same rows made anew, over random targets that share and nest networks. */
#include "kernel_patch.h"
#include "sentence.h"
#include "target_traffic.h"

#include <stdlib.h>
#include <string.h>

#define WORLDS 30U
#define STEPS 60U
#define TARGETS 60U

/* Of the targets of one world those that are active. */
struct world {
	struct traffic traffic;
	struct cap_target *targets;
	bool is_active[TARGETS];
	const struct cap_target *active[TARGETS];
	struct cap_active_targets told;
	struct cap_kernel_rows rows[CAP_KERNEL_TABLES];
};

static void begin(struct world *world, uint64_t seed)
{
	memset(world, 0, sizeof(*world));
	traffic_begin(&world->traffic, seed);
	world->targets = traffic_targets_make(&world->traffic, TARGETS);
	world->told.targets = world->active;
	world->told.is_step = true;
}

static void end(struct world *world)
{
	cap_kernel_rows_free(world->rows);
	traffic_targets_free(world->targets, TARGETS);
}

/* Some come, some go. */
static void take_step(struct world *world)
{
	struct cap_active_targets *told = &world->told;

	told->count = told->added_count = told->removed_count = 0;
	for (unsigned i = 0; i < TARGETS; i++) {
		if (traffic_random(&world->traffic, TARGETS / 2) == 0) {
			if (world->is_active[i])
				told->removed[told->removed_count++] = &world->targets[i];
			else
				told->added[told->added_count++] = &world->targets[i];
			world->is_active[i] = !world->is_active[i];
		}
		if (world->is_active[i])
			world->active[told->count++] = &world->targets[i];
	}
}

static void hold_same(const struct cap_kernel_rows *rows, const struct cap_kernel_rows *should)
{
	for (unsigned i = 0; i < CAP_KERNEL_TABLES; i++) {
		HOLDS(rows[i].count == should[i].count);
		for (unsigned k = 0; k < rows[i].count; k++)
			HOLDS(!memcmp(&rows[i].rows[k], &should[i].rows[k],
				      sizeof(rows[i].rows[k])));
	}
}

static void a_step_comes_to_the_rows_that_are_made_anew(void)
{
	unsigned long acts[3] = { 0 }, taken = 0;
	struct cap_kernel_patch step, whole;

	HOLDS(cap_kernel_patch_open(&step) == 0 && cap_kernel_patch_open(&whole) == 0);
	for (unsigned w = 0; w < WORLDS; w++) {
		struct world world;

		begin(&world, w + 1);
		for (unsigned s = 0; s < STEPS; s++) {
			struct cap_kernel_rows anew[CAP_KERNEL_TABLES];

			take_step(&world);
			HOLDS(cap_kernel_rows_make(world.active, world.told.count, anew) == 0);
			HOLDS(cap_kernel_patch_compare(&whole, world.rows, anew));
			if (cap_kernel_patch_step(&step, world.rows, &world.told)) {
				taken++;
				HOLDS(step.count == whole.count);
				HOLDS(step.altered_hosts == whole.altered_hosts);
				for (unsigned i = 0; i < step.count; i++) {
					HOLDS(step.rows[i].table == whole.rows[i].table);
					HOLDS(step.rows[i].act == whole.rows[i].act);
					HOLDS(!memcmp(&step.rows[i].row, &whole.rows[i].row,
						      sizeof(step.rows[i].row)));
					acts[step.rows[i].act]++;
				}
			}
			HOLDS(cap_kernel_patch_rows(&whole, world.rows) == 0);
			hold_same(world.rows, anew);
			cap_kernel_rows_free(anew);
		}
		end(&world);
	}
	cap_kernel_patch_close(&step);
	cap_kernel_patch_close(&whole);
	/* Each act often, or the sentence would say nothing. */
	HOLDS(taken > WORLDS * STEPS / 2);
	HOLDS(acts[CAP_ROW_ADD] > 500 && acts[CAP_ROW_ALTER] > 500 && acts[CAP_ROW_REMOVE] > 500);
}

static void a_step_that_touches_too_many_rows_is_not_taken(void)
{
	struct cap_prefix prefixes[200] = { { 4, 8, { 10 } } };
	struct cap_active_targets told = { .is_step = true };
	struct cap_kernel_rows rows[CAP_KERNEL_TABLES];
	const struct cap_target *active[200];
	struct cap_target targets[200];
	struct cap_kernel_patch patch;

	for (unsigned i = 0; i < 200; i++) {
		if (i)
			prefixes[i] = (struct cap_prefix){ 4, 24, { 10, (uint8_t)i } };
		targets[i] = (struct cap_target){ .any_protocol = true,
						  .end_ns = UINT64_MAX,
						  .prefix_count = 1,
						  .prefixes = &prefixes[i] };
		active[i] = &targets[i];
	}
	/* The network around all others comes last. */
	HOLDS(cap_kernel_rows_make(active + 1, 199, rows) == 0);
	HOLDS(cap_kernel_patch_open(&patch) == 0);
	told.targets = active;
	told.count = 200;
	told.added[told.added_count++] = active[0];
	HOLDS(!cap_kernel_patch_step(&patch, rows, &told));
	cap_kernel_patch_close(&patch);
	cap_kernel_rows_free(rows);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "a step comes to the rows that are made anew",
		  a_step_comes_to_the_rows_that_are_made_anew },
		{ "a step that touches too many rows is not taken",
		  a_step_that_touches_too_many_rows_is_not_taken },
	};

	return HOLD_ALL(sentences);
}
