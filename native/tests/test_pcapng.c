// SPDX-License-Identifier: Apache-2.0
#include "clock.h"
#include "driver.h"
#include "pcapng.h"
#include "sentence.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <unistd.h>

#define STAMP UINT64_C(1764000000123456789)

static const struct cap_pcapng_interface plain = {
	.name = "cap0",
	.description = "tpacket_v3",
	.filter = "udp",
	.link_type = 1,
	.snaplen = 262144,
};

/* Walk the blocks of @p bytes. @return how many, or -1 when their lengths do not fit together */
static int walk(const uint8_t *bytes, uint32_t size)
{
	uint32_t at = 0;
	int blocks = 0;

	while (at < size) {
		uint32_t len, tail;

		memcpy(&len, bytes + at + 4, 4);
		if (len < 12 || len % 4 || at + len > size)
			return -1;
		memcpy(&tail, bytes + at + len - 4, 4);
		if (tail != len)
			return -1;
		at += len;
		blocks++;
	}
	return blocks;
}

static void the_head_is_one_page_of_two_blocks(void)
{
	uint8_t page[CAP_PAGE];

	memset(page, 0xee, sizeof(page));
	HOLDS(cap_pcapng_head(page, &plain) == 0);
	HOLDS(walk(page, CAP_PAGE) == 2);
}

static void names_and_filters_of_every_length_fit_the_page(void)
{
	char filter[CAP_PAGE];
	uint8_t page[CAP_PAGE];

	for (size_t len = 1; len < sizeof(filter); len++) {
		struct cap_pcapng_interface interface = plain;

		memset(filter, 'x', len);
		filter[len] = '\0';
		interface.filter = filter;
		int rc = cap_pcapng_head(page, &interface);

		HOLDS(walk(page, CAP_PAGE) == 2);
		HOLDS(rc == (len < 3000 ? 0 : rc));
	}
}

static void statistics_fill_any_size_exactly(void)
{
	static uint8_t room[400000];
	const struct cap_pcapng_statistics figures = { .timestamp_ns = STAMP, .ifrecv = 7 };

	for (uint32_t size = CAP_ISB_RESERVE; size < 2 * CAP_PAGE; size += 4) {
		memset(room, 0xee, size + 4);
		cap_pcapng_statistics(room, size, &figures, NULL);
		HOLDS(walk(room, size) == 1);
		HOLDS(room[size] == 0xee);
	}
	/* More than one option's worth of padding. */
	cap_pcapng_statistics(room, 200000, &figures, "a comment");
	HOLDS(walk(room, 200000) == 1);
}

static void a_packet_block_has_the_size_it_promises(void)
{
	uint8_t room[2048];

	for (uint32_t len = 0; len < 1600; len++) {
		memset(room, 0xee, sizeof(room));
		HOLDS(cap_epb_close(room, len, len, STAMP, 0) == cap_epb_size(len));
		HOLDS(walk(room, cap_epb_size(len)) == 1);
		HOLDS(room[cap_epb_size(len)] == 0xee);
		HOLDS(cap_epb_close(room, len, len, STAMP, 3) ==
		      cap_epb_size(len) + CAP_EPB_OPTIONS);
		HOLDS(walk(room, cap_epb_size(len) + CAP_EPB_OPTIONS) == 1);
	}
}

static void a_note_comes_as_the_packets_comment(void)
{
	char note[CAP_MAX_NOTE];
	uint8_t room[512], comment[4 + CAP_MAX_NOTE];

	memset(note, 'n', sizeof(note));
	for (uint32_t len = 1; len <= CAP_MAX_NOTE; len++)
		for (uint64_t dropped = 0; dropped < 2; dropped++) {
			uint32_t size =
				cap_epb_size(61) + 4 + cap_epb_note_size(len) + (dropped ? 12 : 0);
			const uint8_t *option =
				room + sizeof(struct cap_epb_header) + 64 + (dropped ? 12 : 0);

			memset(room, 0xee, sizeof(room));
			HOLDS(cap_put_comment(comment, note, len) ==
			      comment + cap_epb_note_size(len));
			HOLDS(cap_epb_close_commented(room, 61, 61, STAMP, dropped, comment,
						      cap_epb_note_size(len)) == size);
			HOLDS(size <= cap_epb_size(61) + CAP_EPB_OPTIONS + cap_epb_note_size(len));
			HOLDS(walk(room, size) == 1 && room[size] == 0xee);
			HOLDS(option[0] == 1 && option[1] == 0 && option[2] == len && !option[3]);
			HOLDS(!memcmp(option + 4, note, len));
		}
}

static void the_head_says_that_packets_end_with_their_fcs(void)
{
	struct cap_pcapng_interface interface = plain;
	const uint8_t option[] = { 13, 0, 1, 0, 4, 0, 0, 0 };
	uint8_t page[CAP_PAGE];

	HOLDS(cap_pcapng_head(page, &interface) == 0);
	HOLDS(!memmem(page, sizeof(page), option, sizeof(option)));
	interface.fcs_len = 4;
	HOLDS(cap_pcapng_head(page, &interface) == 0);
	HOLDS(walk(page, CAP_PAGE) == 2 && memmem(page, sizeof(page), option, sizeof(option)));
}

/* Head, packets 0..count-1 of growing length, statistics to the page. @return bytes */
static uint32_t compose(uint8_t *file, unsigned count)
{
	const struct cap_pcapng_statistics figures = { .timestamp_ns = STAMP };
	uint32_t used = CAP_PAGE, end;

	cap_pcapng_head(file, &plain);
	for (unsigned i = 0; i < count; i++) {
		memset(file + used + sizeof(struct cap_epb_header), (int)i, 60 + i);
		used += cap_epb_close(file + used, 60 + i, 100 + i, STAMP + i, i == 2 ? 9 : 0);
	}
	end = (used + CAP_ISB_RESERVE + CAP_PAGE - 1) & ~(CAP_PAGE - 1);
	cap_pcapng_statistics(file + used, end - used, &figures, NULL);
	return end;
}

static int temporary(const void *bytes, size_t len)
{
	char name[] = "/tmp/capstan-test-XXXXXX";
	int fd = mkstemp(name);

	HOLDS(fd >= 0);
	unlink(name);
	HOLDS(write(fd, bytes, len) == (ssize_t)len);
	return fd;
}

static void libpcap_reads_back_what_was_written(void)
{
	static uint8_t file[64 * CAP_PAGE];
	uint32_t len = compose(file, 50);
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *head;
	const u_char *bytes;
	int fd = temporary(file, len);
	FILE *stream;
	pcap_t *reader;

	HOLDS(lseek(fd, 0, SEEK_SET) == 0);
	stream = fdopen(fd, "r");
	reader =
		pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, error);
	HOLDS(reader);
	for (unsigned i = 0; i < 50; i++) {
		HOLDS(pcap_next_ex(reader, &head, &bytes) == 1);
		HOLDS(head->caplen == 60 + i && head->len == 100 + i);
		HOLDS((uint64_t)head->ts.tv_sec * CAP_NS_PER_S + (uint64_t)head->ts.tv_usec ==
		      STAMP + i);
		for (unsigned k = 0; k < head->caplen; k++)
			HOLDS(bytes[k] == (uint8_t)i);
	}
	HOLDS(pcap_next_ex(reader, &head, &bytes) == PCAP_ERROR_BREAK);
	pcap_close(reader);
}

static void a_cut_file_keeps_its_whole_blocks(void)
{
	static uint8_t file[64 * CAP_PAGE];
	uint32_t len = compose(file, 20);

	/* Wherever the cut falls, what is kept ends on a block and never beyond the cut. */
	for (uint32_t cut = 0; cut <= len; cut += 97) {
		int fd = temporary(file, cut);
		uint64_t packets = 0;
		int64_t whole = cap_pcapng_whole_length(fd, &packets);

		HOLDS(whole >= 0 && whole <= cut && packets <= 20);
		if (whole > 0)
			HOLDS(walk(file, (uint32_t)whole) > 0);
		close(fd);
	}
}

static void a_hole_ends_the_whole_part(void)
{
	static uint8_t file[64 * CAP_PAGE];
	uint32_t len = compose(file, 20);
	uint64_t packets = 0;
	int fd;

	memset(file + len, 0, CAP_PAGE); /* a page that never reached the disk */
	fd = temporary(file, len + CAP_PAGE);
	HOLDS(cap_pcapng_whole_length(fd, &packets) == len);
	HOLDS(packets == 20);
	close(fd);
}

static void what_is_no_pcapng_has_no_whole_part(void)
{
	char text[8192];
	uint64_t packets = 0;
	int fd;

	memset(text, 'A', sizeof(text));
	fd = temporary(text, sizeof(text));
	HOLDS(cap_pcapng_whole_length(fd, &packets) == 0);
	close(fd);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "the head is one page of two blocks", the_head_is_one_page_of_two_blocks },
		{ "names and filters of every length fit the page",
		  names_and_filters_of_every_length_fit_the_page },
		{ "statistics fill any size exactly", statistics_fill_any_size_exactly },
		{ "a packet block has the size it promises",
		  a_packet_block_has_the_size_it_promises },
		{ "a note comes as the packet's comment", a_note_comes_as_the_packets_comment },
		{ "the head says that packets end with their FCS",
		  the_head_says_that_packets_end_with_their_fcs },
		{ "libpcap reads back what was written", libpcap_reads_back_what_was_written },
		{ "a cut file keeps its whole blocks", a_cut_file_keeps_its_whole_blocks },
		{ "a hole ends the whole part", a_hole_ends_the_whole_part },
		{ "what is no pcapng has no whole part", what_is_no_pcapng_has_no_whole_part },
	};

	return HOLD_ALL(sentences);
}
