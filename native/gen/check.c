// SPDX-License-Identifier: Apache-2.0
#include "check.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/erf_file.h"
#include "interrupt.h"
#include "progress.h"
#include "record.h"

#define READ_BUFFER_BYTES (1 << 20)
#define FRAMES_PER_LOOK 65536 /* frames between two looks at the clock */

struct check {
	const struct check_order *order;
	struct check_result *result;
	struct check_stream *last; /* frames of a stream come in runs */
	struct progress progress;
};

/* A frame of a file; its bytes are the reader's. */
struct read_frame {
	const uint8_t *bytes;
	uint32_t captured, length;
	bool foreign; /* no Ethernet frame: an ERF record of another type */
};

static struct check_stream *stream_of(struct check *check, uint32_t id)
{
	struct check_result *result = check->result;

	if (check->last && check->last->id == id)
		return check->last;
	for (unsigned int i = 0; i < result->stream_count; i++)
		if (result->streams[i].id == id)
			return check->last = &result->streams[i];
	if (result->stream_count == CHECK_STREAMS_MAX)
		return NULL;
	check->last = &result->streams[result->stream_count++];
	check->last->id = id;
	return check->last;
}

static int tally_number(struct check *check, const char *file, const struct record *record,
			struct fault *fault)
{
	const struct check_order *order = check->order;
	struct check_stream *stream = stream_of(check, record->stream);

	if (!stream)
		return fault_set(fault, "%s: more than %d streams; choose one with --stream.", file,
				 CHECK_STREAMS_MAX);
	if (order->expecting && record->number - order->first >= order->count) {
		stream->outside++;
		return 0;
	}
	switch (number_set_add(&stream->numbers, record->number)) {
	case NUMBER_NEW:
		if (stream->in_file && record->number < stream->file_highest)
			stream->out_of_order++;
		break;
	case NUMBER_KNOWN:
		stream->doubled++;
		break;
	case NUMBER_TOO_FAR:
		return fault_set(
			fault,
			"%s: number %llu of stream %u is absurdly far from the others (%llu to "
			"%llu); name the range with --first and --count.",
			file, (unsigned long long)record->number, record->stream,
			(unsigned long long)stream->numbers.lowest,
			(unsigned long long)stream->numbers.highest);
	case NUMBER_NO_MEMORY:
		return fault_set(fault, "Out of memory after %llu distinct numbers.",
				 (unsigned long long)stream->numbers.size);
	}
	stream->numbered++;
	if (!stream->in_file || record->number > stream->file_highest)
		stream->file_highest = record->number;
	stream->in_file = true;
	return 0;
}

static int tally_frame(struct check *check, const char *file, const struct read_frame *frame,
		       struct fault *fault)
{
	struct check_result *result = check->result;
	struct record record;
	int numbered;
	enum record_verdict verdict =
		record_read(frame->bytes, frame->captured, frame->length, &record, &numbered);

	if (numbered && check->order->one_stream && record.stream != check->order->stream)
		verdict = RECORD_FOREIGN;
	switch (verdict) {
	case RECORD_FOREIGN:
		result->foreign++;
		return 0;
	case RECORD_DAMAGED:
		result->damaged++;
		return 0;
	case RECORD_CUT:
		result->cut++;
		break;
	case RECORD_WHOLE:
		break;
	}
	return numbered ? tally_number(check, file, &record, fault) : 0;
}

static void note_unreadable(struct check_result *result, const char *file, const char *why)
{
	struct check_unreadable *note = &result->unreadable[result->unreadable_count++];

	note->file = file;
	snprintf(note->why, sizeof(note->why), "%.*s", (int)sizeof(note->why) - 1, why);
}

/* Opens @file for reading by libpcap; NULL after noting why not. */
static pcap_t *open_capture(struct check_result *result, const char *file)
{
	char why[PCAP_ERRBUF_SIZE];
	FILE *stream = fopen(file, "rb");
	pcap_t *pcap;

	if (!stream) {
		note_unreadable(result, file, strerror(errno));
		return NULL;
	}
	setvbuf(stream, NULL, _IOFBF, READ_BUFFER_BYTES);
	pcap = pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, why);
	if (!pcap) {
		fclose(stream);
		note_unreadable(result, file, why);
		return NULL;
	}
	if (pcap_datalink(pcap) != DLT_EN10MB) {
		const char *name = pcap_datalink_val_to_name(pcap_datalink(pcap));

		snprintf(why, sizeof(why), "its link type is %s, not Ethernet",
			 name ? name : "unknown");
		note_unreadable(result, file, why);
		pcap_close(pcap);
		return NULL;
	}
	return pcap;
}

/* @return 1 with a frame, 0 at the end, -1 after noting what is wrong */
static int next_of_pcap(struct check_result *result, const char *file, pcap_t *pcap,
			struct read_frame *frame)
{
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	int got = pcap_next_ex(pcap, &header, &bytes);

	if (got == PCAP_ERROR)
		note_unreadable(result, file, pcap_geterr(pcap));
	if (got != 1)
		return got == PCAP_ERROR ? -1 : 0;
	*frame = (struct read_frame){ bytes, header->caplen, header->len, false };
	return 1;
}

static int next_of_erf(struct check_result *result, const char *file, struct cap_erf_file *erf,
		       enum cap_erf_fcs fcs, struct read_frame *frame)
{
	struct cap_erf_record record;
	struct cap_error why;
	int got;

	do {
		got = cap_erf_file_next(erf, fcs, &record, &why);
	} while (got == 1 && record.kind == CAP_ERF_NO_PACKET);
	if (got < 0)
		note_unreadable(result, file, why.text);
	if (got != 1)
		return got;
	*frame = (struct read_frame){ record.frame, record.captured, record.wire,
				      record.kind != CAP_ERF_FRAME };
	return 1;
}

static int tally_one(struct check *check, const char *file, const struct read_frame *frame,
		     struct fault *fault)
{
	struct check_result *result = check->result;

	result->frames++;
	if (result->frames % FRAMES_PER_LOOK == 0)
		progress_tell(&check->progress, result->frames, clock_now_ns());
	if (frame->foreign) {
		result->foreign++;
		return 0;
	}
	return tally_frame(check, file, frame, fault);
}

static int check_pcap(struct check *check, const char *file, struct fault *fault)
{
	pcap_t *pcap = open_capture(check->result, file);
	struct read_frame frame;
	int failed = 0;

	while (pcap && !failed && next_of_pcap(check->result, file, pcap, &frame) == 1)
		failed = tally_one(check, file, &frame, fault);
	if (pcap)
		pcap_close(pcap);
	return failed;
}

static int check_erf(struct check *check, const char *file, struct fault *fault)
{
	struct cap_erf_file *erf;
	struct read_frame frame;
	struct cap_error why;
	int failed = 0;

	if (cap_erf_file_open(file, &erf, &why)) {
		note_unreadable(check->result, file, why.text);
		return 0;
	}
	while (!failed && next_of_erf(check->result, file, erf, check->order->erf_fcs, &frame) == 1)
		failed = tally_one(check, file, &frame, fault);
	cap_erf_file_close(erf);
	return failed;
}

static int check_file(struct check *check, const char *file, struct fault *fault)
{
	struct check_result *result = check->result;

	for (unsigned int i = 0; i < result->stream_count; i++)
		result->streams[i].in_file = false;
	return cap_erf_is_file(file) ? check_erf(check, file, fault) :
				       check_pcap(check, file, fault);
}

/* Counts the numbers of @stream that did not come and lists the first ranges of them. */
static void find_missing(const struct check_order *order, struct check_result *result,
			 struct check_stream *stream)
{
	uint64_t from = order->expecting ? order->first : stream->numbers.lowest;
	uint64_t to = order->expecting ? order->first + order->count - 1 : stream->numbers.highest;
	struct check_range gap;

	if (!order->expecting && !stream->numbers.size)
		return;
	stream->missing = to - from + 1 - stream->numbers.size;
	while (result->range_count < CHECK_RANGES_MAX &&
	       number_set_gap(&stream->numbers, from, to, &gap.a, &gap.b)) {
		result->ranges[result->range_count++] = gap;
		from = gap.b + 1;
	}
}

int check_run(const struct check_order *order, struct check_result *result, struct fault *fault)
{
	struct check check = { .order = order, .result = result };

	memset(result, 0, sizeof(*result));
	result->unreadable = calloc(order->file_count, sizeof(*result->unreadable));
	if (!result->unreadable)
		return fault_set(fault, "Out of memory for %u files.", order->file_count);
	progress_start(&check.progress, "read", 0, clock_now_ns());
	for (unsigned int i = 0; i < order->file_count; i++)
		if (check_file(&check, order->files[i], fault))
			return -1;
	progress_end(&check.progress);
	/* A stream that was asked for and never came is missing as a whole. */
	if (order->one_stream || (order->expecting && !result->stream_count))
		stream_of(&check, order->stream);
	for (unsigned int i = 0; i < result->stream_count; i++)
		find_missing(order, result, &result->streams[i]);
	return 0;
}

bool check_complete(const struct check_result *result)
{
	uint64_t numbered = 0;

	if (result->damaged || result->cut || result->unreadable_count)
		return false;
	for (unsigned int i = 0; i < result->stream_count; i++) {
		if (result->streams[i].missing || result->streams[i].doubled)
			return false;
		numbered += result->streams[i].numbered;
	}
	return numbered > 0;
}

void check_free(struct check_result *result)
{
	for (unsigned int i = 0; i < result->stream_count; i++)
		number_set_free(&result->streams[i].numbers);
	free(result->unreadable);
	memset(result, 0, sizeof(*result));
}
