/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_FRAME_H
#define CAPSTAN_GEN_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "traffic.h"

/**
 * Builds frame @p number, complete with headers, record, filler and checksums.
 *
 * The UDP checksum is 0, "not computed": the record's CRC covers the UDP header, so a UDP checksum
 * that covers the record would have to know itself. The IPv4 header checksum is right.
 *
 * @param traffic from traffic_parse()
 * @param out     room for FRAME_MAX bytes, the caller's
 * @return the frame's length in bytes, without FCS
 */
size_t frame_build(const struct traffic *traffic, uint64_t number, uint8_t *out);

#endif
