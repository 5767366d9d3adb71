// SPDX-License-Identifier: Apache-2.0
/*
 * libpcap, live: what every Linux has, and the reference that the other methods are compared with.
 * One packet a call, copied by libpcap once more; for tests and quiet links.
 *
 * Counters. libpcap's figures are 32 bits wide and wrap; ps_recv includes ps_drop on Linux. The filter
 * is attached to libpcap's socket by us and not by pcap_setfilter, because the kernel counts what a
 * filter rejects nowhere and our program does.
 */
#include "drivers.h"

#include "clock.h"
#include "filter.h"
#include "kernel_filter.h"
#include "kernel_select.h"
#include "netdev.h"
#include "pcapng.h"
#include "settings.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many of libpcap's timeouts a block may take to come out. */
#define DRAIN_TIMEOUTS 10

struct options {
	int buffer_bytes;
	int timeout_ms; /* how long libpcap gathers packets before it hands them over, at most */
};

struct cap_queue {
	pcap_t *handle;
	int fd;
	struct cap_kernel_filter *filter;
	struct cap_kernel_select *select; /* judges by targets before the filter does, or NULL */
	uint32_t seen_recv, seen_drop;	  /* libpcap's counters when last read */
	uint64_t drained;		  /* packets from before arm, thrown away */
	uint64_t recv, drop;		  /* the same since arm, 64 bits wide */
};

struct cap_port {
	const struct cap_port_config *config;
	struct cap_filter *filter;
	uint32_t snaplen;
	bool ethernet, armed;
	struct cap_queue queue;
};

static int gathering_ms(const struct cap_port *port)
{
	const struct options *options = port->config->options;
	const int most = (int)port->config->hold_ms;

	return options->timeout_ms < most ? options->timeout_ms : most;
}

static int parse_options(json_t *object, void **out, struct cap_error *err)
{
	struct options *options = calloc(1, sizeof(*options));
	int64_t buffer = 64 << 20, timeout = 100;
	struct cap_settings in;
	int rc;

	if (!options)
		return cap_fail(err, ENOMEM, "out of memory");
	rc = cap_settings_open(&in, object, err, "options");
	if (rc == 0)
		rc = cap_settings_int(&in, "buffer_bytes", 1 << 20, INT32_MAX, &buffer, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "timeout_ms", 1, 1000, &timeout, err);
	rc = cap_settings_close(&in, rc, err);
	*options = (struct options){ (int)buffer, (int)timeout };
	if (rc)
		free(options);
	else
		*out = options;
	return rc;
}

static int fail_activate(struct cap_port *port, int status, struct cap_error *err)
{
	const char *name = port->config->interface;
	const char *why = pcap_geterr(port->queue.handle);

	switch (status) {
	case PCAP_ERROR_NO_SUCH_DEVICE:
		return cap_fail(err, ENODEV, "%s: pcap: there is no such interface: see ip link",
				name);
	case PCAP_ERROR_PERM_DENIED:
		return cap_fail(
			err, EPERM,
			"%s: pcap: not permitted: start the engine as root or give it CAP_NET_RAW",
			name);
	case PCAP_ERROR_IFACE_NOT_UP:
		return cap_fail(err, ENETDOWN, "%s: pcap: the interface is down: ip link set %s up",
				name, name);
	default:
		return cap_fail(err, EIO, "%s: pcap: %s: %s", name, pcap_statustostr(status), why);
	}
}

static void read_statistics(struct cap_queue *queue)
{
	struct pcap_stat stats;

	if (pcap_stats(queue->handle, &stats))
		return;
	queue->recv += (uint32_t)(stats.ps_recv - queue->seen_recv);
	queue->drop += (uint32_t)(stats.ps_drop - queue->seen_drop);
	queue->seen_recv = stats.ps_recv;
	queue->seen_drop = stats.ps_drop;
}

static void wait(struct cap_queue *queue, int timeout_ms)
{
	struct pollfd ready = { .fd = queue->fd, .events = POLLIN };

	poll(&ready, 1, timeout_ms);
}

/*
 * What came in before arm is a stranger's: take nothing more, and throw away what is there. A block of
 * libpcap's ring that is not full comes out only when its timer fires, so "none now" is not "none".
 */
static int drain(struct cap_port *port, struct cap_error *err)
{
	const struct options *options = port->config->options;
	uint64_t deadline =
		cap_monotonic_ns() + DRAIN_TIMEOUTS * (uint64_t)options->timeout_ms * CAP_NS_PER_MS;
	struct cap_queue *queue = &port->queue;
	struct pcap_pkthdr *head;
	const u_char *bytes;
	int rc = cap_socket_take_nothing(queue->fd);

	if (rc)
		return cap_fail(err, -rc, "%s: pcap: attaching a filter failed: %s",
				port->config->interface, strerror(-rc));
	for (;;) {
		while ((rc = pcap_next_ex(queue->handle, &head, &bytes)) > 0)
			queue->drained++;
		if (rc == PCAP_ERROR)
			return cap_fail(err, EIO, "%s: pcap: %s", port->config->interface,
					pcap_geterr(queue->handle));
		read_statistics(queue);
		if (queue->recv - queue->drop <= queue->drained)
			return 0;
		if (cap_monotonic_ns() >= deadline)
			return cap_fail(
				err, ETIMEDOUT,
				"%s: pcap: libpcap keeps back packets from before the start: try again",
				port->config->interface);
		wait(queue, gathering_ms(port));
	}
}

static int activate(struct cap_port *port, struct cap_port_facts *facts, struct cap_error *err)
{
	const struct options *options = port->config->options;
	char text[PCAP_ERRBUF_SIZE];
	pcap_t *handle = pcap_create(port->config->interface, text);
	int status;

	if (!handle)
		return cap_fail(err, ENOMEM, "%s: pcap: %s", port->config->interface, text);
	port->queue.handle = handle;
	/* None of these can fail before activation, except for the time stamp precision. */
	pcap_set_snaplen(handle, (int)CAP_MAX_SNAPLEN);
	pcap_set_promisc(handle, port->config->promiscuous);
	pcap_set_timeout(handle, gathering_ms(port));
	pcap_set_buffer_size(handle, options->buffer_bytes);
	if (pcap_set_tstamp_precision(handle, PCAP_TSTAMP_PRECISION_NANO))
		cap_degraded(facts,
			     "time stamps have microseconds only: this libpcap has no nanoseconds");
	status = pcap_activate(handle);
	if (status < 0)
		return fail_activate(port, status, err);
	if (status > 0)
		cap_degraded(facts, "libpcap warns: %s: %s", pcap_statustostr(status),
			     pcap_geterr(handle));
	if (pcap_setnonblock(handle, 1, text))
		return cap_fail(err, EIO, "%s: pcap: %s", port->config->interface, text);
	port->queue.fd = pcap_get_selectable_fd(handle);
	if (port->queue.fd < 0)
		return cap_fail(
			err, EINVAL,
			"%s: pcap: this kind of device cannot be waited for: use an Ethernet interface",
			port->config->interface);
	facts->link_type = cap_link_type_of(pcap_datalink(handle));
	return 0;
}

static int open_filter(struct cap_port *port, struct cap_port_facts *facts, struct cap_error *err)
{
	struct cap_error why;
	int rc;

	facts->filter_in = "none";
	if (!port->config->filter)
		return 0;
	rc = cap_filter_compile(port->config->filter, facts->link_type, &port->filter, err);
	if (rc)
		return cap_fail_in(err, rc, "%s", port->config->interface);
	facts->filter_in = "engine";
	/* The program knows where Ethernet has its VLAN tag, and nothing of other link types. */
	if (facts->link_type != CAP_LINKTYPE_ETHERNET)
		cap_degraded(
			facts,
			"filter runs in the engine, not in the kernel: not an Ethernet interface");
	else if (cap_filter_load(port->filter, &port->queue.filter, &why))
		cap_degraded(facts, "filter runs in the engine, not in the kernel: %s", why.text);
	else
		facts->filter_in = "kernel";
	return 0;
}

static void port_close(struct cap_port *port)
{
	if (port->queue.handle)
		pcap_close(port->queue.handle);
	cap_kernel_filter_free(port->queue.filter);
	cap_kernel_select_free(port->queue.select);
	cap_filter_free(port->filter);
	free(port);
}

static int port_open(const struct cap_port_config *config, struct cap_port **out,
		     struct cap_port_facts *facts, struct cap_error *err)
{
	struct cap_port *port = calloc(1, sizeof(*port));
	int rc;

	if (!port)
		return cap_fail(err, ENOMEM, "%s: out of memory", config->interface);
	port->config = config;
	rc = activate(port, facts, err);
	if (rc == 0)
		rc = open_filter(port, facts, err);
	if (rc == 0)
		rc = drain(port, err);
	if (rc) {
		port_close(port);
		return rc;
	}
	port->ethernet = facts->link_type == CAP_LINKTYPE_ETHERNET;
	port->snaplen = port->filter ? CAP_MAX_SNAPLEN : config->snaplen;
	facts->snaplen = config->snaplen;
	snprintf(facts->effective_mode, sizeof(facts->effective_mode), "%s", pcap_lib_version());
	*out = port;
	return 0;
}

static struct cap_queue *port_queue(struct cap_port *port, unsigned index)
{
	(void)index;
	return &port->queue;
}

static int load_select(struct cap_queue *queue, struct cap_error *err)
{
	int rc = cap_kernel_select_load(1, &queue->select, err);

	if (rc == 0 && queue->filter) {
		rc = cap_kernel_select_chain(queue->select, 0, queue->filter);
		if (rc) {
			cap_kernel_select_free(queue->select);
			queue->select = NULL;
			cap_fail(err, -rc,
				 "the filter does not go with the program for targets: %s",
				 strerror(-rc));
		}
	}
	return rc;
}

/* What the socket begins with when it is armed stays with it: a program that cannot be had then is never. */
static int set_targets(struct cap_port *port, const struct cap_active_targets *active,
		       uint32_t tunnels, struct cap_error *err)
{
	struct cap_queue *queue = &port->queue;
	int rc = 0;

	port->snaplen = CAP_MAX_SNAPLEN;
	if (!port->ethernet)
		return cap_fail(err, ENOTSUP, "not an Ethernet interface");
	if (!port->armed && !queue->select)
		rc = load_select(queue, err);
	else if (!queue->select)
		rc = cap_fail(err, EBUSY,
			      "the kernel refused the program for targets at the start");
	return rc ? rc : cap_kernel_select_set(queue->select, active, tunnels, err);
}

static int attach(const struct cap_port *port)
{
	const struct cap_queue *queue = &port->queue;

	if (queue->select)
		return cap_kernel_select_attach(queue->select, 0, queue->fd);
	if (queue->filter)
		return cap_kernel_filter_attach(queue->filter, queue->fd);
	return cap_socket_take_all(queue->fd, port->snaplen);
}

static int port_arm(struct cap_port *port, struct cap_error *err)
{
	struct cap_queue *queue = &port->queue;
	int rc = drain(port, err);

	if (rc)
		return rc;
	queue->recv = queue->drop = 0;
	port->armed = true;
	rc = attach(port);
	if (rc)
		return cap_fail(err, -rc, "%s: pcap: attaching the filter failed: %s",
				port->config->interface, strerror(-rc));
	return 0;
}

static void port_disarm(struct cap_port *port)
{
	(void)cap_socket_take_nothing(port->queue.fd);
}

static int rx_burst(struct cap_queue *queue, struct cap_packet *packets, unsigned max)
{
	struct pcap_pkthdr *head;
	const u_char *bytes;
	int rc = pcap_next_ex(queue->handle, &head, &bytes);

	(void)max;
	if (rc <= 0)
		return rc == 0 ? 0 : -EIO;
	/* With nanosecond precision libpcap keeps nanoseconds in tv_usec. */
	packets[0] = (struct cap_packet){
		.data = bytes,
		.len = head->caplen,
		.wire_len = head->len,
		.timestamp_ns =
			(uint64_t)head->ts.tv_sec * CAP_NS_PER_S + (uint64_t)head->ts.tv_usec,
		.n_segments = 1,
	};
	return 1;
}

/* The packet was libpcap's own copy. */
static void release(struct cap_queue *queue)
{
	(void)queue;
}

static void counters(struct cap_queue *queue, struct cap_source_counters *out)
{
	struct cap_kernel_selected selected;
	uint64_t accepted;

	read_statistics(queue);
	*out = (struct cap_source_counters){ .wire = queue->recv, .dropped = queue->drop };
	if (queue->filter) {
		cap_kernel_filter_counters(queue->filter, &out->wire, &accepted);
		out->filtered = out->wire - accepted;
	}
	if (queue->select) {
		cap_kernel_select_counters(queue->select, 0, &selected);
		out->wire = selected.seen;
		out->filtered += selected.rejected;
		out->unjudged = selected.unjudged;
	}
}

static const struct cap_mode modes[] = {
	{ .name = "live",
	  .asked_by = "the method alone",
	  .features = CAP_FEATURE_KERNEL_FILTER | CAP_FEATURE_NETDEV,
	  .queues = "one",
	  .time = "the kernel's, nanoseconds" },
	{ 0 },
};

static const char *const drops[] = { "kernel_dropped", NULL };

const struct cap_driver cap_driver_pcap = {
	.name = "pcap",
	.summary = "libpcap's live capture: one queue, one copy more; for tests and quiet links",
	.wire = "libpcap's ps_recv, or what our program in the kernel counts (filter, targets)",
	.sees = "ps_drop: the ring was full",
	.drops = drops,
	.blind = "what the NIC loses before the kernel, but for its own counters",
	.features = CAP_FEATURE_KERNEL_FILTER | CAP_FEATURE_NETDEV,
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
