// SPDX-License-Identifier: Apache-2.0
/*
 * PF_RING. In standard mode the vendor's kernel module copies each frame into the slots of a ring that it shares
 * with us; with zero-copy its NIC driver writes frames into memory that the library reads.
 *
 * Bursts. A packet that the library hands out without a copy lies in the ring and is given back to the module in
 * the same call; the module keeps two slots' room free in front of the reader, so that this one packet stands
 * until the next is taken, and no more than this one. So a burst is one packet. The library's own bursts give
 * times in microseconds, and standard mode has none.
 *
 * Counters: account.h. They are read by the worker, between two packets, as the ring belongs to one reader.
 *
 * Start. A ring that is not enabled takes nothing and counts nothing; arm enables them.
 *
 * Stop. A disabled ring can be read no more. So rings stay enabled: each worker looks at the counters one last
 * time, takes what waits in its ring then, and leaves what arrives behind it.
 */
#include "about.h"
#include "ring.h"

#include "clock.h"
#include "filter.h"
#include "loadable.h"
#include "log.h"
#include "netdev.h"
#include "pcapng.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <stdlib.h>
#include <string.h>

/* A kernel time in whole microseconds and the same in nanoseconds lie less than this apart. */
#define SAME_TIME_NS CAP_NS_PER_US

/* A NIC's clock that is further off than this is not set by anybody. */
#define CLOCK_OFF_NS (2 * CAP_NS_PER_S)

/* What a NIC's ring may hold where the library does not say: the largest that the vendor's drivers have. */
#define MOST_NIC_SLOTS 32768U

/* Another ABI shows in each packet's header: one among many that is odd is damaged, and no other ABI's. */
#define PACKETS_TO_TRUST_THE_ABI 64U

/* So many packets without one that our filter saw: the module does not run it. */
#define FILTER_PATIENCE 1000U

static uint64_t handed_out(const struct cap_queue *queue)
{
	return queue->taken + queue->invalid;
}

static bool is_disarmed(const struct cap_port *port)
{
	return __atomic_load_n(&port->disarmed, __ATOMIC_ACQUIRE);
}

static void look(const struct cap_queue *queue, struct cap_pfring_look *now)
{
	const struct cap_port *port = queue->port;
	struct cap_pfring_stats stats = { 0 };
	uint64_t seen = 0, accepted = 0;
	uint32_t queued = 0;

	(void)port->library.stats(queue->ring, &stats);
	if (!port->options->zc)
		queued = port->library.get_num_queued_pkts(queue->ring);
	if (queue->filter)
		cap_kernel_filter_counters(queue->filter, &seen, &accepted);
	*now = (struct cap_pfring_look){
		.taken = handed_out(queue),
		.recv = port->options->zc ? 0 : stats.recv,
		/* An error comes as a number that is no number of packets. */
		.queued = queued <= INT32_MAX ? queued : 0,
		.drop = stats.drop,
		.filtered = seen > accepted ? seen - accepted : 0,
	};
}

static int check_device(const struct cap_port_config *config, struct cap_netdev *device,
			struct cap_error *err)
{
	int rc = cap_netdev_find(config->interface, "pf_ring", device, err);

	if (rc)
		return rc;
	if (device->arp_type != ARPHRD_ETHER && device->arp_type != ARPHRD_LOOPBACK)
		return cap_fail(err, EINVAL,
				"%s: pf_ring: is not an Ethernet interface: use method pcap",
				config->interface);
	return 0;
}

static void port_close(struct cap_port *port)
{
	for (unsigned i = 0; i < port->queue_count; i++)
		if (port->queues[i].error)
			cap_alert("pf_ring", "%s queue %u: receiving ended: %s",
				  port->config->interface, i,
				  cap_pfring_recv_words(port->queues[i].error));
	cap_pfring_close_rings(port);
	cap_pfring_unload(&port->library);
	free(port);
}

static int port_open(const struct cap_port_config *config, struct cap_port **out,
		     struct cap_port_facts *facts, struct cap_error *err)
{
	size_t size = sizeof(struct cap_port) + config->queues * sizeof(struct cap_queue);
	struct cap_netdev device;
	struct cap_port *port;
	int rc = check_device(config, &device, err);

	if (rc)
		return rc;
	port = aligned_alloc(64, (size + 63) & ~(size_t)63);
	if (!port)
		return cap_fail(err, ENOMEM, "%s: out of memory", config->interface);
	memset(port, 0, size);
	port->config = config;
	port->options = config->options;
	port->ifindex = device.ifindex;
	port->caplen = cap_pfring_caplen(config, device.mtu);
	port->queue_count = config->queues;
	for (unsigned i = 0; i < config->queues; i++) {
		port->queues[i].port = port;
		port->queues[i].index = i;
	}
	rc = cap_pfring_load(&port->library, port->options->library, err);
	if (rc)
		cap_fail_in(err, rc, "%s: pf_ring", config->interface);
	else
		rc = cap_pfring_open_rings(port, facts, err);
	if (rc) {
		port_close(port);
		return rc;
	}
	facts->link_type = CAP_LINKTYPE_ETHERNET;
	facts->snaplen = config->snaplen;
	*out = port;
	return 0;
}

static struct cap_queue *port_queue(struct cap_port *port, unsigned index)
{
	return &port->queues[index];
}

static int arm_queue(struct cap_port *port, struct cap_queue *queue, struct cap_error *err)
{
	const char *name = port->config->interface;
	struct cap_pfring_look now = { 0 };
	int rc;

	/* Packets from before the exchange come up unjudged, for the engine to judge. */
	if (port->library.enable_ring(queue->ring))
		return cap_fail(err, EIO,
				"%s: pf_ring: a ring cannot be enabled: see the kernel's log",
				name);
	rc = queue->filter ?
		     cap_kernel_filter_attach(queue->filter,
					      port->library.get_selectable_fd(queue->ring)) :
		     0;
	if (rc)
		return cap_fail(err, -rc, "%s: pf_ring: attaching the filter failed: %s", name,
				strerror(-rc));
	/* A new ring's counters begin at 0, a NIC's do not. */
	if (port->options->zc)
		look(queue, &now);
	cap_pfring_account_begin(&queue->account, &now);
	queue->fresh_ns = cap_realtime_ns();
	return 0;
}

static int port_arm(struct cap_port *port, struct cap_error *err)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < port->queue_count; i++)
		rc = arm_queue(port, &port->queues[i], err);
	return rc;
}

/* By the worker: the ring has one reader, and its counters stand still only for that one. */
static void settle(struct cap_queue *queue)
{
	const struct cap_port *port = queue->port;
	uint32_t slots = port->slots ? port->slots : MOST_NIC_SLOTS;
	struct cap_pfring_look now;

	if (queue->account.settled)
		return;
	look(queue, &now);
	cap_pfring_account_settle(&queue->account, &now, port->options->zc ? slots : 0);
}

static uint64_t difference(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* The NIC's time only where it was asked for; another program may have switched it on. */
static uint64_t time_of(struct cap_queue *queue)
{
	const struct cap_pfring_header *header = &queue->header;
	uint64_t kernel_ns = (uint64_t)header->ts.tv_sec * CAP_NS_PER_S +
			     (uint64_t)header->ts.tv_usec * CAP_NS_PER_US;
	bool exact = difference(header->timestamp_ns, kernel_ns) < SAME_TIME_NS;
	uint64_t now;

	if (queue->port->options->hardware_time && header->timestamp_ns) {
		queue->soft_stamps += exact && !queue->port->options->zc;
		return header->timestamp_ns;
	}
	if (kernel_ns) {
		queue->coarse |= !exact;
		return exact ? header->timestamp_ns : kernel_ns;
	}
	now = cap_realtime_ns();
	queue->untimed++;
	if (now > queue->fresh_ns && now - queue->fresh_ns > queue->late_ns)
		queue->late_ns = now - queue->fresh_ns;
	return now;
}

/* @return whether the header is one: another ABI would put other numbers there */
static bool makes_sense(const struct cap_queue *queue, const unsigned char *data)
{
	const struct cap_pfring_header *header = &queue->header;

	return data && header->caplen && header->caplen <= header->len &&
	       header->caplen <= CAP_MAX_SNAPLEN && header->ts.tv_usec >= 0 &&
	       header->ts.tv_usec < (suseconds_t)(CAP_NS_PER_S / CAP_NS_PER_US);
}

static int fail_queue(struct cap_queue *queue, int error)
{
	queue->error = error;
	return -EIO;
}

static void count_odd(struct cap_queue *queue)
{
	if (!queue->invalid)
		cap_warn(
			"odd_header",
			"%s queue %u: a packet's header makes no sense (%u bytes of %u): such packets are counted as invalid",
			queue->port->config->interface, queue->index, queue->header.caplen,
			queue->header.len);
	queue->invalid++;
}

/* Nobody can say what a NIC's ring holds: the first that is not there ends it. */
static void find_empty(struct cap_queue *queue)
{
	const bool zc = queue->port->options->zc;

	if (queue->untimed || zc)
		queue->fresh_ns = cap_realtime_ns();
	if (queue->account.settled && zc)
		queue->account.left = 0;
}

/*
 * Take the next packet whose header makes sense. What lies in front of it is counted and passed over, a burst of
 * them at most.
 *
 * @return 1, 0 when there is none, or negative errno
 */
static int take(struct cap_queue *queue, unsigned char **data)
{
	struct cap_pfring_account *account = &queue->account;
	bool good = false;

	for (unsigned n = 0; !good && n < CAP_BURST && (!account->settled || account->left); n++) {
		int rc = queue->port->library.recv(queue->ring, data, 0, &queue->header, 0);

		if (rc == 0 || rc == CAP_PFRING_NO_PACKET) {
			find_empty(queue);
			return 0;
		}
		if (rc < 0)
			return fail_queue(queue, rc);
		good = makes_sense(queue, *data);
		if (good)
			__atomic_store_n(&queue->taken, queue->taken + 1, __ATOMIC_RELAXED);
		else if (queue->taken < PACKETS_TO_TRUST_THE_ABI)
			return fail_queue(queue, -EPROTO);
		else
			count_odd(queue);
		if (account->settled)
			cap_pfring_account_took(account, handed_out(queue));
	}
	return good;
}

static int rx_burst(struct cap_queue *queue, struct cap_packet *packets, unsigned max)
{
	unsigned char *data = NULL;
	int rc;

	(void)max;
	if (queue->error)
		return -EIO;
	if (is_disarmed(queue->port))
		settle(queue);
	rc = take(queue, &data);
	if (rc <= 0)
		return rc;
	packets[0] = (struct cap_packet){
		.data = data,
		.len = queue->header.caplen,
		.wire_len = queue->header.len,
		.timestamp_ns = time_of(queue),
		.n_segments = 1,
	};
	queue->empty_polls = 0;
	__atomic_store_n(&queue->last_ns, packets[0].timestamp_ns, __ATOMIC_RELAXED);
	return 1;
}

/* The next one gives it back. */
static void release(struct cap_queue *queue)
{
	(void)queue;
}

static void counters(struct cap_queue *queue, struct cap_source_counters *out)
{
	struct cap_pfring_look now;

	if (is_disarmed(queue->port)) {
		settle(queue);
	} else {
		look(queue, &now);
		cap_pfring_account_renew(&queue->account, &now);
	}
	*out = (struct cap_source_counters){
		.wire = cap_pfring_account_wire(&queue->account),
		.filtered = queue->account.filtered,
		.ring_full = queue->account.drop,
		.invalid = queue->invalid,
		.untimed = queue->untimed,
		.time_error_ns = queue->untimed ? queue->late_ns :
				 queue->coarse	? CAP_NS_PER_US :
						  0,
	};
}

static void judge_stamps(struct cap_port *port, const struct cap_queue *queue)
{
	uint64_t stamp = __atomic_load_n(&queue->last_ns, __ATOMIC_RELAXED);
	uint64_t off = difference(cap_realtime_ns(), stamp);

	if (!port->told_stamps && __atomic_load_n(&queue->soft_stamps, __ATOMIC_RELAXED)) {
		port->told_stamps = true;
		cap_warn(
			"no_hardware_time",
			"%s: the NIC's time stamps were asked for, and packets come with the kernel's: see ethtool -T %s",
			port->config->interface, port->config->interface);
	}
	if (!port->told_clock && stamp && off > CLOCK_OFF_NS) {
		port->told_clock = true;
		cap_warn(
			"clock_off",
			"%s: the NIC's clock is about %llu s off this host's: packets have its times: synchronise it, by phc2sys for example",
			port->config->interface,
			(unsigned long long)((off + CAP_NS_PER_S / 2) / CAP_NS_PER_S));
	}
}

static void judge_filter(struct cap_port *port, const struct cap_queue *queue)
{
	uint64_t seen, accepted;

	cap_kernel_filter_counters(queue->filter, &seen, &accepted);
	if (seen || __atomic_load_n(&queue->taken, __ATOMIC_RELAXED) < FILTER_PATIENCE)
		return;
	port->told_filter = true;
	cap_warn(
		"filter_not_run",
		"%s: the module does not run the filter that it was given: the engine's own rejects what does not match",
		port->config->interface);
}

static void judge(struct cap_port *port)
{
	for (unsigned i = 0; i < port->queue_count; i++) {
		struct cap_queue *queue = &port->queues[i];
		uint64_t taken = __atomic_load_n(&queue->taken, __ATOMIC_RELAXED);

		if (port->options->hardware_time && taken != queue->judged)
			judge_stamps(port, queue);
		queue->judged = taken;
		if (queue->filter && !port->told_filter)
			judge_filter(port, queue);
	}
}

static int watch(const struct cap_port_config *config, struct cap_port *port,
		 struct cap_device *device)
{
	const struct cap_pfring_options *options = config->options;
	struct cap_netdev netdev;
	int rc = cap_netdev_read(config->interface, &netdev);

	*device = (struct cap_device){
		.identity = netdev.ifindex,
		.up = netdev.up,
		.counts_on = !options->zc,
		.rx_packets = netdev.rx_packets,
	};
	/* With zero-copy the rings' own drops are what the NIC missed, and the kernel may count nothing. */
	if (!options->zc) {
		device->rx_missed = netdev.rx_missed;
		device->rx_no_buffer = netdev.rx_no_buffer;
	}
	if (rc == 0 && port && !is_disarmed(port))
		judge(port);
	return rc;
}

static void port_disarm(struct cap_port *port)
{
	/* What our filter counts stands still then, too. It cannot fail once it was attached. */
	for (unsigned i = 0; i < port->queue_count; i++)
		if (port->queues[i].filter)
			(void)cap_socket_take_nothing(
				port->library.get_selectable_fd(port->queues[i].ring));
	__atomic_store_n(&port->disarmed, true, __ATOMIC_RELEASE);
}

/* The rings that a port opens again are sockets of the module's, and zero-copy maps the NIC's memory. */
static uint32_t port_privileges(const struct cap_port_config *config)
{
	const struct cap_pfring_options *options = config->options;

	return CAP_PRIVILEGE_NET_RAW | CAP_PRIVILEGE_NET_ADMIN |
	       (options->zc ? CAP_PRIVILEGE_IPC_LOCK : CAP_PRIVILEGE_BPF);
}

static const struct cap_driver driver = {
	CAP_PF_RING_ABOUT,
	.parse_options = cap_pfring_parse_options,
	.free_options = cap_pfring_free_options,
	.port_privileges = port_privileges,
	.open = port_open,
	.queue = port_queue,
	.arm = port_arm,
	.rx_burst = rx_burst,
	.release = release,
	.wait = cap_pfring_wait,
	.counters = counters,
	.watch = watch,
	.disarm = port_disarm,
	.close = port_close,
};

CAP_SOURCE(driver);
