/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Blocks: large aligned pieces of memory that hold packets in their final file format.
 *
 * Each queue owns a pool. The worker fills a block and pushes it to `full`; the writer writes it and
 * pushes it to `free`. Nothing is allocated after start.
 *
 * The block that came back last is filled next: its memory is still in the processor's caches, for the
 * worker that fills it and for the writer that copies it into a file's pages. Taken in turn, a pool that
 * is larger than the caches would cost a miss on every line, twice.
 */
#ifndef CAPSTAN_BLOCK_H
#define CAPSTAN_BLOCK_H

#include "error.h"
#include "spsc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Offsets and lengths of all file writes are multiples of this: what O_DIRECT asks of any disk. */
#define CAP_PAGE 4096U

/** One thread's at a time, so on a line of its own: worker and writer have neighbours in hand. */
struct cap_block {
	uint8_t *data;	   /**< page-aligned */
	uint32_t size;	   /**< capacity in bytes, a multiple of CAP_PAGE */
	uint32_t used;	   /**< bytes filled; a multiple of CAP_PAGE once sealed */
	uint64_t packets;  /**< packets in it */
	uint64_t bytes;	   /**< sum of their wire lengths */
	bool last_of_file; /**< the file ends behind this block: a rotation was asked for */
} __attribute__((aligned(64)));

struct cap_block_pool {
	struct cap_spsc full; /**< worker to writer */
	struct cap_spsc free; /**< writer to worker */
	struct cap_block *blocks;
	uint8_t *memory;
	size_t memory_size;
	unsigned count;
	bool hugepages; /**< the memory lies in reserved hugepages */

	/** The worker's own, on a line of its own: taken out of `free`, the last on top. */
	struct cap_block **idle __attribute__((aligned(64)));
	unsigned idle_count;
};

enum cap_hugepages { CAP_HUGEPAGES_AUTO, CAP_HUGEPAGES_ON, CAP_HUGEPAGES_OFF };

/**
 * Map memory in reserved hugepages or, when allowed, in ordinary pages; populated.
 *
 * @param huge in: what is wanted; @param got_huge out: what it is
 * @return the memory, or NULL with errno set
 */
void *cap_map_memory(size_t *size, enum cap_hugepages huge, bool *got_huge);

/** Allocate @p count blocks of @p block_size bytes; all start in `free`. */
int cap_block_pool_init(struct cap_block_pool *pool, unsigned count, uint32_t block_size,
			enum cap_hugepages huge, struct cap_error *err);
void cap_block_pool_free(struct cap_block_pool *pool);

/**
 * Worker only.
 *
 * @param limit of blocks that are in use at once, this one included
 * @return the free block that was given back last, or NULL when there is none or the limit is reached
 */
struct cap_block *cap_block_take(struct cap_block_pool *pool, uint32_t limit);

#endif
