// SPDX-License-Identifier: Apache-2.0
/*
 * AF_PACKET with a TPACKET_V3 ring: the kernel copies each frame into blocks of memory that it shares
 * with us, and hands them over a block at a time.
 *
 * Counters. PACKET_STATISTICS is cleared by reading, is 32 bits wide, and its tp_packets includes
 * tp_drops. What a socket filter rejects appears in neither: our own programs, for targets and for the
 * filter, count that.
 *
 * Start. Between bind and joining the fanout group every socket sees every frame, so all of them begin
 * with a filter that takes nothing; arm clears the statistics and then swaps the filters, in this
 * order, so that no frame is counted and not delivered or the other way round.
 */
#include "drivers.h"

#include "block.h"
#include "clock.h"
#include "filter.h"
#include "kernel_filter.h"
#include "kernel_select.h"
#include "netdev.h"
#include "pcapng.h"
#include "settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A frame's header tells where the next one begins, so walking the frames would wait for memory at each. The
 * kernel fills a block from front to back: what lies this far ahead is fetched meanwhile.
 */
#define FETCH_AHEAD 4096
#define CACHE_LINE 64

struct options {
	uint32_t ring_bytes;  /* of each queue */
	uint32_t block_bytes; /* largest frame plus its header must fit */
	uint32_t block_timeout_ms; /* when the kernel hands over a block that is not full, at the latest */
	int fanout;
};

static const char *const fanout_words[] = { "hash", "cpu", "queue", NULL };
static const int fanout_modes[] = { PACKET_FANOUT_HASH, PACKET_FANOUT_CPU, PACKET_FANOUT_QM };

struct cap_queue {
	int fd;
	uint8_t *ring;
	struct tpacket_block_desc *current; /* the block that is being handed out, or NULL */
	struct tpacket3_hdr *next;	    /* first frame of it not yet handed out */
	uint32_t left;			    /* frames of it not yet handed out */
	const uint8_t *fetched, *end;	    /* of it: fetched up to here, and filled up to here */
	unsigned block;			    /* index of the block that comes next */
	unsigned block_count;
	uint32_t block_bytes;
	struct cap_kernel_filter *filter;
	const struct cap_port *port;
	unsigned index;
	uint64_t taken, dropped, freezes; /* PACKET_STATISTICS summed up since arm */
} CAP_OWN_LINES;

struct cap_port {
	const struct cap_port_config *config;
	struct cap_filter *filter;
	bool filter_in_kernel, armed;
	struct cap_kernel_select *select; /* judges by targets before the filter does, or NULL */
	uint32_t snaplen;
	size_t ring_bytes;
	unsigned ifindex;
	unsigned queue_count;
	struct cap_queue queues[];
};

static int parse_options(json_t *object, void **out, struct cap_error *err)
{
	struct options *options = calloc(1, sizeof(*options));
	int64_t ring = 64 << 20, block = 1 << 20, timeout = 60;
	int fanout = 0;
	struct cap_settings in;
	int rc;

	if (!options)
		return cap_fail(err, ENOMEM, "out of memory");
	rc = cap_settings_open(&in, object, err, "options");
	if (rc == 0)
		rc = cap_settings_int(&in, "ring_bytes", 1 << 20, 1LL << 31, &ring, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "block_bytes", 128 << 10, 16 << 20, &block, err);
	if (rc == 0 && (block % CAP_PAGE || ring % block || ring < 2 * block))
		rc = cap_fail(
			err, EINVAL,
			"options.block_bytes: must be a multiple of %u that divides ring_bytes at least twice",
			CAP_PAGE);
	if (rc == 0)
		rc = cap_settings_int(&in, "block_timeout_ms", 1, 1000, &timeout, err);
	if (rc == 0)
		rc = cap_settings_word(&in, "fanout", fanout_words, &fanout, err);
	rc = cap_settings_close(&in, rc, err);
	*options = (struct options){ (uint32_t)ring, (uint32_t)block, (uint32_t)timeout, fanout };
	if (rc)
		free(options);
	else
		*out = options;
	return rc;
}

static int option(int fd, int name, const void *value, socklen_t len)
{
	return setsockopt(fd, SOL_PACKET, name, value, len) ? -errno : 0;
}

static int fail_queue(struct cap_error *err, const struct cap_port *port, int rc, const char *what)
{
	const char *name = port->config->interface;

	if (rc == -EPERM)
		return cap_fail(
			err, EPERM,
			"%s: af_packet: %s is not permitted: start the engine as root or give it CAP_NET_RAW",
			name, what);
	if (rc == -ENOMEM)
		return cap_fail(
			err, ENOMEM,
			"%s: af_packet: no memory for a ring of %zu bytes: lower ring_bytes", name,
			port->ring_bytes);
	return cap_fail(err, -rc, "%s: af_packet: %s failed: %s", name, what, strerror(-rc));
}

static int open_ring(struct cap_port *port, struct cap_queue *queue, const struct options *options,
		     struct cap_error *err)
{
	const int version = TPACKET_V3;
	struct tpacket_req3 ring = {
		.tp_block_size = options->block_bytes,
		.tp_block_nr = options->ring_bytes / options->block_bytes,
		.tp_frame_size = TPACKET_ALIGNMENT << 7,
		.tp_retire_blk_tov = options->block_timeout_ms < port->config->hold_ms ?
					     options->block_timeout_ms :
					     port->config->hold_ms,
	};
	struct packet_mreq promiscuous = { .mr_ifindex = (int)port->ifindex,
					   .mr_type = PACKET_MR_PROMISC };
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)port->ifindex,
	};
	void *memory;
	int rc;

	ring.tp_frame_nr = (ring.tp_block_size / ring.tp_frame_size) * ring.tp_block_nr;
	/* Protocol 0: no frame comes in before bind. */
	queue->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (queue->fd < 0)
		return fail_queue(err, port, -errno, "opening a packet socket");
	if ((rc = option(queue->fd, PACKET_VERSION, &version, sizeof(version))))
		return fail_queue(err, port, rc, "asking for TPACKET_V3");
	if ((rc = option(queue->fd, PACKET_RX_RING, &ring, sizeof(ring))))
		return fail_queue(err, port, rc, "setting up the ring");
	memory = mmap(NULL, port->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, queue->fd, 0);
	if (memory == MAP_FAILED)
		return fail_queue(err, port, -errno, "mapping the ring");
	queue->ring = memory;
	queue->block_bytes = ring.tp_block_size;
	queue->block_count = ring.tp_block_nr;
	if (port->config->promiscuous &&
	    (rc = option(queue->fd, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous))))
		return fail_queue(err, port, rc, "switching to promiscuous mode");
	if ((rc = cap_socket_take_nothing(queue->fd)))
		return fail_queue(err, port, rc, "attaching a filter");
	if (bind(queue->fd, (struct sockaddr *)&address, sizeof(address)))
		return fail_queue(err, port, -errno, "binding to the interface");
	return 0;
}

/*
 * The first socket asks the kernel for a group id that nobody has: with an id of our own choosing
 * another program with the same one would silently take half of the packets.
 */
static int join_fanout(struct cap_port *port, const struct options *options, struct cap_error *err)
{
	int mode = fanout_modes[options->fanout];
	int group = (mode | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
	int rc;

	for (unsigned i = 0; i < port->queue_count; i++) {
		socklen_t len = sizeof(group);

		rc = option(port->queues[i].fd, PACKET_FANOUT, &group, sizeof(group));
		if (rc)
			return fail_queue(err, port, rc, "joining the fanout group");
		if (i == 0) {
			if (getsockopt(port->queues[0].fd, SOL_PACKET, PACKET_FANOUT, &group, &len))
				return fail_queue(err, port, -errno, "reading the fanout group");
			group = (group & 0xffff) | mode << 16;
		}
	}
	return 0;
}

/* Load a filter a queue, so that each counts apart. Failing that, the engine filters alone. */
static int open_filter(struct cap_port *port, struct cap_port_facts *facts, struct cap_error *err)
{
	struct cap_error why;
	int rc;

	facts->filter_in = "none";
	if (!port->config->filter)
		return 0;
	rc = cap_filter_compile(port->config->filter, CAP_LINKTYPE_ETHERNET, &port->filter, err);
	if (rc)
		return cap_fail_in(err, rc, "%s", port->config->interface);
	port->filter_in_kernel = true;
	for (unsigned i = 0; i < port->queue_count && port->filter_in_kernel; i++) {
		if (cap_filter_load(port->filter, &port->queues[i].filter, &why)) {
			cap_degraded(facts, "filter runs in the engine, not in the kernel: %s",
				     why.text);
			port->filter_in_kernel = false;
		}
	}
	for (unsigned i = 0; i < port->queue_count && !port->filter_in_kernel; i++) {
		cap_kernel_filter_free(port->queues[i].filter);
		port->queues[i].filter = NULL;
	}
	facts->filter_in = port->filter_in_kernel ? "kernel" : "engine";
	return 0;
}

static void port_close(struct cap_port *port)
{
	for (unsigned i = 0; i < port->queue_count; i++) {
		struct cap_queue *queue = &port->queues[i];

		if (queue->ring)
			munmap(queue->ring, port->ring_bytes);
		if (queue->fd >= 0)
			close(queue->fd);
		cap_kernel_filter_free(queue->filter);
	}
	cap_kernel_select_free(port->select);
	cap_filter_free(port->filter);
	free(port);
}

static int check_device(const struct cap_port_config *config, struct cap_netdev *device,
			struct cap_error *err)
{
	int rc = cap_netdev_find(config->interface, "af_packet", device, err);

	if (rc)
		return rc;
	if (device->arp_type != ARPHRD_ETHER && device->arp_type != ARPHRD_LOOPBACK)
		return cap_fail(err, EINVAL,
				"%s: af_packet: is not an Ethernet interface: use method pcap",
				config->interface);
	return 0;
}

static int port_open(const struct cap_port_config *config, struct cap_port **out,
		     struct cap_port_facts *facts, struct cap_error *err)
{
	const struct options *options = config->options;
	struct cap_netdev device;
	struct cap_port *port;
	int rc = check_device(config, &device, err);

	if (rc)
		return rc;
	port = cap_port_alloc(sizeof(*port) + config->queues * sizeof(port->queues[0]));
	if (!port)
		return cap_fail(err, ENOMEM, "%s: out of memory", config->interface);
	port->config = config;
	port->ifindex = device.ifindex;
	port->ring_bytes = options->ring_bytes;
	port->queue_count = config->queues;
	for (unsigned i = 0; i < config->queues; i++) {
		port->queues[i].fd = -1;
		port->queues[i].port = port;
		port->queues[i].index = i;
	}

	for (unsigned i = 0; rc == 0 && i < config->queues; i++)
		rc = open_ring(port, &port->queues[i], options, err);
	if (rc == 0 && config->queues > 1)
		rc = join_fanout(port, options, err);
	if (rc == 0)
		rc = open_filter(port, facts, err);
	if (rc) {
		port_close(port);
		return rc;
	}
	/* With a filter the whole frame comes up, for the engine's exact filter to judge. */
	port->snaplen = port->filter ? CAP_MAX_SNAPLEN : config->snaplen;
	facts->link_type = CAP_LINKTYPE_ETHERNET;
	facts->snaplen = config->snaplen;
	if (config->queues > 1)
		snprintf(facts->effective_mode, sizeof(facts->effective_mode),
			 "tpacket_v3, fanout %s over %u queues", fanout_words[options->fanout],
			 config->queues);
	else
		snprintf(facts->effective_mode, sizeof(facts->effective_mode), "tpacket_v3");
	*out = port;
	return 0;
}

static struct cap_queue *port_queue(struct cap_port *port, unsigned index)
{
	return &port->queues[index];
}

static void read_statistics(struct cap_queue *queue)
{
	struct tpacket_stats_v3 stats = { 0 };
	socklen_t len = sizeof(stats);

	if (getsockopt(queue->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		return;
	queue->taken += stats.tp_packets - stats.tp_drops;
	queue->dropped += stats.tp_drops;
	queue->freezes += stats.tp_freeze_q_cnt;
}

static int load_select(struct cap_port *port, struct cap_error *err)
{
	int rc = cap_kernel_select_load(port->queue_count, &port->select, err);

	for (unsigned i = 0; rc == 0 && port->filter_in_kernel && i < port->queue_count; i++) {
		rc = cap_kernel_select_chain(port->select, i, port->queues[i].filter);
		if (rc)
			cap_fail(err, -rc,
				 "the filter does not go with the program for targets: %s",
				 strerror(-rc));
	}
	if (rc) {
		cap_kernel_select_free(port->select);
		port->select = NULL;
	}
	return rc;
}

/* What a socket begins with when it is armed stays with it: a program that cannot be had then is never. */
static int set_targets(struct cap_port *port, const struct cap_active_targets *active,
		       uint32_t tunnels, struct cap_error *err)
{
	int rc = 0;

	if (!port->armed && !port->select)
		rc = load_select(port, err);
	else if (!port->select)
		rc = cap_fail(err, EBUSY,
			      "the kernel refused the program for targets at the start");
	port->snaplen = CAP_MAX_SNAPLEN;
	if (rc == 0)
		rc = cap_kernel_select_set(port->select, active, tunnels, err);
	return rc;
}

static int attach(struct cap_port *port, struct cap_queue *queue)
{
	if (port->select)
		return cap_kernel_select_attach(port->select, queue->index, queue->fd);
	if (port->filter_in_kernel)
		return cap_kernel_filter_attach(queue->filter, queue->fd);
	return cap_socket_take_all(queue->fd, port->snaplen);
}

static int port_arm(struct cap_port *port, struct cap_error *err)
{
	port->armed = true;
	for (unsigned i = 0; i < port->queue_count; i++) {
		struct cap_queue *queue = &port->queues[i];
		int rc;

		read_statistics(queue);
		queue->taken = queue->dropped = queue->freezes = 0;
		rc = attach(port, queue);
		if (rc)
			return fail_queue(err, port, rc, "attaching the filter");
	}
	return 0;
}

static void port_disarm(struct cap_port *port)
{
	/* Cannot fail once it has succeeded at open; if it did, the drain's deadline ends the capture. */
	for (unsigned i = 0; i < port->queue_count; i++)
		(void)cap_socket_take_nothing(port->queues[i].fd);
}

static bool next_block(struct cap_queue *queue)
{
	struct tpacket_block_desc *block =
		(void *)(queue->ring + (size_t)queue->block * queue->block_bytes);

	if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
		return false;
	queue->current = block;
	queue->left = block->hdr.bh1.num_pkts;
	queue->next = (void *)((uint8_t *)block + block->hdr.bh1.offset_to_first_pkt);
	queue->fetched = (uint8_t *)queue->next;
	queue->end = (uint8_t *)block + block->hdr.bh1.blk_len;
	queue->block = queue->block + 1 == queue->block_count ? 0 : queue->block + 1;
	return true;
}

static void release(struct cap_queue *queue)
{
	if (!queue->current || queue->left > 0)
		return;
	__atomic_store_n(&queue->current->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	queue->current = NULL;
}

static inline void fetch(struct cap_queue *queue, const struct tpacket3_hdr *frame)
{
	const uint8_t *to = (const uint8_t *)frame + FETCH_AHEAD;

	if (to > queue->end)
		to = queue->end;
	/* Into the second cache: the first has no room for a burst of large frames. */
	for (; queue->fetched < to; queue->fetched += CACHE_LINE)
		__builtin_prefetch(queue->fetched, 0, 2);
}

static int rx_burst(struct cap_queue *queue, struct cap_packet *packets, unsigned max)
{
	struct tpacket3_hdr *frame;
	unsigned n = 0;

	/* The kernel may hand over a block without a frame. */
	while (!queue->current || queue->left == 0) {
		release(queue);
		if (!next_block(queue))
			return 0;
	}
	frame = queue->next;
	while (n < max && queue->left > 0) {
		struct cap_packet *packet = &packets[n++];

		fetch(queue, frame);
		packet->data = (uint8_t *)frame + frame->tp_mac;
		packet->len = frame->tp_snaplen;
		packet->wire_len = frame->tp_len;
		packet->timestamp_ns = (uint64_t)frame->tp_sec * CAP_NS_PER_S + frame->tp_nsec;
		packet->n_segments = 1;
		packet->vlan_tpid = 0;
		if (frame->tp_status & TP_STATUS_VLAN_VALID) {
			packet->vlan_tci = (uint16_t)frame->hv1.tp_vlan_tci;
			packet->vlan_tpid = frame->tp_status & TP_STATUS_VLAN_TPID_VALID ?
						    frame->hv1.tp_vlan_tpid :
						    ETH_P_8021Q;
		}
		frame = (void *)((uint8_t *)frame + frame->tp_next_offset);
		queue->left--;
	}
	queue->next = frame;
	return (int)n;
}

static void wait(struct cap_queue *queue, int timeout_ms)
{
	struct pollfd ready = { .fd = queue->fd, .events = POLLIN };
	socklen_t len = sizeof(int);
	int error;

	/* A pending error (the interface went down) would end every later poll at once: fetch it. */
	if (poll(&ready, 1, timeout_ms) > 0 && (ready.revents & POLLERR))
		(void)getsockopt(queue->fd, SOL_SOCKET, SO_ERROR, &error, &len);
}

static void counters(struct cap_queue *queue, struct cap_source_counters *out)
{
	struct cap_kernel_selected selected = { 0 };
	uint64_t seen, accepted;

	read_statistics(queue);
	*out = (struct cap_source_counters){ .wire = queue->taken + queue->dropped,
					     .dropped = queue->dropped,
					     .freezes = queue->freezes };
	if (queue->filter) {
		cap_kernel_filter_counters(queue->filter, &seen, &accepted);
		out->wire = seen;
		out->filtered = seen - accepted;
	}
	if (queue->port->select) {
		cap_kernel_select_counters(queue->port->select, queue->index, &selected);
		out->wire = selected.seen;
		out->filtered += selected.rejected;
		out->unjudged = selected.unjudged;
	}
}

static const struct cap_mode modes[] = {
	{ .name = "ring",
	  .asked_by = "the method alone",
	  .features = CAP_FEATURE_KERNEL_FILTER | CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_NETDEV,
	  .queues = "any number: the kernel spreads by flow hash, CPU or receive queue (fanout)",
	  .time = "the kernel's, nanoseconds" },
	{ 0 },
};

static const char *const drops[] = { "kernel_dropped", NULL };

const struct cap_driver cap_driver_af_packet = {
	.name = "af_packet",
	.summary =
		"Linux packet socket with a TPACKET_V3 memory-mapped ring, fanned out over queues",
	.wire = "tp_packets, or what our program in the kernel counts (filter, targets)",
	.sees = "tp_drops: the ring was full",
	.drops = drops,
	.blind = "what the NIC loses before the kernel, but for its own counters",
	.features = CAP_FEATURE_KERNEL_FILTER | CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_NETDEV,
	.privileges = CAP_PRIVILEGE_NET_RAW | CAP_PRIVILEGE_BPF,
	.modes = modes,
	.parse_options = parse_options,
	.free_options = free,
	.open = port_open,
	.queue = port_queue,
	.set_targets = set_targets,
	.arm = port_arm,
	.rx_burst = rx_burst,
	.release = release,
	.wait = wait,
	.counters = counters,
	.disarm = port_disarm,
	.close = port_close,
};
