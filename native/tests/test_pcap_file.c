// SPDX-License-Identifier: Apache-2.0
/* Our reading of pcap files beside libpcap's. */
#include "pcap_file.h"
#include "sentence.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH "/tmp/capstan-test-pcap-file"
#define PACKETS 3000U
#define LONGEST 1600U

struct form {
	uint32_t magic;
	bool swapped;
	uint32_t snaplen, network;
};

static void put(FILE *out, bool swapped, uint32_t value)
{
	value = swapped ? __builtin_bswap32(value) : value;
	HOLDS(fwrite(&value, sizeof(value), 1, out) == 1);
}

static uint32_t captured_of(unsigned i)
{
	/* One alone is longer than half of a reader's window. */
	return i == 1000 ? CAP_MAX_SNAPLEN : (i * 7) % LONGEST;
}

/* @param whole bytes of the file, or 0 for all */
static void write_file(const struct form *form, long whole)
{
	static uint8_t bytes[CAP_MAX_SNAPLEN];
	const bool swapped = form->swapped;
	FILE *out = fopen(PATH, "w");

	HOLDS(out);
	put(out, swapped, form->magic);
	put(out, swapped, swapped ? 4 | 2 << 16 : 2 | 4 << 16);
	if (swapped) {
		/* Two halves of a word change places and bytes. */
		HOLDS(fseek(out, 4, SEEK_SET) == 0);
		HOLDS(fwrite("\0\2\0\4", 4, 1, out) == 1);
	}
	put(out, swapped, 0);
	put(out, swapped, 0);
	put(out, swapped, form->snaplen);
	put(out, swapped, form->network);
	for (unsigned i = 0; i < PACKETS; i++) {
		const uint32_t captured = captured_of(i);

		put(out, swapped, 1700000000 + i);
		put(out, swapped, 999000 + i % 1000);
		put(out, swapped, captured);
		put(out, swapped, captured + i % 3);
		memset(bytes, (int)i, captured);
		HOLDS(fwrite(bytes, 1, captured, out) == captured);
	}
	HOLDS(fclose(out) == 0);
	HOLDS(!whole || truncate(PATH, whole) == 0);
}

static bool next_by_libpcap(pcap_t *pcap, const struct cap_packet *ours)
{
	struct pcap_pkthdr *head;
	const u_char *bytes;

	if (pcap_next_ex(pcap, &head, &bytes) != 1)
		return false;
	HOLDS(ours->len == head->caplen && ours->wire_len == head->len);
	HOLDS(ours->timestamp_ns ==
	      (uint64_t)head->ts.tv_sec * 1000000000 + (uint64_t)head->ts.tv_usec);
	HOLDS(!memcmp(ours->data, bytes, head->caplen));
	HOLDS(ours->n_segments == 1 && !ours->vlan_tpid && !ours->note_len && !ours->lost_before);
	return true;
}

static void each_form_is_read_as_libpcap_reads_it(void)
{
	static const struct form forms[] = {
		{ 0xa1b2c3d4, false, CAP_MAX_SNAPLEN, 1 },
		{ 0xa1b23c4d, false, CAP_MAX_SNAPLEN, 1 },
		{ 0xa1b2c3d4, true, 100, 1 },
		{ 0xa1b23c4d, true, 0, 1 },
	};
	struct cap_packet packets[CAP_BURST];
	struct cap_error err;

	for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
		char text[PCAP_ERRBUF_SIZE];
		struct cap_pcap_file *file;
		unsigned seen = 0;
		pcap_t *pcap;
		int n;

		write_file(&forms[f], 0);
		file = cap_pcap_file_open(PATH);
		pcap = pcap_open_offline_with_tstamp_precision(PATH, PCAP_TSTAMP_PRECISION_NANO,
							       text);
		HOLDS(file && pcap);
		while ((n = cap_pcap_file_burst(file, packets, 1 + seen % CAP_BURST, &err)) > 0)
			for (int i = 0; i < n; i++, seen++)
				HOLDS(next_by_libpcap(pcap, &packets[i]));
		HOLDS(n == 0 && seen == PACKETS);
		pcap_close(pcap);
		cap_pcap_file_close(file);
	}
	remove(PATH);
}

static void a_file_that_is_cut_gives_what_is_whole(void)
{
	const struct form form = { 0xa1b2c3d4, false, CAP_MAX_SNAPLEN, 1 };
	const long first = 24 + 16 + (long)captured_of(0), second = first + 16 + 7;
	struct cap_packet packets[CAP_BURST];
	struct cap_error err;

	for (long cut = first; cut <= second; cut++) {
		struct cap_pcap_file *file;

		write_file(&form, cut);
		file = cap_pcap_file_open(PATH);
		HOLDS(file);
		HOLDS(cap_pcap_file_burst(file, packets, CAP_BURST, &err) ==
		      (cut == second ? 2 : 1));
		HOLDS(cap_pcap_file_burst(file, packets, CAP_BURST, &err) ==
		      (cut == first || cut == second ? 0 : -EBADMSG));
		cap_pcap_file_close(file);
	}
	remove(PATH);
}

static void other_files_are_left_to_libpcap(void)
{
	const struct form forms[] = {
		{ 0xa1b2c3d4, false, 65535, 101 },
		{ 0x0a0d0d0a, false, 65535, 1 },
		{ 0xa1b2cd34, false, 65535, 1 },
		{ 0, false, 65535, 1 },
	};

	for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
		write_file(&forms[f], 0);
		HOLDS(!cap_pcap_file_open(PATH));
	}
	write_file(&forms[0], 23);
	HOLDS(!cap_pcap_file_open(PATH));
	remove(PATH);
	HOLDS(!cap_pcap_file_open(PATH));
	HOLDS(mkfifo(PATH, 0600) == 0);
	HOLDS(!cap_pcap_file_open(PATH));
	remove(PATH);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "each form is read as libpcap reads it", each_form_is_read_as_libpcap_reads_it },
		{ "a file that is cut gives what is whole",
		  a_file_that_is_cut_gives_what_is_whole },
		{ "other files are left to libpcap", other_files_are_left_to_libpcap },
	};

	return HOLD_ALL(sentences);
}
