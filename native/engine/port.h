/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A port while the engine runs: opens and arms its driver, watches its interface, parks its
 * workers when the interface goes and brings them back when it returns. Main thread only, unless a
 * function says otherwise.
 */
#ifndef CAPSTAN_PORT_H
#define CAPSTAN_PORT_H

#include "device_counters.h"
#include "worker.h"

enum cap_link { CAP_LINK_DOWN, CAP_LINK_UP, CAP_LINK_GONE };

enum cap_port_phase {
	CAP_PORT_CLOSED,  /**< not open: before start, or its interface is away */
	CAP_PORT_OPEN,	  /**< workers run */
	CAP_PORT_PARKING, /**< its interface went; workers drain what is left */
	CAP_PORT_FILLING, /**< open again; a thread tells its method of the targets, then it is armed */
};

/** One of the NIC's drop counters, summed up over openings of the port. */
struct cap_nic_sum {
	uint64_t before; /**< counted by earlier openings */
	uint64_t at_arm; /**< the NIC's figure when this opening was armed */
};

struct cap_running_port {
	const struct cap_port_config *config;
	struct cap_port_facts
		facts; /**< changed under facts_lock: the writer reads them for its files */
	pthread_mutex_t facts_lock;
	struct cap_port *handle; /**< the driver's, NULL while closed */
	pthread_mutex_t
		handle_lock; /**< held where another thread uses it, and where it is made, armed and closed */
	struct cap_target_force
		*targets; /**< in force, asked when the port is opened again; or NULL */
	struct cap_filter *filter;
	struct cap_fragments *fragments; /**< where targets say what is captured, else NULL */
	struct cap_worker *workers;	 /**< config->queues of them; owned by the engine */
	struct cap_ledger_queue *ledger; /**< of queue 0: carries the port's figures */
	int order;			 /**< enum cap_order for the workers */
	enum cap_port_phase phase;
	pthread_t filler; /**< of CAP_PORT_FILLING */
	bool filling;	  /**< it is to be joined */
	bool filled;	  /**< the filler's: it is done */
	enum cap_link link;
	bool gone; /**< told to the workers: what the kernel still owes is lost with the interface */
	uint64_t identity; /**< of the device that was armed */
	struct cap_nic_sum missed, no_buffer, errors;
	struct cap_device_counters counters;
	uint64_t counters_at; /**< when to read them again, by the monotonic clock */
	uint64_t retry_at;    /**< when to try again to open it, by the monotonic clock */
	char last_error[256]; /**< why it could not be opened again, told once */
	int lock;	      /**< says to other engines that the interface is taken */
	int netdev;	      /**< by which the kernel is asked about the network device, or -1 */
};

/**
 * Compile the filter, take the interface for this engine, open the driver. Privileged.
 *
 * @param device the port's record in the ledger
 */
int cap_running_port_open(struct cap_running_port *port, const struct cap_port_config *config,
			  struct cap_ledger_device *device, struct cap_error *err);

/**
 * Let the method leave packets of nobody where they are. What it cannot is told by facts and the log, and
 * left to the engine's matcher. Any thread, one at a time, from open to close; first before arm.
 *
 * @param active those in force now, borrowed for the length of the call
 */
void cap_running_port_set_targets(struct cap_running_port *port,
				  const struct cap_active_targets *active);

/** The same with the port as @p context, as target_force.h calls it. */
void cap_running_port_take_targets(void *context, const struct cap_active_targets *active);

/** The same for all of @p ports, beside each other; returns when all have it. */
void cap_running_ports_set_targets(struct cap_running_port *ports, unsigned port_count,
				   const struct cap_active_targets *active);

/** Begin counting, and let the workers run. */
int cap_running_port_arm(struct cap_running_port *port, struct cap_error *err);

/** Look after the port: call a few times a second. */
void cap_running_port_tick(struct cap_running_port *port);

/** Take nothing more, and tell the workers to drain and end. */
void cap_running_port_stop(struct cap_running_port *port);

/** Read the device's own counters a last time; the workers have been joined. */
void cap_running_port_settle(struct cap_running_port *port);

/** Release everything; the workers have been joined. */
void cap_running_port_close(struct cap_running_port *port);

/** All its workers have come to the end of a finite source. @param error the last failure, or 0 */
bool cap_running_port_ended(const struct cap_running_port *port, int *error);

/** @return "up", "down" or "gone" */
const char *cap_link_name(enum cap_link link);

#endif
