// SPDX-License-Identifier: Apache-2.0
/*
 * Times by the NIC, on net_ring made to look like a NIC that stamps: the linker puts what is here in the
 * place of ethdev's functions for it, and the stamps lie where drivers lay them.
 */
#include "clock.h"
#include "loadable.h"
#include "sentence.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_ring.h>
#include <string.h>
#include <time.h>

#define FRAME_LEN 60U

/* How long before its burst a packet came, and how well the time of that must be told on a busy machine. */
#define AGE_NS (500 * CAP_NS_PER_MS)
#define NEAR_NS (100 * CAP_NS_PER_MS)

/* A PTP clock of 1970 and a counter of 156.25 MHz that both began somewhere. */
#define BEGAN_NS (UINT64_C(1700000000) * CAP_NS_PER_S)
#define TICKS(ns) ((ns) / 64 * 10)

/* More looks than a clock is given. */
#define LOOKS 8

extern const struct cap_source cap_source;

static const struct cap_driver *driver;
static struct cap_port_config config = { .interface = "net_ring0", .queues = 1, .snaplen = 262144 };
static struct cap_port *port;
static struct cap_port_facts facts;
static struct rte_mempool *pool;
static struct rte_ring *ring;
static int stamp_offset;
static uint64_t stamp_flag;

/* The NIC. */
static struct {
	bool has_ptp, has_raw;
	bool started, ptp_on;
	unsigned switched_off;
	uint64_t stands_at; /* 0: it does not stand still */
	uint64_t set_by;
	unsigned carries; /* readings left that are a second off */
} nic;

static uint64_t nic_ns(void)
{
	return nic.stands_at ? nic.stands_at : cap_realtime_ns() - BEGAN_NS + nic.set_by;
}

int __real_rte_eth_dev_info_get(uint16_t id, struct rte_eth_dev_info *info);
int __wrap_rte_eth_dev_info_get(uint16_t id, struct rte_eth_dev_info *info);
int __real_rte_eth_dev_configure(uint16_t id, uint16_t rx, uint16_t tx,
				 const struct rte_eth_conf *conf);
int __wrap_rte_eth_dev_configure(uint16_t id, uint16_t rx, uint16_t tx,
				 const struct rte_eth_conf *conf);
int __real_rte_eth_dev_start(uint16_t id);
int __wrap_rte_eth_dev_start(uint16_t id);
int __wrap_rte_eth_timesync_enable(uint16_t id);
int __wrap_rte_eth_timesync_disable(uint16_t id);
int __wrap_rte_eth_timesync_read_time(uint16_t id, struct timespec *now);
int __wrap_rte_eth_read_clock(uint16_t id, uint64_t *ticks);

int __wrap_rte_eth_dev_info_get(uint16_t id, struct rte_eth_dev_info *info)
{
	int rc = __real_rte_eth_dev_info_get(id, info);

	info->rx_offload_capa |= RTE_ETH_RX_OFFLOAD_TIMESTAMP;
	return rc;
}

int __wrap_rte_eth_dev_configure(uint16_t id, uint16_t rx, uint16_t tx,
				 const struct rte_eth_conf *conf)
{
	struct rte_eth_conf plain = *conf;

	HOLDS(conf->rxmode.offloads & RTE_ETH_RX_OFFLOAD_TIMESTAMP);
	plain.rxmode.offloads &= ~RTE_ETH_RX_OFFLOAD_TIMESTAMP;
	return __real_rte_eth_dev_configure(id, rx, tx, &plain);
}

int __wrap_rte_eth_dev_start(uint16_t id)
{
	nic.started = true;
	return __real_rte_eth_dev_start(id);
}

int __wrap_rte_eth_timesync_enable(uint16_t id)
{
	(void)id;
	if (!nic.has_ptp)
		return -ENOTSUP;
	HOLDS(nic.started);
	nic.ptp_on = true;
	return 0;
}

int __wrap_rte_eth_timesync_disable(uint16_t id)
{
	(void)id;
	HOLDS(nic.ptp_on);
	nic.ptp_on = false;
	nic.switched_off++;
	return 0;
}

int __wrap_rte_eth_timesync_read_time(uint16_t id, struct timespec *now)
{
	uint64_t ns = nic.ptp_on ? nic_ns() : 0;

	if (nic.carries) {
		nic.carries--;
		ns += CAP_NS_PER_S;
	}

	(void)id;
	if (!nic.has_ptp)
		return -ENOTSUP;
	*now = (struct timespec){ (time_t)(ns / CAP_NS_PER_S), (long)(ns % CAP_NS_PER_S) };
	return 0;
}

int __wrap_rte_eth_read_clock(uint16_t id, uint64_t *ticks)
{
	(void)id;
	if (!nic.has_raw)
		return -ENOTSUP;
	*ticks = TICKS(nic_ns());
	return 0;
}

static void open_and_arm(void)
{
	struct cap_error err;

	memset(&facts, 0, sizeof(facts));
	HOLDS(driver->open(&config, &port, &facts, &err) == 0);
	HOLDS(driver->arm(port, &err) == 0);
	driver->tell(port, &facts);
	ring = rte_ring_lookup("ETH_RXTX0_net_ring0");
	HOLDS(ring);
}

static void begin(bool has_ptp, bool has_raw)
{
	memset(&nic, 0, sizeof(nic));
	nic.has_ptp = has_ptp;
	nic.has_raw = has_raw;
	open_and_arm();
}

static void end(void)
{
	driver->close(port);
	HOLDS(rte_mempool_full(pool));
}

/* Send a packet with this stamp. @return what time it is given */
static uint64_t time_of(uint64_t stamp)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);
	struct cap_packet packets[CAP_BURST];
	uint64_t ns;

	HOLDS(frame);
	memset(rte_pktmbuf_append(frame, FRAME_LEN), 0, FRAME_LEN);
	memcpy((char *)frame + stamp_offset, &stamp, sizeof(stamp));
	frame->ol_flags |= stamp_flag;
	HOLDS(rte_ring_enqueue(ring, frame) == 0);
	HOLDS(driver->rx_burst(driver->queue(port, 0), packets, CAP_BURST) == 1);
	ns = packets[0].timestamp_ns;
	driver->release(driver->queue(port, 0));
	return ns;
}

static bool is_ago(uint64_t ns, uint64_t age)
{
	uint64_t then = cap_realtime_ns() - age;

	return ns <= then + NEAR_NS && then <= ns + NEAR_NS;
}

static struct cap_source_counters counted(void)
{
	struct cap_source_counters counters;

	driver->counters(driver->queue(port, 0), &counters);
	return counters;
}

static void look(void)
{
	struct cap_device device;

	HOLDS(driver->watch(&config, port, &device) == 0);
	driver->tell(port, &facts);
}

static bool told(const char *words)
{
	return facts.degraded_count == 1 && strstr(facts.degraded[0], words);
}

static void ptp_stamps_tell_the_time_by_a_clock_that_was_switched_on(void)
{
	begin(true, true);
	HOLDS(nic.ptp_on && strstr(facts.effective_mode, "time by the NIC (PTP)"));
	for (unsigned i = 0; i < LOOKS; i++) {
		HOLDS(is_ago(time_of(nic_ns() - AGE_NS), AGE_NS));
		look();
	}
	HOLDS(counted().wire == LOOKS && counted().untimed == 0 && facts.degraded_count == 0);
	end();
	/* Another port of the card may tell the time by it. */
	HOLDS(nic.ptp_on && nic.switched_off == 0);
}

static void ticks_tell_the_time_where_there_is_no_ptp_clock(void)
{
	begin(false, true);
	HOLDS(strstr(facts.effective_mode, "time by the NIC") &&
	      !strstr(facts.effective_mode, "PTP"));
	for (unsigned i = 0; i < LOOKS; i++) {
		HOLDS(is_ago(time_of(TICKS(nic_ns() - AGE_NS)), AGE_NS));
		look();
	}
	HOLDS(counted().wire == LOOKS && counted().untimed == 0 && facts.degraded_count == 0);
	end();
}

static void without_a_clock_packets_have_the_time_of_their_burst_which_is_told(void)
{
	begin(false, false);
	HOLDS(told("cannot be read") && strstr(facts.effective_mode, "time a burst"));
	HOLDS(is_ago(time_of(nic_ns() - AGE_NS), 0));
	look();
	HOLDS(counted().untimed == 1 && facts.degraded_count == 1);
	end();
}

static void a_ptp_clock_that_does_not_run_is_not_taken(void)
{
	memset(&nic, 0, sizeof(nic));
	nic.has_ptp = true;
	nic.stands_at = CAP_NS_PER_S;
	open_and_arm();
	HOLDS(told("cannot be read") && is_ago(time_of(CAP_NS_PER_S), 0));
	HOLDS(counted().untimed == 1);
	end();
}

/* As from a driver that stamps by another clock than the one it gives to read. */
static void stamps_of_another_clock_are_never_believed_and_it_is_given_up(void)
{
	begin(true, true);
	for (unsigned i = 0; i < LOOKS; i++) {
		HOLDS(is_ago(time_of(TICKS(nic_ns())), 0));
		HOLDS(is_ago(time_of(0), 0) && is_ago(time_of(UINT64_MAX), 0));
		HOLDS(is_ago(time_of(nic_ns() + 3 * CAP_NS_PER_S), 0));
		look();
	}
	HOLDS(counted().untimed == 4 * LOOKS && counted().wire == 4 * LOOKS);
	HOLDS(told("not of the clock") && strstr(facts.effective_mode, "time a burst"));
	/* For good: who can say when it is right? */
	HOLDS(is_ago(time_of(nic_ns() - AGE_NS), 0) && counted().untimed == 4 * LOOKS + 1);
	end();
}

static void a_clock_that_was_set_is_followed(void)
{
	begin(true, false);
	for (unsigned i = 0; i < LOOKS; i++) {
		/* Between two looks its stamps are of an hour that we do not know yet. */
		nic.set_by += 3600 * CAP_NS_PER_S;
		HOLDS(is_ago(time_of(nic_ns()), 0));
		look();
		HOLDS(is_ago(time_of(nic_ns() - AGE_NS), AGE_NS));
		look();
	}
	HOLDS(counted().untimed == LOOKS && facts.degraded_count == 0);
	end();
}

static void a_reading_while_seconds_were_carried_is_not_followed(void)
{
	begin(true, false);
	for (unsigned i = 0; i < LOOKS; i++) {
		/* All that are taken for one pair, of which the closest counts. */
		nic.carries = 5;
		look();
		HOLDS(nic.carries == 0 && is_ago(time_of(nic_ns() - AGE_NS), AGE_NS));
	}
	HOLDS(counted().untimed == 0 && facts.degraded_count == 0);
	end();
}

static void a_clock_that_stands_still_is_given_up_and_the_error_told(void)
{
	const struct timespec pause = { .tv_nsec = AGE_NS / 5 };
	uint64_t began = cap_realtime_ns();

	begin(true, false);
	HOLDS(is_ago(time_of(nic_ns() - AGE_NS), AGE_NS));
	nic.stands_at = nic_ns();
	for (unsigned i = 0; i < LOOKS; i++) {
		nanosleep(&pause, NULL);
		look();
	}
	HOLDS(told("stands still") && strstr(facts.effective_mode, "time a burst"));
	HOLDS(counted().time_error_ns >= AGE_NS / 2);
	HOLDS(counted().time_error_ns <= cap_realtime_ns() - began);
	HOLDS(is_ago(time_of(nic.stands_at), 0) && counted().untimed == 1);
	end();
}

static void a_clock_that_cannot_be_read_any_more_is_given_up(void)
{
	begin(true, false);
	nic.has_ptp = false;
	look();
	HOLDS(is_ago(time_of(nic_ns() - AGE_NS), AGE_NS) && counted().untimed == 0);
	for (unsigned i = 0; i < LOOKS; i++)
		look();
	HOLDS(told("cannot be read any more"));
	HOLDS(is_ago(time_of(nic_ns() - AGE_NS), 0) && counted().untimed == 1);
	end();
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
	pool = rte_pktmbuf_pool_create("sender", 63, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	HOLDS(pool && rte_mbuf_dyn_rx_timestamp_register(&stamp_offset, &stamp_flag) == 0);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "PTP stamps tell the time by a clock that was switched on",
		  ptp_stamps_tell_the_time_by_a_clock_that_was_switched_on },
		{ "ticks tell the time where there is no PTP clock",
		  ticks_tell_the_time_where_there_is_no_ptp_clock },
		{ "without a clock packets have the time of their burst, which is told",
		  without_a_clock_packets_have_the_time_of_their_burst_which_is_told },
		{ "a PTP clock that does not run is not taken",
		  a_ptp_clock_that_does_not_run_is_not_taken },
		{ "stamps of another clock are never believed, and it is given up",
		  stamps_of_another_clock_are_never_believed_and_it_is_given_up },
		{ "a clock that was set is followed", a_clock_that_was_set_is_followed },
		{ "a reading while seconds were carried is not followed",
		  a_reading_while_seconds_were_carried_is_not_followed },
		{ "a clock that stands still is given up, and the error told",
		  a_clock_that_stands_still_is_given_up_and_the_error_told },
		{ "a clock that cannot be read any more is given up",
		  a_clock_that_cannot_be_read_any_more_is_given_up },
	};
	int code;

	prepare();
	code = HOLD_ALL(sentences);
	driver->free_options(config.options);
	return code;
}
