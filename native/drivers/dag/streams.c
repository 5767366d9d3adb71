// SPDX-License-Identifier: Apache-2.0
#include "dag.h"

#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Stale records come from memory that is finite; a card that writes on meanwhile must not hold us. */
#define STALE_LOOKS 3

/* Handed out and not given back, at most: looking at the card for each burst would cost more than the burst. */
#define MOST_HELD (1U << 20)

/* What a stream that the card has not is refused with, or that it has and gives no memory (ENOMEM). */
static bool is_absent(int rc)
{
	return rc == -EINVAL || rc == -ENODEV || rc == -ENXIO || rc == -ENOMEM;
}

/* EACCES is the older libdag's word for it: the card itself has been opened by then. */
static bool is_taken(int rc)
{
	return rc == -EBUSY || rc == -EACCES;
}

static int refuse_stream(const struct cap_port *port, int stream, int rc, struct cap_error *err)
{
	const char *name = port->config->interface;

	if (is_taken(rc))
		return cap_fail(
			err, EBUSY,
			"%s: dag: stream %d is attached by another process: stop that one first, or capture from other streams (options.streams)",
			name, stream);
	if (rc == -ENOMEM)
		return cap_fail(
			err, EINVAL,
			"%s: dag: stream %d has no memory: give it some with the vendor's dagconfig, or correct options.streams",
			name, stream);
	if (is_absent(rc))
		return cap_fail(
			err, EINVAL,
			"%s: dag: the card has no receive stream %d with memory (%s; it has %d receive streams): give it memory with the vendor's dagconfig, or correct options.streams",
			name, stream, strerror(-rc), port->card_streams);
	if (rc == -EPERM)
		return cap_fail(
			err, EACCES,
			"%s: dag: stream %d cannot be attached: %s: start the engine as root, or give the card to its group by a udev rule",
			name, stream, strerror(-rc));
	return cap_fail(err, -rc, "%s: dag: stream %d cannot be attached: %s", name, stream,
			strerror(-rc));
}

static int attach_given(struct cap_port *port, struct cap_error *err)
{
	const struct cap_dag_options *options = port->options;

	if (options->stream_count != port->queue_count)
		return cap_fail(
			err, EINVAL,
			"%s: dag: options.streams names %u streams, and there are %u queues: a queue reads one stream",
			port->config->interface, options->stream_count, port->queue_count);
	for (unsigned q = 0; q < port->queue_count; q++) {
		struct cap_queue *queue = &port->queues[q];
		int rc;

		queue->stream = options->streams[q];
		rc = cap_dag_attach(&port->library, port->fd, queue->stream);
		if (rc)
			return refuse_stream(port, queue->stream, rc, err);
		queue->attached = true;
	}
	return 0;
}

/* The card's receive streams are even; it counts those without memory, too, which cannot be attached. */
static int attach_found(struct cap_port *port, struct cap_error *err)
{
	const char *name = port->config->interface;
	const int end = 2 * port->card_streams;
	unsigned found = 0, busy = 0;

	for (int stream = 0; stream < end && found < port->queue_count; stream += 2) {
		struct cap_queue *queue = &port->queues[found];
		int rc = cap_dag_attach(&port->library, port->fd, stream);

		if (rc && !is_taken(rc) && !is_absent(rc))
			return refuse_stream(port, stream, rc, err);
		busy += is_taken(rc);
		if (rc)
			continue;
		queue->stream = stream;
		queue->attached = true;
		found++;
	}
	if (found == port->queue_count)
		return 0;
	if (busy)
		return cap_fail(
			err, EBUSY,
			"%s: dag: %u of the card's receive streams can be had for %u queues, %u more are attached by other processes: stop those first, or write fewer queues",
			name, found, port->queue_count, busy);
	return cap_fail(
		err, EINVAL,
		"%s: dag: the card has %u receive streams with memory for %u queues: write fewer queues, or give more streams memory with the vendor's dagconfig",
		name, found, port->queue_count);
}

static void choose_give_back(struct cap_port *port)
{
	const struct cap_dag_library *library = &port->library;

	port->give_back = MOST_HELD;
	for (unsigned q = 0; library->buffer_size && q < port->queue_count; q++) {
		int size = library->buffer_size(port->fd, port->queues[q].stream);

		if (size > 0 && (size_t)size / 8 < port->give_back)
			port->give_back = (size_t)size / 8;
	}
}

int cap_dag_attach_streams(struct cap_port *port, struct cap_port_facts *facts,
			   struct cap_error *err)
{
	int rc;

	port->card_streams = port->library.receive_streams(port->fd);
	if (port->card_streams <= 0)
		return cap_fail(
			err, ENODEV,
			"%s: dag: %s has no receive stream: load firmware that receives, and give a stream memory with the vendor's dagconfig",
			port->config->interface, port->device);
	rc = port->options->stream_count ? attach_given(port, err) : attach_found(port, err);
	for (unsigned q = 0; rc == 0 && q < port->queue_count; q++) {
		rc = cap_dag_set_wait(&port->library, port->fd, port->queues[q].stream,
				      CAP_DAG_SHORTEST_WAIT_US);
		if (rc)
			cap_fail(err, -rc, "%s: dag: the waiting of stream %d cannot be set: %s",
				 port->config->interface, port->queues[q].stream, strerror(-rc));
	}
	if (rc)
		return rc;
	choose_give_back(port);
	if (!port->options->stream_count && port->card_streams > (int)port->queue_count)
		cap_degraded(
			facts,
			"%u of the card's %d receive streams are captured: what the card steers to the others is not seen here",
			port->queue_count, port->card_streams);
	return 0;
}

int cap_dag_advance(struct cap_queue *queue)
{
	const struct cap_port *port = queue->port;
	uint8_t *top;

	queue->bottom = queue->next;
	queue->starved = false;
	errno = 0;
	top = port->library.advance(port->fd, queue->stream, &queue->bottom);
	if (!top && (errno == EAGAIN || errno == EINTR)) {
		queue->top = queue->next;
		return 0;
	}
	if (!top) {
		queue->top = queue->next;
		return errno > 0 ? -errno : -EIO;
	}
	queue->next = queue->bottom;
	queue->top = top;
	return 0;
}

/* Whole records only: the rest of one that is being written is where the next one will be looked for. */
static void pass_over(struct cap_queue *queue)
{
	struct cap_erf_record record;
	struct cap_error err;
	int rc = 0;

	while (rc == 0 || rc == -EILSEQ) {
		rc = cap_erf_read(queue->next, (size_t)(queue->top - queue->next), CAP_ERF_FCS_KEEP,
				  &record, &err);
		if (rc == 0 || rc == -EILSEQ)
			queue->next += record.size;
	}
}

static int throw_away(struct cap_queue *queue)
{
	int rc = 0;

	for (unsigned look = 0; rc == 0 && look < STALE_LOOKS; look++) {
		const uint8_t *before;

		rc = cap_dag_advance(queue);
		before = queue->next;
		pass_over(queue);
		if (queue->next == before)
			break;
	}
	return rc;
}

int cap_dag_start_streams(struct cap_port *port, struct cap_error *err)
{
	for (unsigned q = 0; q < port->queue_count; q++) {
		struct cap_queue *queue = &port->queues[q];

		errno = 0;
		if (port->library.start(port->fd, queue->stream) < 0)
			return cap_fail(err, errno > 0 ? errno : EIO,
					"%s: dag: stream %d cannot be started: %s",
					port->config->interface, queue->stream, strerror(errno));
		queue->started = true;
	}
	for (unsigned q = 0; q < port->queue_count; q++) {
		struct cap_queue *queue = &port->queues[q];
		int rc = throw_away(queue);

		if (rc)
			return cap_fail(err, -rc, "%s: dag: stream %d cannot be read: %s",
					port->config->interface, queue->stream, strerror(-rc));
		queue->first = true;
	}
	return 0;
}

void cap_dag_release_streams(struct cap_port *port)
{
	for (unsigned q = 0; q < port->queue_count; q++) {
		struct cap_queue *queue = &port->queues[q];

		/* A card that is gone has nothing to be stopped. */
		errno = 0;
		if (queue->started && port->library.stop(port->fd, queue->stream) < 0 &&
		    !port->gone)
			cap_warn("not_stopped", "%s: dag: stream %d cannot be stopped: %s",
				 port->config->interface, queue->stream, strerror(errno));
		errno = 0;
		if (queue->attached && port->library.detach(port->fd, queue->stream) < 0 &&
		    !port->gone)
			cap_warn("not_detached", "%s: dag: stream %d cannot be detached: %s",
				 port->config->interface, queue->stream, strerror(errno));
		queue->started = queue->attached = false;
	}
}
