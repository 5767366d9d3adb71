// SPDX-License-Identifier: Apache-2.0
#include "write.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "capture_file.h"
#include "frame.h"

#define WRITE_BUFFER_BYTES (1 << 20)
#define NS_PER_SECOND 1000000000u

/* 2026-01-01T00:00:00Z. A fixed start makes the same order the same file, byte for byte. */
#define EPOCH_NS (1767225600u * (uint64_t)NS_PER_SECOND)

__extension__ typedef unsigned __int128 wide;

struct writing {
	FILE *out;
	const struct capture_format *format;
	const struct write_order *order;
	struct write_result *result;
	long garbage_block; /* where the block to be spoilt starts */
	uint32_t last_kept;
	uint64_t erf_written;
};

/* Overwrites the length field of the block just written. */
static void spoil_length(struct writing *writing)
{
	fseek(writing->out, writing->garbage_block + (long)writing->format->length_field, SEEK_SET);
	fwrite(writing->format->absurd, writing->format->absurd_bytes, 1, writing->out);
	fseek(writing->out, 0, SEEK_END);
}

static void write_frame(struct writing *writing, uint64_t number)
{
	const struct write_order *order = writing->order;
	const struct damage *damage = &order->damage;
	uint8_t bytes[FRAME_MAX];
	struct captured frame = {
		.time_ns = EPOCH_NS +
			   (uint64_t)((wide)(number - order->first) * NS_PER_SECOND / order->rate),
		.length = (uint32_t)frame_build(&order->traffic, number, bytes),
		.bytes = bytes,
		.erf = &order->erf,
		.erf_written = &writing->erf_written,
	};
	unsigned int copies = number == damage->twice ? 2 : 1;

	if (number >= damage->drop_a && number <= damage->drop_b)
		return;
	if (number == damage->corrupt)
		bytes[damage->corrupt_bit / 8 % frame.length] ^=
			(uint8_t)(0x80u >> damage->corrupt_bit % 8);
	frame.kept = damage->snap && damage->snap < frame.length ? damage->snap : frame.length;
	for (; copies; copies--) {
		frame.sequence = writing->result->frames;
		if (writing->format->others)
			writing->format->others(writing->out, &frame);
		if (number == damage->garbage)
			writing->garbage_block = ftell(writing->out);
		writing->format->frame(writing->out, &frame);
		writing->last_kept = frame.kept;
		writing->result->frames++;
		writing->result->bytes += frame.kept;
	}
	if (number == damage->garbage)
		spoil_length(writing);
}

static int write_all(struct writing *writing)
{
	const struct write_order *order = writing->order;
	uint64_t end = order->first + order->count;

	writing->format->begin(writing->out);
	for (uint64_t number = order->first; number < end && !ferror(writing->out); number++) {
		if (number == order->damage.swap && number + 1 < end) {
			write_frame(writing, number + 1);
			write_frame(writing, number++);
		} else {
			write_frame(writing, number);
		}
	}
	if (!order->damage.truncate_last || !writing->result->frames)
		return ferror(writing->out);
	return fflush(writing->out) ||
	       ftruncate(fileno(writing->out),
			 ftell(writing->out) - (long)(writing->last_kept / 2));
}

int write_run(const struct write_order *order, struct write_result *result, struct fault *fault)
{
	struct writing writing = { .order = order, .result = result };
	int failed;

	*result = (struct write_result){ 0 };
	writing.format = capture_format_for(order->path, fault);
	if (!writing.format)
		return -1;
	writing.out = fopen(order->path, "wb");
	if (!writing.out)
		return fault_set(fault, "Cannot write %s: %s.", order->path, strerror(errno));
	setvbuf(writing.out, NULL, _IOFBF, WRITE_BUFFER_BYTES);
	failed = write_all(&writing);
	failed |= fclose(writing.out);
	if (failed)
		return fault_set(fault, "Writing %s failed: %s; is the disk full?", order->path,
				 strerror(errno));
	return 0;
}
