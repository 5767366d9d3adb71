// SPDX-License-Identifier: Apache-2.0
#include "config.h"

#include "settings.h"
#include "target.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)

/* The smallest block must take the largest packet with its block's overhead. */
#define LEAST_BLOCK (512 * 1024)

/* What a packet's time may be shared out between: source, worker and writer. Timers are of 4 ms. */
#define LEAST_FLUSH_MS 50
#define SOURCE_SHARE 8

/* One operation is under way for each, which the ring of io_uring has room for. */
#define MOST_OPEN_FILES 4000

static const char *const switch_words[] = { "auto", "on", "off", NULL };

static int read_cores(struct cap_settings *in, int *cores, unsigned *count, struct cap_error *err)
{
	json_t *list = cap_settings_take(in, "cores"), *item;
	size_t i;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > CAP_MAX_QUEUES)
		return cap_fail(err, EINVAL, "%s.cores: must be a list of at most %d CPU numbers",
				in->where, CAP_MAX_QUEUES);
	json_array_foreach(list, i, item) {
		if (!json_is_integer(item) || json_integer_value(item) < 0 ||
		    json_integer_value(item) >= CPU_SETSIZE)
			return cap_fail(err, EINVAL, "%s.cores[%zu]: must be a CPU number",
					in->where, i);
		cores[i] = (int)json_integer_value(item);
	}
	*count = (unsigned)json_array_size(list);
	return 0;
}

static int read_tunnels(struct cap_settings *in, uint32_t *tunnels, struct cap_error *err)
{
	static const struct {
		const char *name;
		enum cap_tunnel bit;
	} known[] = { { "mpls", CAP_TUNNEL_MPLS },
		      { "gre", CAP_TUNNEL_GRE },
		      { "gtp_u", CAP_TUNNEL_GTP_U },
		      { "vxlan", CAP_TUNNEL_VXLAN } };
	json_t *list = cap_settings_take(in, "tunnels"), *item;
	size_t i;

	if (list && !json_is_array(list))
		return cap_fail(err, EINVAL,
				"%s.tunnels: must be a list of some of: mpls, gre, gtp_u, vxlan",
				in->where);
	json_array_foreach(list, i, item) {
		const uint32_t before = *tunnels;

		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
			if (json_is_string(item) && !strcmp(json_string_value(item), known[k].name))
				*tunnels |= known[k].bit;
		if (*tunnels == before)
			return cap_fail(
				err, EINVAL,
				"%s.tunnels[%zu]: must be one of: mpls, gre, gtp_u, vxlan, each once",
				in->where, i);
	}
	return 0;
}

static int read_port(json_t *object, struct cap_port_config *port, struct cap_error *err)
{
	char *interface = NULL, *method = NULL;
	int64_t queues = 1, snaplen = CAP_MAX_SNAPLEN;
	struct cap_settings in;
	int rc;

	port->promiscuous = true;
	rc = cap_settings_open(&in, object, err, "ports[%u]", port->index);
	if (rc == 0)
		rc = cap_settings_text(&in, "interface", &interface, err);
	if (rc == 0 && (!interface || strlen(interface) >= sizeof(port->interface) ||
			strpbrk(interface, "/ \t\n")))
		rc = cap_fail(
			err, EINVAL,
			"%s.interface: must be an interface name of 1 to %d characters without space or slash",
			in.where, CAP_NAME_LEN - 1);
	if (rc == 0) {
		snprintf(port->interface, sizeof(port->interface), "%s", interface);
		rc = cap_settings_text(&in, "method", &method, err);
	}
	if (rc == 0) {
		port->driver = cap_driver_find(method ? method : "", err);
		if (!port->driver)
			rc = cap_fail_in(err, -EINVAL, "%s.method", in.where);
	}
	if (rc == 0)
		rc = cap_settings_int(&in, "queues", 1, CAP_MAX_QUEUES, &queues, err);
	if (rc == 0 && queues > 1 && !(port->driver->features & CAP_FEATURE_MULTI_QUEUE))
		rc = cap_fail(err, EINVAL, "%s.queues: method %s has one queue: write 1", in.where,
			      port->driver->name);
	if (rc == 0)
		rc = read_cores(&in, port->cores, &port->core_count, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "snaplen", 34, CAP_MAX_SNAPLEN, &snaplen, err);
	if (rc == 0)
		rc = cap_settings_bool(&in, "promiscuous", &port->promiscuous, err);
	if (rc == 0)
		rc = cap_settings_text(&in, "filter", &port->filter, err);
	if (rc == 0)
		rc = read_tunnels(&in, &port->tunnels, err);
	if (rc == 0) {
		port->queues = (unsigned)queues;
		port->snaplen = (uint32_t)snaplen;
		rc = port->driver->parse_options(cap_settings_take(&in, "options"), &port->options,
						 err);
		if (rc)
			cap_fail_in(err, rc, "%s", in.where);
	}
	free(interface);
	free(method);
	return cap_settings_close(&in, rc, err);
}

static int read_ports(struct cap_settings *in, struct cap_config *config, struct cap_error *err)
{
	json_t *list = cap_settings_take(in, "ports"), *item;
	size_t i;
	int rc;

	if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > CAP_MAX_PORTS)
		return cap_fail(err, EINVAL, "ports: must be a list of 1 to %d ports",
				CAP_MAX_PORTS);
	json_array_foreach(list, i, item) {
		struct cap_port_config *port = &config->ports[i];

		port->index = (unsigned)i;
		config->port_count = (unsigned)i + 1;
		rc = read_port(item, port, err);
		if (rc)
			return rc;
		for (size_t k = 0; k < i; k++)
			if (!strcmp(config->ports[k].interface, port->interface))
				return cap_fail(
					err, EINVAL,
					"ports[%zu].interface: %s is port %zu already: name each interface once",
					i, port->interface, k);
	}
	return 0;
}

static int read_control(struct cap_settings *top, struct cap_config *config, struct cap_error *err)
{
	struct cap_settings in;
	char *mode = NULL, *end;
	int rc = cap_settings_open(&in, cap_settings_take(top, "control"), err, "control");

	if (rc == 0)
		rc = cap_settings_text(&in, "path", &config->control_path, err);
	if (rc == 0 && !config->control_path)
		rc = cap_fail(err, EINVAL,
			      "control.path: is missing: write the path of the control socket");
	if (rc == 0)
		rc = cap_settings_text(&in, "group", &config->control_group, err);
	if (rc == 0)
		rc = cap_settings_text(&in, "mode", &mode, err);
	config->control_mode = 0660;
	if (rc == 0 && mode) {
		config->control_mode = (mode_t)strtoul(mode, &end, 8);
		if (*end || (config->control_mode & ~0660U))
			rc = cap_fail(
				err, EINVAL,
				"control.mode: must be an octal mode that gives nothing to others, such as \"0660\"");
	}
	free(mode);
	return cap_settings_close(&in, rc, err);
}

/* The prefix ends at the first dash of a file's name: old files are told from others by it. */
static bool plain_prefix(const char *prefix)
{
	for (const char *c = prefix; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '_')
			return false;
	return *prefix && strlen(prefix) <= 64;
}

static int read_output(struct cap_settings *top, struct cap_config *config, struct cap_error *err)
{
	static const char *const sinks[] = { "file", "null", NULL };
	struct cap_output_config *output = &config->output;
	int64_t rotate_bytes = GIB, rotate_seconds = 3600, min_free = GIB, open_files = 1024;
	int sink = CAP_SINK_FILE, direct = CAP_SWITCH_AUTO;
	struct cap_settings in;
	int rc = cap_settings_open(&in, cap_settings_take(top, "output"), err, "output");

	if (rc == 0)
		rc = cap_settings_word(&in, "sink", sinks, &sink, err);
	if (rc == 0)
		rc = cap_settings_text(&in, "directory", &output->directory, err);
	if (rc == 0 && sink == CAP_SINK_FILE && (!output->directory || *output->directory != '/'))
		rc = cap_fail(err, EINVAL, "output.directory: must be an absolute path");
	if (rc == 0)
		rc = cap_settings_text(&in, "prefix", &output->prefix, err);
	if (rc == 0 && !output->prefix && !(output->prefix = strdup("capstan")))
		rc = cap_fail(err, ENOMEM, "output: out of memory");
	if (rc == 0 && !plain_prefix(output->prefix))
		rc = cap_fail(err, EINVAL, "output.prefix: must be 1 to 64 letters, digits and _");
	if (rc == 0)
		rc = cap_settings_int(&in, "rotate_bytes", 4 * MIB, INT64_MAX / 2, &rotate_bytes,
				      err);
	if (rc == 0)
		rc = cap_settings_int(&in, "rotate_seconds", 0, INT64_C(366) * 86400,
				      &rotate_seconds, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "min_free_bytes", 0, INT64_MAX / 2, &min_free, err);
	if (rc == 0)
		rc = cap_settings_word(&in, "direct_io", switch_words, &direct, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "open_files", 16, MOST_OPEN_FILES, &open_files, err);
	output->sink = (enum cap_sink)sink;
	output->rotate_bytes = (uint64_t)rotate_bytes;
	output->rotate_seconds = (uint64_t)rotate_seconds;
	output->min_free_bytes = (uint64_t)min_free;
	output->direct_io = (enum cap_switch)direct;
	output->open_files = (unsigned)open_files;
	return cap_settings_close(&in, rc, err);
}

static int read_targets(struct cap_settings *top, struct cap_config *config, struct cap_error *err)
{
	struct cap_targets_config *targets = &config->targets;
	json_t *object = cap_settings_take(top, "targets");
	struct cap_settings in;
	int rc;

	if (!object)
		return 0;
	rc = cap_settings_open(&in, object, err, "targets");
	if (rc == 0)
		rc = cap_settings_text(&in, "directory", &targets->directory, err);
	if (rc == 0)
		rc = cap_settings_text(&in, "file", &targets->file, err);
	if (rc == 0 && !targets->directory == !targets->file)
		rc = cap_fail(
			err, EINVAL,
			"targets: write either directory, where they can be changed, or file, which is read once");
	if (rc == 0 && targets->directory && *targets->directory != '/')
		rc = cap_fail(err, EINVAL, "targets.directory: must be an absolute path");
	if (rc == 0)
		rc = cap_settings_bool(&in, "streams", &targets->streams, err);
	for (unsigned i = 0; i < config->port_count; i++)
		config->ports[i].targeted = true;
	return cap_settings_close(&in, rc, err);
}

static int read_buffers(struct cap_settings *top, struct cap_config *config, struct cap_error *err)
{
	int64_t block = MIB, count = 64, stream = 16 * MIB;
	int huge = CAP_HUGEPAGES_AUTO;
	struct cap_settings in;
	int rc = cap_settings_open(&in, cap_settings_take(top, "buffers"), err, "buffers");

	if (rc == 0)
		rc = cap_settings_int(&in, "block_bytes", LEAST_BLOCK, 64 * MIB, &block, err);
	if (rc == 0 && block % CAP_PAGE)
		rc = cap_fail(err, EINVAL, "buffers.block_bytes: must be a multiple of %u",
			      CAP_PAGE);
	if (rc == 0)
		rc = cap_settings_int(&in, "blocks_per_queue", 4, 65536, &count, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "stream_bytes", CAP_LEAST_STREAM_BYTES, GIB, &stream,
				      err);
	if (rc == 0)
		rc = cap_settings_word(&in, "hugepages", switch_words, &huge, err);
	config->block_size = (uint32_t)block;
	config->blocks_per_queue = (unsigned)count;
	config->stream_bytes = (uint64_t)stream & ~(uint64_t)(CAP_PAGE - 1);
	config->hugepages = (enum cap_hugepages)huge;
	return cap_settings_close(&in, rc, err);
}

static int read_writer(struct cap_settings *top, struct cap_config *config, struct cap_error *err)
{
	static const char *const ios[] = { "auto", "io_uring", "pwrite", NULL };
	int64_t flush = 1000;
	int io = CAP_IO_AUTO;
	struct cap_settings in;
	int rc = cap_settings_open(&in, cap_settings_take(top, "writer"), err, "writer");

	if (rc == 0)
		rc = read_cores(&in, config->writer_cores, &config->writer_core_count, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "flush_ms", LEAST_FLUSH_MS, 60000, &flush, err);
	if (rc == 0)
		rc = cap_settings_word(&in, "io", ios, &io, err);
	config->flush_ms = (uint64_t)flush;
	for (unsigned i = 0; i < config->port_count; i++)
		config->ports[i].hold_ms = (unsigned)flush / SOURCE_SHARE;
	config->io = (enum cap_writer_io)io;
	return cap_settings_close(&in, rc, err);
}

static int read_top(json_t *root, struct cap_config *config, struct cap_error *err)
{
	int64_t version = 0;
	struct cap_settings in;
	int rc = cap_settings_open(&in, root, err, "configuration");

	if (rc == 0)
		rc = cap_settings_int(&in, "version", CAP_CONFIG_VERSION, CAP_CONFIG_VERSION,
				      &version, err);
	if (rc == 0 && !version)
		rc = cap_fail(err, EINVAL, "version: is missing: write %d", CAP_CONFIG_VERSION);
	if (rc == 0)
		rc = cap_settings_text(&in, "netns", &config->netns, err);
	if (rc == 0)
		rc = cap_settings_text(&in, "user", &config->user, err);
	if (rc == 0)
		rc = cap_settings_text(&in, "group", &config->group, err);
	if (rc == 0)
		rc = cap_settings_text(&in, "ledger", &config->ledger, err);
	if (rc == 0 && !config->ledger)
		rc = cap_fail(err, EINVAL, "ledger: is missing: write the path of the ledger");
	if (rc == 0)
		rc = read_control(&in, config, err);
	if (rc == 0)
		rc = read_ports(&in, config, err);
	if (rc == 0)
		rc = read_output(&in, config, err);
	if (rc == 0)
		rc = read_targets(&in, config, err);
	if (rc == 0)
		rc = read_buffers(&in, config, err);
	/* Head page, one that tells of a gap, one block, trailer. */
	if (rc == 0 && config->output.rotate_bytes < config->block_size + 3ULL * CAP_PAGE)
		rc = cap_fail(
			err, EINVAL,
			"output.rotate_bytes: must be above buffers.block_bytes (%u) by %u at least",
			config->block_size, 3 * CAP_PAGE);
	if (rc == 0)
		rc = read_writer(&in, config, err);
	return cap_settings_close(&in, rc, err);
}

int cap_config_load(const char *path, struct cap_config *config, struct cap_error *err)
{
	json_error_t where;
	json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
	int rc;

	*config = (struct cap_config){ 0 };
	if (!root) {
		if (where.line > 0)
			return cap_fail(err, EINVAL, "%s:%d: not valid JSON: %s", path, where.line,
					where.text);
		return cap_fail(err, EINVAL, "%s: cannot be read: %s", path, where.text);
	}
	rc = read_top(root, config, err);
	json_decref(root);
	if (rc) {
		cap_fail_in(err, rc, "%s", path);
		cap_config_free(config);
	}
	return rc;
}

void cap_config_free(struct cap_config *config)
{
	for (unsigned i = 0; i < config->port_count; i++) {
		free(config->ports[i].filter);
		if (config->ports[i].options)
			config->ports[i].driver->free_options(config->ports[i].options);
	}
	free(config->netns);
	free(config->user);
	free(config->group);
	free(config->ledger);
	free(config->control_path);
	free(config->control_group);
	free(config->output.directory);
	free(config->output.prefix);
	free(config->targets.directory);
	free(config->targets.file);
	*config = (struct cap_config){ 0 };
}

unsigned cap_config_queues(const struct cap_config *config)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < config->port_count; i++)
		sum += config->ports[i].queues;
	return sum;
}
