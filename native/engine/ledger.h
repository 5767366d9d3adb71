/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The ledger: every packet that reached a queue is counted exactly once.
 *
 * A file in shared memory: one header, then one record a queue, then one a port with the device's own
 * counters. Each 64-byte line has one writing
 * thread; values are stored relaxed and never decrease, so a reader samples without a lock. The fields
 * are listed once, in ledger_fields.h; `capstan-engine --ledger-layout` prints them for other readers.
 *
 *     unaccounted = wire - delivered - filtered - drops - pending
 *     pending     = received - delivered - what the engine itself filtered or dropped
 *
 * is 0 after a clean stop, to the packet.
 */
#ifndef CAPSTAN_LEDGER_H
#define CAPSTAN_LEDGER_H

#include "driver.h"
#include "error.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct cap_pcapng_statistics;

#define CAP_LEDGER_MAGIC "CAPLEDGR"
#define CAP_LEDGER_VERSION 1U
#define CAP_CACHE_LINE 64

enum cap_ledger_state {
	CAP_STATE_STARTING,
	CAP_STATE_CAPTURING,
	CAP_STATE_STOPPING,
	CAP_STATE_STOPPED,
	CAP_STATE_FAILED,
};

/** Values of the counter nic_life. */
enum cap_nic_life {
	CAP_NIC_NONE,
	CAP_NIC_COUNTS_ON,
	CAP_NIC_ENDS_WITH_ENGINE,
};

/** @return "capturing" and so on */
const char *cap_state_name(enum cap_ledger_state state);

struct cap_ledger_header {
	char magic[8];
	uint32_t version;
	uint32_t pid;
	uint32_t queues;
	uint32_t state; /**< enum cap_ledger_state */
	uint64_t started_realtime_ns;
	uint64_t armed_realtime_ns;	 /**< when counting began */
	uint64_t heartbeat_monotonic_ns; /**< refreshed at least every second by the main thread */
	uint64_t stopped_realtime_ns;	 /**< 0 while running */
	uint32_t ports;			 /**< records of devices behind those of the queues */
} __attribute__((aligned(256)));

#define CAP_LEDGER_MEMBER(line, name, role, stage, unit, meaning) uint64_t name;

#define CAP_LEDGER_LINE(name, members) \
	struct cap_ledger_##name {     \
		members                \
	} __attribute__((aligned(CAP_CACHE_LINE)))

#include "ledger_fields.h"

CAP_LEDGER_LINE(worker, CAP_LEDGER_WORKER(CAP_LEDGER_MEMBER));
CAP_LEDGER_LINE(writer, CAP_LEDGER_WRITER(CAP_LEDGER_MEMBER));
CAP_LEDGER_LINE(monitor, CAP_LEDGER_MONITOR(CAP_LEDGER_MEMBER));

/** One queue's record. */
struct cap_ledger_queue {
	char interface[CAP_NAME_LEN];
	char method[16];
	uint32_t port;
	uint32_t queue;
	int32_t cpu; /**< -1: not pinned */
	struct cap_ledger_worker worker __attribute__((aligned(CAP_CACHE_LINE)));
	struct cap_ledger_writer writer;
	struct cap_ledger_monitor monitor;
};

/** Counters of a device's own that a ledger has room for: those that never leave 0 take none. */
#define CAP_LEDGER_DEVICE_SLOTS 128

/** Of these, for counters whose names tell of loss alone: a NIC of many queues cannot crowd them out. */
#define CAP_LEDGER_LOSS_SLOTS 32

struct cap_ledger_counter {
	char name[CAP_COUNTER_NAME_LEN];
	uint64_t value; /**< since arm, over all openings of the port */
	uint64_t loss;	/**< 1: by its name, what it counts was lost or damaged */
};

/** One port's device: its own counters, written by the main thread. No part of the balance. */
struct cap_ledger_device {
	char interface[CAP_NAME_LEN];
	uint32_t port;
	uint32_t used;	   /**< of `counters`; published after a new one has its name */
	uint64_t left_out; /**< counters that are not 0 and found no room */
	struct cap_ledger_counter counters[CAP_LEDGER_DEVICE_SLOTS]
		__attribute__((aligned(CAP_CACHE_LINE)));
};

/** An open ledger; owned by the main thread, which hands single records to their writers. */
struct cap_ledger {
	struct cap_ledger_header *header;
	struct cap_ledger_queue *queues;
	struct cap_ledger_device *devices;
	size_t size;
	char path[256];
	int lock; /**< holds the file's flock: who writes it is alive */
};

/** Counters have one writer, so a relaxed load and store is enough. */
static inline void cap_count(uint64_t *counter, uint64_t amount)
{
	__atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

static inline void cap_publish(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline uint64_t cap_sample(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/**
 * Create the segment at @p path with zeroed records; an earlier one is replaced at once by rename, but
 * not one that a living engine writes (-EBUSY).
 *
 * @param owner_uid,owner_gid who may read it later; mode 0640
 */
int cap_ledger_create(struct cap_ledger *ledger, const char *path, unsigned queues, unsigned ports,
		      uint32_t uid, uint32_t gid, struct cap_error *err);

void cap_ledger_set_state(struct cap_ledger *ledger, enum cap_ledger_state state);

/** Unmap; the file stays for whoever wants to know how it ended. */
void cap_ledger_close(struct cap_ledger *ledger);

/** Packets in the engine's blocks: received, and not yet delivered, filtered or dropped. */
uint64_t cap_ledger_pending(const struct cap_ledger_queue *queue);

/** wire - delivered - filtered - drops - pending; negative when something was counted twice. */
int64_t cap_ledger_unaccounted(const struct cap_ledger_queue *queue);

/** All drops of a queue, over all causes. */
uint64_t cap_ledger_drops(const struct cap_ledger_queue *queue);

/** The description that `--ledger-layout` prints. @return new reference */
json_t *cap_ledger_layout(void);

/** {"cause": count} of one queue's drops that are not 0. @return new reference */
json_t *cap_ledger_causes(const struct cap_ledger_queue *queue);

/**
 * A queue's figures of this moment, as a file's statistics block tells them. Any thread.
 *
 * @param timestamp_ns of the block, by the real-time clock
 */
void cap_ledger_figures(const struct cap_ledger_header *header,
			const struct cap_ledger_queue *queue, uint64_t timestamp_ns,
			struct cap_pcapng_statistics *figures);

#endif
