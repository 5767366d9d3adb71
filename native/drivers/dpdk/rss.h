/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The key by which a NIC spreads packets over queues so that both directions of a flow come by one.
 *
 * NICs hash addresses and ports (Toeplitz) with a key, and look the hash up in a table of queues. A key that
 * repeats every 16 bits gives the same hash when source and destination change places: both lie a multiple
 * of 16 bits apart, addresses and ports alike.
 */
#ifndef CAPSTAN_DPDK_RSS_H
#define CAPSTAN_DPDK_RSS_H

#include <stdbool.h>
#include <stdint.h>

/** Longest key of a NIC that is known: 52 bytes (Intel E800), rounded up. */
#define CAP_RSS_LONGEST_KEY 64U

/** Fill a key of @p len bytes. */
void cap_rss_key(uint8_t *key, unsigned len);

/** @return whether a NIC that reports this key hashes both directions of every flow alike */
bool cap_rss_is_symmetric(const uint8_t *key, unsigned len);

/**
 * Look at the table of queues that a NIC reports.
 *
 * @param queues how many there are, at most CAP_MAX_QUEUES
 * @return the first queue that no entry leads to, or -1 when each gets its share
 */
int cap_rss_queue_without(const uint16_t *table, unsigned size, unsigned queues);

#endif
