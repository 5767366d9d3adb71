// SPDX-License-Identifier: Apache-2.0
/*
 * The method dpdk from end to end on net_ring, whose ring another thread fills: what a NIC's driver does
 * with its own. One process has one EAL, so the sentences hold one after the other on one port.
 */
#include "clock.h"
#include "dpdk/options.h"
#include "loadable.h"
#include "sentence.h"

#include <errno.h>
#include <pthread.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <string.h>
#include <time.h>

#define FRAMES 200000U
#define FRAME_LEN 60U
#define PRODUCER_BUFFERS 4095U
#define SPREAD 8U /* packets of a burst, as many microseconds after the ring was empty */

extern const struct cap_source cap_source;

static const struct cap_driver *driver;
static struct cap_port_config config = { .interface = "net_ring0", .queues = 1, .snaplen = 262144 };
static struct cap_port *port;
static struct rte_mempool *pool;
static struct rte_ring *ring;

static void open_and_arm(void)
{
	struct cap_port_facts facts = { 0 };
	struct cap_error err;

	HOLDS(driver->open(&config, &port, &facts, &err) == 0);
	HOLDS(strstr(facts.effective_mode, "net_ring"));
	HOLDS(driver->arm(port, &err) == 0);
	ring = rte_ring_lookup("ETH_RXTX0_net_ring0");
	HOLDS(ring);
}

static struct rte_mbuf *make_frame(uint32_t number)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);
	char *bytes;

	if (!frame)
		return NULL;
	bytes = rte_pktmbuf_append(frame, FRAME_LEN);
	memset(bytes, 0, FRAME_LEN);
	memcpy(bytes + 14, &number, sizeof(number));
	return frame;
}

static uint32_t number_of(const struct cap_packet *packet)
{
	uint32_t number;

	memcpy(&number, packet->data + 14, sizeof(number));
	return number;
}

/* Sends every number once, and waits for room where there is none. */
static void *produce(void *unused)
{
	const struct timespec pause = { .tv_nsec = 20000 };

	(void)unused;
	if (rte_thread_register())
		return NULL;
	for (uint32_t number = 0; number < FRAMES; number++) {
		struct rte_mbuf *frame;

		while (!(frame = make_frame(number)))
			nanosleep(&pause, NULL);
		while (rte_ring_enqueue(ring, frame))
			nanosleep(&pause, NULL);
	}
	rte_thread_unregister();
	return NULL;
}

static struct cap_source_counters counted(void)
{
	struct cap_source_counters counters;

	driver->counters(driver->queue(port, 0), &counters);
	return counters;
}

/* Take until @p wanted have come, or none has for a second; each must have the next number and a later time. */
static uint32_t take(uint32_t first, uint32_t wanted)
{
	uint64_t deadline = cap_monotonic_ns() + CAP_NS_PER_S, before = 0;
	struct cap_queue *queue = driver->queue(port, 0);
	struct cap_packet packets[CAP_BURST];
	uint32_t next = first;

	while (next < first + wanted && cap_monotonic_ns() < deadline) {
		int n = driver->rx_burst(queue, packets, CAP_BURST);

		HOLDS(n >= 0 && n <= CAP_BURST);
		for (int i = 0; i < n; i++) {
			HOLDS(number_of(&packets[i]) == next++);
			HOLDS(packets[i].len == FRAME_LEN && packets[i].wire_len == FRAME_LEN);
			HOLDS(packets[i].n_segments == 1 && packets[i].timestamp_ns >= before);
			before = packets[i].timestamp_ns;
		}
		if (n) {
			driver->release(queue);
			deadline = cap_monotonic_ns() + CAP_NS_PER_S;
		} else {
			driver->wait(queue, 1);
		}
	}
	return next - first;
}

static void every_frame_of_a_producer_is_taken_once_and_in_order(void)
{
	uint64_t began = cap_realtime_ns();
	struct cap_packet packets[CAP_BURST];
	pthread_t producer;

	open_and_arm();
	HOLDS(pthread_create(&producer, NULL, produce, NULL) == 0);
	HOLDS(take(0, FRAMES) == FRAMES);
	pthread_join(producer, NULL);
	HOLDS(counted().wire == FRAMES && counted().untimed == FRAMES);
	HOLDS(counted().time_error_ns > 0 && cap_realtime_ns() > began);
	HOLDS(driver->rx_burst(driver->queue(port, 0), packets, CAP_BURST) == 0);
}

static void its_device_names_what_it_counted(void)
{
	struct cap_device_counter named[64];
	struct cap_device device;
	int n = driver->device_counters(port, named, 64);
	uint64_t good = 0;

	HOLDS(n > 0 && n <= 64);
	for (int i = 0; i < n; i++)
		if (!strcmp(named[i].name, "rx_good_packets"))
			good = named[i].value;
	HOLDS(good == FRAMES);
	HOLDS(driver->device_counters(port, named, 3) == 3);
	HOLDS(driver->watch(&config, port, &device) == 0);
	HOLDS(device.up && device.rx_packets == FRAMES && !device.counts_on);
}

/* A NIC of an address that sysfs does not know, as the uio drivers leave one that was pulled. */
static void times_of_a_burst_are_one_or_spread_where_that_is_asked(void)
{
	struct cap_queue *queue = driver->queue(port, 0);
	struct cap_dpdk_options *options = config.options;

	for (unsigned asked = 0; asked < 2; asked++) {
		const struct timespec pause = { .tv_nsec = SPREAD * CAP_NS_PER_US };
		struct cap_packet packets[CAP_BURST];
		uint64_t empty_at, error = counted().time_error_ns;

		options->interpolate = asked;
		HOLDS(driver->rx_burst(queue, packets, CAP_BURST) == 0);
		empty_at = cap_realtime_ns();
		for (uint32_t number = 0; number < SPREAD; number++)
			HOLDS(rte_ring_enqueue(ring, make_frame(number)) == 0);
		nanosleep(&pause, NULL);
		HOLDS(driver->rx_burst(queue, packets, CAP_BURST) == SPREAD);
		for (unsigned i = 1; i < SPREAD; i++) {
			uint64_t apart = packets[i].timestamp_ns - packets[i - 1].timestamp_ns;

			HOLDS(asked ? apart >= CAP_NS_PER_US : apart == 0);
		}
		HOLDS(packets[0].timestamp_ns + error >= empty_at);
		HOLDS(packets[SPREAD - 1].timestamp_ns <= cap_realtime_ns() + error);
		driver->release(queue);
	}
	options->interpolate = false;
}

static void a_nic_that_is_pulled_is_gone_and_counts_nothing_more(void)
{
	struct cap_port_facts facts = { 0 };
	struct cap_device_counter named[4];
	struct cap_device device;
	struct cap_error err;

	open_and_arm();
	HOLDS(rte_ring_enqueue(ring, make_frame(0)) == 0);
	HOLDS(take(0, 1) == 1);
	HOLDS(driver->watch(&config, port, &device) == 0 && device.rx_packets == 1);
	HOLDS(rte_ring_enqueue(ring, make_frame(1)) == 0);
	HOLDS(take(1, 1) == 1);
	snprintf(config.interface, sizeof(config.interface), "ffff:ff:1f.7");
	HOLDS(driver->watch(&config, port, &device) == -ENODEV && device.rx_packets == 0);
	HOLDS(driver->device_counters(port, named, 4) == -ENODEV);
	/* EAL knows its device by its name, and a removal is for good. */
	snprintf(config.interface, sizeof(config.interface), "net_ring0");
	HOLDS(driver->watch(&config, port, &device) == -ENODEV);
	driver->disarm(port);
	HOLDS(counted().wire == 2);
	driver->close(port);
	HOLDS(driver->open(&config, &port, &facts, &err) == 0);
	driver->close(port);
}

/* As NICs hand over a jumbo frame, and one whose tag they took out. */
static void a_frame_in_pieces_and_a_tag_taken_out_are_handed_on_as_such(void)
{
	struct cap_queue *queue = driver->queue(port, 0);
	struct rte_mbuf *frame = make_frame(7), *tail = make_frame(8);
	struct cap_packet packets[CAP_BURST];

	HOLDS(frame && tail && rte_pktmbuf_chain(frame, tail) == 0);
	frame->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	frame->vlan_tci = 0xb007;
	HOLDS(rte_ring_enqueue(ring, frame) == 0);
	HOLDS(driver->rx_burst(queue, packets, CAP_BURST) == 1);
	HOLDS(packets[0].n_segments == 2 && packets[0].len == 2 * FRAME_LEN);
	HOLDS(packets[0].segments[0].data == packets[0].data);
	HOLDS(packets[0].segments[1].len == FRAME_LEN && packets[0].segments[1].data[14] == 8);
	HOLDS(packets[0].vlan_tpid == 0x8100 && packets[0].vlan_tci == 0xb007);
	driver->release(queue);
}

static void what_the_ring_held_when_disarmed_is_drained_and_nothing_that_came_later(void)
{
	struct cap_packet packets[CAP_BURST];
	uint64_t before = counted().wire;

	for (uint32_t number = 0; number < 100; number++)
		HOLDS(rte_ring_enqueue(ring, make_frame(number)) == 0);
	driver->disarm(port);
	HOLDS(take(0, 100) == 100);
	HOLDS(counted().wire == before + 100);
	/* A ring's depth may come after that, of which it cannot be known when it came; not more. */
	for (uint32_t number = 0; number < 2000; number++) {
		struct rte_mbuf *frame = make_frame(number);

		if (frame && rte_ring_enqueue(ring, frame))
			rte_pktmbuf_free(frame);
		if (driver->rx_burst(driver->queue(port, 0), packets, CAP_BURST) > 0)
			driver->release(driver->queue(port, 0));
	}
	HOLDS(counted().wire <= before + 1024);
}

static void a_closed_port_gives_every_buffer_back_and_can_be_opened_again(void)
{
	struct rte_mbuf *left;

	while (rte_ring_dequeue(ring, (void **)&left) == 0)
		rte_pktmbuf_free(left);
	driver->close(port);
	HOLDS(rte_mempool_full(pool));
	open_and_arm();
	HOLDS(rte_ring_enqueue(ring, make_frame(0)) == 0);
	HOLDS(take(0, 1) == 1 && counted().wire == 1);
	driver->close(port);
	HOLDS(rte_mempool_full(pool));
}

static void prepare(void)
{
	const struct cap_port_config *const ports[] = { &config };
	json_t *options = json_pack("{s:b}", "huge", 0);
	struct cap_error err;

	driver = cap_source.driver;
	HOLDS(driver->parse_options(options, &config.options, &err) == 0);
	json_decref(options);
	HOLDS(driver->prepare(ports, 1, &err) == 0);
	/* Without a cache: what is not in the pool is in use. */
	pool = rte_pktmbuf_pool_create("producer", PRODUCER_BUFFERS, 0, 0,
				       RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	HOLDS(pool);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "every frame of a producer is taken once and in order",
		  every_frame_of_a_producer_is_taken_once_and_in_order },
		{ "its device names what it counted", its_device_names_what_it_counted },
		{ "times of a burst are one, or spread where that is asked",
		  times_of_a_burst_are_one_or_spread_where_that_is_asked },
		{ "a frame in pieces and a tag taken out are handed on as such",
		  a_frame_in_pieces_and_a_tag_taken_out_are_handed_on_as_such },
		{ "what the ring held when disarmed is drained and nothing that came later",
		  what_the_ring_held_when_disarmed_is_drained_and_nothing_that_came_later },
		{ "a closed port gives every buffer back and can be opened again",
		  a_closed_port_gives_every_buffer_back_and_can_be_opened_again },
		{ "a NIC that is pulled is gone and counts nothing more",
		  a_nic_that_is_pulled_is_gone_and_counts_nothing_more },
	};
	int code;

	prepare();
	code = HOLD_ALL(sentences);
	driver->free_options(config.options);
	return code;
}
