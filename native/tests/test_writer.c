// SPDX-License-Identifier: Apache-2.0
/*
 * The writer with real files, in a directory of the test's own. RLIMIT_FSIZE makes the disk fail where
 * the test wants it to: with a short write, then with EFBIG.
 */
#include "clock.h"
#include "pcapng.h"
#include "sentence.h"
#include "writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BLOCKS 8
#define BLOCK_SIZE (512U * 1024U)
#define PACKET 1000U

static char directory[] = "/tmp/capstan-writer-XXXXXX";
static char prefix[] = "t";

struct bench {
	struct cap_config config;
	struct cap_output output;
	struct cap_ledger ledger;
	struct cap_block_pool pool;
	struct cap_port_config port;
	struct cap_port_facts facts;
	pthread_mutex_t facts_lock;
	struct cap_writer *writer;
	uint32_t number; /* of the next packet */
};

static void set_up(struct bench *bench, enum cap_writer_io io, uint64_t rotate_bytes)
{
	struct cap_stream_source source;
	struct cap_error err;

	memset(bench, 0, sizeof(*bench));
	bench->config.output = (struct cap_output_config){ .directory = directory,
							   .prefix = prefix,
							   .rotate_bytes = rotate_bytes };
	bench->config.io = io;
	pthread_mutex_init(&bench->facts_lock, NULL);
	strcpy(bench->port.interface, "cap0");
	bench->facts = (struct cap_port_facts){ .link_type = 1, .snaplen = 65535 };
	HOLDS(cap_output_open(&bench->output, &bench->config.output, &err) == 0);
	HOLDS(cap_ledger_create(&bench->ledger, "/tmp/capstan-test-writer", 1, 1, 0, 0, &err) == 0);
	HOLDS(cap_block_pool_init(&bench->pool, BLOCKS, BLOCK_SIZE, CAP_HUGEPAGES_OFF, &err) == 0);
	source = (struct cap_stream_source){ &bench->pool,
					     bench->ledger.queues,
					     bench->ledger.header,
					     &bench->port,
					     &bench->facts,
					     &bench->facts_lock,
					     0 };
	HOLDS(cap_writer_create(&bench->writer, &bench->config, &bench->output, &source, 1, &err) ==
	      0);
	HOLDS(cap_writer_start(bench->writer, &err) == 0);
}

static void put_away(struct bench *bench)
{
	cap_writer_free(bench->writer);
	cap_block_pool_free(&bench->pool);
	cap_output_close(&bench->output);
	cap_ledger_close(&bench->ledger);
	remove("/tmp/capstan-test-writer");
}

static void nap(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	nanosleep(&pause, NULL);
}

/* Fill a block with numbered packets and push it, as a worker does. @return packets in it */
static unsigned push_block(struct bench *bench, unsigned packets, bool last)
{
	const struct cap_pcapng_statistics figures = { .timestamp_ns = 1 };
	struct cap_block *block;
	uint32_t end;

	while (!(block = cap_spsc_pop(&bench->pool.free)))
		nap();
	for (unsigned i = 0; i < packets; i++) {
		uint8_t *at = block->data + block->used;

		memset(at + sizeof(struct cap_epb_header), 0, PACKET);
		memcpy(at + sizeof(struct cap_epb_header), &bench->number, 4);
		bench->number++;
		block->used += cap_epb_close(at, PACKET, PACKET, 1, 0);
	}
	end = (block->used + CAP_ISB_RESERVE + CAP_PAGE - 1) & ~(CAP_PAGE - 1);
	cap_pcapng_statistics(block->data + block->used, end - block->used, &figures, NULL);
	block->used = end;
	block->packets = packets;
	block->bytes = packets * PACKET;
	block->last_of_file = last;
	cap_count(&bench->ledger.queues->worker.wire_packets, packets);
	cap_count(&bench->ledger.queues->worker.received_packets, packets);
	cap_spsc_push(&bench->pool.full, block);
	cap_writer_wake(bench->writer);
	return packets;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_dots(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

struct found {
	unsigned files, hidden, packets;
	bool in_order, readable;
};

/* Read all files by libpcap, in the order of their names, and remove them. */
static struct found collect(void)
{
	struct found found = { .in_order = true, .readable = true };
	struct dirent **list;
	int n = scandir(directory, &list, not_dots, by_name);
	uint32_t before = 0;

	for (int i = 0; i < n; i++) {
		char path[512], error[PCAP_ERRBUF_SIZE];
		struct pcap_pkthdr *head;
		const u_char *bytes;
		pcap_t *reader;
		int rc;

		snprintf(path, sizeof(path), "%s/%s", directory, list[i]->d_name);
		found.files++;
		found.hidden += list[i]->d_name[0] == '.';
		reader = pcap_open_offline(path, error);
		while (reader && (rc = pcap_next_ex(reader, &head, &bytes)) == 1) {
			uint32_t number;

			memcpy(&number, bytes, 4);
			found.in_order &= found.packets == 0 || number > before;
			before = number;
			found.packets++;
		}
		found.readable &= reader && rc == PCAP_ERROR_BREAK;
		if (reader)
			pcap_close(reader);
		unlink(path);
		free(list[i]);
	}
	free(list);
	return found;
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
	put_away(&bench);

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
	put_away(&bench);

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
	put_away(&bench);

	struct found found = collect();

	HOLDS(found.files == 2 && found.packets == 30 && found.in_order && found.readable);
}

static void set_file_limit(rlim_t limit)
{
	struct rlimit now;

	HOLDS(getrlimit(RLIMIT_FSIZE, &now) == 0);
	now.rlim_cur = limit;
	HOLDS(setrlimit(RLIMIT_FSIZE, &now) == 0);
}

static void wait_for(const uint64_t *counter, uint64_t value)
{
	for (unsigned i = 0; i < 5000 && cap_sample(counter) < value; i++)
		nap();
	HOLDS(cap_sample(counter) >= value);
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
	wait_for(&ledger->writer.delivered_packets, sent);
	/* The next block's end does not fit this file, and the block fits the next one. */
	set_file_limit(600000);
	sent += push_block(&bench, 400, false);
	wait_for(&ledger->writer.delivered_packets, sent);
	set_file_limit(RLIM_INFINITY);
	cap_writer_finish(bench.writer);
	HOLDS(ledger->writer.write_errors > 0 && ledger->writer.files_whole == 2);
	HOLDS(cap_ledger_drops(ledger) == 0 && cap_ledger_unaccounted(ledger) == 0);
	put_away(&bench);

	struct found found = collect();

	HOLDS(found.files == 2 && found.packets == sent && found.in_order && found.readable);
}

static void a_disk_that_fails_drops_by_name_and_comes_back(void)
{
	struct cap_ledger_queue *ledger;
	struct bench bench;
	unsigned sent = 0, delivered;

	set_up(&bench, CAP_IO_PWRITE, UINT64_C(1) << 40);
	ledger = bench.ledger.queues;
	set_file_limit(100000); /* not one block fits any file */
	for (unsigned i = 0; i < 3 * BLOCKS; i++)
		sent += push_block(&bench, 400, false);
	HOLDS(cap_sample(&ledger->writer.sink_error) + cap_sample(&ledger->writer.sink_full) >=
	      400);
	HOLDS(cap_sample(&ledger->writer.delivered_packets) == 0);
	set_file_limit(RLIM_INFINITY);
	wait_for(&ledger->writer.delivered_packets, 400);
	sent += push_block(&bench, 400, false);
	cap_writer_finish(bench.writer);
	HOLDS(ledger->writer.delivered_packets + ledger->writer.sink_error +
		      ledger->writer.sink_full ==
	      sent);
	HOLDS(cap_ledger_unaccounted(ledger) == 0 && cap_ledger_pending(ledger) == 0);
	delivered = (unsigned)ledger->writer.delivered_packets;
	put_away(&bench);

	struct found found = collect();

	HOLDS(found.packets == delivered && found.in_order && found.readable && found.hidden == 0);
}

static void the_end_names_what_a_dead_disk_did_not_take(void)
{
	struct cap_ledger_queue *ledger;
	struct bench bench;
	unsigned sent = 0;

	set_up(&bench, CAP_IO_PWRITE, UINT64_C(1) << 40);
	ledger = bench.ledger.queues;
	set_file_limit(100);
	for (unsigned i = 0; i < 3; i++)
		sent += push_block(&bench, 50, false);
	cap_writer_finish(bench.writer);
	set_file_limit(RLIM_INFINITY);
	HOLDS(ledger->writer.delivered_packets == 0);
	HOLDS(ledger->writer.sink_error + ledger->writer.sink_full == sent);
	put_away(&bench);
	HOLDS(collect().packets == 0);
}

static void a_stop_without_a_packet_leaves_no_file(void)
{
	struct bench bench;

	set_up(&bench, CAP_IO_URING, UINT64_C(1) << 40);
	cap_writer_finish(bench.writer);
	put_away(&bench);
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
		{ "the end names what a dead disk did not take",
		  the_end_names_what_a_dead_disk_did_not_take },
	};
	int rc;

	signal(SIGXFSZ, SIG_IGN);
	HOLDS(mkdtemp(directory));
	rc = HOLD_ALL(sentences);
	rmdir(directory);
	return rc;
}
