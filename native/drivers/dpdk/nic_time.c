// SPDX-License-Identifier: Apache-2.0
/*
 * Times by the NIC. Its driver stamps packets by a clock that has to be read beside the system's, and
 * nothing but the stamps themselves says which: the PTP clock, which runs once it is switched on in a
 * started port, or ticks that rte_eth_read_clock reads. So each stamp is held against the time of its
 * burst. One that is far off is not believed, and its packet has the burst's; a clock that goes on like
 * that, that stands still or that cannot be read any more is given up for good.
 */
#include "dpdk.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <string.h>

/* No stamp of the right clock is this far from its burst; a clock with another epoch is off by years. */
#define STAMP_OFF_NS (2 * CAP_NS_PER_S)

/*
 * Looks in a row, about a second, that find something wrong before the clock is given up: when the
 * system's clock or the NIC's is set, what was read of both before fits neither until the next look.
 */
#define BAD_LOOKS 5

/* The coarsest PTP clock moves every few nanoseconds, and to read it once takes longer. */
#define STILL_READINGS 1000

static int read_ptp(const struct cap_port *port, uint64_t *ticks)
{
	struct timespec now = { 0 };
	int rc = rte_eth_timesync_read_time(port->id, &now);

	*ticks = (uint64_t)now.tv_sec * CAP_NS_PER_S + (uint64_t)now.tv_nsec;
	return rc;
}

static int read_raw(const struct cap_port *port, uint64_t *ticks)
{
	return rte_eth_read_clock(port->id, ticks);
}

static bool moves(const struct cap_port *port, cap_dpdk_read_ticks read)
{
	uint64_t first, now;

	if (read(port, &first))
		return false;
	for (unsigned i = 0; i < STILL_READINGS; i++)
		if (read(port, &now) == 0 && now > first)
			return true;
	return false;
}

static bool is_asked_for(const struct cap_port *port)
{
	return port->stamps && port->time < CAP_DPDK_TIME_NIC;
}

/*
 * The PTP clock's rate is known, so that no packet waits for it to be measured. It is never switched off:
 * all ports of a card may tell the time by the same one (net_ice stops it for all), and this one is
 * closed soon after.
 */
static bool begin_ptp(struct cap_port *port)
{
	return rte_eth_timesync_enable(port->id) == 0 && moves(port, read_ptp) &&
	       cap_dpdk_clock_begin(port, &port->nic, read_ptp, CAP_NS_PER_S);
}

static bool begin_raw(struct cap_port *port)
{
	uint64_t hz = port->nic_hz ? port->nic_hz : cap_dpdk_measure_hz(port, read_raw);

	return hz && moves(port, read_raw) && cap_dpdk_clock_begin(port, &port->nic, read_raw, hz);
}

void cap_dpdk_nic_measure(struct cap_port *port)
{
	if (is_asked_for(port))
		port->nic_hz = cap_dpdk_measure_hz(port, read_raw);
}

void cap_dpdk_nic_begin(struct cap_port *port)
{
	if (!is_asked_for(port))
		return;
	if (begin_ptp(port)) {
		port->time = CAP_DPDK_TIME_NIC_PTP;
	} else if (begin_raw(port)) {
		port->time = CAP_DPDK_TIME_NIC;
	} else {
		port->stamps = false;
		port->no_nic_time =
			"the NIC stamps packets, but its clock cannot be read: packets have the time of their burst";
	}
	port->nic_ticks = port->nic.fit.line.ticks;
}

static void give_up(struct cap_port *port, const char *why)
{
	__atomic_store_n(&port->nic_is_off, true, __ATOMIC_RELAXED);
	port->no_nic_time = why;
}

/*
 * Drivers read seconds and their fraction one after the other (net_igc): a reading may be a second off. What
 * looks like a step of a clock is one when it is read again.
 */
static int read_twice(const struct cap_port *port, cap_dpdk_read_ticks read,
		      struct cap_clock_pair *now)
{
	uint64_t told;

	if (cap_dpdk_read_pair(port, read, now))
		return -1;
	told = cap_clock_at(&port->nic.fit.line, now->ticks);
	if (told <= now->wall_ns + CAP_CLOCK_STEP_NS && now->wall_ns <= told + CAP_CLOCK_STEP_NS)
		return 0;
	return cap_dpdk_read_pair(port, read, now);
}

/*
 * Without a look the line goes on as it was. One through a clock that stands still would follow the
 * system's, and its stamps would look right: it is left where it was, and the stamps grow old.
 */
static const char *look_at_clock(struct cap_port *port)
{
	cap_dpdk_read_ticks read = port->time == CAP_DPDK_TIME_NIC_PTP ? read_ptp : read_raw;
	struct cap_clock_fit *fit = &port->nic.fit;
	uint64_t last = port->nic_ticks;
	struct cap_clock_pair now;

	if (read_twice(port, read, &now))
		return "the NIC's clock cannot be read any more: packets have the time of their burst";
	port->nic_ticks = now.ticks;
	if (now.ticks > last) {
		cap_dpdk_clock_renew(&port->nic, &now);
		return NULL;
	}
	/* Since the last look that was good a stamp may be wrong by as much. */
	if (now.wall_ns > fit->line.wall_ns && now.wall_ns - fit->line.wall_ns > fit->error_ns)
		fit->error_ns = now.wall_ns - fit->line.wall_ns;
	__atomic_store_n(&port->nic.error_ns, fit->error_ns, __ATOMIC_RELAXED);
	return "the NIC's clock stands still: packets have the time of their burst";
}

static const char *look_at_stamps(struct cap_port *port, bool *stamped)
{
	uint64_t believed = 0, doubted = 0;
	bool wrong;

	for (unsigned q = 0; q < port->queue_count; q++) {
		believed += __atomic_load_n(&port->queues[q].believed, __ATOMIC_RELAXED);
		doubted += __atomic_load_n(&port->queues[q].doubted, __ATOMIC_RELAXED);
	}
	*stamped = believed != port->believed || doubted != port->doubted;
	wrong = doubted != port->doubted;
	port->believed = believed;
	port->doubted = doubted;
	return wrong ? "the NIC's stamps are not of the clock that it gives to read: packets have the time of their burst" :
		       NULL;
}

void cap_dpdk_nic_renew(struct cap_port *port)
{
	const char *clock, *stamps;
	bool stamped;

	if ((port->time != CAP_DPDK_TIME_NIC && port->time != CAP_DPDK_TIME_NIC_PTP) ||
	    port->nic_is_off)
		return;
	clock = look_at_clock(port);
	stamps = look_at_stamps(port, &stamped);
	if (clock || stamps)
		port->bad_looks++;
	else if (stamped)
		port->bad_looks = 0;
	if (port->bad_looks >= BAD_LOOKS)
		give_up(port, clock ? clock : stamps);
}

/* A packet may have lain in the ring since that was last seen empty. */
static bool is_near(uint64_t ns, const struct cap_dpdk_burst *burst)
{
	return ns <= burst->ns + STAMP_OFF_NS && ns + burst->late_ns + STAMP_OFF_NS >= burst->ns;
}

static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

bool cap_dpdk_stamp_ns(struct cap_queue *queue, const struct rte_mbuf *buffer,
		       const struct cap_dpdk_burst *burst, uint64_t *ns)
{
	const struct cap_port *port = queue->port;
	rte_mbuf_timestamp_t stamp;
	uint64_t told;

	if (!(buffer->ol_flags & port->stamp_flag) || port->time < CAP_DPDK_TIME_NIC)
		return false;
	memcpy(&stamp, (const char *)buffer + port->stamp_offset, sizeof(stamp));
	if (port->time == CAP_DPDK_TIME_WALL_US || port->time == CAP_DPDK_TIME_WALL_NS) {
		*ns = port->time == CAP_DPDK_TIME_WALL_US ? stamp * CAP_NS_PER_US : stamp;
		return true;
	}
	if (__atomic_load_n(&port->nic_is_off, __ATOMIC_RELAXED))
		return false;
	told = cap_dpdk_clock_at(&port->nic, stamp);
	if (!is_near(told, burst)) {
		count(&queue->doubted);
		return false;
	}
	count(&queue->believed);
	*ns = told;
	return true;
}
