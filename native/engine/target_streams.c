// SPDX-License-Identifier: Apache-2.0
#include "target_streams.h"

#include "log.h"
#include "packet_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Copies that a round remembers where they come from: 24 bytes each. */
#define MOST_COPIES 65536U

/* A copy may get an epb_dropcount and the end of options that its packet has not. */
#define COPY_GROWTH CAP_EPB_OPTIONS

/* No packet's block is larger, with all of its comments. */
#define MOST_BYTES (CAP_MAX_SNAPLEN + 4096U)
_Static_assert((MOST_BYTES + CAP_ISB_RESERVE + CAP_PAGE) * (CAP_MAX_MATCHES + 1U) <=
		       CAP_LEAST_STREAM_BYTES,
	       "a round has room for any packet");

#define FIRST_CHAINS 1024U

/* The stream of one target, from its first packet until the engine ends; as small as it can be. */
struct target_stream {
	char id[CAP_FOLDER_LEN + 1]; /* empty: of packets whose targets are not all named */
	uint32_t sequence;
	uint32_t run;	    /* its run in this round, counted from 1; 0: none */
	uint64_t lost_seen; /* what the queue had lost at its last packet */
	struct cap_stream_file *file;
	struct target_stream *next; /* in its chain */
};

enum run_state { RUN_WAITING, RUN_WRITING, RUN_WRITTEN, RUN_GIVEN_UP };

struct run {
	struct target_stream *stream;
	uint8_t *at;
	uint32_t room; /* bytes that its copies may take */
	uint32_t used;
	uint64_t packets;
	uint64_t lost_before; /* the stream's lost_seen when it began */
	enum run_state state;
};

struct copy {
	const uint8_t *packet; /* its block, in the queue's */
	uint64_t lost;
	uint32_t run;
};

struct cap_target_streams {
	struct cap_files *files;
	const struct cap_stream_source *from;

	struct target_stream rest;
	struct target_stream **chains;
	unsigned chain_count, stream_count;

	uint8_t *memory;
	size_t memory_size;
	uint64_t limit; /* of memory that runs may take; memory_size may be rounded up from it */

	/* The round. */
	bool on, rotate;
	struct run *runs;
	unsigned run_count, most_runs;
	unsigned left;	    /* runs neither written nor given up */
	unsigned in_flight; /* of these, being written */
	unsigned next;	    /* to be tried first: behind the one that failed last */
	struct copy *copies;
	unsigned copy_count;
	uint64_t taken; /* bytes of memory, in whole pages */
	uint64_t packets, bytes, malformed;
	unsigned blocks;
	uint64_t last_ns;

	/* Where the next one begins. */
	uint32_t offset;
	uint64_t counted; /* packets before that, in that block */
	uint64_t lost;	  /* by the queue, up to there */
};

int cap_target_streams_create(struct cap_target_streams **out, struct cap_files *files,
			      const struct cap_stream_source *from, struct cap_error *err)
{
	const struct cap_config *config = files->config;
	struct cap_target_streams *streams = calloc(1, sizeof(*streams));
	bool huge;

	if (!streams)
		return cap_fail(err, ENOMEM, "out of memory");
	streams->files = files;
	streams->from = from;
	streams->limit = config->stream_bytes;
	streams->most_runs = (unsigned)(config->stream_bytes / CAP_PAGE);
	streams->chain_count = FIRST_CHAINS;
	streams->memory_size = config->stream_bytes;
	streams->memory = cap_map_memory(&streams->memory_size, config->hugepages, &huge);
	streams->runs = calloc(streams->most_runs, sizeof(*streams->runs));
	streams->copies = calloc(MOST_COPIES, sizeof(*streams->copies));
	streams->chains = calloc(FIRST_CHAINS, sizeof(*streams->chains));
	if (!streams->memory || !streams->runs || !streams->copies || !streams->chains) {
		cap_target_streams_free(streams);
		return cap_fail(
			err, ENOMEM,
			"buffers.stream_bytes: no memory for %llu bytes a queue: lower it, or add memory",
			(unsigned long long)config->stream_bytes);
	}
	*out = streams;
	return 0;
}

void cap_target_streams_free(struct cap_target_streams *streams)
{
	if (!streams)
		return;
	for (unsigned i = 0; streams->chains && i < streams->chain_count; i++) {
		struct target_stream *stream, *next;

		for (stream = streams->chains[i]; stream; stream = next) {
			next = stream->next;
			free(stream);
		}
	}
	if (streams->memory)
		munmap(streams->memory, streams->memory_size);
	free(streams->runs);
	free(streams->copies);
	free(streams->chains);
	free(streams);
}

static unsigned chain_of(const struct cap_target_streams *streams, const char *id)
{
	uint64_t hash = 0, word;

	for (unsigned i = 0; i + sizeof(word) <= CAP_FOLDER_LEN; i += sizeof(word)) {
		memcpy(&word, id + i, sizeof(word));
		hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
		hash ^= hash >> 29;
	}
	memcpy(&word, id + CAP_FOLDER_LEN - sizeof(word), sizeof(word));
	hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
	return (unsigned)(hash >> 32) & (streams->chain_count - 1);
}

/* Chains stay short; without memory for more of them they grow longer. */
static void lengthen(struct cap_target_streams *streams)
{
	struct target_stream **old = streams->chains;
	unsigned count = streams->chain_count;
	struct target_stream **chains = calloc(2UL * count, sizeof(*chains));

	if (!chains)
		return;
	streams->chains = chains;
	streams->chain_count = 2 * count;
	for (unsigned i = 0; i < count; i++) {
		while (old[i]) {
			struct target_stream *stream = old[i];
			unsigned chain = chain_of(streams, stream->id);

			old[i] = stream->next;
			stream->next = chains[chain];
			chains[chain] = stream;
		}
	}
	free(old);
}

/* @return the target's stream, made where it is new; NULL where @p id is no UUID, or without memory */
static struct target_stream *find_stream(struct cap_target_streams *streams, const char *id)
{
	unsigned chain = chain_of(streams, id);
	struct target_stream *stream;

	for (stream = streams->chains[chain]; stream; stream = stream->next)
		if (!memcmp(stream->id, id, CAP_FOLDER_LEN))
			return stream;
	stream = cap_output_is_folder(id, CAP_FOLDER_LEN) ? calloc(1, sizeof(*stream)) : NULL;
	if (!stream)
		return NULL;
	memcpy(stream->id, id, CAP_FOLDER_LEN);
	stream->next = streams->chains[chain];
	streams->chains[chain] = stream;
	if (++streams->stream_count > streams->chain_count)
		lengthen(streams);
	return stream;
}

/* The streams that a packet goes into. */
struct found {
	struct target_stream *streams[CAP_MAX_MATCHES + 1];
	unsigned count;
};

static void add_found(struct found *found, struct target_stream *stream)
{
	for (unsigned i = 0; i < found->count; i++)
		if (found->streams[i] == stream)
			return;
	found->streams[found->count++] = stream;
}

/* @return false without memory */
static bool find_streams(struct cap_target_streams *streams, const struct cap_packet_block *packet,
			 struct found *found)
{
	found->count = 0;
	for (unsigned i = 0; i < packet->target_count; i++) {
		struct target_stream *stream = find_stream(streams, packet->targets[i]);

		if (stream)
			add_found(found, stream);
		else if (cap_output_is_folder(packet->targets[i], CAP_FOLDER_LEN))
			return false;
	}
	if (packet->more || found->count == 0)
		add_found(found, &streams->rest);
	return true;
}

/* Bytes of memory that a run with so much room takes. */
static uint64_t pages_of(uint64_t room)
{
	return room ? (room + CAP_ISB_RESERVE + CAP_PAGE - 1) & ~(uint64_t)(CAP_PAGE - 1) : 0;
}

/* @return whether the round has room for all copies of a packet, having taken it */
static bool take_packet(struct cap_target_streams *streams, const struct cap_packet_block *packet,
			const struct found *found)
{
	const uint64_t most = streams->files->config->output.rotate_bytes - 2ULL * CAP_PAGE;
	const uint32_t size = packet->size + COPY_GROWTH;
	uint64_t more = 0;
	unsigned fresh = 0;

	for (unsigned i = 0; i < found->count; i++) {
		uint32_t run = found->streams[i]->run;
		uint64_t room = run ? streams->runs[run - 1].room : 0;

		if (pages_of(room + size) > most)
			return false;
		more += pages_of(room + size) - pages_of(room);
		fresh += run == 0;
	}
	if (streams->taken + more > streams->limit ||
	    streams->run_count + fresh > streams->most_runs ||
	    streams->copy_count + found->count > MOST_COPIES)
		return false;
	streams->taken += more;
	streams->lost += packet->dropped;
	for (unsigned i = 0; i < found->count; i++) {
		struct target_stream *stream = found->streams[i];
		struct run *run;

		if (!stream->run) {
			stream->run = ++streams->run_count;
			streams->runs[stream->run - 1] =
				(struct run){ .stream = stream, .lost_before = stream->lost_seen };
		}
		run = &streams->runs[stream->run - 1];
		run->room += size;
		run->packets++;
		streams->copies[streams->copy_count++] =
			(struct copy){ .packet = packet->at,
				       .lost = streams->lost - stream->lost_seen,
				       .run = stream->run - 1 };
		stream->lost_seen = streams->lost;
	}
	streams->packets++;
	streams->bytes += packet->original;
	streams->counted++;
	streams->last_ns = packet->timestamp_ns;
	return true;
}

enum block_end { BLOCK_TAKEN, BLOCK_FULL_ROUND, BLOCK_NO_MEMORY };

/* Take packets of one block, from where the last round ended. */
static enum block_end take_block(struct cap_target_streams *streams, const struct cap_block *block)
{
	while (streams->offset < block->used) {
		struct cap_packet_block packet;
		struct found found;
		int64_t size = cap_packet_block_read(block->data + streams->offset,
						     block->used - streams->offset, &packet);

		if (size < 0 || (packet.at && size > MOST_BYTES))
			break;
		if (packet.at) {
			if (!find_streams(streams, &packet, &found))
				return BLOCK_NO_MEMORY;
			if (!take_packet(streams, &packet, &found))
				return BLOCK_FULL_ROUND;
		}
		streams->offset += (uint32_t)size;
	}
	/* Its own count is what the account goes by. */
	if (streams->counted < block->packets) {
		streams->malformed += block->packets - streams->counted;
		cap_alert("block_malformed",
			  "%s queue %u: %llu packets of a block cannot be told apart",
			  streams->from->port->interface, streams->from->queue,
			  (unsigned long long)(block->packets - streams->counted));
	}
	return BLOCK_TAKEN;
}

/* Each run gets its place in memory, the copies of its packets, and a statistics block behind them. */
static void lay_out(struct cap_target_streams *streams)
{
	struct cap_pcapng_statistics figures;
	uint8_t *at = streams->memory;

	for (unsigned i = 0; i < streams->run_count; i++) {
		streams->runs[i].at = at;
		at += pages_of(streams->runs[i].room);
	}
	for (unsigned i = 0; i < streams->copy_count; i++) {
		const struct copy *copy = &streams->copies[i];
		struct run *run = &streams->runs[copy->run];

		run->used += cap_packet_block_copy(run->at + run->used, copy->packet, copy->lost,
						   run->stream->id);
	}
	cap_ledger_figures(streams->from->header, streams->from->ledger, streams->last_ns,
			   &figures);
	for (unsigned i = 0; i < streams->run_count; i++) {
		struct run *run = &streams->runs[i];
		uint32_t end = (uint32_t)pages_of(run->used);

		cap_pcapng_statistics(run->at + run->used, end - run->used, &figures, NULL);
		run->used = end;
	}
}

int cap_round_begin(struct cap_target_streams *streams, struct cap_block *const *blocks,
		    unsigned count)
{
	enum block_end end = BLOCK_TAKEN;

	streams->run_count = streams->copy_count = streams->blocks = 0;
	streams->taken = streams->packets = streams->bytes = streams->malformed = 0;
	streams->rotate = false;
	while (streams->blocks < count && !streams->rotate && blocks[streams->blocks]->used) {
		const struct cap_block *block = blocks[streams->blocks];

		end = take_block(streams, block);
		if (end != BLOCK_TAKEN)
			break;
		streams->blocks++;
		streams->offset = 0;
		streams->counted = 0;
		streams->rotate = block->last_of_file;
	}
	if (end == BLOCK_NO_MEMORY && streams->copy_count == 0 && streams->blocks == 0)
		return -ENOMEM;
	lay_out(streams);
	streams->left = streams->run_count;
	streams->next = 0;
	streams->on = true;
	return 0;
}

bool cap_round_is_on(const struct cap_target_streams *streams)
{
	return streams->on;
}

unsigned cap_round_in_flight(const struct cap_target_streams *streams)
{
	return streams->in_flight;
}

/* @return 1 when the write was started, 0 when no more files may be open now, or negative errno */
static int start_run(struct cap_target_streams *streams, struct run *run, void *owner)
{
	struct target_stream *stream = run->stream;
	struct cap_files *files = streams->files;
	int rc;

	if (stream->file && (uint64_t)stream->file->offset + run->used + CAP_PAGE >
				    files->config->output.rotate_bytes)
		cap_file_end(files, stream->file);
	if (!stream->file) {
		if (!cap_files_have_room(files))
			return 0;
		rc = cap_file_begin(files, streams->from, *stream->id ? stream->id : NULL,
				    &stream->sequence, &stream->file);
		if (rc)
			return rc;
	}
	cap_file_prepare(stream->file);
	stream->file->op.vectors[stream->file->op.count++] = (struct iovec){ run->at, run->used };
	stream->file->owner = owner;
	stream->file->tag = (unsigned)(run - streams->runs);
	run->state = RUN_WRITING;
	streams->in_flight++;
	cap_file_submit(files, stream->file);
	return 1;
}

/* @param open those whose file is open, which have to wait for nobody; or the others */
static int start_runs(struct cap_target_streams *streams, bool open, unsigned most,
		      unsigned *started, void *owner)
{
	for (unsigned i = 0; i < streams->run_count && *started < most; i++) {
		unsigned at = (streams->next + i) % streams->run_count;
		struct run *run = &streams->runs[at];
		int rc;

		if (run->state != RUN_WAITING || !run->stream->file == open)
			continue;
		rc = start_run(streams, run, owner);
		if (rc < 0) {
			streams->next = at + 1;
			return rc;
		}
		/* Room comes when the file that makes it is whole: for each run that waits another. */
		if (rc == 0 && !cap_files_end_least_used(streams->files))
			return 0;
		*started += (unsigned)rc;
	}
	return 0;
}

int cap_round_submit(struct cap_target_streams *streams, unsigned most, unsigned *started,
		     void *owner)
{
	int rc;

	*started = 0;
	if (streams->left == streams->in_flight)
		return 0;
	rc = start_runs(streams, true, most, started, owner);
	if (rc == 0)
		rc = start_runs(streams, false, most, started, owner);
	cap_files_start(streams->files);
	return rc;
}

int cap_round_written(struct cap_target_streams *streams, struct cap_stream_file *file,
		      bool *retry_now)
{
	struct run *run = &streams->runs[file->tag];
	struct cap_ledger_writer *ledger = &streams->from->ledger->writer;
	int64_t result = file->op.result, asked = 0;

	streams->in_flight--;
	for (unsigned i = 0; i < file->op.count; i++)
		asked += (int64_t)file->op.vectors[i].iov_len;
	if (result == asked) {
		file->offset += asked;
		file->packets += run->packets;
		cap_count(&ledger->written_bytes, (uint64_t)asked);
		cap_count(&ledger->stream_copies, run->packets);
		run->state = RUN_WRITTEN;
		streams->left--;
		return 0;
	}
	/* No half run stays in the file, which is ended here; the run waits for the next one. */
	run->state = RUN_WAITING;
	streams->next = file->tag + 1;
	*retry_now = file->offset > 0;
	cap_file_cut(file);
	cap_file_end(streams->files, file);
	return result < 0 ? (int)result : -ENOSPC;
}

void cap_round_give_up(struct cap_target_streams *streams)
{
	for (unsigned i = 0; streams->on && i < streams->run_count; i++) {
		struct run *run = &streams->runs[i];

		if (run->state != RUN_WAITING)
			continue;
		run->state = RUN_GIVEN_UP;
		/* Its next packet tells of what these would have told. */
		run->stream->lost_seen = run->lost_before;
		streams->left--;
	}
}

/* Packet by packet: one copy that is missing makes it dropped. Its copies lie beside each other. */
static void count_dropped(const struct cap_target_streams *streams, struct cap_round_end *end)
{
	for (unsigned i = 0; i < streams->copy_count;) {
		const uint8_t *packet = streams->copies[i].packet;
		unsigned written = 0, missing = 0;

		for (; i < streams->copy_count && streams->copies[i].packet == packet; i++)
			*(streams->runs[streams->copies[i].run].state == RUN_WRITTEN ?
				  &written :
				  &missing) += 1;
		if (!missing)
			continue;
		end->dropped++;
		end->dropped_partly += written > 0;
		end->packets--;
		end->bytes -= cap_packet_block_original(packet);
	}
}

bool cap_round_settle(struct cap_target_streams *streams, struct cap_round_end *end)
{
	bool all_written = true;

	if (!streams->on || streams->left)
		return false;
	*end = (struct cap_round_end){ .blocks = streams->blocks,
				       .packets = streams->packets,
				       .bytes = streams->bytes,
				       .malformed = streams->malformed,
				       .rotate = streams->rotate };
	for (unsigned i = 0; i < streams->run_count; i++) {
		streams->runs[i].stream->run = 0;
		all_written &= streams->runs[i].state == RUN_WRITTEN;
		end->any_written |= streams->runs[i].state == RUN_WRITTEN;
	}
	if (!all_written)
		count_dropped(streams, end);
	streams->lost += end->dropped + end->malformed;
	streams->on = false;
	return true;
}

uint64_t cap_target_streams_counted(const struct cap_target_streams *streams)
{
	return streams->counted;
}

void cap_target_streams_skip(struct cap_target_streams *streams, const struct cap_block *block)
{
	struct cap_packet_block packet;
	int64_t size;

	/* What its packets would have told of losses before them is not told by anyone else. */
	for (; streams->offset < block->used; streams->offset += (uint32_t)size) {
		size = cap_packet_block_read(block->data + streams->offset,
					     block->used - streams->offset, &packet);
		if (size < 0)
			break;
		streams->lost += packet.at ? packet.dropped : 0;
	}
	streams->lost += block->packets - streams->counted;
	streams->offset = 0;
	streams->counted = 0;
}
