// SPDX-License-Identifier: Apache-2.0
/* The writer with real files: a stream a queue. */
#include "sentence.h"
#include "writer_bench.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PACKET 1000U

/* Of the files that had their names when their directory was synced; and whether the disk does that. */
static unsigned named_before_sync; /* atomic */
static bool no_directories;	   /* atomic */

static unsigned count_named(void)
{
	DIR *list = opendir(bench_directory());
	struct dirent *entry;
	unsigned named = 0;

	HOLDS(list);
	while ((entry = readdir(list)))
		named += entry->d_name[0] != '.';
	closedir(list);
	return named;
}

/* In place of the C library's, for what pwrite's thread syncs. */
int fsync(int fd)
{
	struct stat about;

	if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode)) {
		__atomic_store_n(&named_before_sync, count_named(), __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&no_directories, __ATOMIC_SEQ_CST)) {
			errno = EIO;
			return -1;
		}
	}
	return (int)syscall(SYS_fsync, fd);
}

/* Fill a block with numbered packets and push it, as a worker does. @return packets in it */
static unsigned push_block(struct bench *bench, unsigned packets, bool last)
{
	struct cap_block *block = bench_block(bench);

	for (unsigned i = 0; i < packets; i++)
		bench_packet(bench, block, PACKET, NULL, 0);
	bench_push(bench, block, last);
	return packets;
}

static void set_up(struct bench *bench, enum cap_writer_io io, uint64_t rotate_bytes)
{
	bench_prepare(bench, io, rotate_bytes);
	bench_start(bench);
}

static struct found collect(void)
{
	return bench_collect(NULL);
}

static void every_packet_is_in_a_whole_file_by(enum cap_writer_io io)
{
	struct bench bench;
	unsigned sent = 0;

	set_up(&bench, io, UINT64_C(1) << 40);
	for (unsigned i = 0; i < 20; i++)
		sent += push_block(&bench, 100 + i, false);
	cap_writer_finish(bench.writer);
	HOLDS(bench.ledger.queues->writer.delivered_packets == sent);
	HOLDS(bench.ledger.queues->writer.files_whole == 1);
	HOLDS(cap_ledger_unaccounted(bench.ledger.queues) == 0);
	bench_put_away(&bench);

	struct found found = collect();

	HOLDS(found.files == 1 && found.hidden == 0 && found.packets == sent && found.in_order &&
	      found.readable);
}

static void io_uring_puts_every_packet_into_a_whole_file(void)
{
	every_packet_is_in_a_whole_file_by(CAP_IO_URING);
}

static void pwrite_puts_every_packet_into_a_whole_file(void)
{
	every_packet_is_in_a_whole_file_by(CAP_IO_PWRITE);
}

static void a_file_never_grows_beyond_its_limit(void)
{
	const uint64_t limit = 1 << 20;
	struct bench bench;
	unsigned sent = 0;

	set_up(&bench, CAP_IO_URING, limit);
	for (unsigned i = 0; i < 12; i++)
		sent += push_block(&bench, 300, false);
	cap_writer_finish(bench.writer);
	HOLDS(bench.ledger.queues->writer.files_whole > 3);
	HOLDS(bench.ledger.queues->writer.written_bytes <=
	      limit * bench.ledger.queues->writer.files_whole);
	bench_put_away(&bench);

	struct found found = collect();

	HOLDS(found.packets == sent && found.in_order && found.readable && found.hidden == 0);
}

static void a_rotation_ends_the_file_behind_its_block(void)
{
	struct bench bench;

	set_up(&bench, CAP_IO_URING, UINT64_C(1) << 40);
	push_block(&bench, 10, false);
	push_block(&bench, 10, true);
	push_block(&bench, 10, false);
	cap_writer_finish(bench.writer);
	HOLDS(bench.ledger.queues->writer.files_whole == 2);
	bench_put_away(&bench);

	struct found found = collect();

	HOLDS(found.files == 2 && found.packets == 30 && found.in_order && found.readable);
}

/* pwrite: RLIMIT_FSIZE is judged in the thread that writes, which io_uring may not share. */
static void a_write_that_stops_half_way_ends_the_file_at_its_last_whole_block(void)
{
	struct cap_ledger_queue *ledger;
	struct bench bench;
	unsigned sent = 0;

	set_up(&bench, CAP_IO_PWRITE, UINT64_C(1) << 40);
	ledger = bench.ledger.queues;
	sent += push_block(&bench, 400, false);
	bench_wait_for(&ledger->writer.delivered_packets, sent);
	/* The next block's end does not fit this file, and the block fits the next one. */
	bench_limit_files(600000);
	sent += push_block(&bench, 400, false);
	bench_wait_for(&ledger->writer.delivered_packets, sent);
	bench_limit_files(RLIM_INFINITY);
	cap_writer_finish(bench.writer);
	HOLDS(ledger->writer.write_errors > 0 && ledger->writer.files_whole == 2);
	HOLDS(cap_ledger_drops(ledger) == 0 && cap_ledger_unaccounted(ledger) == 0);
	bench_put_away(&bench);

	struct found found = collect();

	HOLDS(found.files == 2 && found.packets == sent && found.in_order && found.readable);
}

static void a_disk_that_fails_drops_by_name_and_comes_back(void)
{
	struct cap_ledger_queue *ledger;
	struct bench bench;
	unsigned sent = 0, delivered, lost;

	set_up(&bench, CAP_IO_PWRITE, UINT64_C(1) << 40);
	ledger = bench.ledger.queues;
	bench_limit_files(100000); /* not one block fits any file */
	for (unsigned i = 0; i < 3 * BENCH_BLOCKS; i++)
		sent += push_block(&bench, 400, false);
	HOLDS(cap_sample(&ledger->writer.sink_error) + cap_sample(&ledger->writer.sink_full) >=
	      400);
	HOLDS(cap_sample(&ledger->writer.delivered_packets) == 0);
	bench_limit_files(RLIM_INFINITY);
	bench_wait_for(&ledger->writer.delivered_packets, 400);
	sent += push_block(&bench, 400, false);
	cap_writer_finish(bench.writer);
	HOLDS(ledger->writer.delivered_packets + ledger->writer.sink_error +
		      ledger->writer.sink_full ==
	      sent);
	HOLDS(cap_ledger_unaccounted(ledger) == 0 && cap_ledger_pending(ledger) == 0);
	delivered = (unsigned)ledger->writer.delivered_packets;
	lost = (unsigned)cap_ledger_drops(ledger);
	bench_put_away(&bench);

	struct found found = collect();

	HOLDS(found.packets == delivered && found.in_order && found.readable && found.hidden == 0);
	HOLDS(lost > 0 && found.told_lost == lost);
}

static void the_end_names_what_a_dead_disk_did_not_take(void)
{
	struct cap_ledger_queue *ledger;
	struct bench bench;
	unsigned sent = 0;

	set_up(&bench, CAP_IO_PWRITE, UINT64_C(1) << 40);
	ledger = bench.ledger.queues;
	bench_limit_files(100);
	for (unsigned i = 0; i < 3; i++)
		sent += push_block(&bench, 50, false);
	cap_writer_finish(bench.writer);
	bench_limit_files(RLIM_INFINITY);
	HOLDS(ledger->writer.delivered_packets == 0);
	HOLDS(ledger->writer.sink_error + ledger->writer.sink_full == sent);
	bench_put_away(&bench);
	HOLDS(collect().packets == 0);
}

/* By what is synced when the only file is whole. @param fails the directory's sync does */
static void a_name_is_synced_behind_its_file_and(bool fails)
{
	struct cap_ledger_queue *ledger;
	struct bench bench;

	set_up(&bench, CAP_IO_PWRITE, UINT64_C(1) << 40);
	ledger = bench.ledger.queues;
	__atomic_store_n(&named_before_sync, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&no_directories, fails, __ATOMIC_SEQ_CST);
	push_block(&bench, 10, false);
	cap_writer_finish(bench.writer);
	HOLDS(__atomic_load_n(&named_before_sync, __ATOMIC_SEQ_CST) == 1);
	__atomic_store_n(&no_directories, false, __ATOMIC_SEQ_CST);
	HOLDS(ledger->writer.files_whole == 1 && ledger->writer.write_errors == fails);
	HOLDS(ledger->writer.unsynced_packets == 0 && cap_ledger_unaccounted(ledger) == 0);
	bench_put_away(&bench);

	struct found found = collect();

	HOLDS(found.files == 1 && found.hidden == 0 && found.packets == 10 && found.readable);
}

static void a_files_name_is_synced_behind_it(void)
{
	a_name_is_synced_behind_its_file_and(false);
}

static void a_name_that_is_not_synced_is_told_and_the_file_is_whole(void)
{
	a_name_is_synced_behind_its_file_and(true);
}

static void the_last_block_tells_of_every_loss_before_the_engine(void)
{
	struct bench bench;

	set_up(&bench, CAP_IO_PWRITE, UINT64_C(1) << 40);
	cap_count(&bench.ledger.queues->worker.kernel_dropped, 1);
	cap_count(&bench.ledger.queues->worker.other_link, 10);
	cap_count(&bench.ledger.queues->worker.invalid, 100);
	cap_count(&bench.ledger.queues->worker.no_block, 1000);
	push_block(&bench, 10, false);
	cap_writer_finish(bench.writer);
	bench_put_away(&bench);

	struct found found = collect();

	HOLDS(found.files == 1 && found.hidden == 0 && found.os_dropped == 111);
}

static void a_stop_without_a_packet_leaves_no_file(void)
{
	struct bench bench;

	set_up(&bench, CAP_IO_URING, UINT64_C(1) << 40);
	cap_writer_finish(bench.writer);
	bench_put_away(&bench);
	HOLDS(collect().files == 0);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "a stop without a packet leaves no file",
		  a_stop_without_a_packet_leaves_no_file },
		{ "pwrite puts every packet into a whole file",
		  pwrite_puts_every_packet_into_a_whole_file },
		{ "io_uring puts every packet into a whole file",
		  io_uring_puts_every_packet_into_a_whole_file },
		{ "a file never grows beyond its limit", a_file_never_grows_beyond_its_limit },
		{ "a rotation ends the file behind its block",
		  a_rotation_ends_the_file_behind_its_block },
		{ "a write that stops half way ends the file at its last whole block",
		  a_write_that_stops_half_way_ends_the_file_at_its_last_whole_block },
		{ "a disk that fails drops by name and comes back",
		  a_disk_that_fails_drops_by_name_and_comes_back },
		{ "a file's name is synced behind it", a_files_name_is_synced_behind_it },
		{ "a name that is not synced is told, and the file is whole",
		  a_name_that_is_not_synced_is_told_and_the_file_is_whole },
		{ "the last block tells of every loss before the engine",
		  the_last_block_tells_of_every_loss_before_the_engine },
		{ "the end names what a dead disk did not take",
		  the_end_names_what_a_dead_disk_did_not_take },
	};
	int rc;

	bench_begin();
	rc = HOLD_ALL(sentences);
	bench_end();
	return rc;
}
