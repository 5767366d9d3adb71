// SPDX-License-Identifier: Apache-2.0
/*
 * AF_XDP: an XDP program of our own hands each frame to the socket of its queue, before the kernel's
 * network stack has seen it; in zero-copy mode the NIC writes into our memory itself.
 *
 * Counters. The program counts every frame that it sees, so what the sockets lose on the way has a
 * total to be held against: rx_dropped (no free frame) and rx_ring_full are different packets;
 * rx_fill_ring_empty counts attempts and is no loss of its own.
 *
 * Targets. The program that selects takes the place of the one that takes all when the first targets are
 * set, and stays. What it rejects never reaches a socket or the kernel's network: XDP_DROP.
 *
 * Frames. Every frame of the queue's memory is either in the fill ring (the kernel's), in the receive
 * ring, or in the burst being handled; release puts the burst's frames straight back. The fill ring
 * has room for all of them, so that cannot fail.
 */
#include "drivers.h"

#include "block.h"
#include "clock.h"
#include "kernel_targets.h"
#include "netdev.h"
#include "pcapng.h"
#include "settings.h"
#include "xdp/capture.h"
#include "xdp/redirect.h"

/* Generated; its conversions are not ours to mend. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "capture.skel.h"
#pragma GCC diagnostic pop

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/xsk.h>

/* Since Linux 6.6; older headers lack them. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif

/* One page a frame: what every driver's zero-copy mode takes. */
#define FRAME_SIZE 4096U

/* Of a frame, the kernel keeps this much in front (XDP_PACKET_HEADROOM). */
#define FRAME_HEADROOM 256U

/* Ethernet header and two VLAN tags, which the MTU leaves out. */
#define LINK_OVERHEAD 22U

/* An skb has at most 17 fragments beside its head (MAX_SKB_FRAGS). */
#define MOST_SEGMENTS 18U

#define CLOCK_READINGS 5

/* The shortest sleep worth its calls. */
#define SHORTEST_PAUSE_NS 20000L

/* How a mode ends that the driver would take, and lose every frame by; nothing that the kernel says here. */
#define NO_REDIRECT (-EXDEV)

enum mode { MODE_AUTO, MODE_ZEROCOPY, MODE_COPY, MODE_SKB };

static const char *const mode_words[] = { "auto", "zerocopy", "copy", "skb", NULL };
static const char *const mode_titles[] = {
	[MODE_ZEROCOPY] = "native XDP, zero-copy",
	[MODE_COPY] = "native XDP, copy",
	[MODE_SKB] = "generic (skb) XDP, copy",
};

/*
 * Packets a second that one queue may be given at most: without a copy what a link carries, with one what a
 * core of the kernel can copy, which is several times what was ever measured.
 */
static const long highest_rate[] = {
	[MODE_ZEROCOPY] = 20000000,
	[MODE_COPY] = 8000000,
	[MODE_SKB] = 4000000,
};

struct options {
	int mode;
	bool strict; /* fail rather than give less than the mode asked for */
	int64_t frames, ring, busy_poll_us;
};

struct cap_queue {
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_cons rx, completion;
	struct xsk_ring_prod fill;
	uint8_t *frames;
	size_t frames_size;
	bool hugepages;
	int fd;
	long pause_ns;	      /* to let packets gather; 0: none */
	bool came;	      /* a packet has, since the last pause */
	unsigned descriptors; /* of the burst in hand */
	uint64_t returned[CAP_BURST + MOST_SEGMENTS];
	struct cap_segment segments[CAP_BURST + MOST_SEGMENTS];
	uint64_t clock_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	const struct cap_port *port;
	unsigned index;
} CAP_OWN_LINES;

struct cap_port {
	const struct cap_port_config *config;
	const struct options *options;
	struct capstan_capture *program;
	struct cap_kernel_targets *targets; /* NULL until there are any */
	int no_select; /* the negative errno by which the kernel refused the program that selects */
	int link_fd;
	int promiscuous_fd; /* a packet socket that holds the interface promiscuous, or -1 */
	unsigned ifindex, mtu;
	bool several_buffers; /* frames larger than one of ours can be received */
	bool selecting;	      /* the program that selects is attached */
	unsigned queue_count;
	struct cap_queue queues[];
};

static int parse_options(json_t *object, void **out, struct cap_error *err)
{
	struct options *options = malloc(sizeof(*options));
	struct cap_settings in;
	int rc;

	if (!options)
		return cap_fail(err, ENOMEM, "out of memory");
	*options = (struct options){ .mode = MODE_AUTO, .frames = 16384, .ring = 8192 };
	rc = cap_settings_open(&in, object, err, "options");
	if (rc == 0)
		rc = cap_settings_word(&in, "mode", mode_words, &options->mode, err);
	if (rc == 0)
		rc = cap_settings_bool(&in, "strict", &options->strict, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "frames", 512, 1 << 20, &options->frames, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "ring", 64, 1 << 19, &options->ring, err);
	if (rc == 0 && ((options->frames & (options->frames - 1)) ||
			(options->ring & (options->ring - 1)) || options->ring > options->frames))
		rc = cap_fail(
			err, EINVAL,
			"options.frames and options.ring: must be powers of two, the ring no larger than the frames");
	if (rc == 0)
		rc = cap_settings_int(&in, "busy_poll_us", 0, 10000, &options->busy_poll_us, err);
	rc = cap_settings_close(&in, rc, err);
	if (rc)
		free(options);
	else
		*out = options;
	return rc;
}

static void queue_close_socket(struct cap_queue *queue)
{
	if (queue->socket)
		xsk_socket__delete(queue->socket);
	if (queue->umem)
		xsk_umem__delete(queue->umem);
	queue->socket = NULL;
	queue->umem = NULL;
}

static void port_detach(struct cap_port *port)
{
	if (port->link_fd >= 0)
		close(port->link_fd);
	port->link_fd = -1;
}

static void port_close(struct cap_port *port)
{
	for (unsigned i = 0; i < port->queue_count; i++) {
		queue_close_socket(&port->queues[i]);
		if (port->queues[i].frames)
			munmap(port->queues[i].frames, port->queues[i].frames_size);
	}
	port_detach(port);
	if (port->promiscuous_fd >= 0)
		close(port->promiscuous_fd);
	cap_kernel_targets_close(port->targets);
	capstan_capture__destroy(port->program);
	free(port);
}

/* All frames belong to the kernel at first. */
static void fill_all(struct cap_queue *queue, uint32_t frames)
{
	uint32_t at = 0;

	xsk_ring_prod__reserve(&queue->fill, frames, &at);
	for (uint32_t i = 0; i < frames; i++)
		*xsk_ring_prod__fill_addr(&queue->fill, at + i) = (uint64_t)i * FRAME_SIZE;
	xsk_ring_prod__submit(&queue->fill, frames);
}

static int open_socket(struct cap_port *port, unsigned index, enum mode mode, bool several)
{
	const struct options *options = port->options;
	struct cap_queue *queue = &port->queues[index];
	const struct xsk_umem_config umem_config = {
		.fill_size = (uint32_t)options->frames,
		.comp_size = XSK_RING_CONS__DEFAULT_NUM_DESCS,
		.frame_size = FRAME_SIZE,
	};
	const struct xsk_socket_config socket_config = {
		.rx_size = (uint32_t)options->ring,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = (uint16_t)(XDP_USE_NEED_WAKEUP |
					 (mode == MODE_ZEROCOPY ? XDP_ZEROCOPY : XDP_COPY) |
					 (several ? XDP_USE_SG : 0)),
	};
	int rc;

	/* libxdp leaves some of the rings' members as they are. */
	queue->rx = queue->completion = (struct xsk_ring_cons){ 0 };
	queue->fill = (struct xsk_ring_prod){ 0 };
	rc = xsk_umem__create(&queue->umem, queue->frames, queue->frames_size, &queue->fill,
			      &queue->completion, &umem_config);
	if (rc)
		return rc;
	rc = xsk_socket__create(&queue->socket, port->config->interface, index, queue->umem,
				&queue->rx, NULL, &socket_config);
	if (rc) {
		queue_close_socket(queue);
		return rc;
	}
	queue->fd = xsk_socket__fd(queue->socket);
	fill_all(queue, (uint32_t)options->frames);
	return 0;
}

static int attach(struct cap_port *port, enum mode mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, options,
		    .flags = mode == MODE_SKB ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	int program = bpf_program__fd(port->program->progs.capstan_capture);

	/* A link, so that the program goes with us however we end. */
	port->link_fd = bpf_link_create(program, (int)port->ifindex, BPF_XDP, &options);
	return port->link_fd < 0 ? -errno : 0;
}

static int open_sockets(struct cap_port *port, enum mode mode, bool several)
{
	int map = bpf_map__fd(port->program->maps.capstan_sockets);
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < port->queue_count; i++) {
		rc = open_socket(port, i, mode, several);
		if (rc == 0)
			rc = xsk_socket__update_xskmap(port->queues[i].socket, map);
	}
	if (rc)
		for (unsigned i = 0; i < port->queue_count; i++)
			queue_close_socket(&port->queues[i]);
	return rc;
}

/* Program and sockets in one mode, or nothing left of them. */
static int try_mode(struct cap_port *port, enum mode mode)
{
	bool small = port->mtu + LINK_OVERHEAD + sizeof(struct capstan_xdp_stamp) <=
		     FRAME_SIZE - FRAME_HEADROOM;
	int rc = attach(port, mode);

	if (rc)
		return rc;
	port->several_buffers = true;
	rc = open_sockets(port, mode, true);
	if (rc && rc != -EBUSY && small) {
		port->several_buffers = false;
		rc = open_sockets(port, mode, false);
	}
	if (rc)
		port_detach(port);
	return rc;
}

static int fail_modes(const struct cap_port *port, enum mode mode, int rc, struct cap_error *err)
{
	const char *name = port->config->interface;

	switch (rc) {
	case -EPERM:
		return cap_fail(
			err, EPERM,
			"%s: af_xdp: not permitted: start the engine as root or give it CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF",
			name);
	case -EBUSY:
		return cap_fail(
			err, EBUSY,
			"%s: af_xdp: another XDP program or AF_XDP socket has the interface: see ip link show %s, and stop it",
			name, name);
	case -ENOBUFS:
	case -ENOMEM:
		return cap_fail(
			err, ENOMEM,
			"%s: af_xdp: no memory for %lld frames a queue: lower frames, or raise the locked-memory limit",
			name, (long long)port->options->frames);
	case NO_REDIRECT:
		return cap_fail(
			err, EOPNOTSUPP,
			"%s: af_xdp: its driver takes XDP programs and hands no frame on to AF_XDP sockets: choose method af_packet",
			name);
	default:
		return cap_fail(
			err, -rc, "%s: af_xdp: the kernel refuses mode %s: %s%s", name,
			mode_words[mode], strerror(-rc),
			port->mtu > FRAME_SIZE - FRAME_HEADROOM - LINK_OVERHEAD ?
				": frames over one page need Linux 6.6; lower the interface's MTU or choose af_packet" :
				": choose mode auto or method af_packet");
	}
}

/* While the kernel polls on our behalf, it does so by our calls. */
static long pause_of(const struct cap_port *port, enum mode mode)
{
	const struct options *options = port->options;
	const int64_t half = options->ring < options->frames ? options->ring / 2 :
							       options->frames / 2;
	const long hold = (long)port->config->hold_ms * (long)CAP_NS_PER_MS;
	const long pause = half * ((long)CAP_NS_PER_S / highest_rate[mode]);

	if (options->busy_poll_us || pause < SHORTEST_PAUSE_NS)
		return 0;
	return pause < hold ? pause : hold;
}

/* Less than what was asked for, or than the driver has: what it never had, effective_mode tells by itself. */
static void tell_less(const struct cap_port *port, const char *driver, enum mode mode, int why,
		      struct cap_port_facts *facts)
{
	enum mode asked = (enum mode)port->options->mode;
	const char *because = why == NO_REDIRECT ?
				      "its driver hands no frame on to AF_XDP sockets" :
				      strerror(-why);

	if (asked != MODE_AUTO && mode != asked)
		cap_degraded(facts, "asked for mode %s, the kernel gave %s: %s (driver %s)",
			     mode_words[asked], mode_titles[mode], because, driver);
	else if (asked == MODE_AUTO && mode == MODE_SKB && why != -EOPNOTSUPP)
		cap_degraded(
			facts,
			"native XDP is not to be had here: %s (driver %s): generic XDP costs more than method af_packet",
			because, driver);
}

/* From what was asked for downwards; with `strict` only that. */
static int choose_mode(struct cap_port *port, struct cap_port_facts *facts, struct cap_error *err)
{
	enum mode asked = (enum mode)port->options->mode;
	enum mode mode = asked == MODE_AUTO ? MODE_ZEROCOPY : asked;
	bool only = port->options->strict && asked != MODE_AUTO;
	char driver[CAP_NETDEV_DRIVER];
	int first_rc = 0, last_rc = 0, rc;

	cap_netdev_driver(port->config->interface, driver);
	for (;;) {
		rc = mode == MODE_SKB || cap_xdp_redirects(driver, mode == MODE_ZEROCOPY) ?
			     try_mode(port, mode) :
			     NO_REDIRECT;
		if (rc == 0)
			break;
		last_rc = rc;
		if (!first_rc)
			first_rc = rc;
		if (only || mode == MODE_SKB || rc == -EPERM || rc == -EBUSY || rc == -ENOMEM)
			return fail_modes(port, mode, rc, err);
		mode++;
	}
	tell_less(port, driver, mode, asked == MODE_AUTO ? last_rc : first_rc, facts);
	/* A NIC lets no frame pass that is larger than its MTU: then nothing is missing. */
	if (!port->several_buffers && port->mtu + LINK_OVERHEAD > FRAME_SIZE - FRAME_HEADROOM)
		cap_degraded(
			facts,
			"frames over %u bytes cannot be received: the kernel or the NIC's driver has no multi-buffer AF_XDP",
			FRAME_SIZE - FRAME_HEADROOM);
	snprintf(facts->effective_mode, sizeof(facts->effective_mode), "%s", mode_titles[mode]);
	for (unsigned i = 0; i < port->queue_count; i++)
		port->queues[i].pause_ns = pause_of(port, mode);
	return 0;
}

/* What the kernel says that the sockets have, not what was asked for. */
static int check_zero_copy(struct cap_port *port, struct cap_port_facts *facts,
			   struct cap_error *err)
{
	for (unsigned i = 0; i < port->queue_count; i++) {
		struct xdp_options got = { 0 };
		socklen_t len = sizeof(got);

		if (getsockopt(port->queues[i].fd, SOL_XDP, XDP_OPTIONS, &got, &len))
			return cap_fail(err, errno, "%s: af_xdp: reading the mode back failed: %s",
					port->config->interface, strerror(errno));
		if (strstr(facts->effective_mode, "zero-copy") &&
		    !(got.flags & XDP_OPTIONS_ZEROCOPY))
			return cap_fail(err, EOPNOTSUPP,
					"%s: af_xdp: queue %u was bound for zero-copy but copies",
					port->config->interface, i);
	}
	return 0;
}

static int map_frames(struct cap_port *port, struct cap_port_facts *facts, struct cap_error *err)
{
	for (unsigned i = 0; i < port->queue_count; i++) {
		struct cap_queue *queue = &port->queues[i];

		queue->frames_size = (size_t)port->options->frames * FRAME_SIZE;
		queue->frames =
			cap_map_memory(&queue->frames_size, CAP_HUGEPAGES_AUTO, &queue->hugepages);
		if (!queue->frames)
			return cap_fail(err, ENOMEM,
					"%s: af_xdp: no memory for %lld frames: lower frames",
					port->config->interface, (long long)port->options->frames);
		queue->port = port;
		queue->index = i;
	}
	facts->snaplen = port->config->snaplen;
	return 0;
}

static struct capstan_capture *try_program(bool select)
{
	struct capstan_capture *program = capstan_capture__open();

	if (!program)
		return NULL;
	if (bpf_program__set_autoload(program->progs.capstan_select, select) == 0 &&
	    capstan_capture__load(program) == 0)
		return program;
	capstan_capture__destroy(program);
	return NULL;
}

static int load_program(struct cap_port *port, struct cap_error *err)
{
	port->program = try_program(true);
	if (!port->program) {
		port->no_select = -errno;
		port->program = try_program(false);
	}
	if (!port->program)
		return cap_fail(
			err, errno, "%s: af_xdp: the kernel refuses the XDP program: %s%s",
			port->config->interface, strerror(errno),
			errno == EPERM ?
				": start the engine as root or give it CAP_BPF and CAP_NET_ADMIN" :
				": it needs Linux 5.18 or later");
	return 0;
}

static int check_device(const struct cap_port_config *config, struct cap_netdev *device,
			struct cap_error *err)
{
	unsigned queues;
	int rc = cap_netdev_find(config->interface, "af_xdp", device, err);

	if (rc)
		return rc;
	queues = cap_netdev_queues(config->interface);
	if (queues != config->queues)
		return cap_fail(
			err, EINVAL,
			"%s: af_xdp: has %u receive queues and %u were asked for: what arrives on a queue without a socket is lost; write queues %u, or ethtool -L %s combined %u (or rx %u)",
			config->interface, queues, config->queues, queues, config->interface,
			config->queues, config->queues);
	return 0;
}

/* AF_XDP knows no promiscuous mode. */
static int hold_promiscuous(struct cap_port *port, struct cap_error *err)
{
	if (!port->config->promiscuous)
		return 0;
	port->promiscuous_fd = cap_netdev_hold_promiscuous(port->ifindex);
	if (port->promiscuous_fd < 0)
		return cap_fail(err, -port->promiscuous_fd,
				"%s: af_xdp: switching to promiscuous mode failed: %s",
				port->config->interface, strerror(-port->promiscuous_fd));
	return 0;
}

static void busy_poll(struct cap_port *port, struct cap_port_facts *facts)
{
	int usec = (int)port->options->busy_poll_us, prefer = 1;

	for (unsigned i = 0; usec && i < port->queue_count; i++) {
		if (setsockopt(port->queues[i].fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &prefer,
			       sizeof(prefer)) ||
		    setsockopt(port->queues[i].fd, SOL_SOCKET, SO_BUSY_POLL, &usec, sizeof(usec))) {
			cap_degraded(facts, "busy polling was asked for and refused: %s",
				     strerror(errno));
			return;
		}
	}
}

/* Before the XDP program runs the NIC has put the tag where AF_XDP does not look. */
static void tell_stripped_tags(const struct cap_port_config *config, struct cap_port_facts *facts)
{
	if ((config->filter || config->targeted) && cap_netdev_strips_tags(config->interface))
		cap_degraded(
			facts,
			"the NIC takes VLAN tags out of frames before af_xdp sees them, so that no VLAN id of %s holds, and files lack them: ethtool -K %s rx-vlan-offload off",
			config->targeted ? "targets" : "the filter", config->interface);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static int port_open(const struct cap_port_config *config, struct cap_port **out,
		     struct cap_port_facts *facts, struct cap_error *err)
{
	struct cap_netdev device;
	struct cap_port *port;
	int rc = check_device(config, &device, err);

	if (rc)
		return rc;
	/* Refusals come back as return values, and are told in one sentence. */
	libbpf_set_print(quiet);
	port = cap_port_alloc(sizeof(*port) + config->queues * sizeof(port->queues[0]));
	if (!port)
		return cap_fail(err, ENOMEM, "%s: out of memory", config->interface);
	port->config = config;
	port->options = config->options;
	port->ifindex = device.ifindex;
	port->mtu = device.mtu;
	port->link_fd = port->promiscuous_fd = -1;
	port->queue_count = config->queues;

	rc = load_program(port, err);
	if (rc == 0)
		rc = map_frames(port, facts, err);
	if (rc == 0)
		rc = choose_mode(port, facts, err);
	if (rc == 0)
		rc = check_zero_copy(port, facts, err);
	if (rc == 0)
		rc = hold_promiscuous(port, err);
	if (rc) {
		port_close(port);
		return rc;
	}
	busy_poll(port, facts);
	tell_stripped_tags(config, facts);
	facts->link_type = CAP_LINKTYPE_ETHERNET;
	facts->filter_in = config->filter ? "engine" : "none";
	*out = port;
	return 0;
}

static struct cap_queue *port_queue(struct cap_port *port, unsigned index)
{
	return &port->queues[index];
}

/* Packets are stamped with the monotonic clock, which is not stepped; files want the wall clock. */
static void set_clock_offset(struct cap_queue *queue)
{
	uint64_t shortest = UINT64_MAX;

	/* Whoever is interrupted between the readings is far off: the closest pair of several counts. */
	for (unsigned i = 0; i < CLOCK_READINGS; i++) {
		uint64_t before = cap_monotonic_ns();
		uint64_t wall = cap_realtime_ns();
		uint64_t took = cap_monotonic_ns() - before;

		if (took < shortest) {
			shortest = took;
			queue->clock_offset_ns = wall - (before + took / 2);
		}
	}
}

/* Once its tables are filled, the program that selects takes the other's place at the interface. */
static int begin_selecting(struct cap_port *port, struct cap_error *err)
{
	const struct capstan_capture *program = port->program;

	if (bpf_link_update(port->link_fd, bpf_program__fd(program->progs.capstan_select), NULL))
		return cap_fail(err, errno, "the XDP program for targets cannot be attached: %s",
				strerror(errno));
	return 0;
}

static int set_targets(struct cap_port *port, const struct cap_active_targets *active,
		       uint32_t tunnels, struct cap_error *err)
{
	const struct cap_kernel_target_maps maps = {
		.hosts = bpf_map__fd(port->program->maps.capstan_hosts),
		.prefixes = bpf_map__fd(port->program->maps.capstan_prefixes),
		.plans = bpf_map__fd(port->program->maps.capstan_plans),
		.current = bpf_map__fd(port->program->maps.capstan_current),
	};
	int rc = 0;

	if (port->no_select)
		return cap_fail(err, -port->no_select,
				"the kernel refuses the XDP program for targets: %s",
				strerror(-port->no_select));
	if (!port->targets)
		rc = cap_kernel_targets_open(&maps, &port->targets, err);
	if (rc == 0)
		rc = cap_kernel_targets_set(port->targets, active, tunnels, err);
	if (rc == 0 && !port->selecting)
		rc = begin_selecting(port, err);
	port->selecting |= rc == 0;
	return rc;
}

static int port_arm(struct cap_port *port, struct cap_error *err)
{
	(void)err;
	for (unsigned i = 0; i < port->queue_count; i++)
		set_clock_offset(&port->queues[i]);
	port->program->bss->capstan_armed = 1;
	return 0;
}

static void port_disarm(struct cap_port *port)
{
	port->program->bss->capstan_armed = 0;
}

static void describe(struct cap_queue *queue, const struct xdp_desc *desc, uint64_t burst_time,
		     struct cap_packet *packet)
{
	const uint8_t *data = xsk_umem__get_data(queue->frames, desc->addr);
	struct capstan_xdp_stamp stamp;

	memcpy(&stamp, data - sizeof(stamp), sizeof(stamp));
	packet->data = data;
	packet->len = desc->len;
	packet->vlan_tpid = 0;
	packet->n_segments = 1;
	packet->timestamp_ns = (stamp.magic ^ stamp.monotonic_ns) == CAPSTAN_XDP_MAGIC ?
				       stamp.monotonic_ns + queue->clock_offset_ns :
				       burst_time;
}

/* The kernel publishes all buffers of a frame together, so the rest is there already. */
static void gather(struct cap_queue *queue, struct cap_packet *packet, const struct xdp_desc *desc,
		   struct cap_segment *segments)
{
	unsigned n = 0;
	uint32_t at;

	segments[n++] = (struct cap_segment){ packet->data, desc->len };
	while ((desc->options & XDP_PKT_CONTD) && n < MOST_SEGMENTS &&
	       xsk_ring_cons__peek(&queue->rx, 1, &at)) {
		desc = xsk_ring_cons__rx_desc(&queue->rx, at);
		queue->returned[queue->descriptors++] = desc->addr;
		segments[n++] = (struct cap_segment){ xsk_umem__get_data(queue->frames, desc->addr),
						      desc->len };
		packet->len += desc->len;
	}
	packet->n_segments = n;
	packet->segments = segments;
}

static int rx_burst(struct cap_queue *queue, struct cap_packet *packets, unsigned max)
{
	uint64_t burst_time = 0;
	unsigned n = 0, segment = 0;
	uint32_t at;

	queue->descriptors = 0;
	while (n < max && queue->descriptors < CAP_BURST &&
	       xsk_ring_cons__peek(&queue->rx, 1, &at)) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&queue->rx, at);
		struct cap_packet *packet = &packets[n++];

		if (!burst_time)
			burst_time = cap_realtime_ns();
		queue->returned[queue->descriptors++] = desc->addr;
		describe(queue, desc, burst_time, packet);
		if (desc->options & XDP_PKT_CONTD) {
			gather(queue, packet, desc, &queue->segments[segment]);
			segment += packet->n_segments;
		}
		packet->wire_len = packet->len;
	}
	queue->came |= n > 0;
	return (int)n;
}

static void release(struct cap_queue *queue)
{
	uint32_t at = 0;

	xsk_ring_prod__reserve(&queue->fill, queue->descriptors, &at);
	for (unsigned i = 0; i < queue->descriptors; i++)
		*xsk_ring_prod__fill_addr(&queue->fill, at + i) = queue->returned[i] &
								  ~(uint64_t)(FRAME_SIZE - 1);
	xsk_ring_prod__submit(&queue->fill, queue->descriptors);
	xsk_ring_cons__release(&queue->rx, queue->descriptors);
	/* A driver that ran out of frames sleeps until it is told that there are new ones. */
	if (xsk_ring_prod__needs_wakeup(&queue->fill))
		(void)recvfrom(queue->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

/*
 * Where packets come one by one, waking up for each costs several times what the packet does. Those that
 * follow are let gather for a moment, in which the highest rate of the mode fills half of the ring; on a link
 * that is quiet the next packet wakes us at once.
 */
static void wait(struct cap_queue *queue, int timeout_ms)
{
	struct pollfd ready = { .fd = queue->fd, .events = POLLIN };
	const struct timespec pause = { .tv_nsec = queue->pause_ns };

	if (queue->came && queue->pause_ns) {
		queue->came = false;
		nanosleep(&pause, NULL);
		return;
	}
	poll(&ready, 1, timeout_ms);
}

static void add_slot(const struct capstan_xdp_counters *slot, struct cap_source_counters *out)
{
	uint64_t rejected = __atomic_load_n(&slot->judged[CAPSTAN_NOBODYS], __ATOMIC_RELAXED);
	uint64_t unjudged = __atomic_load_n(&slot->judged[CAPSTAN_UNJUDGED], __ATOMIC_RELAXED);

	out->wire += __atomic_load_n(&slot->seen, __ATOMIC_RELAXED) + rejected + unjudged +
		     __atomic_load_n(&slot->judged[CAPSTAN_MATCHED], __ATOMIC_RELAXED);
	out->filtered += rejected;
	out->unjudged += unjudged;
	out->unbound += __atomic_load_n(&slot->unbound, __ATOMIC_RELAXED);
	out->untimed += __atomic_load_n(&slot->untimed, __ATOMIC_RELAXED);
}

static void counters(struct cap_queue *queue, struct cap_source_counters *out)
{
	const struct cap_port *port = queue->port;
	const struct capstan_xdp_counters *slots = port->program->bss->capstan_counters;
	struct xdp_statistics stats = { 0 };
	socklen_t len = sizeof(stats);

	set_clock_offset(queue);
	*out = (struct cap_source_counters){ 0 };
	add_slot(&slots[queue->index], out);
	/* Channels that were added while we run have no socket: what they see is on queue 0's account. */
	for (unsigned i = port->queue_count; queue->index == 0 && i < CAPSTAN_XDP_QUEUES; i++)
		add_slot(&slots[i], out);
	if (getsockopt(queue->fd, SOL_XDP, XDP_STATISTICS, &stats, &len))
		return;
	out->dropped = stats.rx_dropped;
	out->ring_full = stats.rx_ring_full;
	out->fill_empty = stats.rx_fill_ring_empty_descs;
}

#define QUEUES "as many as the interface has receive queues"
#define TIME "the kernel's clock, read by the XDP program for each frame"

static const struct cap_mode modes[] = {
	{ .name = "zero-copy",
	  .asked_by = "mode zerocopy",
	  .features = CAP_FEATURE_ZERO_COPY | CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_NETDEV,
	  .queues = QUEUES,
	  .time = TIME },
	{ .name = "copy",
	  .asked_by = "mode copy",
	  .features = CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_NETDEV,
	  .queues = QUEUES,
	  .time = TIME },
	{ .name = "generic",
	  .asked_by = "mode skb",
	  .features = CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_NETDEV,
	  .queues = QUEUES,
	  .time = TIME },
	{ 0 },
};

static const char *const drops[] = { "kernel_dropped", "ring_full", "unbound", NULL };

const struct cap_driver cap_driver_af_xdp = {
	.name = "af_xdp",
	.summary =
		"AF_XDP sockets, one a queue, fed by an own XDP program: zero-copy, copy or generic",
	.wire = "the XDP program's own count, by queue",
	.sees = "rx_dropped (no free frame) and rx_ring_full of each socket, and what came on a queue without one",
	.drops = drops,
	.blind = "what the NIC loses before the program, but for its own counters",
	.features = CAP_FEATURE_ZERO_COPY | CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_NETDEV,
	.needs = "a driver with native XDP, for zero-copy and copy",
	.privileges = CAP_PRIVILEGE_NET_RAW | CAP_PRIVILEGE_NET_ADMIN | CAP_PRIVILEGE_BPF |
		      CAP_PRIVILEGE_IPC_LOCK,
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
