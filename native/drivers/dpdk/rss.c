// SPDX-License-Identifier: Apache-2.0
#include "rss.h"

#include "driver.h"

/*
 * 16 bits of odd weight: the hash, which such a key makes of the exclusive or of all 16-bit words, then differs
 * wherever that differs.
 */
static const uint8_t repeated[2] = { 0x6d, 0x5a };

void cap_rss_key(uint8_t *key, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		key[i] = repeated[i % 2];
}

bool cap_rss_is_symmetric(const uint8_t *key, unsigned len)
{
	for (unsigned i = 2; i < len; i++)
		if (key[i] != key[i - 2])
			return false;
	return len > 2;
}

int cap_rss_queue_without(const uint16_t *table, unsigned size, unsigned queues)
{
	bool has[CAP_MAX_QUEUES] = { false };

	for (unsigned i = 0; i < size; i++)
		if (table[i] < CAP_MAX_QUEUES)
			has[table[i]] = true;
	for (unsigned q = 0; q < queues; q++)
		if (!has[q])
			return (int)q;
	return -1;
}
