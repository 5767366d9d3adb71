// SPDX-License-Identifier: Apache-2.0
/*
 * Opening rings. The module is asked for whole frames only where the filter or the snap length needs them: a
 * ring takes its slots times the frame's room of kernel memory.
 *
 * The filter. PF_RING judges frames without the VLAN tags that the kernel takes out of them, and counts what it
 * rejects nowhere. So the library is only had to switch the module's filtering on, by an expression that every
 * frame meets; arm then exchanges the program for ours, which sees the tag in its place and counts.
 */
#include "ring.h"

#include "clock.h"
#include "filter.h"
#include "netdev.h"
#include "pcapng.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The number of a kernel cluster stands for an interface; other programs use small ones by custom. */
#define CLUSTER_BASE 4096U
#define CLUSTER_SPAN 60000U

/* Libraries before 8.4 shift a channel's bit as an int. */
#define LAST_SAFE_CHANNEL 30U

/* Long enough for a new licence to be bought. */
#define LICENCE_WARNING_DAYS 30

#define EVERY_FRAME "len >= 0"

static const char application[] = "capstan-engine";

static int fail(const struct cap_port *port, struct cap_error *err, const char *what)
{
	return cap_fail(err, EIO, "%s: pf_ring: %s failed: see the kernel's log",
			port->config->interface, what);
}

static bool by_channels(const struct cap_port *port)
{
	return port->queue_count > 1 && port->options->spread == CAP_PFRING_BY_CHANNELS;
}

static int check_channels(const struct cap_port *port, unsigned channels, struct cap_error *err)
{
	const char *name = port->config->interface;

	if (port->options->zc && channels != port->queue_count)
		return cap_fail(
			err, EINVAL,
			"%s: pf_ring: has %u receive channels and %u queues were asked for, and with zc the others would be lost: write queues %u, or change the NIC's channels",
			name, channels, port->queue_count, channels);
	if (by_channels(port) && port->queue_count > channels)
		return cap_fail(
			err, EINVAL,
			"%s: pf_ring: has %u receive channels, and %u queues were asked for: write queues %u, or spread flow for a kernel cluster",
			name, channels, port->queue_count, channels);
	return 0;
}

static void describe_licence(const struct cap_port *port, char text[CAP_RFC3339_LEN])
{
	cap_rfc3339(port->licence_until * CAP_NS_PER_S, text);
	text[strlen("2026-01-01")] = '\0';
}

/* Without a licence the library captures for five minutes, which is no capture. */
static int check_licence(struct cap_port *port, struct cap_port_facts *facts, struct cap_error *err)
{
	const char *name = port->config->interface;
	char device[CAP_PFRING_DEVICE], bare[CAP_NAME_LEN], date[CAP_RFC3339_LEN];
	uint32_t until = 0;
	time_t now = time(NULL);
	bool valid;

	if (!port->library.licence)
		return cap_fail(
			err, ENOTSUP,
			"%s: pf_ring: the vendor's library was built without zero-copy: install the vendor's package pfring, or write zc: false",
			name);
	snprintf(device, sizeof(device), "zc:%s", name);
	snprintf(bare, sizeof(bare), "%s", name);
	/* Its versions differ in which of both names they know. */
	valid = port->library.licence(device, &until) == 1 ||
		port->library.licence(bare, &until) == 1;
	port->licence_until = until;
	describe_licence(port, date);
	if (until && (time_t)until <= now)
		return cap_fail(
			err, EKEYEXPIRED,
			"%s: pf_ring: the licence for zero-copy expired on %s: install a new one in /etc/pf_ring, or write zc: false",
			name, date);
	if (!valid)
		return cap_fail(
			err, ENOKEY,
			"%s: pf_ring: there is no valid licence for zero-copy on this NIC: install one in /etc/pf_ring, or write zc: false",
			name);
	if (until && (time_t)until - now < LICENCE_WARNING_DAYS * 86400L)
		cap_degraded(facts, "the licence for zero-copy expires on %s", date);
	return 0;
}

/* Clusters are locked, and rings that several channels of a NIC write into. */
static bool has_own_channels(const struct cap_port *port, unsigned channels)
{
	return !port->options->zc && port->queue_count >= channels &&
	       (port->queue_count == 1 || by_channels(port));
}

static void judge_module(struct cap_port *port, unsigned channels, struct cap_port_facts *facts)
{
	if (!port->module.locks_rings && has_own_channels(port, channels) &&
	    cap_pfring_is_steered(CAP_PFRING_ROOT, port->config->interface, port->ifindex))
		cap_degraded(
			facts,
			"the kernel hands packets on to other CPUs (rps_cpus), and the module does not lock the rings that they write into: write 0 into each queue's rps_cpus, or load it with force_ring_lock=1");
	if (port->module.rebuilds_fragments)
		cap_degraded(
			facts,
			"the module rebuilds IP fragments, so that files hold packets that were never on the wire: load it with enable_ip_defrag=0");
	if (port->module.leaves_tags_out)
		cap_degraded(
			facts,
			"the module leaves out the VLAN tags that the kernel took from frames: load it with keep_vlan_offload=0");
}

static int join_cluster(const struct cap_port *port, struct cap_queue *queue, struct cap_error *err)
{
	const struct cap_pfring_library *library = &port->library;
	unsigned id = CLUSTER_BASE + port->ifindex % CLUSTER_SPAN;
	int type = cap_pfring_cluster_type(port->options->spread);
	int holder = queue->index ? 0 : cap_pfring_cluster_holder(CAP_PFRING_ROOT, id);
	int rc;

	if (holder)
		return cap_fail(
			err, EBUSY,
			"%s: pf_ring: the kernel cluster %u is used by the process %d, which would get part of the packets: stop that one",
			port->config->interface, id, holder);
	if (library->set_cluster_consumer)
		rc = library->set_cluster_consumer(queue->ring, (uint16_t)id,
						   (uint16_t)queue->index, type, 0);
	else if (library->set_cluster)
		rc = library->set_cluster(queue->ring, id, type);
	else
		rc = CAP_PFRING_NOT_SUPPORTED;
	return rc ? cap_fail(
			    err, EIO,
			    "%s: pf_ring: joining the kernel cluster (%s) failed: write spread channels",
			    port->config->interface,
			    cap_pfring_spread_words[port->options->spread]) :
		    0;
}

static int set_channels(const struct cap_port *port, struct cap_queue *queue, unsigned channels,
			struct cap_error *err)
{
	uint64_t mask = cap_pfring_channels(queue->index, port->queue_count);

	/* The device's name has said which one, where that is the only one. */
	if (channels <= port->queue_count && queue->index <= LAST_SAFE_CHANNEL)
		return 0;
	return port->library.set_channel_mask(queue->ring, mask) ?
		       fail(port, err, "choosing receive channels") :
		       0;
}

static int open_ring(struct cap_port *port, struct cap_queue *queue, struct cap_error *err)
{
	const struct cap_port_config *config = port->config;
	uint32_t flags = (config->promiscuous ? CAP_PFRING_PROMISC : 0U) |
			 (port->options->hardware_time ? CAP_PFRING_HW_TIMESTAMP : 0U) |
			 (port->options->zc ? CAP_PFRING_ZC_SYMMETRIC_RSS : 0U);
	char device[CAP_PFRING_DEVICE];

	cap_pfring_device(config, queue->index, device);
	errno = 0;
	queue->ring = port->library.open(device, port->caplen, flags);
	if (!queue->ring) {
		const int code = errno;
		struct cap_pfring_failure failure = {
			.interface = config->interface,
			.code = code,
			.socket = cap_pfring_try_socket(),
			.zc = port->options->zc,
			.library_version = port->library.version,
			.caplen = port->caplen,
		};

		return cap_pfring_explain(&failure, &port->module, err);
	}
	return 0;
}

static int set_up_ring(struct cap_port *port, struct cap_queue *queue, struct cap_error *err)
{
	const struct cap_pfring_library *library = &port->library;
	char name[sizeof(application)];

	memcpy(name, application, sizeof(name));
	/* What this host sends is not what arrived; zero-copy has no direction to choose. */
	if (library->set_direction(queue->ring, CAP_PFRING_RX_ONLY) && !port->options->zc)
		return fail(port, err, "choosing the direction");
	(void)library->set_socket_mode(queue->ring, CAP_PFRING_RECV_ONLY);
	(void)library->set_application_name(queue->ring, name);
	if (!port->options->zc &&
	    library->set_poll_watermark(queue->ring, (uint16_t)port->options->watermark))
		return fail(port, err, "setting the watermark");
	return 0;
}

static int judge_module_version(struct cap_port *port, struct cap_error *err)
{
	char have[CAP_PFRING_VERSION_TEXT], least[CAP_PFRING_VERSION_TEXT];

	if (port->library.version_of(port->queues[0].ring, &port->module_version))
		port->module_version = 0;
	if (!port->module_version || port->module_version >= CAP_PFRING_OLDEST)
		return 0;
	cap_pfring_version_text(port->module_version, have);
	cap_pfring_version_text(CAP_PFRING_OLDEST, least);
	return cap_fail(
		err, EPROTONOSUPPORT,
		"%s: pf_ring: the loaded module is PF_RING %s, and %s is the oldest that is used, because those before mix up VLAN tags and receive channels: install %s or later, and load it anew",
		port->config->interface, have, least, least);
}

static void forget_filters(struct cap_port *port)
{
	for (unsigned i = 0; i < port->queue_count; i++) {
		cap_kernel_filter_free(port->queues[i].filter);
		port->queues[i].filter = NULL;
	}
}

/* @return whether the module will run a filter for every ring */
static bool filter_in_module(struct cap_port *port, struct cap_port_facts *facts)
{
	struct cap_error why;

	for (unsigned i = 0; i < port->queue_count; i++) {
		struct cap_queue *queue = &port->queues[i];

		if (port->library.set_bpf_filter(queue->ring, EVERY_FRAME)) {
			cap_degraded(
				facts,
				"filter runs in the engine, not in the kernel: the vendor's library sets none");
			return false;
		}
		if (cap_filter_load(port->filter, &queue->filter, &why)) {
			cap_degraded(facts, "filter runs in the engine, not in the kernel: %s",
				     why.text);
			return false;
		}
	}
	return true;
}

static int open_filter(struct cap_port *port, struct cap_port_facts *facts, struct cap_error *err)
{
	int rc;

	facts->filter_in = "none";
	if (!port->config->filter)
		return 0;
	rc = cap_filter_compile(port->config->filter, CAP_LINKTYPE_ETHERNET, &port->filter, err);
	if (rc)
		return cap_fail_in(err, rc, "%s", port->config->interface);
	facts->filter_in = "engine";
	/*
	 * With zero-copy no kernel sees the frames. By channels, the module judges every frame of the interface
	 * for each ring before it looks at the channel: the rejected ones would be counted in all of them.
	 */
	if (port->options->zc || by_channels(port))
		return 0;
	if (filter_in_module(port, facts))
		facts->filter_in = "kernel";
	else
		forget_filters(port);
	return 0;
}

static uint32_t count_slots(const struct cap_port *port)
{
	struct cap_pfring_card card = { 0 };

	if (!port->options->zc)
		return port->module.slots;
	return port->library.get_card_settings(port->queues[0].ring, &card) ? 0 :
									      card.rx_ring_slots;
}

static void describe(const struct cap_port *port, struct cap_port_facts *facts)
{
	char library[CAP_PFRING_VERSION_TEXT], module[CAP_PFRING_VERSION_TEXT] = "unknown";
	char licence[CAP_RFC3339_LEN + 16] = "", queues[64] = "", slots[32] = "";
	const char *clock = port->options->hardware_time ? "NIC" :
			    port->options->zc		 ? "engine" :
							   "kernel";
	const size_t room = sizeof(facts->effective_mode);

	cap_pfring_version_text(port->library.version, library);
	if (port->module_version)
		cap_pfring_version_text(port->module_version, module);
	if (port->options->zc && port->licence_until) {
		memcpy(licence, ", licence to ", sizeof(", licence to "));
		describe_licence(port, licence + strlen(licence));
	}
	if (port->slots)
		snprintf(slots, sizeof(slots), ", %u slots", port->slots);
	if (port->queue_count > 1 && !by_channels(port))
		snprintf(queues, sizeof(queues), ", cluster %s over %u queues",
			 cap_pfring_spread_words[port->options->spread], port->queue_count);
	else if (port->queue_count > 1)
		snprintf(queues, sizeof(queues), ", %u channels", port->queue_count);
	if (snprintf(facts->effective_mode, room, "PF_RING %s, module %s, %s%s%s%s, time by the %s",
		     library, module, port->options->zc ? "zero-copy" : "1-copy", licence, queues,
		     slots, clock) >= (int)room)
		memcpy(facts->effective_mode + room - sizeof("..."), "...", sizeof("..."));
}

int cap_pfring_open_rings(struct cap_port *port, struct cap_port_facts *facts,
			  struct cap_error *err)
{
	unsigned channels = cap_netdev_queues(port->config->interface);
	int rc = check_channels(port, channels, err);

	cap_pfring_module_read(CAP_PFRING_ROOT, &port->module);
	if (rc == 0 && port->options->zc)
		rc = check_licence(port, facts, err);
	for (unsigned i = 0; rc == 0 && i < port->queue_count; i++) {
		struct cap_queue *queue = &port->queues[i];

		rc = open_ring(port, queue, err);
		if (rc == 0 && i == 0)
			rc = judge_module_version(port, err);
		if (rc == 0)
			rc = set_up_ring(port, queue, err);
		if (rc == 0 && by_channels(port) && !port->options->zc)
			rc = set_channels(port, queue, channels, err);
		else if (rc == 0 && port->queue_count > 1 && !port->options->zc)
			rc = join_cluster(port, queue, err);
	}
	if (rc == 0)
		rc = open_filter(port, facts, err);
	if (rc)
		return rc;
	judge_module(port, channels, facts);
	port->slots = count_slots(port);
	describe(port, facts);
	return 0;
}

void cap_pfring_close_rings(struct cap_port *port)
{
	for (unsigned i = 0; i < port->queue_count; i++)
		if (port->queues[i].ring)
			port->library.close(port->queues[i].ring);
	forget_filters(port);
	cap_filter_free(port->filter);
}
