/* SPDX-License-Identifier: Apache-2.0 */
/** @file A DAG card as a port and its receive streams as queues, shared by the files of this driver. */
#ifndef CAPSTAN_DAG_H
#define CAPSTAN_DAG_H

#include "erf_tally.h"
#include "library.h"
#include "options.h"

#include <pthread.h>

/** Where the count of what a stream had no room for comes from. */
enum cap_dag_drops {
	CAP_DAG_DROPS_RECORDS, /**< the records' loss counters */
	CAP_DAG_DROPS_CARD,    /**< the card's counter, by the configuration library */
};

struct cap_queue {
	struct cap_port *port;
	int stream;
	bool attached, started;

	/* The worker's, and the main thread's while there is none. The stream's memory from `bottom` to
	 * `top` is ours; what lies before `next` has been handed out. */
	uint8_t *bottom, *next, *top;
	bool starved;	     /**< what is left before `top` is no whole record */
	unsigned last_looks; /**< at the card since disarm */
	bool first; /**< no record since arm: the next one's loss counter tells of the time before */
	bool ready; /**< this worker's thread has been set up */
	unsigned empty_polls;
	uint32_t lost; /**< told by records whose packets were not handed out */
	int failed;    /**< negative errno: the card is gone, or its records are no records */
	char why[200];

	cap_dag_attribute attribute; /**< of the card's drop counter */
	bool drops_known;	     /**< it has been read since arm */
	uint32_t drops_seen;	     /**< its value when it was read last: 32 bits that wrap */
	uint64_t drops;		     /**< since arm */

	uint64_t taken; /**< packets handed out since arm; read by other threads */
	struct cap_erf_tally tally;
	char notes[CAP_BURST][CAP_ERF_NOTE];
} __attribute__((aligned(64)));

struct cap_port {
	const struct cap_port_config *config;
	const struct cap_dag_options *options;
	struct cap_dag_library library;
	char device[CAP_DAG_NAME];
	int fd; /**< the library's, of the card; -1: not open */
	int card_streams;
	size_t give_back; /**< bytes handed out after which they are given back */

	enum cap_dag_drops drops_from;
	cap_dag_card card;	   /**< of the configuration library, or NULL */
	pthread_mutex_t card_lock; /**< it says nothing of threads */
	bool disarmed;
	bool gone; /**< a worker has found the card gone */

	unsigned queue_count;
	struct cap_queue queues[];
};

/** Attach the streams that the settings name, or that the card has. @return 0 or negative errno */
int cap_dag_attach_streams(struct cap_port *port, struct cap_port_facts *facts,
			   struct cap_error *err);

/** Start all streams, and throw away what they hold of the time before. */
int cap_dag_start_streams(struct cap_port *port, struct cap_error *err);

/** Stop and detach what was started and attached. */
void cap_dag_release_streams(struct cap_port *port);

/**
 * Give back what was handed out, and get what has come.
 *
 * @return 0, or negative errno when the card is gone
 */
int cap_dag_advance(struct cap_queue *queue);

/** Find the card's drop counters, or say why the records' are taken instead. */
void cap_dag_drops_open(struct cap_port *port, struct cap_port_facts *facts);

/** Begin to count, or read on. */
void cap_dag_drops_begin(struct cap_port *port);
void cap_dag_drops_renew(struct cap_queue *queue);

void cap_dag_drops_close(struct cap_port *port);

/** Words for people about where drops are counted. */
const char *cap_dag_drops_words(const struct cap_port *port);

#endif
