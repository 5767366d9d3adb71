/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A writer with one queue and real files, in a directory of the test's own. RLIMIT_FSIZE makes the
 * disk fail where the test wants it to: with a short write, then with EFBIG.
 */
#ifndef CAPSTAN_WRITER_BENCH_H
#define CAPSTAN_WRITER_BENCH_H

#include "writer.h"

#include <sys/resource.h>

#define BENCH_BLOCKS 8
#define BENCH_BLOCK_SIZE (512U * 1024U)

struct bench {
	struct cap_config config;
	struct cap_output output;
	struct cap_ledger ledger;
	struct cap_block_pool pool;
	struct cap_port_config port;
	struct cap_port_facts facts;
	pthread_mutex_t facts_lock;
	struct cap_writer *writer;
	uint32_t number; /**< of the next packet */
};

/** What is in files. */
struct found {
	unsigned files, hidden, packets;
	bool in_order, readable;
	uint32_t first, last; /**< numbers of packets */
	uint64_t told_lost;   /**< by the comments where packets were lost */
	uint64_t os_dropped;  /**< by the last blocks of files */
};

/** Make the directory; once a program. */
void bench_begin(void);
void bench_end(void);
const char *bench_directory(void);

/** Settings as they are, to be changed before bench_start. */
void bench_prepare(struct bench *bench, enum cap_writer_io io, uint64_t rotate_bytes);
void bench_start(struct bench *bench);
void bench_put_away(struct bench *bench);

/** A free block, waited for. */
struct cap_block *bench_block(struct bench *bench);

/** Put the next packet into a block, with comments that are packed as options. @return its number */
uint32_t bench_packet(struct bench *bench, struct cap_block *block, uint32_t len,
		      const uint8_t *options, uint32_t options_len);

/** Seal a block and push it, as a worker does. */
void bench_push(struct bench *bench, struct cap_block *block, bool last);

/**
 * Read all files by libpcap, in the order of their names, and remove them.
 *
 * @param folder NULL: those in the directory itself
 */
struct found bench_collect(const char *folder);

void bench_limit_files(rlim_t limit);

/** Wait until a counter has come to a value, for 5 s at most. */
void bench_wait_for(const uint64_t *counter, uint64_t value);

#endif
