/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_CRC32_H
#define CAPSTAN_GEN_CRC32_H

#include <stddef.h>
#include <stdint.h>

/**
 * CRC-32 of IEEE 802.3, the one of zlib and of Python's `zlib.crc32`.
 *
 * @param crc    0 to start, or the value for the bytes before these
 * @param bytes  may be NULL when @p length is 0
 * @param length in bytes
 */
uint32_t crc32_update(uint32_t crc, const uint8_t *bytes, size_t length);

#endif
