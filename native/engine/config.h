/* SPDX-License-Identifier: Apache-2.0 */
/** @file engine.json: what the supervisor asks the engine to be. Read once, strictly. */
#ifndef CAPSTAN_CONFIG_H
#define CAPSTAN_CONFIG_H

#include "block.h"
#include "driver.h"
#include "error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CAP_CONFIG_VERSION 1
#define CAP_MAX_PORTS 32

/** Least of stream_bytes: the largest packet in as many copies as it can have. */
#define CAP_LEAST_STREAM_BYTES (INT64_C(8) << 20)

enum cap_sink { CAP_SINK_FILE, CAP_SINK_NULL };
enum cap_switch { CAP_SWITCH_AUTO, CAP_SWITCH_ON, CAP_SWITCH_OFF };
enum cap_writer_io { CAP_IO_AUTO, CAP_IO_URING, CAP_IO_PWRITE };

struct cap_output_config {
	enum cap_sink sink;
	char *directory;
	char *prefix;
	uint64_t rotate_bytes;	 /**< a file is closed before it would grow beyond this */
	uint64_t rotate_seconds; /**< and when it is this old; 0: never */
	uint64_t min_free_bytes; /**< oldest whole files go before free space falls below this */
	enum cap_switch direct_io;
	unsigned open_files; /**< most files of targets that are open at once */
};

/** Whose packets are captured. Neither directory nor file: everybody's. */
struct cap_targets_config {
	char *directory; /**< of the set in force and its log: changes are accepted */
	char *file;	 /**< a set that is read once, and not changed */
	bool streams;	 /**< a stream of files for each target */
};

struct cap_config {
	char *netns; /**< path of a network namespace to enter, or NULL */
	char *user;  /**< to become after the ports are open, or NULL */
	char *group;
	char *ledger; /**< path of the ledger segment */
	char *control_path;
	char *control_group; /**< may use the control socket beside root and the engine's user; or NULL */
	mode_t control_mode;

	unsigned port_count;
	struct cap_port_config ports[CAP_MAX_PORTS];
	struct cap_output_config output;
	struct cap_targets_config targets;

	uint32_t block_size;
	unsigned blocks_per_queue;
	uint64_t stream_bytes; /**< of a queue, to take blocks apart into targets' streams */
	enum cap_hugepages hugepages;

	unsigned writer_core_count;
	int writer_cores[CAP_MAX_QUEUES];
	uint64_t flush_ms; /**< from a packet's arrival to its being written, unless the disk is late */
	enum cap_writer_io io;
};

/**
 * Read and check @p path.
 *
 * @return 0, or negative errno with a sentence that names file and key; then @p config holds nothing
 */
int cap_config_load(const char *path, struct cap_config *config, struct cap_error *err);
void cap_config_free(struct cap_config *config);

/** @return whether targets say what is captured */
static inline bool cap_config_has_targets(const struct cap_config *config)
{
	return config->targets.directory || config->targets.file;
}

/** Queues of all ports together. */
unsigned cap_config_queues(const struct cap_config *config);

#endif
