/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A stand-in for the vendor's libdag, for tests on machines without a DAG card. It is not libdag,
 * and shares nothing with it but the functions' names and how they are called.
 *
 * A card is what a file of its name says, in the folder that CAPSTAN_STANDIN_DAG names, one word and its
 * value a line:
 *
 *     feed packet IFACE    the frames of a network device of this network namespace (the default: the
 *                          device that is called as the card)
 *     feed erf FILE        the records of a file, to each stream, from a tenth of a second after it was
 *                          started; a card whose feed has ended is idle
 *     streams N            receive streams (default: the device's receive queues)
 *     without S            stream S has no memory; may be said several times
 *     hole BYTES           memory of a stream (32 MiB)
 *     type N               record type of frames (2: TYPE_ETH)
 *     block BYTES          the card writes so many bytes at once, as those with a DSM do: records that do not
 *                          fill a block come when dag_advance_stream, waiting for bytes, asks for them
 *
 * Without such a file a card is the network device of its name. A card whose file is removed, or whose
 * network device, is gone. Frames have a check sequence, as on most cards. What finds no room in a
 * stream's memory, or in the socket before it, is dropped, counted, and told by the next record.
 *
 * Built with STANDIN_OLD it is one of the older generation: without functions for streams of more than 4 GiB,
 * and with EACCES for a stream that another process has.
 */
#ifndef CAPSTAN_DAG_STANDIN_H
#define CAPSTAN_DAG_STANDIN_H

#include <limits.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STANDIN_STREAMS 128
#define STANDIN_NAME 64

/** What dag_config_get_indexed_attribute_uuid takes for the drop counter, and its name: the vendor's own. */
#define STANDIN_DROP_CODE 4711
#ifndef STANDIN_DROP_NAME
#define STANDIN_DROP_NAME "stream_drop_count"
#endif

/** Counters of 32 bits wrap after the first few drops, so that every test sees it. */
#define STANDIN_FIRST_DROPS (UINT32_MAX - 2U)

enum standin_feed { STANDIN_PACKETS, STANDIN_ERF };

struct standin_card {
	char name[STANDIN_NAME];
	char file[PATH_MAX]; /**< that says what it is; empty: there is none */
	enum standin_feed feed;
	char source[PATH_MAX]; /**< network device or file */
	int streams;
	bool without[STANDIN_STREAMS];
	size_t hole, block;
	uint8_t type;
};

struct standin_stream {
	struct standin_card *card;
	int number;
	int lock;   /**< says to other processes that it is attached */
	int feed;   /**< socket or file, or -1 */
	int fanout; /**< group of the card's sockets, or -1 */
	bool started, gone;
	int64_t started_ms; /**< by the monotonic clock */

	uint8_t *memory;	      /**< the hole, mapped twice, one behind the other */
	uint64_t written, given_back; /**< bytes since it was attached */
	uint64_t shown;		      /**< of these, given out */
	uint64_t in_blocks;	      /**< of these, in whole blocks */
	uint64_t last_top;	      /**< what was shown when dag_advance_stream returned last */
	int64_t flush_us; /**< when the half-filled block comes that the card was asked for; 0: it was not */

	uint64_t dropped;   /**< since it was started */
	uint32_t told_lost; /**< to be told by the next record */
	uint8_t *buffers;   /**< for the socket's frames */
	uint64_t min_bytes; /**< of the waiting in dag_advance_stream */
	struct {
		int64_t most_us, look_us;
	} wait;
};

/** Get ready to feed: open socket or file. @return 0, or -1 with errno */
int standin_feed_open(struct standin_stream *stream);

/** Begin. @param fanout group to join, or -1 for a new one */
int standin_feed_start(struct standin_stream *stream, int fanout);

/** Bring what there is into the hole; sets `gone` when there is no source any more. */
void standin_feed_pull(struct standin_stream *stream);

void standin_feed_close(struct standin_stream *stream);

/** A record's place in the hole, or NULL when there is no room. */
uint8_t *standin_room(struct standin_stream *stream, size_t size);

/** A record of so many bytes is in its place. */
void standin_wrote(struct standin_stream *stream, size_t size);

/** The 32 bits of a stream's drop counter; for the configuration library. */
int standin_drops(const char *device, int stream, uint32_t *drops);

#endif
