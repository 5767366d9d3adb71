// SPDX-License-Identifier: Apache-2.0
#include "writer_bench.h"

#include "pcapng.h"
#include "sentence.h"

#include <dirent.h>
#include <pcap/pcap.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LEDGER_NAME "/ledger"

static char directory[] = "/tmp/capstan-writer-XXXXXX";
static char captures[sizeof(directory) + 16];
static char ledger[sizeof(directory) + sizeof(LEDGER_NAME)];
static char prefix[] = "t";

void bench_begin(void)
{
	signal(SIGXFSZ, SIG_IGN);
	HOLDS(mkdtemp(directory));
	snprintf(captures, sizeof(captures), "%s/captures", directory);
	snprintf(ledger, sizeof(ledger), "%s" LEDGER_NAME, directory);
	HOLDS(mkdir(captures, 0700) == 0);
}

void bench_end(void)
{
	rmdir(captures);
	rmdir(directory);
}

const char *bench_directory(void)
{
	return captures;
}

void bench_prepare(struct bench *bench, enum cap_writer_io io, uint64_t rotate_bytes)
{
	memset(bench, 0, sizeof(*bench));
	bench->config.output = (struct cap_output_config){ .directory = captures,
							   .prefix = prefix,
							   .rotate_bytes = rotate_bytes,
							   .open_files = 64 };
	bench->config.stream_bytes = CAP_LEAST_STREAM_BYTES;
	bench->config.hugepages = CAP_HUGEPAGES_OFF;
	bench->config.io = io;
	pthread_mutex_init(&bench->facts_lock, NULL);
	strcpy(bench->port.interface, "cap0");
	bench->facts = (struct cap_port_facts){ .link_type = 1, .snaplen = 65535 };
}

void bench_start(struct bench *bench)
{
	struct cap_stream_source source;
	struct cap_error err;

	HOLDS(cap_output_open(&bench->output, &bench->config.output, &err) == 0);
	HOLDS(cap_ledger_create(&bench->ledger, ledger, 1, 1, 0, 0, &err) == 0);
	HOLDS(cap_block_pool_init(&bench->pool, BENCH_BLOCKS, BENCH_BLOCK_SIZE, CAP_HUGEPAGES_OFF,
				  &err) == 0);
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

void bench_put_away(struct bench *bench)
{
	cap_writer_free(bench->writer);
	cap_block_pool_free(&bench->pool);
	cap_output_close(&bench->output);
	cap_ledger_close(&bench->ledger);
	remove(ledger);
}

static void nap(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	nanosleep(&pause, NULL);
}

struct cap_block *bench_block(struct bench *bench)
{
	struct cap_block *block;

	while (!(block = cap_spsc_pop(&bench->pool.free)))
		nap();
	return block;
}

uint32_t bench_packet(struct bench *bench, struct cap_block *block, uint32_t len,
		      const uint8_t *options, uint32_t options_len)
{
	uint8_t *at = block->data + block->used;
	uint32_t size = cap_epb_close(at, len, len, 1000 + bench->number, 0);

	memset(at + sizeof(struct cap_epb_header), 0, len);
	memcpy(at + sizeof(struct cap_epb_header), &bench->number, sizeof(bench->number));
	if (options_len) {
		memcpy(at + size - 4, options, options_len);
		memset(at + size - 4 + options_len, 0, 4);
		size += options_len + 4;
		memcpy(at + size - 4, &size, sizeof(size));
		memcpy(at + 4, &size, sizeof(size));
	}
	block->used += size;
	block->packets++;
	block->bytes += len;
	return bench->number++;
}

void bench_push(struct bench *bench, struct cap_block *block, bool last)
{
	const struct cap_pcapng_statistics figures = { .timestamp_ns = 1 };
	uint32_t end = (block->used + CAP_ISB_RESERVE + CAP_PAGE - 1) & ~(CAP_PAGE - 1);

	HOLDS(end <= block->size);
	cap_pcapng_statistics(block->data + block->used, end - block->used, &figures, NULL);
	block->used = end;
	block->last_of_file = last;
	cap_count(&bench->ledger.queues->worker.wire_packets, block->packets);
	cap_count(&bench->ledger.queues->worker.received_packets, block->packets);
	cap_spsc_push(&bench->pool.full, block);
	cap_writer_wake(bench->writer);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_file(const struct dirent *entry)
{
	return entry->d_type != DT_DIR;
}

static void read_file(const char *path, struct found *found)
{
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *head;
	const u_char *bytes;
	pcap_t *reader = pcap_open_offline(path, error);
	int rc = PCAP_ERROR;

	while (reader && (rc = pcap_next_ex(reader, &head, &bytes)) == 1) {
		uint32_t number;

		memcpy(&number, bytes, sizeof(number));
		if (found->packets == 0)
			found->first = number;
		else
			found->in_order &= number > found->last;
		found->last = number;
		found->packets++;
	}
	found->readable &= reader && rc == PCAP_ERROR_BREAK;
	if (reader)
		pcap_close(reader);
}

/* What the comments of a file say was lost. */
static uint64_t told_lost(const char *path)
{
	static const char words[] = " packets were lost here: sink_";
	static char content[8U << 20];
	FILE *file = fopen(path, "rb");
	size_t len = file ? fread(content, 1, sizeof(content), file) : 0;
	const char *at = content;
	uint64_t sum = 0;

	HOLDS(file && fclose(file) == 0);
	while ((at = memmem(at, len - (size_t)(at - content), words, sizeof(words) - 1))) {
		const char *digit = at;

		while (digit[-1] >= '0' && digit[-1] <= '9')
			digit--;
		sum += strtoull(digit, NULL, 10);
		at += sizeof(words) - 1;
	}
	return sum;
}

/* What the file's last block gives as isb_osdrop: option 7, behind the interface and the time stamp. */
static uint64_t os_dropped(const char *path)
{
	uint8_t page[CAP_PAGE];
	FILE *file = fopen(path, "rb");
	uint64_t value = 0;
	uint16_t option[2];
	unsigned at = 20;

	HOLDS(file && fseek(file, -(long)sizeof(page), SEEK_END) == 0);
	HOLDS(fread(page, sizeof(page), 1, file) == 1 && fclose(file) == 0);
	for (memcpy(option, page + at, sizeof(option)); option[0] && option[0] != 7;
	     memcpy(option, page + at, sizeof(option)))
		at += 4 + cap_pad4(option[1]);
	HOLDS(option[0] == 7);
	memcpy(&value, page + at + 4, sizeof(value));
	return value;
}

struct found bench_collect(const char *folder)
{
	struct found found = { .in_order = true, .readable = true };
	struct dirent **list;
	char place[512];
	int n;

	snprintf(place, sizeof(place), "%s/%s", captures, folder ? folder : "");
	n = scandir(place, &list, is_file, by_name);
	for (int i = 0; i < n; i++) {
		char path[1024];

		snprintf(path, sizeof(path), "%s/%s", place, list[i]->d_name);
		found.files++;
		found.hidden += list[i]->d_name[0] == '.';
		read_file(path, &found);
		found.told_lost += told_lost(path);
		if (list[i]->d_name[0] != '.')
			found.os_dropped += os_dropped(path);
		unlink(path);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	if (folder)
		rmdir(place);
	return found;
}

void bench_limit_files(rlim_t limit)
{
	struct rlimit now;

	HOLDS(getrlimit(RLIMIT_FSIZE, &now) == 0);
	now.rlim_cur = limit;
	HOLDS(setrlimit(RLIMIT_FSIZE, &now) == 0);
}

void bench_wait_for(const uint64_t *counter, uint64_t value)
{
	for (unsigned i = 0; i < 5000 && cap_sample(counter) < value; i++)
		nap();
	HOLDS(cap_sample(counter) >= value);
}
