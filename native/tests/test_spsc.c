// SPDX-License-Identifier: Apache-2.0
#include "sentence.h"
#include "spsc.h"

#include <pthread.h>
#include <stdint.h>

#define ITEMS 2000000UL

static void a_new_ring_is_empty(void)
{
	struct cap_spsc ring;

	HOLDS(cap_spsc_init(&ring, 8) == 0);
	HOLDS(cap_spsc_pop(&ring) == NULL);
	HOLDS(cap_spsc_count(&ring) == 0);
	cap_spsc_free(&ring);
}

static void it_takes_its_capacity_and_no_more(void)
{
	struct cap_spsc ring;
	int items[9];

	HOLDS(cap_spsc_init(&ring, 5) == 0); /* rounded up to 8 */
	for (unsigned i = 0; i < 8; i++)
		HOLDS(cap_spsc_push(&ring, &items[i]));
	HOLDS(!cap_spsc_push(&ring, &items[8]));
	HOLDS(cap_spsc_count(&ring) == 8);
	for (unsigned i = 0; i < 8; i++)
		HOLDS(cap_spsc_pop(&ring) == &items[i]);
	HOLDS(cap_spsc_pop(&ring) == NULL);
	cap_spsc_free(&ring);
}

static void its_indices_wrap_without_a_trace(void)
{
	struct cap_spsc ring;
	int item;

	HOLDS(cap_spsc_init(&ring, 4) == 0);
	ring.producer.head = ring.producer.seen_tail = UINT32_MAX - 1;
	ring.consumer.tail = ring.consumer.seen_head = UINT32_MAX - 1;
	for (unsigned i = 0; i < 16; i++) {
		HOLDS(cap_spsc_push(&ring, &item));
		HOLDS(cap_spsc_push(&ring, &ring));
		HOLDS(cap_spsc_pop(&ring) == &item);
		HOLDS(cap_spsc_pop(&ring) == &ring);
	}
	cap_spsc_free(&ring);
}

static void *produce(void *argument)
{
	struct cap_spsc *ring = argument;

	for (uintptr_t i = 1; i <= ITEMS; i++)
		while (!cap_spsc_push(ring, (void *)i))
			sched_yield();
	return NULL;
}

static void two_threads_see_every_item_once_and_in_order(void)
{
	struct cap_spsc ring;
	pthread_t producer;

	HOLDS(cap_spsc_init(&ring, 64) == 0);
	HOLDS(pthread_create(&producer, NULL, produce, &ring) == 0);
	for (uintptr_t expected = 1; expected <= ITEMS;) {
		void *item = cap_spsc_pop(&ring);

		if (!item) {
			sched_yield();
			continue;
		}
		HOLDS((uintptr_t)item == expected);
		expected++;
	}
	pthread_join(producer, NULL);
	HOLDS(cap_spsc_pop(&ring) == NULL);
	cap_spsc_free(&ring);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "a new ring is empty", a_new_ring_is_empty },
		{ "it takes its capacity and no more", it_takes_its_capacity_and_no_more },
		{ "its indices wrap without a trace", its_indices_wrap_without_a_trace },
		{ "two threads see every item once and in order",
		  two_threads_see_every_item_once_and_in_order },
	};

	return HOLD_ALL(sentences);
}
