// SPDX-License-Identifier: Apache-2.0
#include "block.h"
#include "sentence.h"

#define BLOCKS 4U
#define NO_LIMIT UINT32_MAX

static struct cap_block_pool new_pool(void)
{
	struct cap_block_pool pool;
	struct cap_error err;

	HOLDS(cap_block_pool_init(&pool, BLOCKS, 512 << 10, CAP_HUGEPAGES_OFF, &err) == 0);
	return pool;
}

static void each_block_is_taken_once(void)
{
	struct cap_block_pool pool = new_pool();
	struct cap_block *taken[BLOCKS];

	for (unsigned i = 0; i < BLOCKS; i++) {
		taken[i] = cap_block_take(&pool, NO_LIMIT);
		HOLDS(taken[i]);
		for (unsigned k = 0; k < i; k++)
			HOLDS(taken[i] != taken[k]);
	}
	HOLDS(!cap_block_take(&pool, NO_LIMIT));
	cap_spsc_push(&pool.free, taken[2]);
	HOLDS(cap_block_take(&pool, NO_LIMIT) == taken[2]);
	HOLDS(!cap_block_take(&pool, NO_LIMIT));
	cap_block_pool_free(&pool);
}

static void the_block_that_came_back_last_is_taken_first(void)
{
	struct cap_block_pool pool = new_pool();
	struct cap_block *first = cap_block_take(&pool, NO_LIMIT);
	struct cap_block *second = cap_block_take(&pool, NO_LIMIT);

	cap_spsc_push(&pool.free, second);
	cap_spsc_push(&pool.free, first);
	HOLDS(cap_block_take(&pool, NO_LIMIT) == first);
	HOLDS(cap_block_take(&pool, NO_LIMIT) == second);
	cap_block_pool_free(&pool);
}

static void no_more_than_the_limit_are_in_use(void)
{
	struct cap_block_pool pool = new_pool();
	struct cap_block *first = cap_block_take(&pool, 2);

	HOLDS(first);
	HOLDS(cap_block_take(&pool, 2));
	HOLDS(!cap_block_take(&pool, 2));
	cap_spsc_push(&pool.free, first);
	HOLDS(cap_block_take(&pool, 2) == first);
	cap_block_pool_free(&pool);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "each block of a pool is taken once, until it is given back",
		  each_block_is_taken_once },
		{ "the block that came back last is taken first",
		  the_block_that_came_back_last_is_taken_first },
		{ "no more blocks than the limit are in use", no_more_than_the_limit_are_in_use },
	};

	return HOLD_ALL(sentences);
}
