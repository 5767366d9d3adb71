/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A ring of pointers between exactly one producing and one consuming thread.
 *
 * Each side keeps its own index and a copy of the other's on a cache line of its own, so that the
 * line of the other side is read only when the copy says full or empty.
 */
#ifndef CAPSTAN_SPSC_H
#define CAPSTAN_SPSC_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct cap_spsc {
	void **slots;
	uint32_t mask;
	struct {
		uint32_t head;
		uint32_t seen_tail;
	} producer __attribute__((aligned(64)));
	struct {
		uint32_t tail;
		uint32_t seen_head;
	} consumer __attribute__((aligned(64)));
};

/** @param capacity rounded up to a power of two. @return 0, or -1 without memory */
static inline int cap_spsc_init(struct cap_spsc *ring, uint32_t capacity)
{
	uint32_t size = 2;

	while (size < capacity)
		size *= 2;
	*ring = (struct cap_spsc){ .slots = calloc(size, sizeof(void *)), .mask = size - 1 };
	return ring->slots ? 0 : -1;
}

static inline void cap_spsc_free(struct cap_spsc *ring)
{
	free(ring->slots);
	ring->slots = NULL;
}

/** Producer only. @return false when the ring is full */
static inline bool cap_spsc_push(struct cap_spsc *ring, void *item)
{
	uint32_t head = ring->producer.head;

	if (head - ring->producer.seen_tail > ring->mask) {
		ring->producer.seen_tail = __atomic_load_n(&ring->consumer.tail, __ATOMIC_ACQUIRE);
		if (head - ring->producer.seen_tail > ring->mask)
			return false;
	}
	ring->slots[head & ring->mask] = item;
	__atomic_store_n(&ring->producer.head, head + 1, __ATOMIC_RELEASE);
	return true;
}

/** Consumer only. @return the oldest item, or NULL when the ring is empty */
static inline void *cap_spsc_pop(struct cap_spsc *ring)
{
	uint32_t tail = ring->consumer.tail;
	void *item;

	if (tail == ring->consumer.seen_head) {
		ring->consumer.seen_head = __atomic_load_n(&ring->producer.head, __ATOMIC_ACQUIRE);
		if (tail == ring->consumer.seen_head)
			return NULL;
	}
	item = ring->slots[tail & ring->mask];
	__atomic_store_n(&ring->consumer.tail, tail + 1, __ATOMIC_RELEASE);
	return item;
}

/** Items waiting, as the consumer sees it. */
static inline uint32_t cap_spsc_count(struct cap_spsc *ring)
{
	return __atomic_load_n(&ring->producer.head, __ATOMIC_ACQUIRE) -
	       __atomic_load_n(&ring->consumer.tail, __ATOMIC_RELAXED);
}

#endif
