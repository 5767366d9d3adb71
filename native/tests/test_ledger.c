// SPDX-License-Identifier: Apache-2.0
#include "ledger.h"
#include "pcapng.h"
#include "sentence.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH "/tmp/capstan-test-ledger"

static struct cap_ledger make(void)
{
	struct cap_ledger ledger;
	struct cap_error err;

	HOLDS(cap_ledger_create(&ledger, PATH, 2, 1, getuid(), getgid(), &err) == 0);
	return ledger;
}

static void a_reader_finds_the_segment_by_its_layout(void)
{
	struct cap_ledger ledger = make();
	json_t *layout = cap_ledger_layout();
	json_t *queue = json_object_get(layout, "queue");
	size_t stride = (size_t)json_integer_value(json_object_get(queue, "stride"));
	size_t start = (size_t)json_integer_value(
		json_object_get(json_object_get(layout, "header"), "size"));
	int fd = open(PATH, O_RDONLY);
	struct stat info;
	json_t *field;
	size_t i;

	HOLDS(fd >= 0 && fstat(fd, &info) == 0);
	HOLDS((size_t)info.st_size == start + 2 * stride + sizeof(struct cap_ledger_device));
	uint8_t *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
	HOLDS(bytes != MAP_FAILED && !memcmp(bytes, CAP_LEDGER_MAGIC, 8));

	ledger.queues[1].worker.ring_full = 7;
	ledger.queues[1].writer.delivered_packets = 8;
	unsigned found = 0;
	json_array_foreach(json_object_get(queue, "fields"), i, field) {
		const char *name = json_string_value(json_object_get(field, "name"));
		size_t offset = (size_t)json_integer_value(json_object_get(field, "offset"));
		uint64_t value;

		HOLDS(offset + 4 <= stride);
		memcpy(&value, bytes + start + stride + offset, sizeof(value));
		if (!strcmp(name, "ring_full"))
			found += value == 7;
		if (!strcmp(name, "delivered_packets"))
			found += value == 8;
	}
	HOLDS(found == 2);
	munmap(bytes, (size_t)info.st_size);
	close(fd);
	json_decref(layout);
	cap_ledger_close(&ledger);
	unlink(PATH);
}

static void a_reader_finds_a_devices_counters_behind_the_queues(void)
{
	struct cap_ledger ledger = make();
	json_t *layout = cap_ledger_layout();
	json_t *device = json_object_get(layout, "device");
	json_t *slots = json_object_get(device, "counters");
	size_t stride = (size_t)json_integer_value(json_object_get(slots, "stride"));
	const uint8_t *record = (const uint8_t *)(ledger.queues + 2);

	HOLDS(ledger.header->ports == 1);
	HOLDS(json_integer_value(json_object_get(device, "stride")) ==
	      sizeof(struct cap_ledger_device));
	strcpy(ledger.devices[0].counters[3].name, "rx_missed");
	HOLDS(!strcmp((const char *)record + json_integer_value(json_object_get(slots, "offset")) +
			      3 * stride,
		      "rx_missed"));
	HOLDS(json_integer_value(json_object_get(slots, "slots")) == CAP_LEDGER_DEVICE_SLOTS);
	json_decref(layout);
	cap_ledger_close(&ledger);
	unlink(PATH);
}

static void each_writing_thread_has_its_own_cache_lines(void)
{
	HOLDS(offsetof(struct cap_ledger_queue, worker) % CAP_CACHE_LINE == 0);
	HOLDS(offsetof(struct cap_ledger_queue, writer) % CAP_CACHE_LINE == 0);
	HOLDS(offsetof(struct cap_ledger_queue, monitor) % CAP_CACHE_LINE == 0);
	HOLDS(sizeof(struct cap_ledger_queue) % CAP_CACHE_LINE == 0);
	HOLDS(sizeof(struct cap_ledger_device) % CAP_CACHE_LINE == 0);
}

static void the_balance_closes_when_every_packet_has_a_name(void)
{
	struct cap_ledger ledger = make();
	struct cap_ledger_queue *queue = &ledger.queues[0];

	queue->worker.wire_packets = 100;
	queue->worker.filtered_kernel = 10;
	queue->worker.kernel_dropped = 5;
	queue->worker.received_packets = 85;
	queue->worker.filtered_engine = 3;
	queue->worker.no_block = 2;
	queue->writer.delivered_packets = 60;
	HOLDS(cap_ledger_pending(queue) == 20);
	HOLDS(cap_ledger_unaccounted(queue) == 0);
	HOLDS(cap_ledger_drops(queue) == 7);

	queue->writer.delivered_packets = 79;
	queue->writer.sink_full = 1;
	HOLDS(cap_ledger_pending(queue) == 0);
	HOLDS(cap_ledger_unaccounted(queue) == 0);

	queue->worker.wire_packets = 101;
	HOLDS(cap_ledger_unaccounted(queue) == 1);
	queue->worker.wire_packets = 99;
	HOLDS(cap_ledger_unaccounted(queue) == -1);
	cap_ledger_close(&ledger);
	unlink(PATH);
}

static void what_the_nic_lost_is_on_both_sides(void)
{
	struct cap_ledger ledger = make();
	struct cap_ledger_queue *queue = &ledger.queues[0];

	queue->monitor.nic_missed = 4;
	queue->monitor.nic_no_buffer = 3;
	queue->monitor.nic_lost = 7;
	HOLDS(cap_ledger_unaccounted(queue) == 0);
	HOLDS(cap_ledger_drops(queue) == 7);
	cap_ledger_close(&ledger);
	unlink(PATH);
}

static void causes_are_named_and_zeros_left_out(void)
{
	struct cap_ledger ledger = make();
	json_t *causes;

	ledger.queues[0].worker.no_block = 2;
	causes = cap_ledger_causes(&ledger.queues[0]);
	HOLDS(json_object_size(causes) == 1);
	HOLDS(json_integer_value(json_object_get(causes, "no_block")) == 2);
	json_decref(causes);
	cap_ledger_close(&ledger);
	unlink(PATH);
}

static void figures_of_a_block_name_every_loss_before_the_engine(void)
{
	struct cap_ledger ledger = make();
	struct cap_ledger_queue *queue = &ledger.queues[0];
	struct cap_pcapng_statistics figures;

	ledger.header->armed_realtime_ns = 5;
	queue->worker.wire_packets = 1000;
	queue->worker.filtered_kernel = 100;
	queue->worker.filtered_engine = 10;
	queue->worker.kernel_dropped = 1;
	queue->worker.ring_full = 2;
	queue->worker.unbound = 4;
	queue->worker.other_link = 8;
	queue->worker.invalid = 16;
	queue->worker.port_removed = 32;
	queue->worker.no_block = 64;
	queue->writer.sink_full = 128;
	queue->writer.delivered_packets = 500;
	queue->monitor.nic_missed = queue->monitor.nic_lost = 7;
	cap_ledger_figures(ledger.header, queue, 9, &figures);
	HOLDS(figures.timestamp_ns == 9 && figures.start_ns == 5);
	HOLDS(figures.ifrecv == 1007 && figures.ifdrop == 7);
	HOLDS(figures.filteraccept == 890);
	HOLDS(figures.osdrop == 63);
	HOLDS(figures.usrdeliv == 500);
	cap_ledger_close(&ledger);
	unlink(PATH);
}

static void a_directory_that_is_not_there_is_told(void)
{
	struct cap_ledger ledger;
	struct cap_error err;

	HOLDS(cap_ledger_create(&ledger, "/nowhere/ledger", 1, 1, 0, 0, &err) < 0);
	HOLDS(strstr(err.text, "/nowhere/ledger"));
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "a reader finds the segment by its layout",
		  a_reader_finds_the_segment_by_its_layout },
		{ "a reader finds a device's counters behind the queues",
		  a_reader_finds_a_devices_counters_behind_the_queues },
		{ "each writing thread has its own cache lines",
		  each_writing_thread_has_its_own_cache_lines },
		{ "the balance closes when every packet has a name",
		  the_balance_closes_when_every_packet_has_a_name },
		{ "what the NIC lost is on both sides", what_the_nic_lost_is_on_both_sides },
		{ "causes are named and zeros left out", causes_are_named_and_zeros_left_out },
		{ "figures of a block name every loss before the engine",
		  figures_of_a_block_name_every_loss_before_the_engine },
		{ "a directory that is not there is told", a_directory_that_is_not_there_is_told },
	};

	return HOLD_ALL(sentences);
}
