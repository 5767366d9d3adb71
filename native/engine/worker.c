// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

#include "clock.h"
#include "copy.h"
#include "log.h"
#include "pcapng.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

/*
 * Reading the source's counters costs a system call; ten times a second is live enough. Of the time that a
 * packet has, half is for its block to fill; what looks after that, and what sleeps, may be late by an eighth.
 */
#define CHORES_NS (100 * CAP_NS_PER_MS)
#define FILL_SHARE 2
#define LATE_SHARE 8

/* Between two looks at the clock while packets keep coming: at most 64 x 64 packets. */
#define BURSTS_PER_LOOK 64

/* Packets whose first bytes are fetched before their turn: a driver's buffers may lie far apart. */
#define AHEAD 4U

#define PARKED_WAIT_NS (5 * CAP_NS_PER_MS)

/*
 * A source that waits for the engine may wait for the disk, too. It gains nothing from a long queue, and
 * blocks that wait in one have left the processor's caches when their turn comes. A disk that takes them by
 * itself has no use for caches, and wants long writes.
 */
#define BACKPRESSURE_NS 50000L
#define PACED_BLOCKS 8U

/* What the kernel has accepted must come out of its rings within this time. */
#define DRAIN_NS (3 * CAP_NS_PER_S)
#define DRAIN_WAIT_MS 2

/* Ethernet: the addresses come first, then any VLAN tag. */
#define MAC_ADDRESSES_LEN 12U
#define VLAN_TAG_LEN 4U

/* What a burst did, added to the ledger at its end. */
struct tally {
	uint64_t bytes, filtered, no_block, cut, too_short, targets, unsure, more;
};

/* The port's device may vanish and come back; then the main thread mends the port. */
static bool is_mended(const struct cap_worker *worker)
{
	return (worker->driver->features & CAP_FEATURE_NETDEV) || worker->driver->watch;
}

static bool is_paced(const struct cap_worker *worker)
{
	return worker->driver->features & CAP_FEATURE_PACED_BY_ENGINE;
}

/* Close the block with a statistics block up to the next page, and hand it to the writer. */
static void seal(struct cap_worker *worker)
{
	struct cap_block *block = worker->block;
	struct cap_pcapng_statistics figures;
	uint32_t end = (block->used + CAP_ISB_RESERVE + CAP_PAGE - 1) & ~(CAP_PAGE - 1);

	cap_ledger_figures(worker->header, worker->ledger, worker->ledger->worker.last_packet_ns,
			   &figures);
	cap_pcapng_statistics(block->data + block->used, end - block->used, &figures, NULL);
	block->used = end;
	worker->block = NULL;
	cap_count(&worker->ledger->worker.blocks_sealed, 1);
	/* The ring has room for every block of the pool. */
	cap_spsc_push(&worker->pool->full, block);
	cap_writer_wake(worker->writer);
}

static struct cap_block *take_free_block(struct cap_worker *worker)
{
	const struct timespec pause = { .tv_nsec = BACKPRESSURE_NS };
	const uint32_t limit = is_paced(worker) && worker->caches_count ? PACED_BLOCKS : UINT32_MAX;
	struct cap_block *block;

	while (!(block = cap_block_take(worker->pool, limit)) && is_paced(worker))
		nanosleep(&pause, NULL);
	return block;
}

/* Make sure that @p need bytes fit, with what seals a block behind them. */
static bool make_room(struct cap_worker *worker, uint32_t need)
{
	if (worker->block && worker->block->used + need + CAP_ISB_RESERVE <= worker->block->size)
		return true;
	if (worker->block)
		seal(worker);
	worker->block = take_free_block(worker);
	worker->block_since = cap_coarse_ns();
	return worker->block != NULL;
}

/* Copy the frame as it was on the wire, its VLAN tag put back. @return bytes copied, at most @p limit */
static uint32_t assemble(uint8_t *to, const struct cap_packet *packet, uint32_t limit)
{
	const struct cap_segment whole = { packet->data, packet->len };
	const struct cap_segment *segments = packet->n_segments > 1 ? packet->segments : &whole;
	const uint8_t tag[VLAN_TAG_LEN] = { (uint8_t)(packet->vlan_tpid >> 8),
					    (uint8_t)packet->vlan_tpid,
					    (uint8_t)(packet->vlan_tci >> 8),
					    (uint8_t)packet->vlan_tci };
	const uint32_t first =
		packet->vlan_tpid && segments[0].len >= MAC_ADDRESSES_LEN ? MAC_ADDRESSES_LEN : 0;
	uint8_t *at = to;

	if (first) {
		memcpy(at, segments[0].data, first);
		memcpy(at + first, tag, sizeof(tag));
		at += first + sizeof(tag);
	}
	for (unsigned i = 0; i < packet->n_segments; i++) {
		uint32_t skip = i == 0 ? first : 0;
		uint32_t len = segments[i].len - skip;

		if (len > limit - (uint32_t)(at - to))
			len = limit - (uint32_t)(at - to);
		memcpy(at, segments[i].data + skip, len);
		at += len;
	}
	return (uint32_t)(at - to);
}

static inline uint32_t tag_len(const struct cap_packet *packet)
{
	return packet->vlan_tpid ? VLAN_TAG_LEN : 0;
}

static inline bool is_plain(const struct cap_packet *packet)
{
	return !packet->vlan_tpid && packet->n_segments == 1;
}

/* @param match the packet's targets, or NULL where none are set */
static inline void store(struct cap_worker *worker, const struct cap_packet *packet,
			 const struct cap_target_set *set, const struct cap_match *match,
			 struct tally *tally)
{
	const uint32_t tag = tag_len(packet);
	const uint32_t wire = packet->wire_len + tag;
	const uint32_t present = packet->len + tag < CAP_MAX_SNAPLEN ? packet->len + tag :
								       CAP_MAX_SNAPLEN;
	const bool plain = is_plain(packet);
	uint32_t captured = present < worker->snaplen ? present : worker->snaplen;
	uint32_t comments = 0;
	uint8_t *at;

	if (packet->note_len || match)
		comments = cap_comments_put(worker->comments, packet, set, match);
	/* A frame in pieces is judged in its place in the block, whole, and cut afterwards. */
	if (!make_room(worker, cap_epb_size(worker->filter && !plain ? present : captured) +
				       CAP_EPB_OPTIONS + comments)) {
		tally->no_block++;
		worker->dropped_here++;
		return;
	}
	at = worker->block->data + worker->block->used;
	if (plain) {
		cap_copy(at + sizeof(struct cap_epb_header), packet->data, captured);
	} else {
		uint32_t limit = worker->filter ? present : captured;

		limit = assemble(at + sizeof(struct cap_epb_header), packet, limit);
		if (worker->filter &&
		    !cap_filter_match(worker->filter, at + sizeof(struct cap_epb_header), wire,
				      limit)) {
			tally->filtered++;
			return;
		}
	}
	worker->block->used += cap_epb_close_commented(at, captured, wire, packet->timestamp_ns,
						       worker->dropped_here, worker->comments,
						       comments);
	worker->block->packets++;
	worker->block->bytes += wire;
	worker->dropped_here = 0;
	tally->cut += captured < wire && captured == worker->snaplen;
	tally->too_short += present < wire && present < worker->snaplen;
	if (match) {
		tally->targets++;
		tally->unsure += match->unsure;
		tally->more += match->more;
	}
}

/*
 * The common case by itself: whole frames in one piece of which nothing else is to be told, into a block that
 * has room, where all packets are wanted. What it needs stays in registers.
 *
 * @return how many of the burst's first packets are stored; the next one is store()'s
 */
static unsigned store_run(struct cap_worker *worker, const struct cap_packet *packets, unsigned n)
{
	struct cap_block *block = worker->block;
	const uint32_t longest = worker->snaplen;
	uint64_t bytes = 0;
	uint8_t *at, *end;
	unsigned i;

	if (!block || worker->dropped_here)
		return 0;
	at = block->data + block->used;
	end = block->data + block->size - CAP_ISB_RESERVE;
	for (i = 0; i < n; i++) {
		const struct cap_packet *packet = &packets[i];
		const uint32_t len = packet->len;

		if (!is_plain(packet) || (packet->note_len | packet->lost_before) ||
		    len < packet->wire_len || len > longest || cap_epb_size(len) > end - at)
			break;
		if (i + AHEAD < n)
			__builtin_prefetch(packet[AHEAD].data);
		cap_copy(at + sizeof(struct cap_epb_header), packet->data, len);
		at += cap_epb_close(at, len, packet->wire_len, packet->timestamp_ns, 0);
		bytes += packet->wire_len;
	}
	block->used = (uint32_t)(at - block->data);
	block->packets += i;
	block->bytes += bytes;
	return i;
}

static void store_all(struct cap_worker *worker, const struct cap_packet *packets, unsigned n,
		      struct tally *tally)
{
	for (unsigned i = 0; i < n; i++) {
		i += store_run(worker, packets + i, n - i);
		if (i == n)
			return;
		worker->dropped_here += packets[i].lost_before;
		store(worker, &packets[i], NULL, NULL, tally);
	}
}

/* @param wanted bit i: packet i is */
static void store_wanted(struct cap_worker *worker, const struct cap_target_set *set,
			 const struct cap_packet *packets, unsigned n, uint64_t wanted,
			 struct tally *tally)
{
	unsigned told = 0;

	for (; wanted; wanted &= wanted - 1) {
		const unsigned i = (unsigned)__builtin_ctzll(wanted);

		for (; told <= i; told++)
			worker->dropped_here += packets[told].lost_before;
		store(worker, &packets[i], set, set ? &worker->matches[i] : NULL, tally);
	}
	for (; told < n; told++)
		worker->dropped_here += packets[told].lost_before;
}

/* Which of a burst's packets the filter rejects; those in pieces it cannot say before they are put together. */
static uint64_t rejected(const struct cap_worker *worker, const struct cap_packet *packets,
			 uint64_t wanted)
{
	uint64_t found = 0;

	for (; wanted; wanted &= wanted - 1) {
		const unsigned i = (unsigned)__builtin_ctzll(wanted);
		const uint32_t len = packets[i].len < CAP_MAX_SNAPLEN ? packets[i].len :
									CAP_MAX_SNAPLEN;

		if (is_plain(&packets[i]) &&
		    !cap_filter_match(worker->filter, packets[i].data, packets[i].wire_len, len))
			found |= 1ULL << i;
	}
	return found;
}

/* What nobody wants costs no more than to be counted: all verdicts come first, then the copies. */
static void store_burst(struct cap_worker *worker, const struct cap_target_set *set,
			const struct cap_packet *packets, unsigned n)
{
	struct cap_ledger_worker *ledger = &worker->ledger->worker;
	uint64_t wanted = ~0ULL >> (CAP_BURST - n);
	struct tally tally = { 0 };
	if (set)
		wanted = cap_match_burst(worker->matcher, set, packets, n, worker->matches);
	if (worker->filter)
		wanted &= ~rejected(worker, packets, wanted);
	tally.filtered = n - (unsigned)__builtin_popcountll(wanted);
	for (unsigned i = 0; i < n; i++)
		tally.bytes += packets[i].wire_len + tag_len(&packets[i]);
	if (!set && !worker->filter)
		store_all(worker, packets, n, &tally);
	else
		store_wanted(worker, set, packets, n, wanted, &tally);

	cap_count(&ledger->received_packets, n);
	cap_count(&ledger->received_bytes, tally.bytes);
	cap_count(&ledger->bursts, 1);
	cap_publish(&ledger->last_packet_ns, packets[n - 1].timestamp_ns);
	if (tally.filtered)
		cap_count(&ledger->filtered_engine, tally.filtered);
	if (tally.no_block)
		cap_count(&ledger->no_block, tally.no_block);
	if (tally.cut)
		cap_count(&ledger->cut_packets, tally.cut);
	if (tally.too_short)
		cap_count(&ledger->short_packets, tally.too_short);
	if (tally.targets)
		cap_count(&ledger->target_packets, tally.targets);
	if (tally.unsure)
		cap_count(&ledger->target_unsure, tally.unsure);
	if (tally.more)
		cap_count(&ledger->target_more, tally.more);
}

/* @return one burst's size, 0, or the driver's error */
static int receive(struct cap_worker *worker)
{
	int n = worker->driver->rx_burst(worker->queue, worker->packets, CAP_BURST);
	const struct cap_target_set *set = cap_target_take(&worker->targets);

	if (n > 0) {
		store_burst(worker, set, worker->packets, (unsigned)n);
		worker->driver->release(worker->queue);
	}
	return n;
}

static void publish_counters(struct cap_worker *worker, struct cap_source_counters *now)
{
	struct cap_ledger_worker *ledger = &worker->ledger->worker;
	const struct cap_source_counters *before = &worker->before;

	worker->driver->counters(worker->queue, now);
	cap_publish(&ledger->filtered_kernel, before->filtered + now->filtered);
	cap_publish(&ledger->kernel_dropped, before->dropped + now->dropped);
	cap_publish(&ledger->ring_full, before->ring_full + now->ring_full);
	cap_publish(&ledger->unbound, before->unbound + now->unbound);
	cap_publish(&ledger->other_link, before->other_link + now->other_link);
	cap_publish(&ledger->invalid, before->invalid + now->invalid);
	cap_publish(&ledger->freezes, before->freezes + now->freezes);
	cap_publish(&ledger->fill_empty, before->fill_empty + now->fill_empty);
	cap_publish(&ledger->untimed, before->untimed + now->untimed);
	cap_publish(&ledger->kernel_unjudged, before->unjudged + now->unjudged);
	cap_publish(&ledger->time_error_ns, before->time_error_ns > now->time_error_ns ?
						    before->time_error_ns :
						    now->time_error_ns);
	cap_publish(&ledger->wire_packets, before->wire + now->wire);
}

/* An empty block tells the writer to end the file, behind all that was pushed before it. */
static void rotate_if_asked(struct cap_worker *worker)
{
	unsigned asked = __atomic_load_n(&worker->rotate_asked, __ATOMIC_RELAXED);
	struct cap_block *marker;

	if (asked == worker->rotate_done)
		return;
	if (worker->block && worker->block->packets) {
		worker->block->last_of_file = true;
		seal(worker);
	} else {
		marker = worker->block ? worker->block : cap_block_take(worker->pool, UINT32_MAX);
		if (!marker)
			return; /* asked for again at the next chores */
		worker->block = NULL;
		marker->last_of_file = true;
		cap_spsc_push(&worker->pool->full, marker);
		cap_writer_wake(worker->writer);
	}
	worker->rotate_done = asked;
}

static void do_chores(struct cap_worker *worker, uint64_t now)
{
	const uint64_t late = worker->flush_ns / LATE_SHARE;
	struct cap_source_counters counters;

	worker->chores_at = now + (late < CHORES_NS ? late : CHORES_NS);
	publish_counters(worker, &counters);
	if (worker->block && worker->block->packets &&
	    now - worker->block_since >= worker->flush_ns / FILL_SHARE)
		seal(worker);
	rotate_if_asked(worker);
}

/* What the kernel accepted and has not yet given us. */
static uint64_t still_in_ring(struct cap_worker *worker, struct cap_source_counters *counters)
{
	uint64_t received = worker->ledger->worker.received_packets - worker->received_before;
	uint64_t gone;

	publish_counters(worker, counters);
	gone = received + counters->filtered + counters->dropped + counters->ring_full +
	       counters->unbound + counters->other_link + counters->invalid;
	return counters->wire > gone ? counters->wire - gone : 0;
}

static void add_counters(struct cap_source_counters *sum, const struct cap_source_counters *more)
{
	sum->wire += more->wire;
	sum->filtered += more->filtered;
	sum->dropped += more->dropped;
	sum->ring_full += more->ring_full;
	sum->unbound += more->unbound;
	sum->other_link += more->other_link;
	sum->invalid += more->invalid;
	sum->freezes += more->freezes;
	sum->fill_empty += more->fill_empty;
	sum->untimed += more->untimed;
	sum->unjudged += more->unjudged;
	if (sum->time_error_ns < more->time_error_ns)
		sum->time_error_ns = more->time_error_ns;
}

/*
 * The driver takes nothing more: receive until the source's own count is met, twice in a row, since a
 * packet may be on its way between being counted and being in the ring.
 */
static void drain(struct cap_worker *worker)
{
	uint64_t deadline = cap_monotonic_ns() + DRAIN_NS;
	struct cap_source_counters counters = { 0 };
	unsigned met = 0;
	uint64_t left;
	int n;

	do {
		while ((n = receive(worker)) > 0)
			;
		left = still_in_ring(worker, &counters);
		met = left == 0 && n <= 0 ? met + 1 : 0;
		if (met < 2)
			worker->driver->wait(worker->queue, DRAIN_WAIT_MS);
	} while (met < 2 && cap_monotonic_ns() < deadline);

	/* With a removed interface its rings are gone; otherwise it stays unaccounted, an alarm. */
	if (left && __atomic_load_n(worker->gone, __ATOMIC_RELAXED))
		cap_count(&worker->ledger->worker.port_removed, left);
	else if (left)
		cap_alert("not_drained", "%s queue %u: the kernel still owes %llu packets",
			  worker->ledger->interface, worker->ledger->queue,
			  (unsigned long long)left);
	add_counters(&worker->before, &counters);
	if (worker->block && worker->block->packets)
		seal(worker);
}

static void set_state(struct cap_worker *worker, enum cap_worker_state state)
{
	__atomic_store_n(&worker->state, state, __ATOMIC_RELEASE);
	/* Fails only when it is full, and then it is readable. */
	if (state == CAP_WORKER_ENDED && worker->ended >= 0)
		(void)eventfd_write(worker->ended, 1);
}

static enum cap_order order_of(const struct cap_worker *worker)
{
	return (enum cap_order)__atomic_load_n(worker->order, __ATOMIC_ACQUIRE);
}

/* Packets end the sleep; without any there is nothing to do before the next chores. */
static void sleep_until_chores(struct cap_worker *worker, uint64_t now)
{
	cap_count(&worker->ledger->worker.sleeps, 1);
	cap_target_leave(&worker->targets);
	worker->driver->wait(worker->queue, (int)((worker->chores_at - now) / CAP_NS_PER_MS) + 1);
}

/* @return when the order changes or the source fails */
static void run(struct cap_worker *worker)
{
	unsigned look = 0;
	int n = 0;

	worker->received_before = worker->ledger->worker.received_packets;
	set_state(worker, CAP_WORKER_RUNNING);
	while (order_of(worker) == CAP_ORDER_RUN) {
		n = receive(worker);
		if (n < 0)
			break;
		if (n == 0 || ++look % BURSTS_PER_LOOK == 0) {
			/* By the coarse clock a sleep that ends in time would seem to end too early. */
			uint64_t now = n ? cap_coarse_ns() : cap_monotonic_ns();

			if (now >= worker->chores_at)
				do_chores(worker, now);
			if (n == 0)
				sleep_until_chores(worker, now);
		}
	}
	/* What befalls a device is the port's to mend; a finite source that fails is at its end. */
	if (n < 0 && is_mended(worker)) {
		set_state(worker, CAP_WORKER_LOST);
		return;
	}
	if (n < 0 && n != -ENODATA)
		worker->error = n;
	drain(worker);
	set_state(worker, n < 0 || order_of(worker) == CAP_ORDER_STOP ? CAP_WORKER_ENDED :
									CAP_WORKER_PARKED);
}

static void pin(const struct cap_worker *worker)
{
	cpu_set_t cpus;
	int rc;

	if (worker->cpu < 0)
		return;
	CPU_ZERO(&cpus);
	CPU_SET((size_t)worker->cpu, &cpus);
	rc = pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	if (rc)
		cap_warn("not_pinned", "%s queue %u: cannot be pinned to CPU %d: %s",
			 worker->ledger->interface, worker->ledger->queue, worker->cpu,
			 strerror(rc));
}

static void *worker_main(void *argument)
{
	const struct timespec pause = { .tv_nsec = PARKED_WAIT_NS };
	struct cap_worker *worker = argument;

	pin(worker);
	for (;;) {
		enum cap_order order = order_of(worker);

		cap_target_take(&worker->targets);
		switch (cap_worker_state(worker)) {
		case CAP_WORKER_ENDED:
			cap_target_leave(&worker->targets);
			return NULL;
		case CAP_WORKER_LOST:
			/* The driver may hold packets still; the main thread disarms it, then parks us. */
			if (order != CAP_ORDER_RUN) {
				drain(worker);
				set_state(worker, order == CAP_ORDER_STOP ? CAP_WORKER_ENDED :
									    CAP_WORKER_PARKED);
				continue;
			}
			break;
		case CAP_WORKER_PARKED:
			rotate_if_asked(worker);
			if (order == CAP_ORDER_STOP) {
				set_state(worker, CAP_WORKER_ENDED);
				continue;
			}
			if (order == CAP_ORDER_RUN) {
				run(worker);
				continue;
			}
			break;
		case CAP_WORKER_RUNNING:
			break;
		}
		nanosleep(&pause, NULL);
	}
}

int cap_worker_start(struct cap_worker *worker, struct cap_error *err)
{
	char name[16];
	int rc = pthread_create(&worker->thread, NULL, worker_main, worker);

	if (rc)
		return cap_fail(err, rc, "a worker's thread cannot be started: %s", strerror(rc));
	snprintf(name, sizeof(name), "cap-%.7s-%u", worker->ledger->interface,
		 worker->ledger->queue);
	pthread_setname_np(worker->thread, name);
	worker->started = true;
	return 0;
}

void cap_worker_join(struct cap_worker *worker)
{
	if (worker->started)
		pthread_join(worker->thread, NULL);
	worker->started = false;
}
