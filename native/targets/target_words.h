/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file How the terms of a target are written: ids, prefixes, ports, MAC addresses, protocols, times.
 *
 * Each reader takes the whole of a terminated text, and sets its result only when the text is right. One that
 * needs more than its caller knows to say what is wrong leaves a clause in @p err: "has bits ...: write ...".
 */
#ifndef CAPSTAN_TARGET_WORDS_H
#define CAPSTAN_TARGET_WORDS_H

#include "error.h"
#include "target.h"

#include <stddef.h>

/** Room for each kind of text with its terminator. */
#define CAP_TARGET_ID_TEXT 37U
#define CAP_PREFIX_TEXT 52U
#define CAP_PORTS_TEXT 12U
#define CAP_MAC_TEXT 18U
#define CAP_TIME_TEXT 31U

bool cap_target_id_read(const char *text, uint8_t id[CAP_TARGET_ID_LEN]);
void cap_target_id_text(const uint8_t id[CAP_TARGET_ID_LEN], char text[CAP_TARGET_ID_TEXT]);

/** An address is a prefix of one. @return 0, or -EINVAL with a clause */
int cap_prefix_read(const char *text, struct cap_prefix *prefix, struct cap_error *err);
void cap_prefix_text(const struct cap_prefix *prefix, char text[CAP_PREFIX_TEXT]);

/** "443" or "1024-2047". @return 0, or -EINVAL with a clause */
int cap_ports_read(const char *text, struct cap_port_range *range, struct cap_error *err);
void cap_ports_text(const struct cap_port_range *range, char text[CAP_PORTS_TEXT]);

/** Six pairs of hexadecimal digits, with colons or dashes. */
bool cap_mac_read(const char *text, uint8_t mac[CAP_MAC_LEN]);
void cap_mac_text(const uint8_t mac[CAP_MAC_LEN], char text[CAP_MAC_TEXT]);

/** By its name, such as "tcp"; numbers are no names. */
bool cap_protocol_read(const char *name, uint8_t *protocol);
/** @return its name, or NULL: it goes by its number */
const char *cap_protocol_name(uint8_t protocol);

/** RFC 3339 with Z or an offset, from 1970 to 2261; up to nine decimals. */
bool cap_time_read(const char *text, uint64_t *ns);
/** In UTC; decimals only where they are not 0. */
void cap_time_text(uint64_t ns, char text[CAP_TIME_TEXT]);

#endif
