// SPDX-License-Identifier: Apache-2.0
/*
 * What a stream had no room for. The card counts it itself, in a counter of 32 bits that wraps and that the
 * configuration library can read; where that cannot be had, the records' loss counters tell of it, later
 * and, in coloured records, not at all.
 */
#include "dag.h"

#include "log.h"

#include <stdio.h>
#include <string.h>

static cap_dag_attribute attribute_at(const struct cap_port *port, int index)
{
	const struct cap_dag_options *options = port->options;
	const struct cap_dag_library *library = &port->library;
	cap_dag_attribute found = 0;

	if (options->drop_code != CAP_DAG_NO_CODE && library->attribute_by_code)
		found = library->attribute_by_code(port->card, (int)options->drop_code, index);
	if (!found && options->drop_name && library->attribute_by_name)
		found = library->attribute_by_name(port->card, options->drop_name, index);
	return found;
}

/*
 * Cards count their receive streams alone, so that stream 4 has the third counter; or all streams, so that it has
 * the fifth. libpcap was written for the first, and later for the second. With either the last stream tells them
 * apart: by its own number there is a counter in the second case only.
 */
static cap_dag_attribute find_attribute(const struct cap_port *port, int stream)
{
	const int last = 2 * (port->card_streams - 1);
	const bool counts_all = last > 0 && attribute_at(port, last);

	return attribute_at(port, counts_all ? stream : stream / 2);
}

static bool find_all(struct cap_port *port)
{
	for (unsigned q = 0; q < port->queue_count; q++) {
		struct cap_queue *queue = &port->queues[q];
		uint32_t value;

		queue->attribute = find_attribute(port, queue->stream);
		if (!queue->attribute ||
		    port->library.read_u32(port->card, queue->attribute, &value))
			return false;
	}
	return true;
}

/* @return why the card's own counter cannot be had, or NULL when it is */
static const char *use_card(struct cap_port *port)
{
	if (!cap_dag_has_config(&port->library))
		return "libdagconf is not there";
	port->card = port->library.config_open(port->device);
	if (!port->card)
		return "libdagconf cannot open the card";
	if (find_all(port))
		return NULL;
	return port->options->drop_asked ?
		       "the card has no attribute as options.drop_attribute names it" :
		       "the card has no attribute " CAP_DAG_DROP_NAME
		       ": write its name as options.drop_attribute";
}

void cap_dag_drops_open(struct cap_port *port, struct cap_port_facts *facts)
{
	const char *why_not = use_card(port);

	port->drops_from = why_not ? CAP_DAG_DROPS_RECORDS : CAP_DAG_DROPS_CARD;
	if (!why_not)
		return;
	cap_dag_drops_close(port);
	cap_degraded(
		facts,
		"the card's counter of drops is not read (%s): drops are known by the records' loss counters, which tell of them with the next packet only and stick at 65535; what is lost before coloured records is not counted, as they have none",
		why_not);
}

static bool read_counter(struct cap_queue *queue, uint32_t *value)
{
	struct cap_port *port = queue->port;
	int rc;

	pthread_mutex_lock(&port->card_lock);
	rc = port->library.read_u32(port->card, queue->attribute, value);
	pthread_mutex_unlock(&port->card_lock);
	return rc == 0;
}

void cap_dag_drops_begin(struct cap_port *port)
{
	for (unsigned q = 0; port->drops_from == CAP_DAG_DROPS_CARD && q < port->queue_count; q++) {
		struct cap_queue *queue = &port->queues[q];

		queue->drops = 0;
		queue->drops_known = read_counter(queue, &queue->drops_seen);
		if (!queue->drops_known)
			cap_warn(
				"no_drop_counter",
				"%s: dag: the drop counter of stream %d cannot be read: drops are counted from when it can",
				port->config->interface, queue->stream);
	}
}

/*
 * Ten times a second: 32 bits hold more than 400 million packets of a tenth of a second. The first reading is
 * where counting begins: before it the counter holds the card's whole history.
 */
void cap_dag_drops_renew(struct cap_queue *queue)
{
	uint32_t now;

	if (queue->port->drops_from == CAP_DAG_DROPS_RECORDS) {
		queue->drops = queue->tally.lost;
	} else if (read_counter(queue, &now)) {
		if (queue->drops_known)
			queue->drops += (uint32_t)(now - queue->drops_seen);
		queue->drops_known = true;
		queue->drops_seen = now;
	}
}

void cap_dag_drops_close(struct cap_port *port)
{
	if (port->card)
		port->library.config_close(port->card);
	port->card = NULL;
}

const char *cap_dag_drops_words(const struct cap_port *port)
{
	return port->drops_from == CAP_DAG_DROPS_CARD ? "drops by the card's counter" :
							"drops by the records' loss counters";
}
