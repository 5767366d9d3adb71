/* SPDX-License-Identifier: Apache-2.0 */
/** @file The running engine's parts, and what the control socket answers about them. */
#ifndef CAPSTAN_STATUS_H
#define CAPSTAN_STATUS_H

#include "control_targets.h"
#include "ledger.h"
#include "output.h"
#include "port.h"
#include "writer.h"

/** Everything that the main thread owns. */
struct cap_engine {
	const struct cap_config *config;
	struct cap_ledger ledger;
	struct cap_control *control;
	struct cap_target_force *targets;   /**< NULL: everything is captured */
	struct cap_target_reader **readers; /**< of the workers, one a queue */
	struct cap_output output;
	struct cap_writer *writer;
	struct cap_running_port ports[CAP_MAX_PORTS];
	struct cap_worker *workers; /**< queue_count of them, the ports' one after another */
	struct cap_block_pool *pools;
	unsigned queue_count;
	int signals;
	int ended; /**< eventfd: a worker has ended */
	bool stop_asked;
	pthread_t recovery;
	bool recovering;
	char user[64]; /**< name of the user that the engine has become */
};

/** End each queue's file behind what it has received so far. */
void cap_engine_rotate(struct cap_engine *engine);

void cap_engine_ask_stop(struct cap_engine *engine);

/**
 * Handler of the control socket: {"cmd": "status" | "rotate" | "stop" | "targets"}, and "targets_change" with keys of
 * its own. @param context the engine
 */
json_t *cap_status_answer(void *context, struct cap_control_call *call);

#endif
