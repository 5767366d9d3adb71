// SPDX-License-Identifier: Apache-2.0
#include "status.h"

#include "clock.h"
#include "version.h"

#include <string.h>
#include <unistd.h>

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

/* The most by which any packet's time may be wrong, in nanoseconds; null where the method cannot say. */
static json_t *time_error(const struct cap_running_port *port)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < port->config->queues; i++) {
		uint64_t error = cap_sample(&port->ledger[i].worker.time_error_ns);

		most = error > most ? error : most;
	}
	return most ? json_integer((json_int_t)most) : json_null();
}

/* Whether what arrives while no engine runs is counted; null where the method has no device. */
static json_t *counts_on(const struct cap_running_port *port)
{
	uint64_t life = cap_sample(&port->ledger->monitor.nic_life);

	return life == CAP_NIC_NONE ? json_null() : json_boolean(life == CAP_NIC_COUNTS_ON);
}

static json_t *describe_port(struct cap_running_port *port)
{
	struct cap_port_facts facts;
	const struct cap_port_config *config = port->config;
	json_t *degraded = json_array(), *cpus = json_array();

	pthread_mutex_lock(&port->facts_lock);
	facts = port->facts;
	pthread_mutex_unlock(&port->facts_lock);
	for (unsigned i = 0; i < facts.degraded_count; i++)
		json_array_append_new(degraded, json_string(facts.degraded[i]));
	if (facts.targets_why[0])
		json_array_append_new(
			degraded,
			json_sprintf("targets are matched in the engine, not in the kernel: %s",
				     facts.targets_why));
	for (unsigned i = 0; i < config->queues; i++)
		json_array_append_new(cpus, json_integer(port->workers[i].cpu));
	return json_pack(
		"{s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:I}",
		"interface", config->interface, "method", config->driver->name, "effective_mode",
		facts.effective_mode, "filter", text_or_null(config->filter), "filter_in",
		facts.filter_in, "targets_in", facts.targets_in, "snaplen",
		(json_int_t)facts.snaplen, "link", cap_link_name(port->link), "queues",
		(int)config->queues, "cpus", cpus, "degraded", degraded, "time_error_ns",
		time_error(port), "device_counters",
		cap_device_counters_json(port->counters.ledger), "counts_on", counts_on(port),
		"device_counters_left_out",
		(json_int_t)cap_sample(&port->counters.ledger->left_out));
}

static json_t *describe_output(const struct cap_engine *engine)
{
	const struct cap_output_config *config = &engine->config->output;

	return json_pack("{s:s, s:s, s:b, s:o, s:b, s:o, s:o, s:o}", "sink",
			 config->sink == CAP_SINK_NULL ? "null" : "file", "io",
			 cap_writer_io_name(engine->writer), "direct_io", engine->output.direct,
			 "directory", text_or_null(config->directory), "target_streams",
			 engine->config->targets.streams, "files",
			 cap_writer_open_limits(engine->writer), "open_files",
			 cap_writer_open_files(engine->writer), "last_files",
			 cap_writer_whole_files(engine->writer));
}

static json_t *status(struct cap_engine *engine)
{
	const struct cap_ledger_header *header = engine->ledger.header;
	char started[CAP_RFC3339_LEN];
	json_t *ports = json_array();

	cap_rfc3339(header->started_realtime_ns, started);
	for (unsigned p = 0; p < engine->config->port_count; p++)
		json_array_append_new(ports, describe_port(&engine->ports[p]));
	return json_pack(
		"{s:b, s:s, s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:I, s:i, s:b}}", "ok",
		1, "version", CAP_VERSION, "pid", (int)getpid(), "state",
		cap_state_name((enum cap_ledger_state)header->state), "started", started, "netns",
		text_or_null(engine->config->netns), "user",
		text_or_null(*engine->user ? engine->user : NULL), "capabilities",
		cap_capability_names(), "ports", ports, "output", describe_output(engine),
		"targets", cap_targets_json(engine->targets), "buffers", "block_bytes",
		(json_int_t)engine->config->block_size, "blocks_per_queue",
		(int)engine->config->blocks_per_queue, "hugepages", engine->pools[0].hugepages);
}

static const char commands[] = "status, rotate, stop, targets or targets_change";

json_t *cap_status_answer(void *context, struct cap_control_call *call)
{
	struct cap_engine *engine = context;
	const char *command = json_string_value(json_object_get(call->request, "cmd"));

	if (command && !strcmp(command, "targets_change"))
		return cap_targets_change(engine->targets, call);
	if (json_object_size(call->request) != 1 || !command)
		return cap_control_error("a request has one key, \"cmd\": %s", commands);
	if (!strcmp(command, "status"))
		return status(engine);
	if (!strcmp(command, "targets"))
		return cap_targets_answer(engine->targets);
	if (!strcmp(command, "rotate")) {
		cap_engine_rotate(engine);
		return json_pack("{s:b}", "ok", 1);
	}
	if (!strcmp(command, "stop")) {
		cap_engine_ask_stop(engine);
		return json_pack("{s:b}", "ok", 1);
	}
	return cap_control_error("unknown command \"%.64s\": %s", command, commands);
}
