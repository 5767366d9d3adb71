// SPDX-License-Identifier: Apache-2.0
#include "block.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define HUGEPAGE_SIZE (UINT64_C(2) << 20)

void *cap_map_memory(size_t *size, enum cap_hugepages huge, bool *got_huge)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
	const int prot = PROT_READ | PROT_WRITE;
	void *memory;

	*got_huge = false;
	if (huge != CAP_HUGEPAGES_OFF) {
		size_t rounded = (*size + HUGEPAGE_SIZE - 1) & ~(HUGEPAGE_SIZE - 1);

		memory = mmap(NULL, rounded, prot, flags | MAP_HUGETLB, -1, 0);
		if (memory != MAP_FAILED) {
			*size = rounded;
			*got_huge = true;
			return memory;
		}
		if (huge == CAP_HUGEPAGES_ON)
			return NULL;
	}
	memory = mmap(NULL, *size, prot, flags, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

int cap_block_pool_init(struct cap_block_pool *pool, unsigned count, uint32_t block_size,
			enum cap_hugepages huge, struct cap_error *err)
{
	*pool = (struct cap_block_pool){ .count = count,
					 .memory_size = (size_t)count * block_size };

	pool->memory = cap_map_memory(&pool->memory_size, huge, &pool->hugepages);
	if (!pool->memory)
		return cap_fail(
			err, errno,
			"buffers: no memory for %u blocks of %u bytes%s: %s: lower buffers.blocks_per_queue or %s",
			count, block_size, huge == CAP_HUGEPAGES_ON ? " in hugepages" : "",
			strerror(errno),
			huge == CAP_HUGEPAGES_ON ? "reserve more hugepages" : "add memory");
	pool->blocks = aligned_alloc(_Alignof(struct cap_block), count * sizeof(*pool->blocks));
	pool->idle = calloc(count, sizeof(struct cap_block *));
	if (!pool->blocks || !pool->idle || cap_spsc_init(&pool->full, count) ||
	    cap_spsc_init(&pool->free, count)) {
		cap_block_pool_free(pool);
		return cap_fail(err, ENOMEM, "buffers: out of memory");
	}
	for (unsigned i = 0; i < count; i++) {
		pool->blocks[i] = (struct cap_block){
			.data = pool->memory + (size_t)i * block_size,
			.size = block_size,
		};
		cap_spsc_push(&pool->free, &pool->blocks[i]);
	}
	return 0;
}

void cap_block_pool_free(struct cap_block_pool *pool)
{
	cap_spsc_free(&pool->full);
	cap_spsc_free(&pool->free);
	free(pool->blocks);
	free(pool->idle);
	if (pool->memory)
		munmap(pool->memory, pool->memory_size);
	*pool = (struct cap_block_pool){ 0 };
}

struct cap_block *cap_block_take(struct cap_block_pool *pool, uint32_t limit)
{
	struct cap_block *block;

	while ((block = cap_spsc_pop(&pool->free)))
		pool->idle[pool->idle_count++] = block;
	if (!pool->idle_count || pool->count - pool->idle_count >= limit)
		return NULL;
	return pool->idle[--pool->idle_count];
}
