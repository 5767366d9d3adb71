// SPDX-License-Identifier: Apache-2.0
#include "engine.h"

#include "clock.h"
#include "control.h"
#include "log.h"
#include "port.h"
#include "privileges.h"
#include "status.h"
#include "version.h"
#include "writer.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* How often ports are looked after and the heartbeat is renewed. */
#define TICK_MS 200

static int allocate(struct cap_engine *engine, struct cap_error *err)
{
	engine->queue_count = cap_config_queues(engine->config);
	engine->workers =
		aligned_alloc(CAP_CACHE_LINE, engine->queue_count * sizeof(*engine->workers));
	engine->pools = aligned_alloc(CAP_CACHE_LINE, engine->queue_count * sizeof(*engine->pools));
	if (!engine->workers || !engine->pools)
		return cap_fail(err, ENOMEM, "out of memory");
	memset(engine->workers, 0, engine->queue_count * sizeof(*engine->workers));
	memset(engine->pools, 0, engine->queue_count * sizeof(*engine->pools));
	engine->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return engine->ended < 0 ? cap_fail(err, errno, "eventfd: %s", strerror(errno)) : 0;
}

/* Names of queue, port and method, in ledger and workers alike. */
static void label_queues(struct cap_engine *engine)
{
	unsigned at = 0;

	for (unsigned p = 0; p < engine->config->port_count; p++) {
		const struct cap_port_config *config = &engine->config->ports[p];

		engine->ports[p].workers = &engine->workers[at];
		engine->ports[p].ledger = &engine->ledger.queues[at];
		memcpy(engine->ledger.devices[p].interface, config->interface,
		       sizeof(config->interface));
		engine->ledger.devices[p].port = p;
		for (unsigned q = 0; q < config->queues; q++, at++) {
			struct cap_ledger_queue *ledger = &engine->ledger.queues[at];
			struct cap_worker *worker = &engine->workers[at];

			worker->cpu = config->core_count ? config->cores[q % config->core_count] :
							   -1;
			worker->driver = config->driver;
			worker->order = &engine->ports[p].order;
			worker->ended = engine->ended;
			worker->flush_ns = engine->config->flush_ms * CAP_NS_PER_MS;
			worker->pool = &engine->pools[at];
			worker->ledger = ledger;
			worker->header = engine->ledger.header;
			memcpy(ledger->interface, config->interface, sizeof(ledger->interface));
			strncpy(ledger->method, config->driver->name, sizeof(ledger->method) - 1);
			ledger->port = p;
			ledger->queue = q;
			ledger->cpu = worker->cpu;
		}
	}
}

static int create_writer(struct cap_engine *engine, struct cap_error *err)
{
	struct cap_stream_source *sources = calloc(engine->queue_count, sizeof(*sources));
	unsigned at = 0;
	int rc;

	if (!sources)
		return cap_fail(err, ENOMEM, "out of memory");
	for (unsigned p = 0; p < engine->config->port_count; p++)
		for (unsigned q = 0; q < engine->config->ports[p].queues; q++, at++)
			sources[at] = (struct cap_stream_source){
				.pool = &engine->pools[at],
				.ledger = &engine->ledger.queues[at],
				.header = engine->ledger.header,
				.port = &engine->config->ports[p],
				.facts = &engine->ports[p].facts,
				.facts_lock = &engine->ports[p].facts_lock,
				.queue = q,
			};
	rc = cap_writer_create(&engine->writer, engine->config, &engine->output, sources,
			       engine->queue_count, err);
	free(sources);
	for (unsigned i = 0; rc == 0 && i < engine->queue_count; i++)
		engine->workers[i].writer = engine->writer;
	return rc;
}

static int watch_signals(struct cap_engine *engine, struct cap_error *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	engine->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return engine->signals < 0 ? cap_fail(err, errno, "signalfd: %s", strerror(errno)) : 0;
}

/* A change of user clears the wish, so this comes after it. */
static int stop_with(pid_t parent, struct cap_error *err)
{
	if (!parent)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGTERM))
		return cap_fail(err, errno, "--die-with-parent: %s", strerror(errno));
	if (getppid() != parent)
		return cap_fail(err, ESRCH, "--die-with-parent: the parent has ended already");
	return 0;
}

/* Looked up once: the name service may take its time, which the main thread has not. */
static void remember_user(struct cap_engine *engine)
{
	const struct passwd *user = getpwuid(geteuid());

	snprintf(engine->user, sizeof(engine->user), "%s", user ? user->pw_name : "");
}

/* Each method once, with all of its ports. */
static int prepare_methods(const struct cap_config *config, struct cap_error *err)
{
	const struct cap_port_config *mine[CAP_MAX_PORTS];
	int rc = 0;

	for (unsigned p = 0; rc == 0 && p < config->port_count; p++) {
		const struct cap_driver *driver = config->ports[p].driver;
		unsigned count = 0;

		for (unsigned i = 0; i < config->port_count; i++)
			if (config->ports[i].driver == driver)
				mine[count++] = &config->ports[i];
		if (driver->prepare && mine[0] == &config->ports[p])
			rc = driver->prepare(mine, count, err);
	}
	return rc;
}

/* Workers know that there are targets before their ports are opened; which, the engine's own user may read. */
static int expect_targets(struct cap_engine *engine, struct cap_error *err)
{
	engine->readers = calloc(engine->queue_count, sizeof(struct cap_target_reader *));
	if (!engine->readers)
		return cap_fail(err, ENOMEM, "out of memory");
	for (unsigned i = 0; i < engine->queue_count; i++)
		engine->readers[i] = &engine->workers[i].targets;
	return cap_target_force_create(&engine->targets, &engine->config->targets, engine->readers,
				       engine->queue_count, err);
}

/* With root's rights: everything that needs them. What opens a file on disk comes after the drop. */
static int set_up(struct cap_engine *engine, pid_t parent, struct cap_error *err)
{
	const struct cap_config *config = engine->config;
	struct cap_identity identity;
	int rc = cap_identity_find(config, &identity, err);

	if (rc == 0)
		rc = watch_signals(engine, err);
	if (rc == 0 && config->netns)
		rc = cap_enter_netns(config->netns, err);
	if (rc == 0)
		rc = allocate(engine, err);
	if (rc == 0)
		rc = cap_control_create(&engine->control, config, &identity, err);
	if (rc == 0)
		rc = cap_ledger_create(&engine->ledger, config->ledger, engine->queue_count,
				       config->port_count, identity.uid, identity.gid, err);
	if (rc == 0)
		label_queues(engine);
	if (rc == 0 && cap_config_has_targets(config))
		rc = expect_targets(engine, err);
	if (rc == 0)
		rc = prepare_methods(config, err);
	for (unsigned p = 0; p < config->port_count; p++)
		engine->ports[p].targets = engine->targets;
	for (unsigned p = 0; rc == 0 && p < config->port_count; p++)
		rc = cap_running_port_open(&engine->ports[p], &config->ports[p],
					   &engine->ledger.devices[p], err);
	if (rc == 0)
		rc = cap_drop_privileges(config, &identity, err);
	if (rc == 0)
		remember_user(engine);
	if (rc == 0)
		rc = stop_with(parent, err);
	if (rc == 0)
		rc = cap_output_open(&engine->output, &config->output, err);
	for (unsigned i = 0; rc == 0 && i < engine->queue_count; i++)
		engine->workers[i].caches_count = !engine->output.direct || engine->output.copies;
	if (rc == 0 && engine->targets)
		rc = cap_target_force_load(engine->targets, err);
	for (unsigned i = 0; rc == 0 && i < engine->queue_count; i++)
		rc = cap_block_pool_init(&engine->pools[i], config->blocks_per_queue,
					 config->block_size, config->hugepages, err);
	if (rc == 0)
		rc = create_writer(engine, err);
	return rc;
}

/* What a crash left may be many gigabytes: it is looked through beside the capture, not before it. */
static void *recover(void *argument)
{
	struct cap_engine *engine = argument;
	struct cap_error err;

	if (cap_output_recover(&engine->output, &err))
		cap_warn("recovery_failed", "%s", err.text);
	return NULL;
}

static void set_targets(void *context, const struct cap_active_targets *active)
{
	struct cap_engine *engine = context;

	cap_running_ports_set_targets(engine->ports, engine->config->port_count, active);
}

static int start(struct cap_engine *engine, struct cap_error *err)
{
	int rc = cap_writer_start(engine->writer, err);

	if (rc == 0 && engine->targets)
		rc = cap_target_force_start(engine->targets, set_targets, engine, err);
	for (unsigned i = 0; rc == 0 && i < engine->queue_count; i++)
		rc = cap_worker_start(&engine->workers[i], err);
	for (unsigned p = 0; rc == 0 && p < engine->config->port_count; p++)
		rc = cap_running_port_arm(&engine->ports[p], err);
	if (rc == 0) {
		cap_ledger_set_state(&engine->ledger, CAP_STATE_CAPTURING);
		rc = -pthread_create(&engine->recovery, NULL, recover, engine);
		engine->recovering = rc == 0;
		if (rc)
			cap_fail(err, -rc, "the recovery's thread cannot be started: %s",
				 strerror(-rc));
	}
	return rc;
}

static void tell_targets(const struct cap_engine *engine)
{
	struct cap_target_summary summary;

	if (!engine->targets)
		return;
	cap_target_force_summary(engine->targets, &summary);
	cap_info("targets", "targets: serial %llu, %u in force, %u of them active now",
		 (unsigned long long)summary.serial, summary.count, summary.active);
	if (!summary.count)
		cap_warn("no_targets", "there are no targets: nothing is captured");
}

static void tell_start(const struct cap_engine *engine)
{
	tell_targets(engine);
	for (unsigned p = 0; p < engine->config->port_count; p++) {
		const struct cap_running_port *port = &engine->ports[p];

		cap_info("capturing", "%s: %s (%s), %u queue%s, writing by %s%s",
			 port->config->interface, port->config->driver->name,
			 port->facts.effective_mode, port->config->queues,
			 port->config->queues == 1 ? "" : "s", cap_writer_io_name(engine->writer),
			 engine->output.direct ? " with O_DIRECT" : "");
		for (unsigned i = 0; i < port->facts.degraded_count; i++)
			cap_warn("degraded", "%s: %s", port->config->interface,
				 port->facts.degraded[i]);
	}
}

void cap_engine_rotate(struct cap_engine *engine)
{
	for (unsigned i = 0; i < engine->queue_count; i++)
		__atomic_add_fetch(&engine->workers[i].rotate_asked, 1, __ATOMIC_RELAXED);
}

void cap_engine_ask_stop(struct cap_engine *engine)
{
	engine->stop_asked = true;
}

static void take_signals(struct cap_engine *engine)
{
	struct signalfd_siginfo info;

	while (read(engine->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			cap_engine_rotate(engine);
		else
			cap_engine_ask_stop(engine);
	}
}

/* All sources were finite and have ended. @param error what the last that failed failed with, or 0 */
static bool sources_ended(struct cap_engine *engine, int *error)
{
	bool all = true;

	for (unsigned p = 0; p < engine->config->port_count; p++)
		all &= cap_running_port_ended(&engine->ports[p], error);
	return all;
}

static int supervise(struct cap_engine *engine, struct cap_error *err)
{
	struct pollfd ready[4] = {
		{ .fd = engine->signals, .events = POLLIN },
		{ .fd = cap_control_fd(engine->control), .events = POLLIN },
		{ .fd = engine->targets ? cap_target_force_fd(engine->targets) : -1,
		  .events = POLLIN },
		{ .fd = engine->ended, .events = POLLIN },
	};
	uint64_t tick_at = 0;
	eventfd_t workers;
	int error = 0;

	while (!engine->stop_asked && !sources_ended(engine, &error)) {
		uint64_t now;

		poll(ready, 4, TICK_MS);
		take_signals(engine);
		/* Read so that it is quiet again: how many ended, their states tell. */
		if (ready[3].revents)
			(void)eventfd_read(engine->ended, &workers);
		cap_targets_pass_answers(engine->targets, engine->control);
		cap_control_serve(engine->control, cap_status_answer, engine);
		now = cap_monotonic_ns();
		if (now < tick_at)
			continue;
		tick_at = now + TICK_MS * CAP_NS_PER_MS;
		cap_publish(&engine->ledger.header->heartbeat_monotonic_ns, now);
		for (unsigned p = 0; p < engine->config->port_count; p++)
			cap_running_port_tick(&engine->ports[p]);
	}
	if (error)
		return cap_fail(err, -error, "a source failed: %s: see the record before this one",
				strerror(-error));
	return 0;
}

/* What is in rings and blocks reaches the files before anything is closed. */
static void stop(struct cap_engine *engine)
{
	cap_ledger_set_state(&engine->ledger, CAP_STATE_STOPPING);
	for (unsigned p = 0; p < engine->config->port_count; p++)
		cap_running_port_stop(&engine->ports[p]);
	for (unsigned i = 0; i < engine->queue_count; i++)
		cap_worker_join(&engine->workers[i]);
	/* A change in hand is finished, and answered. */
	cap_target_force_stop(engine->targets);
	cap_targets_pass_answers(engine->targets, engine->control);
	for (unsigned p = 0; p < engine->config->port_count; p++)
		cap_running_port_settle(&engine->ports[p]);
	cap_writer_finish(engine->writer);
	if (engine->recovering)
		pthread_join(engine->recovery, NULL);
}

static void tell_end(const struct cap_engine *engine)
{
	for (unsigned i = 0; i < engine->queue_count; i++) {
		const struct cap_ledger_queue *queue = &engine->ledger.queues[i];
		json_t *causes = cap_ledger_causes(queue);
		char *text = json_dumps(causes, JSON_COMPACT | JSON_SORT_KEYS);

		cap_info(
			"stopped",
			"%s queue %u: wire %llu, delivered %llu, filtered %llu, dropped %s, unaccounted %lld",
			queue->interface, queue->queue,
			(unsigned long long)(queue->worker.wire_packets + queue->monitor.nic_lost),
			(unsigned long long)queue->writer.delivered_packets,
			(unsigned long long)(queue->worker.filtered_kernel +
					     queue->worker.filtered_engine),
			text ? text : "?", (long long)cap_ledger_unaccounted(queue));
		free(text);
		json_decref(causes);
	}
}

static void tear_down(struct cap_engine *engine)
{
	for (unsigned p = 0; p < engine->config->port_count; p++)
		if (engine->ports[p].config)
			cap_running_port_close(&engine->ports[p]);
	cap_writer_free(engine->writer);
	for (unsigned i = 0; engine->pools && i < engine->queue_count; i++)
		cap_block_pool_free(&engine->pools[i]);
	cap_output_close(&engine->output);
	cap_target_force_close(engine->targets);
	cap_control_close(engine->control);
	cap_ledger_close(&engine->ledger);
	if (engine->signals >= 0)
		close(engine->signals);
	if (engine->ended >= 0)
		close(engine->ended);
	free(engine->readers);
	free(engine->workers);
	free(engine->pools);
}

enum cap_exit cap_engine_run(const struct cap_config *config, pid_t parent, struct cap_error *err)
{
	struct cap_engine engine = {
		.config = config, .signals = -1, .ended = -1, .output = { .directory = -1 }
	};
	enum cap_exit code = CAP_EXIT_CLEAN;

	if (set_up(&engine, parent, err)) {
		code = CAP_EXIT_SETUP;
	} else {
		if (start(&engine, err)) {
			code = CAP_EXIT_SETUP;
		} else {
			tell_start(&engine);
			if (supervise(&engine, err))
				code = CAP_EXIT_FAILED;
		}
		stop(&engine);
		tell_end(&engine);
	}
	if (engine.ledger.header)
		cap_ledger_set_state(&engine.ledger,
				     code == CAP_EXIT_CLEAN ? CAP_STATE_STOPPED : CAP_STATE_FAILED);
	tear_down(&engine);
	return code;
}
