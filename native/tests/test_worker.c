// SPDX-License-Identifier: Apache-2.0
/* A worker between a scripted driver and a pool of blocks that nobody writes. */
#include "pcapng.h"
#include "sentence.h"
#include "worker.h"

#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BLOCKS 4
#define BLOCK_SIZE (512U * 1024U)

struct cap_queue {
	struct cap_packet *packets;
	unsigned count, given;
};

static int rx_burst(struct cap_queue *queue, struct cap_packet *packets, unsigned max)
{
	unsigned n = queue->count - queue->given < max ? queue->count - queue->given : max;

	memcpy(packets, queue->packets + queue->given, n * sizeof(*packets));
	queue->given += n;
	return (int)n;
}

static void release(struct cap_queue *queue)
{
	(void)queue;
}

static void wait(struct cap_queue *queue, int timeout_ms)
{
	const struct timespec pause = { .tv_nsec = 100000 };

	(void)queue;
	(void)timeout_ms;
	nanosleep(&pause, NULL);
}

static void counters(struct cap_queue *queue, struct cap_source_counters *out)
{
	*out = (struct cap_source_counters){ .wire = queue->given };
}

static const struct cap_driver scripted = {
	.name = "scripted",
	.rx_burst = rx_burst,
	.release = release,
	.wait = wait,
	.counters = counters,
};

struct bench {
	struct cap_worker worker;
	struct cap_block_pool pool;
	struct cap_ledger ledger;
	struct cap_writer *writer;
	struct cap_output output;
	struct cap_config config;
	struct cap_filter *filter;
	struct cap_target_current current;
	struct cap_fragments *fragments;
	int order;
	bool gone;
};

/* Run @p count packets through a worker until it has ended. @param targets NULL: everybody's are wanted */
static void run_for(struct bench *bench, struct cap_packet *packets, unsigned count,
		    uint32_t snaplen, const char *filter, const struct cap_target_set *targets)
{
	struct cap_queue queue = { packets, count, 0 };
	struct cap_error err;
	eventfd_t ends;

	memset(bench, 0, sizeof(*bench));
	bench->config.output.sink = CAP_SINK_NULL;
	bench->order = CAP_ORDER_RUN;
	HOLDS(cap_ledger_create(&bench->ledger, "/tmp/capstan-test-worker", 1, 1, 0, 0, &err) == 0);
	HOLDS(cap_block_pool_init(&bench->pool, BLOCKS, BLOCK_SIZE, CAP_HUGEPAGES_OFF, &err) == 0);
	HOLDS(cap_writer_create(&bench->writer, &bench->config, &bench->output, NULL, 0, &err) ==
	      0);
	if (filter)
		HOLDS(cap_filter_compile(filter, 1, &bench->filter, &err) == 0);
	bench->worker = (struct cap_worker){
		.driver = &scripted,
		.queue = &queue,
		.filter = bench->filter,
		.order = &bench->order,
		.gone = &bench->gone,
		.snaplen = snaplen,
		.cpu = -1,
		.flush_ns = UINT64_MAX,
		.pool = &bench->pool,
		.ledger = bench->ledger.queues,
		.header = bench->ledger.header,
		.writer = bench->writer,
	};
	if (targets) {
		bench->current.set = targets;
		bench->worker.targets.current = &bench->current;
		bench->fragments = cap_fragments_create(64);
		bench->worker.matcher = cap_matcher_create(1, 0, bench->fragments);
		HOLDS(bench->fragments && bench->worker.matcher);
	}
	bench->worker.ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	HOLDS(cap_worker_start(&bench->worker, &err) == 0);
	while (cap_sample(&bench->ledger.queues->worker.received_packets) < count)
		wait(&queue, 1);
	__atomic_store_n(&bench->order, CAP_ORDER_STOP, __ATOMIC_RELEASE);
	cap_worker_join(&bench->worker);
	HOLDS(eventfd_read(bench->worker.ended, &ends) == 0 && ends == 1);
	close(bench->worker.ended);
	HOLDS(!targets || cap_target_passed(&bench->worker.targets));
}

static void run(struct bench *bench, struct cap_packet *packets, unsigned count, uint32_t snaplen,
		const char *filter)
{
	run_for(bench, packets, count, snaplen, filter, NULL);
}

static void put_away(struct bench *bench)
{
	cap_writer_free(bench->writer);
	cap_block_pool_free(&bench->pool);
	cap_ledger_close(&bench->ledger);
	cap_filter_free(bench->filter);
	cap_matcher_free(bench->worker.matcher);
	cap_fragments_free(bench->fragments);
	remove("/tmp/capstan-test-worker");
}

/* A block of the sealed one at hand; NULL at its end. Walks packet blocks, skips statistics. */
struct stored {
	struct cap_epb_header header;
	const uint8_t *bytes;
	uint64_t dropped;
};

static bool next_packet(const struct cap_block *block, uint32_t *at, struct stored *out)
{
	while (*at < block->used) {
		const uint8_t *here = block->data + *at;
		uint32_t plain;

		memcpy(&out->header, here, sizeof(out->header));
		*at += out->header.total_len;
		if (out->header.type != 6)
			continue;
		out->bytes = here + sizeof(out->header);
		out->dropped = 0;
		plain = cap_epb_size(out->header.captured_len);
		if (out->header.total_len > plain)
			memcpy(&out->dropped, out->bytes + cap_pad4(out->header.captured_len) + 4,
			       8);
		return true;
	}
	return false;
}

static struct cap_packet packet_of(const uint8_t *data, uint32_t len)
{
	return (struct cap_packet){
		.data = data, .len = len, .wire_len = len, .timestamp_ns = 5, .n_segments = 1
	};
}

static void a_packet_is_stored_as_it_came(void)
{
	const uint8_t bytes[61] = { 1, 2, 3, [60] = 9 };
	struct cap_packet packet = packet_of(bytes, 61);
	struct bench bench;
	struct stored stored;
	uint32_t at = 0;

	run(&bench, &packet, 1, 65535, NULL);
	struct cap_block *block = cap_spsc_pop(&bench.pool.full);

	HOLDS(block && block->packets == 1 && block->bytes == 61 && block->used % CAP_PAGE == 0);
	HOLDS(next_packet(block, &at, &stored));
	HOLDS(stored.header.captured_len == 61 && stored.header.original_len == 61);
	HOLDS(!memcmp(stored.bytes, bytes, 61));
	HOLDS(!next_packet(block, &at, &stored));
	put_away(&bench);
}

static void a_vlan_tag_is_put_back_with_all_its_bits(void)
{
	const uint8_t bytes[60] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45 };
	struct cap_packet packet = packet_of(bytes, 60);
	struct bench bench;
	struct stored stored;
	uint32_t at = 0;

	packet.vlan_tpid = 0x88a8;
	packet.vlan_tci = 0xfabc;
	run(&bench, &packet, 1, 65535, NULL);
	HOLDS(next_packet(cap_spsc_pop(&bench.pool.full), &at, &stored));
	HOLDS(stored.header.captured_len == 64 && stored.header.original_len == 64);
	HOLDS(!memcmp(stored.bytes, bytes, 12));
	HOLDS(!memcmp(stored.bytes + 12, "\x88\xa8\xfa\xbc", 4));
	HOLDS(!memcmp(stored.bytes + 16, bytes + 12, 48));
	put_away(&bench);
}

static void pieces_become_one_packet(void)
{
	static uint8_t first[3000], second[4000], third[11];
	const struct cap_segment segments[] = { { first, 3000 }, { second, 4000 }, { third, 11 } };
	struct cap_packet packet = packet_of(first, 7011);
	struct bench bench;
	struct stored stored;
	uint32_t at = 0;

	memset(first, 1, sizeof(first));
	memset(second, 2, sizeof(second));
	memset(third, 3, sizeof(third));
	packet.n_segments = 3;
	packet.segments = segments;
	run(&bench, &packet, 1, 65535, NULL);
	HOLDS(next_packet(cap_spsc_pop(&bench.pool.full), &at, &stored));
	HOLDS(stored.header.captured_len == 7011);
	HOLDS(!memcmp(stored.bytes, first, 3000));
	HOLDS(!memcmp(stored.bytes + 3000, second, 4000));
	HOLDS(!memcmp(stored.bytes + 7000, third, 11));
	put_away(&bench);
}

static void the_snap_length_cuts_and_keeps_the_length(void)
{
	static uint8_t bytes[1514];
	const struct cap_segment segments[] = { { bytes, 50 }, { bytes + 50, 1464 } };
	struct cap_packet packets[3] = { packet_of(bytes, 1514), packet_of(bytes, 1514),
					 packet_of(bytes, 1514) };
	struct bench bench;
	struct stored stored;
	uint32_t at = 0;

	packets[1].vlan_tpid = 0x8100;
	packets[2].n_segments = 2;
	packets[2].segments = segments;
	run(&bench, packets, 3, 96, NULL);
	struct cap_block *block = cap_spsc_pop(&bench.pool.full);

	for (unsigned i = 0; i < 3; i++) {
		HOLDS(next_packet(block, &at, &stored));
		HOLDS(stored.header.captured_len == 96);
		HOLDS(stored.header.original_len == (i == 1 ? 1518 : 1514));
	}
	HOLDS(bench.ledger.queues->worker.cut_packets == 3);
	HOLDS(bench.ledger.queues->worker.short_packets == 0);
	put_away(&bench);
}

/* Every fifth packet is none of the common kind: tagged, in pieces, after a loss, cut by ring or snap length. */
static void lengths_and_kinds_stand_in_order_as_they_came(void)
{
	enum { PACKETS = 700, LONGEST = 1600, SNAPLEN = 1500 };
	static uint8_t bytes[PACKETS][LONGEST];
	static struct cap_segment pieces[PACKETS][2];
	static struct cap_packet packets[PACKETS];
	uint64_t wire = 0, cut = 0, too_short = 0;
	struct bench bench;
	struct stored stored;
	struct cap_block *block;
	uint32_t at = 0;

	for (unsigned i = 0; i < PACKETS; i++) {
		struct cap_packet *packet = &packets[i];

		for (unsigned k = 0; k < LONGEST; k++)
			bytes[i][k] = (uint8_t)(i * 7 + k * 3 + 1);
		*packet = packet_of(bytes[i], i < 500 ? i + 14 : i + LONGEST - PACKETS + 1);
		packet->timestamp_ns = 1000000000000 + i;
		if (i % 25 == 5)
			packet->vlan_tpid = 0x8100;
		if (i % 25 == 10) {
			pieces[i][0] = (struct cap_segment){ bytes[i], 13 };
			pieces[i][1] = (struct cap_segment){ bytes[i] + 13, packet->len - 13 };
			packet->n_segments = 2;
			packet->segments = pieces[i];
		}
		if (i % 25 == 15)
			packet->lost_before = 3;
		if (i % 25 == 20)
			packet->wire_len += 9;
	}
	run(&bench, packets, PACKETS, SNAPLEN, NULL);
	block = cap_spsc_pop(&bench.pool.full);
	for (unsigned i = 0; i < PACKETS; i++) {
		const struct cap_packet *packet = &packets[i];
		const unsigned tag = packet->vlan_tpid ? 4 : 0;
		const uint32_t present = packet->len + tag;
		const uint32_t kept = present < SNAPLEN ? present : SNAPLEN;

		while (!next_packet(block, &at, &stored)) {
			block = cap_spsc_pop(&bench.pool.full);
			at = 0;
			HOLDS(block);
		}
		HOLDS(stored.header.captured_len == kept);
		HOLDS(stored.header.original_len == packet->wire_len + tag);
		HOLDS(stored.header.timestamp_low == (uint32_t)packet->timestamp_ns);
		HOLDS(stored.dropped == packet->lost_before);
		HOLDS(!memcmp(stored.bytes, bytes[i], tag ? 12 : kept));
		HOLDS(!memcmp(stored.bytes + 12 + tag, bytes[i] + 12, kept - 12 - tag));
		for (uint32_t k = kept; k < cap_pad4(kept); k++)
			HOLDS(stored.bytes[k] == 0);
		wire += packet->wire_len + tag;
		cut += kept == SNAPLEN && packet->wire_len + tag > SNAPLEN;
		too_short += packet->len < packet->wire_len && present < SNAPLEN;
	}
	HOLDS(cut > 0 && too_short > 0);
	HOLDS(bench.ledger.queues->worker.received_bytes == wire);
	HOLDS(bench.ledger.queues->worker.cut_packets == cut);
	HOLDS(bench.ledger.queues->worker.short_packets == too_short);
	put_away(&bench);
}

static void a_packet_that_its_ring_cut_is_told(void)
{
	static uint8_t bytes[1514];
	struct cap_packet packet = packet_of(bytes, 1000);
	struct bench bench;

	packet.wire_len = 1514;
	run(&bench, &packet, 1, 65535, NULL);
	HOLDS(bench.ledger.queues->worker.short_packets == 1);
	put_away(&bench);
}

static void the_filter_sees_the_frame_of_the_wire(void)
{
	uint8_t bytes[60] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, [23] = 17 };
	const struct cap_segment segments[] = { { bytes, 13 }, { bytes + 13, 47 } };
	struct cap_packet packets[4] = { packet_of(bytes, 60), packet_of(bytes, 60),
					 packet_of(bytes, 60), packet_of(bytes, 60) };
	struct bench bench;

	packets[1].vlan_tpid =
		0x8100; /* "udp" alone does not match a tagged frame, nor in tcpdump */
	packets[2].n_segments = 2;
	packets[2].segments = segments;
	run(&bench, packets, 4, 65535, "udp");
	HOLDS(bench.ledger.queues->worker.filtered_engine == 1);
	HOLDS(((struct cap_block *)cap_spsc_pop(&bench.pool.full))->packets == 3);
	put_away(&bench);

	run(&bench, packets, 4, 65535, "vlan and udp");
	HOLDS(bench.ledger.queues->worker.filtered_engine == 3);
	HOLDS(((struct cap_block *)cap_spsc_pop(&bench.pool.full))->packets == 1);
	put_away(&bench);
}

static void what_the_source_lost_and_notes_goes_into_the_file(void)
{
	static const char note[] = "erf: colour 0x0001";
	uint8_t bytes[60] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, [23] = 17 };
	uint8_t other[60] = { 0 };
	struct cap_packet packets[3] = { packet_of(bytes, 60), packet_of(other, 60),
					 packet_of(bytes, 60) };
	struct bench bench;
	struct stored stored;
	struct cap_block *block;
	uint32_t at = 0;

	packets[0].note = note;
	packets[0].note_len = sizeof(note) - 1;
	/* Lost before a packet that the filter rejects: the next one in the file tells it. */
	packets[1].lost_before = 7;
	packets[2].lost_before = 4;
	run(&bench, packets, 3, 65535, "udp");
	block = cap_spsc_pop(&bench.pool.full);
	HOLDS(next_packet(block, &at, &stored));
	HOLDS(!memcmp(stored.bytes + 60, "\x01\0\x12\0erf: colour 0x0001\0\0\0\0\0\0", 28));
	HOLDS(next_packet(block, &at, &stored) && stored.dropped == 11);
	HOLDS(!next_packet(block, &at, &stored));
	put_away(&bench);
}

/* Targets 0, 1, ... each with the id of its number, @p count of them, and all the same prefix. */
static struct cap_target_set *targets_of(const struct cap_prefix *prefix, unsigned count)
{
	static struct cap_target targets[CAP_MAX_MATCHES + 4];
	struct cap_target_set *set;
	struct cap_prefix copy = *prefix;
	struct cap_error err;

	for (unsigned i = 0; i < count; i++)
		targets[i] = (struct cap_target){ .id = { [15] = (uint8_t)i },
						  .any_protocol = true,
						  .end_ns = UINT64_MAX,
						  .prefix_count = 1,
						  .prefixes = &copy };
	HOLDS(cap_target_set_build(targets, count, &set, &err) == 0);
	return set;
}

static void a_targets_packet_tells_whose_it_is(void)
{
	static const struct cap_prefix prefix = { 4, 32, { 192, 0, 2, 1 } };
	uint8_t his[60] = { [12] = 8, 0, 0x45, [23] = 17, [26] = 192, 0, 2, 1, 198, 51, 100, 1 };
	uint8_t other[60] = { [12] = 8, 0, 0x45, [23] = 17, [26] = 192, 0, 2, 2, 198, 51, 100, 1 };
	static const char note[] = "erf: colour 0x0001";
	struct cap_packet packets[4] = { packet_of(other, 60), packet_of(his, 60),
					 packet_of(other, 60), packet_of(his, 60) };
	struct cap_target_set *set = targets_of(&prefix, 2);
	struct cap_ledger_worker *ledger;
	struct bench bench;
	struct stored stored;
	struct cap_block *block;
	uint32_t at = 0;

	packets[0].lost_before = 3;
	packets[3].note = note;
	packets[3].note_len = sizeof(note) - 1;
	run_for(&bench, packets, 4, 65535, NULL, set);
	ledger = &bench.ledger.queues->worker;
	HOLDS(ledger->filtered_engine == 2 && ledger->target_packets == 2);
	HOLDS(ledger->target_unsure == 0 && ledger->target_more == 0);
	HOLDS(cap_ledger_unaccounted(bench.ledger.queues) == 0);
	block = cap_spsc_pop(&bench.pool.full);
	HOLDS(block->packets == 2 && next_packet(block, &at, &stored) && stored.dropped == 3);
	HOLDS(!memcmp(stored.bytes + 72,
		      "\x01\0\x2b\0target 00000000-0000-0000-0000-000000000000\0"
		      "\x01\0\x2b\0target 00000000-0000-0000-0000-000000000001\0\0\0\0\0",
		      100));
	HOLDS(next_packet(block, &at, &stored));
	HOLDS(!memcmp(stored.bytes + 60,
		      "\x01\0\x12\0erf: colour 0x0001\0\0"
		      "\x01\0\x2b\0target 00000000-0000-0000-0000-000000000000\0",
		      72));
	HOLDS(!next_packet(block, &at, &stored));
	put_away(&bench);

	/* With a filter, too, both must hold. */
	run_for(&bench, packets, 4, 65535, "dst host 198.51.100.2", set);
	HOLDS(bench.ledger.queues->worker.filtered_engine == 4);
	HOLDS(bench.ledger.queues->worker.target_packets == 0);
	put_away(&bench);
	cap_target_set_free(set);
}

static void more_targets_than_are_told_are_told_of(void)
{
	static const struct cap_prefix prefix = { 4, 0, { 0 } };
	uint8_t bytes[60] = { [12] = 8, 0, 0x45, [23] = 17 };
	struct cap_packet packet = packet_of(bytes, 60);
	struct cap_target_set *set = targets_of(&prefix, CAP_MAX_MATCHES + 1);
	struct bench bench;
	struct stored stored;
	uint32_t at = 0;

	run_for(&bench, &packet, 1, 65535, NULL, set);
	HOLDS(bench.ledger.queues->worker.target_more == 1);
	HOLDS(next_packet(cap_spsc_pop(&bench.pool.full), &at, &stored));
	HOLDS(stored.header.total_len == cap_epb_size(60) + CAP_MAX_MATCHES * 48 + 20 + 4);
	HOLDS(!memcmp(stored.bytes + 60 + (CAP_MAX_MATCHES - 1) * 48,
		      "\x01\0\x2b\0target 00000000-0000-0000-0000-00000000000f\0"
		      "\x01\0\x0f\0target and more\0",
		      68));
	put_away(&bench);
	cap_target_set_free(set);
}

static void without_any_target_nothing_is_kept(void)
{
	static const struct cap_prefix prefix = { 4, 0, { 0 } };
	uint8_t bytes[60] = { [12] = 8, 0, 0x45, [23] = 17 };
	struct cap_packet packet = packet_of(bytes, 60);
	struct cap_target_set *set = targets_of(&prefix, 0);
	struct bench bench;

	run_for(&bench, &packet, 1, 65535, NULL, set);
	HOLDS(bench.ledger.queues->worker.filtered_engine == 1);
	HOLDS(!cap_spsc_pop(&bench.pool.full));
	put_away(&bench);
	cap_target_set_free(set);
}

static void what_finds_no_block_is_counted_and_its_place_marked(void)
{
	static uint8_t bytes[1500];
	static struct cap_packet packets[3000];
	struct cap_ledger_queue *ledger;
	struct cap_block *block;
	struct bench bench;
	uint64_t stored = 0;

	for (unsigned i = 0; i < 3000; i++)
		packets[i] = packet_of(bytes, 1500);
	run(&bench, packets, 3000, 65535, NULL);
	ledger = bench.ledger.queues;
	HOLDS(ledger->worker.received_packets == 3000 && ledger->worker.no_block > 0);
	while ((block = cap_spsc_pop(&bench.pool.full)))
		stored += block->packets;
	HOLDS(stored + ledger->worker.no_block == 3000);
	HOLDS(cap_ledger_pending(ledger) == stored);
	HOLDS(cap_ledger_unaccounted(ledger) == 0);
	/* The next packet that finds room would tell how many are missing before it. */
	HOLDS(bench.worker.dropped_here == ledger->worker.no_block);
	put_away(&bench);
}

static void the_first_packet_after_a_loss_tells_how_many(void)
{
	uint8_t room[256];
	uint64_t told;

	cap_epb_close(room, 60, 60, 1, 12345);
	memcpy(&told, room + sizeof(struct cap_epb_header) + 60 + 4, sizeof(told));
	HOLDS(told == 12345);
}

static void an_idle_worker_passes_the_wish_to_rotate_on(void)
{
	const uint8_t bytes[60] = { 0 };
	struct cap_packet packet = packet_of(bytes, 60);
	struct cap_block *block;
	struct bench bench;

	run(&bench, &packet, 1, 65535, NULL);
	block = cap_spsc_pop(&bench.pool.full);
	HOLDS(block->packets == 1 && !block->last_of_file);

	/* Parked, as when the port is away: the wish still reaches the writer. */
	bench.order = CAP_ORDER_PARK;
	bench.worker.state = CAP_WORKER_PARKED;
	bench.worker.rotate_asked = 1;
	struct cap_error err;
	HOLDS(cap_worker_start(&bench.worker, &err) == 0);
	while (!(block = cap_spsc_pop(&bench.pool.full)))
		wait(NULL, 1);
	HOLDS(block->packets == 0 && block->used == 0 && block->last_of_file);
	__atomic_store_n(&bench.order, CAP_ORDER_STOP, __ATOMIC_RELEASE);
	cap_worker_join(&bench.worker);
	put_away(&bench);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "a packet is stored as it came", a_packet_is_stored_as_it_came },
		{ "a VLAN tag is put back with all its bits",
		  a_vlan_tag_is_put_back_with_all_its_bits },
		{ "pieces become one packet", pieces_become_one_packet },
		{ "the snap length cuts and keeps the length",
		  the_snap_length_cuts_and_keeps_the_length },
		{ "packets of every length and kind stand in order as they came",
		  lengths_and_kinds_stand_in_order_as_they_came },
		{ "a packet that its ring cut is told", a_packet_that_its_ring_cut_is_told },
		{ "the filter sees the frame of the wire", the_filter_sees_the_frame_of_the_wire },
		{ "what the source lost and notes goes into the file",
		  what_the_source_lost_and_notes_goes_into_the_file },
		{ "a target's packet tells whose it is", a_targets_packet_tells_whose_it_is },
		{ "more targets than are told are told of",
		  more_targets_than_are_told_are_told_of },
		{ "without any target nothing is kept", without_any_target_nothing_is_kept },
		{ "what finds no block is counted and its place marked",
		  what_finds_no_block_is_counted_and_its_place_marked },
		{ "the first packet after a loss tells how many",
		  the_first_packet_after_a_loss_tells_how_many },
		{ "an idle worker passes the wish to rotate on",
		  an_idle_worker_passes_the_wish_to_rotate_on },
	};

	return HOLD_ALL(sentences);
}
