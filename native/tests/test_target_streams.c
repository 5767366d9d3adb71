// SPDX-License-Identifier: Apache-2.0
/* A stream of files for each target, from blocks made by hand with the comments that workers write. */
#include "packet_block.h"
#include "pcapng.h"
#include "sentence.h"
#include "writer_bench.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PACKET 1000U
#define WITHOUT_END (UINT64_C(1) << 40)

/* What the writer handed to the kernel with its first call. */
static unsigned first_started;

/* In place of the library's, which is called. */
int io_uring_submit(struct io_uring *ring)
{
	int (*submit)(struct io_uring *) = NULL;
	void *symbol = dlsym(RTLD_NEXT, "io_uring_submit");

	memcpy(&submit, &symbol, sizeof(submit));
	if (!first_started)
		first_started = io_uring_sq_ready(ring);
	return submit(ring);
}

/* Options of a packet. */
struct options {
	uint8_t bytes[1024];
	uint32_t len;
};

static void name_target(char id[CAP_FOLDER_LEN + 1], unsigned target)
{
	snprintf(id, CAP_FOLDER_LEN + 1, "%08x-89ab-cdef-0123-456789abcdef", target);
}

static void add_option(struct options *options, uint16_t code, const void *value, uint16_t len)
{
	memcpy(options->bytes + options->len, &code, sizeof(code));
	memcpy(options->bytes + options->len + 2, &len, sizeof(len));
	memcpy(options->bytes + options->len + 4, value, len);
	memset(options->bytes + options->len + 4 + len, 0, cap_pad4(len) - len);
	options->len += 4 + cap_pad4(len);
}

static void add_comment(struct options *options, const char *text)
{
	add_option(options, 1, text, (uint16_t)strlen(text));
}

static void add_target(struct options *options, unsigned target)
{
	char id[CAP_FOLDER_LEN + 1], comment[64];

	name_target(id, target);
	snprintf(comment, sizeof(comment), "target %s", id);
	add_comment(options, comment);
}

static void add_lost(struct options *options, uint64_t lost)
{
	add_option(options, 4, &lost, sizeof(lost));
}

static uint32_t put_packet(struct bench *bench, struct cap_block *block, unsigned first,
			   unsigned targets)
{
	struct options options = { 0 };

	for (unsigned i = 0; i < targets; i++)
		add_target(&options, first + i);
	return bench_packet(bench, block, PACKET, options.bytes, options.len);
}

/* A block with packets of targets in turn. @return packets */
static unsigned push_turns(struct bench *bench, unsigned packets, unsigned first, unsigned targets,
			   bool last)
{
	struct cap_block *block = bench_block(bench);

	for (unsigned i = 0; i < packets; i++)
		put_packet(bench, block, first + i % targets, 1);
	bench_push(bench, block, last);
	return packets;
}

static void set_up(struct bench *bench, enum cap_writer_io io, uint64_t rotate_bytes)
{
	bench_prepare(bench, io, rotate_bytes);
	bench->config.targets.streams = true;
	bench_start(bench);
}

static struct found collect(unsigned target)
{
	char id[CAP_FOLDER_LEN + 1];

	name_target(id, target);
	return bench_collect(id);
}

static bool is_whole(const struct found *found)
{
	return found->in_order && found->readable && !found->hidden;
}

static void balances(const struct bench *bench, unsigned sent)
{
	const struct cap_ledger_queue *ledger = bench->ledger.queues;

	HOLDS(ledger->writer.delivered_packets + cap_ledger_drops(ledger) == sent);
	HOLDS(cap_ledger_unaccounted(ledger) == 0 && cap_ledger_pending(ledger) == 0);
	HOLDS(cap_spsc_count((struct cap_spsc *)&bench->pool.free) == BENCH_BLOCKS);
}

static void each_target_has_its_packets_by(enum cap_writer_io io)
{
	struct bench bench;
	unsigned sent = 0;

	set_up(&bench, io, WITHOUT_END);
	for (unsigned i = 0; i < 20; i++)
		sent += push_turns(&bench, 90 + i, 0, 3, false);
	cap_writer_finish(bench.writer);
	balances(&bench, sent);
	HOLDS(bench.ledger.queues->writer.delivered_packets == sent);
	HOLDS(bench.ledger.queues->writer.delivered_bytes == (uint64_t)sent * PACKET);
	HOLDS(bench.ledger.queues->writer.stream_copies == sent);
	HOLDS(bench.ledger.queues->writer.files_whole == 3);
	bench_put_away(&bench);

	unsigned packets = 0;

	for (unsigned target = 0; target < 3; target++) {
		struct found found = collect(target);

		HOLDS(is_whole(&found) && found.files == 1 && found.packets >= sent / 3 - 20);
		packets += found.packets;
	}
	HOLDS(packets == sent);
	HOLDS(bench_collect(NULL).files == 0);
}

static void io_uring_gives_each_target_its_packets(void)
{
	each_target_has_its_packets_by(CAP_IO_URING);
}

static void the_writes_of_a_round_are_started_by_one_call(void)
{
	struct bench bench;
	unsigned sent;

	set_up(&bench, CAP_IO_URING, WITHOUT_END);
	first_started = 0;
	sent = push_turns(&bench, 200, 1, 40, false);
	cap_writer_finish(bench.writer);
	HOLDS(first_started == 40);
	HOLDS(bench.ledger.queues->writer.files_whole == 40);
	balances(&bench, sent);
	bench_put_away(&bench);
	for (unsigned target = 1; target <= 40; target++) {
		struct found found = collect(target);

		HOLDS(is_whole(&found) && found.files == 1 && found.packets == 5);
	}
}

static void pwrite_gives_each_target_its_packets(void)
{
	each_target_has_its_packets_by(CAP_IO_PWRITE);
}

static void a_packet_of_two_targets_is_in_both_streams_and_counted_once(void)
{
	struct cap_block *block;
	struct bench bench;

	set_up(&bench, CAP_IO_URING, WITHOUT_END);
	block = bench_block(&bench);
	for (unsigned i = 0; i < 10; i++) {
		put_packet(&bench, block, 1, 1);
		put_packet(&bench, block, 1, 2);
		put_packet(&bench, block, 2, 1);
	}
	bench_push(&bench, block, false);
	cap_writer_finish(bench.writer);
	balances(&bench, 30);
	HOLDS(bench.ledger.queues->writer.delivered_packets == 30);
	HOLDS(bench.ledger.queues->writer.stream_copies == 40);
	bench_put_away(&bench);

	struct found one = collect(1), two = collect(2);

	HOLDS(is_whole(&one) && one.packets == 20 && is_whole(&two) && two.packets == 20);
}

/* @return the only file of a target, to be freed; its length in *len */
static uint8_t *read_only_file(unsigned target, size_t *len)
{
	char id[CAP_FOLDER_LEN + 1], path[1024];
	uint8_t *content = NULL;
	struct dirent *entry;
	DIR *list;

	name_target(id, target);
	snprintf(path, sizeof(path), "%s/%s", bench_directory(), id);
	list = opendir(path);
	HOLDS(list);
	while ((entry = readdir(list))) {
		struct stat info;
		int fd;

		if (entry->d_name[0] == '.')
			continue;
		HOLDS(!content);
		fd = openat(dirfd(list), entry->d_name, O_RDONLY);
		HOLDS(fd >= 0 && fstat(fd, &info) == 0);
		*len = (size_t)info.st_size;
		content = malloc(*len);
		HOLDS(content && read(fd, content, *len) == info.st_size);
		close(fd);
	}
	closedir(list);
	HOLDS(content);
	return content;
}

static bool holds_text(const uint8_t *content, size_t len, const char *text)
{
	return memmem(content, len, text, strlen(text));
}

static void a_targets_file_tells_nothing_of_another(void)
{
	struct options options = { 0 };
	char one[CAP_FOLDER_LEN + 1], two[CAP_FOLDER_LEN + 1];
	struct cap_block *block;
	struct bench bench;
	uint8_t *content;
	size_t len;

	name_target(one, 1);
	name_target(two, 2);
	set_up(&bench, CAP_IO_URING, WITHOUT_END);
	block = bench_block(&bench);
	add_comment(&options, "color 7");
	add_target(&options, 1);
	add_target(&options, 2);
	add_comment(&options, CAP_MORE_COMMENT);
	bench_packet(&bench, block, PACKET, options.bytes, options.len);
	bench_push(&bench, block, false);
	cap_writer_finish(bench.writer);
	balances(&bench, 1);
	bench_put_away(&bench);

	content = read_only_file(1, &len);
	HOLDS(holds_text(content, len, one) && !holds_text(content, len, two));
	HOLDS(holds_text(content, len, "color 7") && !holds_text(content, len, CAP_MORE_COMMENT));
	HOLDS(holds_text(content, len, "here 1 packets of target 00000001-"));
	free(content);
	HOLDS(collect(1).packets == 1 && collect(2).packets == 1);
	/* Nobody named the rest of its targets: whoever looks for them finds it here. */
	HOLDS(bench_collect(NULL).packets == 1);
}

static void a_packet_without_a_target_is_in_the_queues_file(void)
{
	struct options options = { 0 };
	struct cap_block *block;
	struct bench bench;

	set_up(&bench, CAP_IO_URING, WITHOUT_END);
	block = bench_block(&bench);
	bench_packet(&bench, block, PACKET, NULL, 0);
	add_comment(&options, "target ../../../../../../../../../../etc/xy");
	HOLDS(options.len == 4 + cap_pad4(CAP_TARGET_COMMENT_LEN));
	bench_packet(&bench, block, PACKET, options.bytes, options.len);
	bench_push(&bench, block, false);
	cap_writer_finish(bench.writer);
	balances(&bench, 2);
	HOLDS(bench.ledger.queues->writer.delivered_packets == 2);
	bench_put_away(&bench);

	struct found found = bench_collect(NULL);

	HOLDS(found.files == 1 && found.packets == 2 && is_whole(&found));
}

/* epb_dropcount of each packet in a file, in their order. */
static unsigned read_lost(const uint8_t *content, size_t len, uint64_t *lost)
{
	unsigned count = 0;

	for (size_t at = 0; at < len;) {
		struct cap_packet_block packet;
		int64_t size = cap_packet_block_read(content + at, (uint32_t)(len - at), &packet);

		HOLDS(size > 0);
		if (packet.at)
			lost[count++] = packet.dropped;
		at += (size_t)size;
	}
	return count;
}

static uint64_t sum_lost(unsigned target)
{
	static uint64_t lost[16384];
	uint64_t sum = 0;
	size_t len;
	uint8_t *content = read_only_file(target, &len);
	unsigned count = read_lost(content, len, lost);

	HOLDS(count <= sizeof(lost) / sizeof(lost[0]));
	for (unsigned i = 0; i < count; i++)
		sum += lost[i];
	free(content);
	return sum;
}

static void each_stream_tells_what_was_lost_since_its_last_packet(void)
{
	const uint64_t of_one[] = { 0, 5 }, of_two[] = { 5, 3 };
	struct options losses[4] = { 0 };
	struct cap_block *block;
	struct bench bench;
	uint64_t lost[4];
	uint8_t *content;
	size_t len;

	set_up(&bench, CAP_IO_URING, WITHOUT_END);
	block = bench_block(&bench);
	add_target(&losses[0], 1);
	add_lost(&losses[1], 5);
	add_target(&losses[1], 2);
	add_target(&losses[2], 1);
	add_lost(&losses[3], 3);
	add_target(&losses[3], 2);
	for (unsigned i = 0; i < 4; i++)
		bench_packet(&bench, block, PACKET, losses[i].bytes, losses[i].len);
	bench_push(&bench, block, false);
	cap_writer_finish(bench.writer);
	bench_put_away(&bench);

	content = read_only_file(1, &len);
	HOLDS(read_lost(content, len, lost) == 2 && !memcmp(lost, of_one, sizeof(of_one)));
	free(content);
	content = read_only_file(2, &len);
	HOLDS(read_lost(content, len, lost) == 2 && !memcmp(lost, of_two, sizeof(of_two)));
	free(content);
	collect(1);
	collect(2);
}

static void a_targets_file_never_grows_beyond_its_limit(void)
{
	const uint64_t limit = 1 << 20;
	struct bench bench;
	unsigned sent = 0;

	set_up(&bench, CAP_IO_URING, limit);
	for (unsigned i = 0; i < 24; i++)
		sent += push_turns(&bench, 400, 0, 2, false);
	cap_writer_finish(bench.writer);
	balances(&bench, sent);
	HOLDS(bench.ledger.queues->writer.files_whole > 8);
	HOLDS(bench.ledger.queues->writer.written_bytes <=
	      limit * bench.ledger.queues->writer.files_whole);
	bench_put_away(&bench);

	struct found zero = collect(0), one = collect(1);

	HOLDS(is_whole(&zero) && is_whole(&one) && zero.packets + one.packets == sent);
}

static void a_rotation_ends_all_targets_files_behind_its_block(void)
{
	struct cap_block *marker;
	struct bench bench;

	set_up(&bench, CAP_IO_URING, WITHOUT_END);
	push_turns(&bench, 30, 0, 3, false);
	push_turns(&bench, 30, 0, 3, true);
	push_turns(&bench, 30, 0, 3, false);
	marker = bench_block(&bench);
	marker->last_of_file = true;
	cap_spsc_push(&bench.pool.full, marker);
	push_turns(&bench, 30, 0, 3, false);
	cap_writer_finish(bench.writer);
	balances(&bench, 120);
	HOLDS(bench.ledger.queues->writer.files_whole == 9);
	bench_put_away(&bench);
	for (unsigned target = 0; target < 3; target++) {
		struct found found = collect(target);

		HOLDS(is_whole(&found) && found.files == 3 && found.packets == 40);
	}
}

static json_int_t open_files(const struct bench *bench)
{
	json_t *limits = cap_writer_open_limits(bench->writer);
	json_int_t open = json_integer_value(json_object_get(limits, "open"));

	json_decref(limits);
	return open;
}

static void more_targets_than_files_may_be_open_lose_nothing(void)
{
	const unsigned targets = 100;
	struct cap_ledger_queue *ledger;
	unsigned sent = 0, packets = 0, files = 0;
	struct bench bench;

	bench_prepare(&bench, CAP_IO_URING, WITHOUT_END);
	bench.config.targets.streams = true;
	bench.config.output.open_files = 16;
	bench_start(&bench);
	ledger = bench.ledger.queues;
	for (unsigned i = 0; i < 3; i++) {
		sent += push_turns(&bench, targets, 0, targets, false);
		bench_wait_for(&ledger->writer.delivered_packets, sent);
		HOLDS(open_files(&bench) <= 16);
	}
	cap_writer_finish(bench.writer);
	balances(&bench, sent);
	HOLDS(ledger->writer.delivered_packets == sent);
	HOLDS(ledger->writer.files_early > targets);
	for (unsigned target = 0; target < targets; target++) {
		struct found found = collect(target);

		HOLDS(is_whole(&found) && found.packets == 3);
		packets += found.packets;
		files += found.files;
	}
	HOLDS(packets == sent && ledger->writer.files_whole == files);
	bench_put_away(&bench);
}

/* Copies many times the memory of a round. */
static void a_round_that_is_full_goes_on_in_the_next(void)
{
	struct cap_block *block;
	struct bench bench;
	unsigned sent = 0;

	set_up(&bench, CAP_IO_URING, WITHOUT_END);
	for (unsigned i = 0; i < 8; i++) {
		block = bench_block(&bench);
		for (unsigned k = 0; k < 250; k++, sent++)
			put_packet(&bench, block, 0, CAP_MAX_MATCHES);
		bench_push(&bench, block, false);
	}
	cap_writer_finish(bench.writer);
	balances(&bench, sent);
	HOLDS(bench.ledger.queues->writer.delivered_packets == sent);
	HOLDS(bench.ledger.queues->writer.stream_copies == (uint64_t)sent * CAP_MAX_MATCHES);
	HOLDS(bench.ledger.queues->writer.written_bytes > CAP_LEAST_STREAM_BYTES);
	bench_put_away(&bench);
	for (unsigned target = 0; target < CAP_MAX_MATCHES; target++) {
		struct found found = collect(target);

		HOLDS(is_whole(&found) && found.files == 1 && found.packets == sent);
	}
}

static void a_write_that_stops_half_way_costs_no_packet(void)
{
	struct cap_ledger_queue *ledger;
	struct bench bench;
	unsigned sent = 0;

	set_up(&bench, CAP_IO_PWRITE, WITHOUT_END);
	ledger = bench.ledger.queues;
	sent += push_turns(&bench, 400, 0, 2, false);
	bench_wait_for(&ledger->writer.delivered_packets, sent);
	/* The next run's end does not fit these files, and fits the next ones. */
	bench_limit_files(300000);
	sent += push_turns(&bench, 400, 0, 2, false);
	bench_wait_for(&ledger->writer.delivered_packets, sent);
	bench_limit_files(RLIM_INFINITY);
	cap_writer_finish(bench.writer);
	balances(&bench, sent);
	HOLDS(ledger->writer.write_errors > 0 && ledger->writer.files_whole == 4);
	HOLDS(cap_ledger_drops(ledger) == 0);
	bench_put_away(&bench);
	for (unsigned target = 0; target < 2; target++) {
		struct found found = collect(target);

		HOLDS(is_whole(&found) && found.files == 2 && found.packets == sent / 2);
	}
}

static void a_disk_that_fails_drops_by_name_and_comes_back(void)
{
	struct cap_ledger_queue *ledger;
	unsigned sent = 0, packets = 0;
	struct bench bench;

	set_up(&bench, CAP_IO_PWRITE, WITHOUT_END);
	ledger = bench.ledger.queues;
	bench_limit_files(10000); /* not one run fits any file */
	for (unsigned i = 0; i < 3 * BENCH_BLOCKS; i++)
		sent += push_turns(&bench, 400, 0, 4, false);
	HOLDS(cap_sample(&ledger->writer.sink_error) + cap_sample(&ledger->writer.sink_full) >=
	      400);
	HOLDS(cap_sample(&ledger->writer.delivered_packets) == 0);
	bench_limit_files(RLIM_INFINITY);
	bench_wait_for(&ledger->writer.delivered_packets, 400);
	sent += push_turns(&bench, 400, 0, 4, false);
	cap_writer_finish(bench.writer);
	balances(&bench, sent);
	HOLDS(ledger->writer.partly_written == 0);
	for (unsigned target = 0; target < 4; target++) {
		/* Each tells of all that the queue lost: any of it may have been this target's. */
		HOLDS(sum_lost(target) == cap_ledger_drops(ledger));

		struct found found = collect(target);

		HOLDS(is_whole(&found));
		packets += found.packets;
	}
	HOLDS(packets == ledger->writer.delivered_packets);
	bench_put_away(&bench);
}

/* Losses that the worker told in packets which the disk did not take. */
static void what_a_dropped_packet_told_is_told_by_the_next(void)
{
	struct options options = { 0 };
	struct cap_ledger_queue *ledger;
	struct cap_block *block;
	struct bench bench;
	unsigned sent;

	set_up(&bench, CAP_IO_PWRITE, WITHOUT_END);
	ledger = bench.ledger.queues;
	add_lost(&options, 5);
	add_target(&options, 1);
	bench_limit_files(100);
	for (sent = 0; sent < 3 * BENCH_BLOCKS; sent++) {
		block = bench_block(&bench);
		bench_packet(&bench, block, PACKET, options.bytes, options.len);
		bench_push(&bench, block, false);
	}
	bench_limit_files(RLIM_INFINITY);
	bench_wait_for(&ledger->writer.delivered_packets, 1);
	cap_writer_finish(bench.writer);
	balances(&bench, sent);
	HOLDS(cap_ledger_drops(ledger) > 0);
	HOLDS(sum_lost(1) == cap_ledger_drops(ledger) + 5 * sent);
	bench_put_away(&bench);
	collect(1);
}

static void a_block_that_a_round_took_in_part_is_dropped_once(void)
{
	struct cap_block *block;
	struct bench bench;
	unsigned sent = 0;

	set_up(&bench, CAP_IO_PWRITE, WITHOUT_END);
	bench_limit_files(100);
	for (unsigned i = 0; i < 3; i++) {
		block = bench_block(&bench);
		for (unsigned k = 0; k < 250; k++, sent++)
			put_packet(&bench, block, 0, CAP_MAX_MATCHES);
		bench_push(&bench, block, false);
	}
	cap_writer_finish(bench.writer);
	bench_limit_files(RLIM_INFINITY);
	balances(&bench, sent);
	HOLDS(cap_ledger_drops(bench.ledger.queues) == sent);
	bench_put_away(&bench);
}

/* Target 1's folder cannot be made: a file has its name. */
static void a_target_that_cannot_be_written_costs_the_others_nothing(void)
{
	char id[CAP_FOLDER_LEN + 1], path[1024];
	struct cap_ledger_queue *ledger;
	struct cap_block *block;
	unsigned sent = 0;
	struct bench bench;

	name_target(id, 1);
	snprintf(path, sizeof(path), "%s/%s", bench_directory(), id);
	HOLDS(close(open(path, O_CREAT | O_WRONLY, 0600)) == 0);
	set_up(&bench, CAP_IO_PWRITE, WITHOUT_END);
	ledger = bench.ledger.queues;
	for (unsigned i = 0; i < 3 * BENCH_BLOCKS; i++) {
		block = bench_block(&bench);
		put_packet(&bench, block, 0, 1);
		put_packet(&bench, block, 0, 2); /* of both */
		put_packet(&bench, block, 1, 1);
		bench_push(&bench, block, false);
		sent += 3;
	}
	cap_writer_finish(bench.writer);
	balances(&bench, sent);
	HOLDS(ledger->writer.delivered_packets == sent / 3);
	HOLDS(ledger->writer.sink_error == sent / 3 * 2);
	HOLDS(ledger->writer.partly_written == sent / 3);
	bench_put_away(&bench);

	struct found found = collect(0);

	HOLDS(is_whole(&found) && found.packets == sent / 3 * 2);
	HOLDS(unlink(path) == 0);
}

static void the_end_names_what_a_dead_disk_did_not_take(void)
{
	struct bench bench;
	unsigned sent = 0;

	set_up(&bench, CAP_IO_PWRITE, WITHOUT_END);
	bench_limit_files(100);
	for (unsigned i = 0; i < 3; i++)
		sent += push_turns(&bench, 50, 0, 5, false);
	cap_writer_finish(bench.writer);
	bench_limit_files(RLIM_INFINITY);
	balances(&bench, sent);
	HOLDS(bench.ledger.queues->writer.delivered_packets == 0);
	bench_put_away(&bench);
	for (unsigned target = 0; target < 5; target++)
		HOLDS(collect(target).files == 0);
}

static void what_is_no_block_is_dropped_by_name(void)
{
	struct cap_block *block;
	struct bench bench;
	uint32_t from;

	set_up(&bench, CAP_IO_URING, WITHOUT_END);
	block = bench_block(&bench);
	put_packet(&bench, block, 0, 1);
	from = block->used;
	put_packet(&bench, block, 0, 1);
	put_packet(&bench, block, 0, 1);
	block->data[from + 4] ^= 4; /* two lengths that differ */
	bench_push(&bench, block, false);
	push_turns(&bench, 10, 0, 1, false);
	cap_writer_finish(bench.writer);
	balances(&bench, 13);
	HOLDS(bench.ledger.queues->writer.sink_error == 2);
	bench_put_away(&bench);

	struct found found = collect(0);

	HOLDS(is_whole(&found) && found.packets == 11);
}

static void a_limit_that_the_process_may_not_have_is_told(void)
{
	struct rlimit before, low = { 100, 100 };
	struct cap_writer *writer;
	struct cap_error err;
	struct bench bench;

	bench_prepare(&bench, CAP_IO_PWRITE, WITHOUT_END);
	bench.config.targets.streams = true;
	bench.config.output.open_files = 4000;
	HOLDS(getrlimit(RLIMIT_NOFILE, &before) == 0);
	low.rlim_max = before.rlim_max < 4000 ? before.rlim_max : 4000;
	HOLDS(setrlimit(RLIMIT_NOFILE, &low) == 0);
	HOLDS(cap_writer_create(&writer, &bench.config, &bench.output, NULL, 0, &err) == -EMFILE);
	HOLDS(strstr(err.text, "output.open_files"));
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "io_uring gives each target its packets",
		  io_uring_gives_each_target_its_packets },
		{ "the writes of a round are started by one call",
		  the_writes_of_a_round_are_started_by_one_call },
		{ "pwrite gives each target its packets", pwrite_gives_each_target_its_packets },
		{ "a packet of two targets is in both streams, and counted once",
		  a_packet_of_two_targets_is_in_both_streams_and_counted_once },
		{ "a target's file tells nothing of another",
		  a_targets_file_tells_nothing_of_another },
		{ "a packet without a target is in the queue's file",
		  a_packet_without_a_target_is_in_the_queues_file },
		{ "each stream tells what was lost since its last packet",
		  each_stream_tells_what_was_lost_since_its_last_packet },
		{ "a target's file never grows beyond its limit",
		  a_targets_file_never_grows_beyond_its_limit },
		{ "a rotation ends all targets' files behind its block",
		  a_rotation_ends_all_targets_files_behind_its_block },
		{ "more targets than files may be open lose nothing",
		  more_targets_than_files_may_be_open_lose_nothing },
		{ "a round that is full goes on in the next",
		  a_round_that_is_full_goes_on_in_the_next },
		{ "a write that stops half way costs no packet",
		  a_write_that_stops_half_way_costs_no_packet },
		{ "a disk that fails drops by name and comes back",
		  a_disk_that_fails_drops_by_name_and_comes_back },
		{ "what a dropped packet told is told by the next",
		  what_a_dropped_packet_told_is_told_by_the_next },
		{ "a block that a round took in part is dropped once",
		  a_block_that_a_round_took_in_part_is_dropped_once },
		{ "a target that cannot be written costs the others nothing",
		  a_target_that_cannot_be_written_costs_the_others_nothing },
		{ "the end names what a dead disk did not take",
		  the_end_names_what_a_dead_disk_did_not_take },
		{ "what is no block is dropped by name", what_is_no_block_is_dropped_by_name },
		{ "a limit that the process may not have is told",
		  a_limit_that_the_process_may_not_have_is_told },
	};
	int rc;

	bench_begin();
	rc = HOLD_ALL(sentences);
	bench_end();
	return rc;
}
