// SPDX-License-Identifier: Apache-2.0
/*
 * DPDK: the NIC is taken from the kernel and read by a driver in this process.
 *
 * Counters. The port's own ipackets is held against what the queues have taken. A ring cannot be told
 * apart from the wire while packets flow, so wire is what was taken; when the port is disarmed, ipackets
 * is read once more, and the queues drain until they have taken as much: what they cannot is on queue
 * 0's account as wire and stays unaccounted. imissed, rx_nombuf and ierrors are the port's drops; what the
 * rings of net_af_packet and net_af_xdp had no room for is asked from the kernel (kernel_sockets.h).
 *
 * Start. The port is started by arm, with the counters read just before: no packet is older. A virtual
 * device over a kernel socket has one that queues from the moment it is made: that is thrown away.
 *
 * Stop. Stopping a port throws away what is in its rings, so it goes on while they are drained, and is
 * stopped by close. A queue gives out what its ring held when the port was disarmed, and no more.
 */
#include "dpdk.h"

#include "about.h"
#include "clock.h"
#include "eal.h"
#include "loadable.h"
#include "log.h"
#include "pcapng.h"
#include "pci.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_prefetch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* Drivers give out at most 32 packets a call or more: a burst below that has emptied the ring. */
#define LEAST_FULL_BURST 32

/* What a kernel socket may have queued before arm, at most; a source that never ends must not hold us. */
#define STALE_BURSTS 4096

static int prepare(const struct cap_port_config *const *ports, unsigned count,
		   struct cap_error *err)
{
	return cap_eal_start(ports, count, err);
}

/* The device's descriptors stay open; what a port needs again is memory for it, or a socket. */
uint32_t cap_dpdk_port_privileges(const struct cap_port_config *config)
{
	const char *name = config->interface;
	char driver[64];

	if (cap_dpdk_is_pci(name)) {
		cap_pci_driver(CAP_SYSFS, name, driver, sizeof(driver));
		return CAP_PRIVILEGE_IPC_LOCK |
		       (cap_pci_is_shared(driver) ? CAP_PRIVILEGE_NET_RAW : 0U);
	}
	/* It locks its rings in memory, and a service may lock 8 MiB without the right to more. */
	if (cap_dpdk_begins(name, "net_af_packet"))
		return CAP_PRIVILEGE_NET_RAW | CAP_PRIVILEGE_NET_ADMIN | CAP_PRIVILEGE_IPC_LOCK;
	if (cap_dpdk_begins(name, "net_af_xdp"))
		return CAP_PRIVILEGE_NET_RAW | CAP_PRIVILEGE_NET_ADMIN | CAP_PRIVILEGE_BPF |
		       CAP_PRIVILEGE_IPC_LOCK;
	if (cap_dpdk_begins(name, "net_tap"))
		return CAP_PRIVILEGE_NET_ADMIN;
	if (cap_dpdk_begins(name, "net_pcap"))
		return CAP_PRIVILEGE_NET_RAW;
	return 0;
}

static void describe_mode(const struct cap_port *port, struct cap_port_facts *facts)
{
	char queues[48] = "";

	if (port->queue_count > 1)
		snprintf(queues, sizeof(queues), ", %u queues%s", port->queue_count,
			 port->symmetric ? " by symmetric RSS" :
			 port->rss	 ? " by RSS" :
					   "");
	snprintf(facts->effective_mode, sizeof(facts->effective_mode),
		 "%s%s, frames to %u bytes, %s, idle %s", port->driver_name, queues,
		 port->largest_frame, cap_dpdk_time_words(port), cap_dpdk_idle_words[port->idle]);
}

static int port_open(const struct cap_port_config *config, struct cap_port **out,
		     struct cap_port_facts *facts, struct cap_error *err)
{
	size_t size = sizeof(struct cap_port) + config->queues * sizeof(struct cap_queue);
	struct cap_port *port = aligned_alloc(64, (size + 63) & ~(size_t)63);
	int rc;

	if (!port)
		return cap_fail(err, ENOMEM, "%s: out of memory", config->interface);
	memset(port, 0, size);
	port->config = config;
	port->options = config->options;
	port->promiscuous_fd = -1;
	port->queue_count = config->queues;
	for (unsigned i = 0; i < config->queues; i++) {
		port->queues[i].port = port;
		port->queues[i].index = (uint16_t)i;
	}
	rc = cap_dpdk_device_open(port, facts, err);
	if (rc) {
		free(port);
		return rc;
	}
	cap_dpdk_time_begin(port);
	cap_dpdk_nic_measure(port);
	facts->link_type = CAP_LINKTYPE_ETHERNET;
	facts->snaplen = config->snaplen;
	facts->filter_in = config->filter ? "engine" : "none";
	describe_mode(port, facts);
	*out = port;
	return 0;
}

static void tell(struct cap_port *port, struct cap_port_facts *facts)
{
	if (port->no_nic_time)
		cap_degraded(facts, "%s", port->no_nic_time);
	port->no_nic_time = NULL;
	if (port->no_interrupts)
		cap_degraded(
			facts,
			"asked to wait by interrupt, the port has none for its queues: it sleeps");
	port->no_interrupts = false;
	describe_mode(port, facts);
}

static struct cap_queue *port_queue(struct cap_port *port, unsigned index)
{
	return &port->queues[index];
}

/* A kernel socket is there from the moment the device is made, and fills. */
static bool has_stale_packets(const struct cap_port *port)
{
	return cap_dpdk_begins(port->driver_name, "net_af_packet") ||
	       cap_dpdk_begins(port->driver_name, "net_af_xdp") ||
	       cap_dpdk_begins(port->driver_name, "net_tap");
}

static void throw_away(struct cap_port *port)
{
	for (unsigned q = 0; q < port->queue_count; q++) {
		struct cap_queue *queue = &port->queues[q];
		unsigned n = 1;

		for (unsigned i = 0; n && i < STALE_BURSTS; i++) {
			n = rte_eth_rx_burst(port->id, queue->index, queue->buffers, CAP_BURST);
			rte_pktmbuf_free_bulk(queue->buffers, n);
		}
	}
}

static int port_arm(struct cap_port *port, struct cap_error *err)
{
	const char *name = port->config->interface;
	int rc = cap_dpdk_read_figures(port, &port->base);

	if (rc == 0)
		rc = rte_eth_dev_start(port->id);
	if (rc)
		return cap_fail(err, -rc, "%s: dpdk: the port cannot be started: %s%s%s", name,
				strerror(-rc), ": ", cap_eal_complaint());
	port->started = true;
	cap_dpdk_idle_begin(port);
	cap_dpdk_nic_begin(port);
	cap_dpdk_check_spread(port);
	if (has_stale_packets(port)) {
		throw_away(port);
		rc = cap_dpdk_read_figures(port, &port->base);
		if (rc)
			return cap_fail(err, -rc, "%s: dpdk: its counters cannot be read: %s", name,
					strerror(-rc));
	}
	port->figures = (struct cap_dpdk_figures){ 0 };
	for (unsigned q = 0; q < port->queue_count; q++)
		port->queues[q].fresh_ticks = cap_dpdk_ticks(port);
	return 0;
}

/* The worker's thread gets a place among DPDK's, for the buffers' cache. Once; a thread stays what it is. */
static void make_ready(struct cap_queue *queue)
{
	queue->ready = true;
	/* A sleep of 50 us must not become one of 100. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	if (rte_lcore_id() == LCORE_ID_ANY && rte_thread_register())
		cap_warn(
			"no_cache",
			"%s queue %u: DPDK has no place for this thread (%s): it does without a cache of buffers",
			queue->port->config->interface, queue->index, rte_strerror(rte_errno));
}

static void gather(struct cap_packet *packet, const struct rte_mbuf *buffer,
		   struct cap_segment *segments)
{
	unsigned n = 0;

	packet->len = 0;
	for (; buffer && n < CAP_DPDK_SEGMENTS; buffer = buffer->next) {
		segments[n++] = (struct cap_segment){ rte_pktmbuf_mtod(buffer, const uint8_t *),
						      buffer->data_len };
		packet->len += buffer->data_len;
	}
	packet->n_segments = n;
	packet->segments = segments;
}

static void describe(struct cap_queue *queue, unsigned i, const struct cap_dpdk_burst *burst,
		     struct cap_packet *packet)
{
	const struct rte_mbuf *buffer = queue->buffers[i];

	packet->data = rte_pktmbuf_mtod(buffer, const uint8_t *);
	packet->len = packet->wire_len = buffer->pkt_len;
	packet->n_segments = 1;
	packet->vlan_tpid = 0;
	if (buffer->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) {
		packet->vlan_tpid = ETH_P_8021Q;
		packet->vlan_tci = buffer->vlan_tci;
	}
	if (!cap_dpdk_stamp_ns(queue, buffer, burst, &packet->timestamp_ns)) {
		packet->timestamp_ns = burst->ns - (burst->packets - 1 - i) * burst->apart_ns;
		queue->untimed++;
	}
	if (buffer->nb_segs > 1)
		gather(packet, buffer, &queue->segments[i * CAP_DPDK_SEGMENTS]);
}

static uint64_t taken_by_all(const struct cap_port *port)
{
	uint64_t sum = 0;

	for (unsigned q = 0; q < port->queue_count; q++)
		sum += __atomic_load_n(&port->queues[q].taken, __ATOMIC_RELAXED);
	return sum;
}

/* After disarm: no more than what the ring held then, and what the port says that it had received. */
static unsigned may_take(struct cap_queue *queue, unsigned max)
{
	const struct cap_port *port = queue->port;

	if (queue->drain_left >= max)
		return max;
	if (queue->drain_left)
		return queue->drain_left;
	return cap_dpdk_owed(port->received, taken_by_all(port)) ? max : 0;
}

/*
 * As if packets had come evenly since the ring was last empty, or the burst before was taken: never out of order, and
 * no further from the truth than the burst's own time is.
 */
static uint64_t apart_ns(const struct cap_queue *queue, uint64_t ticks, unsigned n)
{
	uint64_t since = queue->last_ticks > queue->fresh_ticks ? queue->last_ticks :
								  queue->fresh_ticks;

	return cap_dpdk_ticks_to_ns(queue->port, ticks - since) / n;
}

static int rx_burst(struct cap_queue *queue, struct cap_packet *packets, unsigned max)
{
	const struct cap_port *port = queue->port;
	bool disarmed = __atomic_load_n(&port->disarmed, __ATOMIC_ACQUIRE);
	struct cap_dpdk_burst burst;
	uint64_t asked_at, ticks;
	unsigned n;

	if (unlikely(!queue->ready))
		make_ready(queue);
	if (unlikely(disarmed && !(max = may_take(queue, max))))
		return 0;
	asked_at = cap_dpdk_ticks(port);
	n = rte_eth_rx_burst(port->id, queue->index, queue->buffers, (uint16_t)max);
	if (!n) {
		queue->fresh_ticks = asked_at;
		return 0;
	}
	ticks = cap_dpdk_ticks(port);
	burst.ns = cap_dpdk_burst_ns(port, ticks);
	burst.late_ns = cap_dpdk_ticks_to_ns(port, ticks - queue->fresh_ticks);
	burst.packets = n;
	burst.apart_ns = port->options->interpolate ? apart_ns(queue, ticks, n) : 0;
	queue->last_ticks = ticks;
	for (unsigned i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(queue->buffers[i], void *));
	for (unsigned i = 0; i < n; i++)
		describe(queue, i, &burst, &packets[i]);
	if (burst.late_ns > queue->late_ns)
		queue->late_ns = burst.late_ns;
	if (n < LEAST_FULL_BURST)
		queue->fresh_ticks = asked_at;
	queue->held = n;
	queue->empty_polls = 0;
	if (disarmed)
		queue->drain_left = queue->drain_left > n ? queue->drain_left - n : 0;
	__atomic_store_n(&queue->taken, queue->taken + n, __ATOMIC_RELAXED);
	return (int)n;
}

static void release(struct cap_queue *queue)
{
	rte_pktmbuf_free_bulk(queue->buffers, queue->held);
	queue->held = 0;
}

/* Of the worst packet: one that came right after the ring was seen empty, or the clocks' error. */
static uint64_t time_error(const struct cap_queue *queue)
{
	const struct cap_port *port = queue->port;
	uint64_t by_burst = __atomic_load_n(&port->cpu.error_ns, __ATOMIC_RELAXED);
	uint64_t by_device = by_burst;

	if (port->time == CAP_DPDK_TIME_WALL_US)
		by_device = CAP_NS_PER_US;
	else if (port->time >= CAP_DPDK_TIME_NIC)
		by_device = __atomic_load_n(&port->nic.error_ns, __ATOMIC_RELAXED);
	if (!queue->untimed)
		return by_device;
	by_burst += queue->late_ns;
	return by_burst > by_device ? by_burst : by_device;
}

static void counters(struct cap_queue *queue, struct cap_source_counters *out)
{
	const struct cap_port *port = queue->port;

	*out = (struct cap_source_counters){ .wire = queue->taken, .untimed = queue->untimed };
	if (queue->index == 0 && __atomic_load_n(&port->disarmed, __ATOMIC_ACQUIRE))
		out->wire += cap_dpdk_owed(port->received, taken_by_all(port));
	out->time_error_ns = time_error(queue);
}

static void port_disarm(struct cap_port *port)
{
	unsigned held = cap_dpdk_held_at_most(port);

	cap_dpdk_renew_figures(port);
	port->received = port->figures.received;
	for (unsigned q = 0; q < port->queue_count; q++)
		port->queues[q].drain_left = held;
	__atomic_store_n(&port->disarmed, true, __ATOMIC_RELEASE);
}

static void port_close(struct cap_port *port)
{
	cap_dpdk_device_close(port);
	free(port);
}

static const struct cap_driver driver = {
	CAP_DPDK_ABOUT,
	.parse_options = cap_dpdk_parse_options,
	.free_options = cap_dpdk_free_options,
	.prepare = prepare,
	.port_privileges = cap_dpdk_port_privileges,
	.open = port_open,
	.queue = port_queue,
	.arm = port_arm,
	.tell = tell,
	.rx_burst = rx_burst,
	.release = release,
	.wait = cap_dpdk_idle_wait,
	.counters = counters,
	.watch = cap_dpdk_watch,
	.device_counters = cap_dpdk_device_counters,
	.disarm = port_disarm,
	.close = port_close,
};

CAP_SOURCE(driver);
