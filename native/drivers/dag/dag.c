// SPDX-License-Identifier: Apache-2.0
/*
 * DAG cards. A card writes records (ERF) with its own time stamps into the memory of a stream, where they
 * are read in place: what has been handed out is given back when the library is asked for more.
 *
 * Counters. There is none of the wire apart from the records: wire is what was taken out of the stream and
 * what the card says that it had no room for. What the card writes between the last look and its stop is
 * nobody's: at disarm each worker asks once more for what there is, then for what the card holds in a block
 * that is not full, and takes no more than that.
 *
 * Framing. A record says where the next one begins. When one cannot be right, what lies behind it in the
 * stream cannot be told apart: the port is then closed and opened anew, and the log says how many bytes
 * were given up.
 */
#include "dag.h"

#include "about.h"
#include "clock.h"
#include "ledger.h"
#include "loadable.h"
#include "log.h"
#include "pcapng.h"
#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#define POLLS_BEFORE_SLEEP 64U
#define FIRST_SLEEP_NS 5000U
#define LONGEST_DOUBLINGS 8U

/* A stream has megabytes: at 100 Gbit/s, a millisecond brings 12 of them. */
#define LONGEST_SLEEP_NS 1000000U

/* After disarm: one for what has been written, and one that has the card give up a half-filled block. */
#define LAST_LOOKS 2U

/* Ample for a card to write some kilobytes. */
#define LAST_WAIT_US 1000U

static int find_device(struct cap_port *port, struct cap_error *err)
{
	const char *name = port->config->interface;
	int stream = 0;

	errno = 0;
	if (port->library.parse_name(name, port->device, sizeof(port->device), &stream) < 0)
		return cap_fail(err, EINVAL,
				"%s: dag: is no name of a DAG card: write one such as dag0", name);
	if (stream)
		return cap_fail(err, EINVAL,
				"%s: dag: names a stream: write it as options.streams: [%d]", name,
				stream);
	return 0;
}

static int open_card(struct cap_port *port, struct cap_error *err)
{
	const char *name = port->config->interface;

	errno = 0;
	port->fd = port->library.open(port->device);
	if (port->fd >= 0)
		return 0;
	if (errno == ENOENT || errno == ENXIO || errno == ENODEV)
		return cap_fail(
			err, ENODEV,
			"%s: dag: there is no card %s (%s): load the vendor's module, or correct the interface's name",
			name, port->device, strerror(errno));
	if (errno == EACCES || errno == EPERM)
		return cap_fail(
			err, EACCES,
			"%s: dag: %s may not be opened (%s): give it to the engine's group by a udev rule",
			name, port->device, strerror(errno));
	return cap_fail(err, errno > 0 ? errno : EIO, "%s: dag: %s cannot be opened: %s", name,
			port->device, strerror(errno));
}

static void describe_mode(const struct cap_port *port, struct cap_port_facts *facts)
{
	char streams[48] = "";
	size_t used = 0;

	for (unsigned q = 0; q < port->queue_count && used < sizeof(streams); q++)
		used += (size_t)snprintf(streams + used, sizeof(streams) - used, "%s%d",
					 q ? "," : "", port->queues[q].stream);
	snprintf(facts->effective_mode, sizeof(facts->effective_mode),
		 "zero-copy, stream%s %s%s, the card's time, %s", port->queue_count > 1 ? "s" : "",
		 streams, used >= sizeof(streams) ? "..." : "", cap_dag_drops_words(port));
}

static void release_card(struct cap_port *port)
{
	if (port->fd >= 0) {
		cap_dag_release_streams(port);
		if (port->library.close(port->fd) < 0 && !port->gone)
			cap_warn("not_closed", "%s: dag: %s cannot be closed: %s",
				 port->config->interface, port->device, strerror(errno));
	}
	port->fd = -1;
	cap_dag_drops_close(port);
	cap_dag_library_close(&port->library);
	pthread_mutex_destroy(&port->card_lock);
}

static int port_open(const struct cap_port_config *config, struct cap_port **out,
		     struct cap_port_facts *facts, struct cap_error *err)
{
	size_t size = sizeof(struct cap_port) + config->queues * sizeof(struct cap_queue);
	const struct cap_dag_options *options = config->options;
	struct cap_port *port = aligned_alloc(64, (size + 63) & ~(size_t)63);
	int rc;

	if (!port)
		return cap_fail(err, ENOMEM, "%s: out of memory", config->interface);
	memset(port, 0, size);
	port->config = config;
	port->options = options;
	port->fd = -1;
	port->queue_count = config->queues;
	for (unsigned q = 0; q < config->queues; q++)
		port->queues[q].port = port;
	pthread_mutex_init(&port->card_lock, NULL);
	rc = cap_dag_library_open(&port->library, config->interface, options->library, err);
	if (rc == 0)
		rc = find_device(port, err);
	if (rc == 0)
		rc = open_card(port, err);
	if (rc == 0)
		rc = cap_dag_attach_streams(port, facts, err);
	if (rc) {
		release_card(port);
		free(port);
		return rc;
	}
	cap_dag_drops_open(port, facts);
	facts->link_type = CAP_LINKTYPE_ETHERNET;
	facts->snaplen = config->snaplen;
	facts->fcs_len = options->fcs == CAP_ERF_FCS_KEEP ? CAP_ETHERNET_FCS : 0;
	facts->filter_in = config->filter ? "engine" : "none";
	describe_mode(port, facts);
	*out = port;
	return 0;
}

static struct cap_queue *port_queue(struct cap_port *port, unsigned index)
{
	return &port->queues[index];
}

static int port_arm(struct cap_port *port, struct cap_error *err)
{
	int rc = cap_dag_start_streams(port, err);

	if (rc == 0)
		cap_dag_drops_begin(port);
	return rc;
}

static int fail_queue(struct cap_queue *queue, int rc)
{
	struct cap_port *port = queue->port;

	queue->failed = rc;
	if (rc == -EBADMSG) {
		cap_alert(
			"stream_lost",
			"%s: dag: stream %d: %s: its last %zu bytes cannot be told apart and are given up; the stream is opened anew",
			port->config->interface, queue->stream, queue->why,
			(size_t)(queue->top - queue->next));
	} else {
		__atomic_store_n(&port->gone, true, __ATOMIC_RELAXED);
		cap_alert("card_lost", "%s: dag: stream %d cannot be read any more: %s",
			  port->config->interface, queue->stream, strerror(-rc));
	}
	queue->next = queue->top;
	return rc;
}

static bool is_empty(const struct cap_queue *queue)
{
	return queue->starved || queue->next == queue->top;
}

/* @return whether it is time to look at the card: nothing is left, or much has been handed out */
static bool is_look_due(const struct cap_queue *queue)
{
	if (is_empty(queue))
		return queue->last_looks < LAST_LOOKS;
	return !queue->last_looks &&
	       (size_t)(queue->next - queue->bottom) >= queue->port->give_back;
}

/* @return 0 or negative errno */
static int refill(struct cap_queue *queue)
{
	const struct cap_port *port = queue->port;
	bool disarmed;
	int rc;

	if (!is_look_due(queue))
		return 0;
	disarmed = __atomic_load_n(&port->disarmed, __ATOMIC_ACQUIRE);
	/* Where that cannot be set, the look itself says why. */
	if (disarmed && !queue->last_looks)
		(void)cap_dag_set_wait(&port->library, port->fd, queue->stream, LAST_WAIT_US);
	rc = cap_dag_advance(queue);
	/* One that has waited in vain leaves nothing for another. */
	if (disarmed)
		queue->last_looks = is_empty(queue) ? LAST_LOOKS : queue->last_looks + 1;
	return rc;
}

static void tell_first(const struct cap_queue *queue, const struct cap_erf_record *record)
{
	const struct cap_port *port = queue->port;
	char room[CAP_ERF_NAME];

	if (record->kind == CAP_ERF_OTHER_LINK)
		cap_warn(
			"other_link",
			"%s: dag: stream %d brings records of %s, which are no Ethernet frames: they are counted as other_link and not captured",
			port->config->interface, queue->stream,
			cap_erf_type_name(record->type, room));
	if (record->coloured && port->drops_from == CAP_DAG_DROPS_RECORDS)
		cap_warn(
			"no_loss_counter",
			"%s: dag: stream %d brings records of %s, which have a colour in place of the loss counter: what the stream has no room for is not seen: name the card's counter as options.drop_attribute",
			port->config->interface, queue->stream,
			cap_erf_type_name(record->type, room));
}

static void describe(struct cap_queue *queue, unsigned i, const struct cap_erf_record *record,
		     struct cap_packet *packet)
{
	packet->data = record->frame;
	packet->len = record->captured;
	packet->wire_len = record->wire;
	packet->timestamp_ns = record->timestamp_ns;
	packet->vlan_tpid = 0;
	packet->n_segments = 1;
	packet->note = queue->notes[i];
	packet->note_len = cap_erf_note(record, queue->notes[i]);
	packet->lost_before = queue->lost;
	queue->lost = 0;
}

/* @return whether it is a packet to be handed out */
static bool account(struct cap_queue *queue, struct cap_erf_record *record, int rc,
		    const struct cap_error *err)
{
	if (queue->first)
		record->lost = 0;
	queue->first = false;
	queue->lost += record->lost;
	if (rc) {
		if (!queue->tally.damaged)
			cap_warn("damaged_record",
				 "%s: dag: stream %d: %s: such records are counted as invalid",
				 queue->port->config->interface, queue->stream, err->text);
		cap_erf_count_damaged(&queue->tally, record);
		return false;
	}
	if (cap_erf_count(&queue->tally, record))
		tell_first(queue, record);
	return record->kind == CAP_ERF_FRAME;
}

/* A sleep of 5 us must not become one of 55. */
static void make_ready(struct cap_queue *queue)
{
	queue->ready = true;
	prctl(PR_SET_TIMERSLACK, 1UL);
}

static int rx_burst(struct cap_queue *queue, struct cap_packet *packets, unsigned max)
{
	const struct cap_port *port = queue->port;
	enum cap_erf_fcs fcs = (enum cap_erf_fcs)port->options->fcs;
	struct cap_erf_record record;
	struct cap_error err;
	unsigned n = 0;
	int rc;

	if (!queue->ready)
		make_ready(queue);
	if (queue->failed)
		return queue->failed;
	if (*queue->why)
		return fail_queue(queue, -EBADMSG);
	rc = refill(queue);
	if (rc)
		return fail_queue(queue, rc);
	while (n < max) {
		rc = cap_erf_read(queue->next, (size_t)(queue->top - queue->next), fcs, &record,
				  &err);
		if (rc == -EAGAIN || rc == -EBADMSG)
			break;
		queue->next += record.size;
		if (account(queue, &record, rc, &err)) {
			describe(queue, n, &record, &packets[n]);
			n++;
		}
	}
	queue->starved = rc == -EAGAIN;
	if (rc == -EBADMSG)
		snprintf(queue->why, sizeof(queue->why), "%.*s", (int)sizeof(queue->why) - 1,
			 err.text);
	if (n) {
		queue->empty_polls = 0;
		cap_count(&queue->taken, n);
	}
	return (int)n;
}

/* The records stay where they are until the next look at the card; `next` says how far they may go. */
static void release(struct cap_queue *queue)
{
	(void)queue;
}

static void wait(struct cap_queue *queue, int timeout_ms)
{
	uint64_t most = (uint64_t)timeout_ms * CAP_NS_PER_MS, ns = LONGEST_SLEEP_NS;
	struct timespec pause;
	unsigned doublings;

	if (++queue->empty_polls <= POLLS_BEFORE_SLEEP ||
	    queue->port->options->idle == CAP_DAG_IDLE_POLL)
		return;
	doublings = queue->empty_polls - POLLS_BEFORE_SLEEP - 1;
	if (doublings < LONGEST_DOUBLINGS)
		ns = (uint64_t)FIRST_SLEEP_NS << doublings;
	pause = (struct timespec){ .tv_nsec = (long)(ns < most ? ns : most) };
	nanosleep(&pause, NULL);
}

/* What came out of the stream: packets, and records that are none that can be captured. */
static uint64_t arrived(const struct cap_queue *queue)
{
	return cap_sample(&queue->taken) + cap_sample(&queue->tally.other_links) +
	       cap_sample(&queue->tally.damaged);
}

static void counters(struct cap_queue *queue, struct cap_source_counters *out)
{
	cap_dag_drops_renew(queue);
	*out = (struct cap_source_counters){
		.wire = arrived(queue) + queue->drops,
		.ring_full = queue->drops,
		.other_link = queue->tally.other_links,
		.invalid = queue->tally.damaged,
	};
}

/* Is there a card to be opened? A library that is gone is told by the attempt to open the port. */
static int look_for_card(const struct cap_port_config *config)
{
	const struct cap_dag_options *options = config->options;
	struct cap_dag_library library;
	char device[CAP_DAG_NAME];
	struct cap_error err;
	int stream, fd = -1;

	if (cap_dag_library_open(&library, config->interface, options->library, &err))
		return 0;
	if (library.parse_name(config->interface, device, sizeof(device), &stream) >= 0)
		fd = library.open(device);
	if (fd >= 0)
		library.close(fd);
	cap_dag_library_close(&library);
	return fd >= 0 ? 0 : -ENODEV;
}

static int watch(const struct cap_port_config *config, struct cap_port *port,
		 struct cap_device *device)
{
	struct stat node;

	/* Whether a port of the card carries, nobody says in the same way for all cards. */
	*device = (struct cap_device){ .up = true };
	if (!port)
		return look_for_card(config);
	if (__atomic_load_n(&port->gone, __ATOMIC_RELAXED) || fstat(port->fd, &node) ||
	    node.st_nlink == 0)
		return -ENODEV;
	for (unsigned q = 0; q < port->queue_count; q++)
		device->rx_packets += arrived(&port->queues[q]);
	return 0;
}

static int device_counters(struct cap_port *port, struct cap_device_counter *out, unsigned max)
{
	struct cap_erf_tally sum = { 0 };

	for (unsigned q = 0; q < port->queue_count; q++)
		cap_erf_add(&sum, &port->queues[q].tally);
	return (int)cap_erf_counters(&sum, out, max);
}

static void port_disarm(struct cap_port *port)
{
	__atomic_store_n(&port->disarmed, true, __ATOMIC_RELEASE);
}

static void port_close(struct cap_port *port)
{
	release_card(port);
	free(port);
}

static const struct cap_driver driver = {
	CAP_DAG_ABOUT,
	.parse_options = cap_dag_parse_options,
	.free_options = cap_dag_free_options,
	.open = port_open,
	.queue = port_queue,
	.arm = port_arm,
	.rx_burst = rx_burst,
	.release = release,
	.wait = wait,
	.counters = counters,
	.watch = watch,
	.device_counters = device_counters,
	.disarm = port_disarm,
	.close = port_close,
};

CAP_SOURCE(driver);
