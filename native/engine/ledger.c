// SPDX-License-Identifier: Apache-2.0
#include "ledger.h"

#include "clock.h"
#include "pcapng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEDGER_MODE 0640

struct counter_field {
	const char *name, *role, *stage, *unit, *meaning;
	size_t offset;
};

#define FIELD_ENTRY(line, name, role, stage, unit, meaning) \
	{ #name, role, stage, unit, meaning, offsetof(struct cap_ledger_queue, line.name) },

static const struct counter_field counter_fields[] = { CAP_LEDGER_WORKER(
	FIELD_ENTRY) CAP_LEDGER_WRITER(FIELD_ENTRY) CAP_LEDGER_MONITOR(FIELD_ENTRY) };

#define N_COUNTERS (sizeof(counter_fields) / sizeof(counter_fields[0]))

static const char *const state_names[] = {
	[CAP_STATE_STARTING] = "starting", [CAP_STATE_CAPTURING] = "capturing",
	[CAP_STATE_STOPPING] = "stopping", [CAP_STATE_STOPPED] = "stopped",
	[CAP_STATE_FAILED] = "failed",
};

const char *cap_state_name(enum cap_ledger_state state)
{
	return state_names[state];
}

/* A ledger that is locked has a living writer, who must not lose it. */
static int check_unused(const char *path, struct cap_error *err)
{
	struct cap_ledger_header header = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc = 0;

	if (fd < 0)
		return errno == ENOENT ?
			       0 :
			       cap_fail(err, errno, "ledger: %s cannot be opened: %s: remove it",
					path, strerror(errno));
	if (flock(fd, LOCK_SH | LOCK_NB)) {
		if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
			header.pid = 0;
		rc = cap_fail(err, EBUSY,
			      "ledger: %s is written by the engine with pid %u: stop it first",
			      path, header.pid);
	}
	close(fd);
	return rc;
}

/* @return the locked new file, or negative errno */
static int create_beside(const char *fresh, size_t size, uint32_t uid, uint32_t gid,
			 struct cap_error *err)
{
	int fd, rc;

	/* Always a new file of our own: what stands there is a left-over of a start that failed. */
	(void)unlink(fresh);
	fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, LEDGER_MODE);
	if (fd < 0)
		return cap_fail(
			err, errno,
			"ledger: cannot create %s: %s: make its directory and let the engine's user write there",
			fresh, strerror(errno));
	/* posix_fallocate, unlike ftruncate, fails here when memory is short, not by SIGBUS later. */
	rc = posix_fallocate(fd, 0, (off_t)size);
	if (rc == 0 &&
	    (flock(fd, LOCK_EX | LOCK_NB) || fchown(fd, uid, gid) || fchmod(fd, LEDGER_MODE)))
		rc = errno;
	if (rc) {
		close(fd);
		return cap_fail(err, rc, "ledger: cannot set up %zu bytes at %s: %s", size, fresh,
				strerror(rc));
	}
	return fd;
}

int cap_ledger_create(struct cap_ledger *ledger, const char *path, unsigned queues, unsigned ports,
		      uint32_t uid, uint32_t gid, struct cap_error *err)
{
	size_t devices = sizeof(*ledger->header) + queues * sizeof(*ledger->queues);
	size_t size = devices + ports * sizeof(*ledger->devices);
	char fresh[sizeof(ledger->path) + 8];
	void *memory;
	int rc;

	if ((size_t)snprintf(ledger->path, sizeof(ledger->path), "%s", path) >=
	    sizeof(ledger->path))
		return cap_fail(err, ENAMETOOLONG, "ledger: the path %s is too long", path);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	rc = check_unused(path, err);
	if (rc)
		return rc;
	ledger->lock = create_beside(fresh, size, uid, gid, err);
	if (ledger->lock < 0)
		return ledger->lock;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ledger->lock,
		      0);
	if (memory == MAP_FAILED) {
		rc = errno;
		close(ledger->lock);
		return cap_fail(err, rc, "ledger: cannot map %s: %s", fresh, strerror(rc));
	}

	ledger->size = size;
	ledger->header = memory;
	ledger->queues = (void *)((char *)memory + sizeof(*ledger->header));
	ledger->devices = (void *)((char *)memory + devices);
	memcpy(ledger->header->magic, CAP_LEDGER_MAGIC, sizeof(ledger->header->magic));
	ledger->header->version = CAP_LEDGER_VERSION;
	ledger->header->pid = (uint32_t)getpid();
	ledger->header->queues = queues;
	ledger->header->ports = ports;
	ledger->header->started_realtime_ns = cap_realtime_ns();
	cap_ledger_set_state(ledger, CAP_STATE_STARTING);
	/* A reader finds the old ledger or a new one with its header. */
	if (rename(fresh, path)) {
		rc = errno;
		cap_ledger_close(ledger);
		return cap_fail(err, rc, "ledger: cannot give %s its name: %s", path, strerror(rc));
	}
	return 0;
}

void cap_ledger_set_state(struct cap_ledger *ledger, enum cap_ledger_state state)
{
	cap_publish(&ledger->header->heartbeat_monotonic_ns, cap_monotonic_ns());
	if (state == CAP_STATE_CAPTURING)
		cap_publish(&ledger->header->armed_realtime_ns, cap_realtime_ns());
	if (state == CAP_STATE_STOPPED || state == CAP_STATE_FAILED)
		cap_publish(&ledger->header->stopped_realtime_ns, cap_realtime_ns());
	__atomic_store_n(&ledger->header->state, state, __ATOMIC_RELEASE);
}

void cap_ledger_close(struct cap_ledger *ledger)
{
	if (ledger->header) {
		munmap(ledger->header, ledger->size);
		close(ledger->lock);
	}
	ledger->header = NULL;
	ledger->queues = NULL;
	ledger->devices = NULL;
}

static uint64_t counter_value(const struct cap_ledger_queue *queue,
			      const struct counter_field *field)
{
	return cap_sample((const uint64_t *)(const void *)((const char *)queue + field->offset));
}

/* @param stage NULL: all of them */
static uint64_t sum_role(const struct cap_ledger_queue *queue, const char *role, const char *stage)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < N_COUNTERS; i++) {
		const struct counter_field *field = &counter_fields[i];

		if (!strcmp(field->role, role) && (!stage || !strcmp(field->stage, stage)))
			sum += counter_value(queue, field);
	}
	return sum;
}

uint64_t cap_ledger_drops(const struct cap_ledger_queue *queue)
{
	return sum_role(queue, "drop", NULL);
}

uint64_t cap_ledger_pending(const struct cap_ledger_queue *queue)
{
	/* Settled before received: a packet settled in between must not make the difference negative. */
	uint64_t settled = sum_role(queue, "delivered", "engine") +
			   sum_role(queue, "filtered", "engine") +
			   sum_role(queue, "drop", "engine");
	uint64_t received = sum_role(queue, "received", "engine");

	return received > settled ? received - settled : 0;
}

int64_t cap_ledger_unaccounted(const struct cap_ledger_queue *queue)
{
	uint64_t known = sum_role(queue, "delivered", NULL) + sum_role(queue, "filtered", NULL) +
			 cap_ledger_drops(queue) + cap_ledger_pending(queue);

	return (int64_t)(sum_role(queue, "wire", NULL) - known);
}

json_t *cap_ledger_causes(const struct cap_ledger_queue *queue)
{
	json_t *causes = json_object();

	for (size_t i = 0; i < N_COUNTERS; i++) {
		uint64_t value = counter_value(queue, &counter_fields[i]);

		if (value && !strcmp(counter_fields[i].role, "drop"))
			json_object_set_new(causes, counter_fields[i].name,
					    json_integer((json_int_t)value));
	}
	return causes;
}

/* Workers ask for these with each block, so the compiler picks the counters, not a comparison of names. */
#define ADD_FILTERED(line, name, role, stage, unit, meaning) \
	+(strcmp(role, "filtered") ? 0 : cap_sample(&queue->line.name))
#define ADD_KERNEL_DROP(line, name, role, stage, unit, meaning) \
	+(strcmp(role, "drop") || strcmp(stage, "kernel") ? 0 : cap_sample(&queue->line.name))

void cap_ledger_figures(const struct cap_ledger_header *header,
			const struct cap_ledger_queue *queue, uint64_t timestamp_ns,
			struct cap_pcapng_statistics *figures)
{
	const uint64_t wire = cap_sample(&queue->worker.wire_packets);
	const uint64_t nic = cap_sample(&queue->monitor.nic_lost);

	*figures = (struct cap_pcapng_statistics){
		.timestamp_ns = timestamp_ns,
		.start_ns = cap_sample(&header->armed_realtime_ns),
		.ifrecv = wire + nic,
		.ifdrop = nic,
		.filteraccept = wire - (0 CAP_LEDGER_WORKER(ADD_FILTERED)),
		.osdrop = 0 CAP_LEDGER_WORKER(ADD_KERNEL_DROP),
		.usrdeliv = cap_sample(&queue->writer.delivered_packets),
	};
}

static json_t *describe(const char *name, size_t offset, const char *type, const char *role)
{
	return json_pack("{s:s, s:i, s:s, s:s}", "name", name, "offset", (int)offset, "type", type,
			 "role", role);
}

#define HEADER_FIELD(name, type)                                                                \
	json_array_append_new(header, describe(#name, offsetof(struct cap_ledger_header, name), \
					       type, "header"))
#define LABEL_FIELD(name, type)                                                                \
	json_array_append_new(fields, describe(#name, offsetof(struct cap_ledger_queue, name), \
					       type, "label"))
#define DEVICE_FIELD(name, type)                                                                \
	json_array_append_new(fields, describe(#name, offsetof(struct cap_ledger_device, name), \
					       type, "label"))
#define SLOT_FIELD(name, type)                                                                  \
	json_array_append_new(slots, describe(#name, offsetof(struct cap_ledger_counter, name), \
					      type, "label"))

/* The records of devices, which lie behind those of the queues. */
static json_t *device_layout(void)
{
	json_t *fields = json_array(), *slots = json_array();
	char name_type[16];

	snprintf(name_type, sizeof(name_type), "char[%d]", CAP_COUNTER_NAME_LEN);
	DEVICE_FIELD(interface, "char[16]");
	DEVICE_FIELD(port, "u32");
	DEVICE_FIELD(used, "u32");
	DEVICE_FIELD(left_out, "u64");
	SLOT_FIELD(name, name_type);
	SLOT_FIELD(value, "u64");
	SLOT_FIELD(loss, "u64");
	return json_pack("{s:i, s:o, s:{s:i, s:i, s:i, s:o}}", "stride",
			 (int)sizeof(struct cap_ledger_device), "fields", fields, "counters",
			 "offset", (int)offsetof(struct cap_ledger_device, counters), "stride",
			 (int)sizeof(struct cap_ledger_counter), "slots", CAP_LEDGER_DEVICE_SLOTS,
			 "fields", slots);
}

json_t *cap_ledger_layout(void)
{
	json_t *header = json_array(), *fields = json_array(), *states = json_object();
	char key[12];

	HEADER_FIELD(magic, "char[8]");
	HEADER_FIELD(version, "u32");
	HEADER_FIELD(pid, "u32");
	HEADER_FIELD(queues, "u32");
	HEADER_FIELD(state, "u32");
	HEADER_FIELD(started_realtime_ns, "u64");
	HEADER_FIELD(armed_realtime_ns, "u64");
	HEADER_FIELD(heartbeat_monotonic_ns, "u64");
	HEADER_FIELD(stopped_realtime_ns, "u64");
	HEADER_FIELD(ports, "u32");

	LABEL_FIELD(interface, "char[16]");
	LABEL_FIELD(method, "char[16]");
	LABEL_FIELD(port, "u32");
	LABEL_FIELD(queue, "u32");
	LABEL_FIELD(cpu, "i32");
	for (size_t i = 0; i < N_COUNTERS; i++) {
		const struct counter_field *field = &counter_fields[i];
		json_t *entry = describe(field->name, field->offset, "u64", field->role);

		if (*field->stage)
			json_object_set_new(entry, "stage", json_string(field->stage));
		json_object_set_new(entry, "unit", json_string(field->unit));
		json_object_set_new(entry, "meaning", json_string(field->meaning));
		json_array_append_new(fields, entry);
	}
	for (size_t i = 0; i < sizeof(state_names) / sizeof(state_names[0]); i++) {
		snprintf(key, sizeof(key), "%zu", i);
		json_object_set_new(states, key, json_string(state_names[i]));
	}
	return json_pack("{s:i, s:s, s:s, s:{s:i, s:o}, s:o, s:{s:i, s:o}, s:o}", "version",
			 (int)CAP_LEDGER_VERSION, "magic", CAP_LEDGER_MAGIC, "byte_order", "little",
			 "header", "size", (int)sizeof(struct cap_ledger_header), "fields", header,
			 "states", states, "queue", "stride", (int)sizeof(struct cap_ledger_queue),
			 "fields", fields, "device", device_layout());
}
