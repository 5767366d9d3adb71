// SPDX-License-Identifier: Apache-2.0
/*
 * A source without a NIC: a pcap, pcapng or ERF file, or packets generated once and handed out from memory
 * over and over. It waits for the engine and so never loses a packet; what it hands out is what later
 * stages are tested and measured with.
 */
#include "drivers.h"

#include "clock.h"
#include "log.h"
#include "pcapng.h"
#include "replay_file.h"
#include "replay_generate.h"
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum pace { PACE_FAST, PACE_RECORDED };

struct options {
	char *file;
	int64_t loops; /* times through the file */
	int pace;
	int fcs; /* enum cap_erf_fcs of an ERF file */
	struct cap_generate_options generate;
};

struct cap_queue {
	const struct cap_port_config *config;
	const struct options *options;
	uint64_t handed;
	bool armed, stopped;

	/* from a file */
	struct cap_replay_file *reader;
	int64_t loop;
	uint8_t *arena; /* copies of one burst, where the reader's own bytes last one packet */
	char (*notes)[CAP_ERF_NOTE]; /* of the same burst's packets */
	struct cap_erf_tally tally;
	struct cap_packet ahead; /* with recorded pace: read before its time; data is NULL if none */
	bool broken, told_losses;
	uint64_t first_recorded, first_replayed;

	/* from memory */
	struct cap_generator *generator;
} CAP_OWN_LINES;

struct cap_port {
	unsigned queue_count;
	struct cap_queue queues[];
};

static int read_generate(struct cap_settings *in, struct options *options, struct cap_error *err)
{
	json_t *object = cap_settings_take(in, "generate");

	if (!object) {
		if (options->file)
			return 0;
		return cap_fail(err, EINVAL,
				"options: method replay needs \"file\" or \"generate\"");
	}
	if (options->file)
		return cap_fail(err, EINVAL,
				"options: \"file\" and \"generate\" exclude each other: keep one");
	return cap_generate_read(object, &options->generate, err);
}

static void free_options(void *opaque)
{
	struct options *options = opaque;

	free(options->file);
	free(options);
}

static int parse_options(json_t *object, void **out, struct cap_error *err)
{
	static const char *const paces[] = { "fast", "recorded", NULL };
	struct options *options = malloc(sizeof(*options));
	struct cap_settings in;
	int rc;

	if (!options)
		return cap_fail(err, ENOMEM, "out of memory");
	*options = (struct options){
		.loops = 1,
		.generate = { .flows = 1024, .distinct = 4096, .size_count = 1, .sizes = { 64 } },
	};
	rc = cap_settings_open(&in, object, err, "options");
	if (rc == 0)
		rc = cap_settings_text(&in, "file", &options->file, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "loops", 1, INT64_MAX, &options->loops, err);
	if (rc == 0)
		rc = cap_settings_word(&in, "pace", paces, &options->pace, err);
	if (rc == 0)
		rc = cap_settings_word(&in, "fcs", cap_erf_fcs_words, &options->fcs, err);
	if (rc == 0)
		rc = read_generate(&in, options, err);
	rc = cap_settings_close(&in, rc, err);
	if (rc)
		free_options(options);
	else
		*out = options;
	return rc;
}

static int open_file(struct cap_queue *queue, struct cap_error *err)
{
	int rc = cap_replay_file_open(queue->config->interface, queue->options->file,
				      (enum cap_erf_fcs)queue->options->fcs, &queue->reader, err);

	if (rc)
		return rc;
	if (cap_replay_file_has_bursts(queue->reader))
		return 0;
	if (!queue->arena)
		queue->arena = malloc((size_t)CAP_BURST * CAP_MAX_SNAPLEN);
	if (!queue->notes)
		queue->notes = calloc(CAP_BURST, sizeof(*queue->notes));
	if (!queue->arena || !queue->notes)
		return cap_fail(err, ENOMEM, "%s: replay: out of memory", queue->config->interface);
	return 0;
}

static int open_generator(struct cap_queue *queue, struct cap_error *err)
{
	int rc = cap_generator_make(&queue->options->generate, &queue->generator, err);

	return rc ? cap_fail_in(err, rc, "%s", queue->config->interface) : 0;
}

static void port_close(struct cap_port *port)
{
	for (unsigned i = 0; i < port->queue_count; i++) {
		cap_replay_file_close(port->queues[i].reader);
		free(port->queues[i].arena);
		free(port->queues[i].notes);
		cap_generator_free(port->queues[i].generator);
	}
	free(port);
}

static int port_open(const struct cap_port_config *config, struct cap_port **out,
		     struct cap_port_facts *facts, struct cap_error *err)
{
	const struct options *options = config->options;
	struct cap_port *port;
	int rc = 0;

	if (options->file && config->queues > 1)
		return cap_fail(err, EINVAL, "%s: replay: a file has one order: write queues 1",
				config->interface);
	port = cap_port_alloc(sizeof(*port) + config->queues * sizeof(port->queues[0]));
	if (!port)
		return cap_fail(err, ENOMEM, "%s: out of memory", config->interface);
	port->queue_count = config->queues;
	for (unsigned i = 0; rc == 0 && i < config->queues; i++) {
		port->queues[i].config = config;
		port->queues[i].options = options;
		rc = options->file ? open_file(&port->queues[i], err) :
				     open_generator(&port->queues[i], err);
	}
	if (rc) {
		port_close(port);
		return rc;
	}
	facts->filter_in = config->filter ? "engine" : "none";
	facts->snaplen = config->snaplen;
	facts->link_type = CAP_LINKTYPE_ETHERNET;
	if (options->file) {
		facts->link_type = cap_replay_file_link_type(port->queues[0].reader);
		facts->fcs_len = cap_replay_file_fcs_len(port->queues[0].reader);
	}
	snprintf(facts->effective_mode, sizeof(facts->effective_mode), "%s",
		 options->file ? cap_replay_file_words(port->queues[0].reader) : "from memory");
	*out = port;
	return 0;
}

static struct cap_queue *port_queue(struct cap_port *port, unsigned index)
{
	return &port->queues[index];
}

static int port_arm(struct cap_port *port, struct cap_error *err)
{
	(void)err;
	for (unsigned i = 0; i < port->queue_count; i++)
		port->queues[i].armed = true;
	return 0;
}

static void port_disarm(struct cap_port *port)
{
	for (unsigned i = 0; i < port->queue_count; i++)
		__atomic_store_n(&port->queues[i].stopped, true, __ATOMIC_RELAXED);
}

/* What an ERF file says was lost never reached this engine: no packet of its ledger. */
static void tell_losses(struct cap_queue *queue)
{
	const struct cap_erf_tally *tally = &queue->tally;

	if (tally->lost && !queue->told_losses)
		cap_warn(
			"lost_before_replay",
			"%s: replay: %s: its loss counters tell of %s%llu packets that were lost when it was captured: they stand in the new file (epb_dropcount), and not in the ledger",
			queue->config->interface, queue->options->file,
			tally->saturated ? "at least " : "", (unsigned long long)tally->lost);
	queue->told_losses = true;
}

static int end_of_file(struct cap_queue *queue)
{
	struct cap_error err;

	if (++queue->loop >= queue->options->loops) {
		tell_losses(queue);
		return -ENODATA;
	}
	cap_replay_file_close(queue->reader);
	queue->reader = NULL;
	queue->first_recorded = 0;
	if (open_file(queue, &err)) {
		queue->broken = true;
		cap_alert("replay_failed", "%s", err.text);
		return -EBADMSG;
	}
	return 0;
}

/* With recorded pace: not before its time, counted from the first packet. */
static bool is_due(struct cap_queue *queue, uint64_t recorded)
{
	uint64_t now;

	if (queue->options->pace == PACE_FAST)
		return true;
	now = cap_monotonic_ns();
	if (!queue->first_recorded) {
		queue->first_recorded = recorded;
		queue->first_replayed = now;
	}
	return recorded <= queue->first_recorded ||
	       recorded - queue->first_recorded <= now - queue->first_replayed;
}

static int give_up(struct cap_queue *queue, unsigned in_hand, const char *why)
{
	cap_alert("replay_failed",
		  "%s: replay: %s: %s after %llu packets: the file is damaged or cut short",
		  queue->config->interface, queue->options->file, why,
		  (unsigned long long)(queue->handed + in_hand));
	tell_losses(queue);
	queue->broken = true;
	return in_hand ? (int)in_hand : -EBADMSG;
}

static int burst_where_it_lies(struct cap_queue *queue, struct cap_packet *packets, unsigned max)
{
	struct cap_error err;
	int n = cap_replay_file_burst(queue->reader, packets, max, &err);

	if (n < 0)
		return give_up(queue, 0, err.text);
	if (n == 0)
		return end_of_file(queue);
	if (!is_due(queue, packets[0].timestamp_ns)) {
		queue->ahead = packets[0];
		return 0;
	}
	return n;
}

static int burst_from_file(struct cap_queue *queue, struct cap_packet *packets, unsigned max)
{
	unsigned n = 0;

	if (queue->broken)
		return -EBADMSG;
	if (queue->ahead.data) {
		if (!is_due(queue, queue->ahead.timestamp_ns))
			return 0;
		packets[0] = queue->ahead;
		queue->ahead.data = NULL;
		return 1;
	}
	if (queue->options->pace == PACE_RECORDED)
		max = 1;
	if (cap_replay_file_has_bursts(queue->reader))
		return burst_where_it_lies(queue, packets, max);
	for (uint8_t *at = queue->arena; n < max; n++) {
		struct cap_error err;
		int rc = cap_replay_file_next(queue->reader, &packets[n], queue->notes[n],
					      &queue->tally, &err);

		if (rc == 0)
			return n ? (int)n : end_of_file(queue);
		if (rc < 0)
			return give_up(queue, n, err.text);
		memcpy(at, packets[n].data, packets[n].len);
		packets[n].data = at;
		if (!is_due(queue, packets[n].timestamp_ns)) {
			queue->ahead = packets[n];
			return 0;
		}
		at += cap_pad4(packets[n].len);
	}
	return (int)n;
}

static int rx_burst(struct cap_queue *queue, struct cap_packet *packets, unsigned max)
{
	int n;

	if (!queue->armed)
		return 0;
	if (__atomic_load_n(&queue->stopped, __ATOMIC_RELAXED))
		return -ENODATA;
	n = queue->options->file ? burst_from_file(queue, packets, max) :
				   cap_generator_burst(queue->generator, packets, max);
	if (n > 0)
		queue->handed += (uint64_t)n;
	return n;
}

static void release(struct cap_queue *queue)
{
	(void)queue;
}

static void wait(struct cap_queue *queue, int timeout_ms)
{
	const struct timespec pause = { .tv_nsec = timeout_ms > 0 ? (long)CAP_NS_PER_MS : 0 };

	(void)queue;
	nanosleep(&pause, NULL);
}

static void counters(struct cap_queue *queue, struct cap_source_counters *out)
{
	const struct cap_erf_tally *tally = &queue->tally;

	*out = (struct cap_source_counters){
		.wire = queue->handed + tally->other_links + tally->damaged,
		.other_link = tally->other_links,
		.invalid = tally->damaged,
	};
}

/* What an ERF file holds beside its packets. */
static int device_counters(struct cap_port *port, struct cap_device_counter *out, unsigned max)
{
	struct cap_erf_tally sum = { 0 };

	for (unsigned i = 0; i < port->queue_count; i++)
		cap_erf_add(&sum, &port->queues[i].tally);
	return sum.bytes ? (int)cap_erf_counters(&sum, out, max) : 0;
}

static const struct cap_mode modes[] = {
	{ .name = "file",
	  .asked_by = "file",
	  .features = CAP_FEATURE_PACED_BY_ENGINE,
	  .queues = "one: a file has one order",
	  .time = "the file's, nanoseconds" },
	{ .name = "memory",
	  .asked_by = "generate",
	  .features = CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_PACED_BY_ENGINE,
	  .queues = "any number, each with packets of its own",
	  .time = "the system clock's, read once a burst, and a nanosecond later for each packet of it" },
	{ 0 },
};

static const char *const drops[] = { "other_link", "invalid", NULL };

const struct cap_driver cap_driver_replay = {
	.name = "replay",
	.summary =
		"a pcap, pcapng or ERF file, or packets generated in memory; loses nothing, waits for the engine",
	.wire = "packets read or generated",
	.sees = "nothing is lost: the source waits for the engine",
	.drops = drops,
	.blind = "nothing; what an ERF file's loss counters tell of never reached this engine",
	.features = CAP_FEATURE_MULTI_QUEUE | CAP_FEATURE_PACED_BY_ENGINE,
	.modes = modes,
	.parse_options = parse_options,
	.free_options = free_options,
	.open = port_open,
	.queue = port_queue,
	.arm = port_arm,
	.rx_burst = rx_burst,
	.release = release,
	.wait = wait,
	.counters = counters,
	.device_counters = device_counters,
	.disarm = port_disarm,
	.close = port_close,
};
