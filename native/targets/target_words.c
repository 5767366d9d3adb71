// SPDX-License-Identifier: Apache-2.0
#include "target_words.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
#define LAST_YEAR 2261 /* of 64 bits of nanoseconds, signed: what others read them as */

static const struct {
	const char *name;
	uint8_t number;
} protocols[] = {
	{ "icmp", IPPROTO_ICMP }, { "igmp", IPPROTO_IGMP },
	{ "ipip", IPPROTO_IPIP }, { "tcp", IPPROTO_TCP },
	{ "udp", IPPROTO_UDP },	  { "dccp", IPPROTO_DCCP },
	{ "ipv6", IPPROTO_IPV6 }, { "gre", IPPROTO_GRE },
	{ "esp", IPPROTO_ESP },	  { "ah", IPPROTO_AH },
	{ "icmpv6", 58 },	  { "ospf", 89 },
	{ "sctp", IPPROTO_SCTP }, { "udplite", IPPROTO_UDPLITE },
};

#define N_PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* @return the byte that two hexadecimal digits say, or -1 */
static int byte_of(const char *text)
{
	int high = digit_of(text[0]);
	int low = high < 0 ? -1 : digit_of(text[1]);

	return low < 0 ? -1 : high << 4 | low;
}

bool cap_target_id_read(const char *text, uint8_t id[CAP_TARGET_ID_LEN])
{
	uint8_t read[CAP_TARGET_ID_LEN];

	for (unsigned i = 0; i < CAP_TARGET_ID_LEN; i++) {
		int byte = byte_of(text);

		if (byte < 0)
			return false;
		read[i] = (uint8_t)byte;
		text += 2;
		if (i == 3 || i == 5 || i == 7 || i == 9)
			if (*text++ != '-')
				return false;
	}
	if (*text)
		return false;
	memcpy(id, read, sizeof(read));
	return true;
}

void cap_target_id_text(const uint8_t id[CAP_TARGET_ID_LEN], char text[CAP_TARGET_ID_TEXT])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < CAP_TARGET_ID_LEN; i++) {
		*text++ = digits[id[i] >> 4];
		*text++ = digits[id[i] & 15];
		if (i == 3 || i == 5 || i == 7 || i == 9)
			*text++ = '-';
	}
	*text = '\0';
}

/* Digits alone, without a zero in front. @return the number, or -1: it is none up to @p most */
static long number_of(const char *text, size_t len, long most)
{
	long number = 0;

	if (len == 0 || len > 5 || (len > 1 && *text == '0'))
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		number = 10 * number + (text[i] - '0');
	}
	return number > most ? -1 : number;
}

/* @return whether bits behind the prefix's length were set; they are 0 afterwards */
static bool clear_host_bits(struct cap_prefix *prefix)
{
	bool any = false;

	for (unsigned bit = prefix->length; bit < sizeof(prefix->bytes) * 8; bit++) {
		const uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		any |= prefix->bytes[bit / 8] & mask;
		prefix->bytes[bit / 8] &= (uint8_t)~mask;
	}
	return any;
}

int cap_prefix_read(const char *text, struct cap_prefix *prefix, struct cap_error *err)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	struct cap_prefix read = { .family = strchr(text, ':') ? 6 : 4 };
	const long most = read.family == 6 ? 128 : 32;
	const char *slash = strchr(text, '/');
	const size_t len = slash ? (size_t)(slash - text) : strlen(text);
	const long length = slash ? number_of(slash + 1, strlen(slash + 1), most) : most;
	char address[INET6_ADDRSTRLEN], meant[CAP_PREFIX_TEXT];

	if (len >= sizeof(address))
		return cap_fail(err, EINVAL,
				"is no address: write one such as 192.0.2.1 or 2001:db8::/48");
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(read.family == 6 ? AF_INET6 : AF_INET, address, read.bytes) != 1)
		return cap_fail(err, EINVAL,
				"is no address: write one such as 192.0.2.1 or 2001:db8::/48");
	if (length < 0)
		return cap_fail(err, EINVAL,
				"has no prefix length from 0 to %ld behind its slash: write %s/%ld",
				most, address, most);
	read.length = (uint8_t)length;
	if (read.family == 6 && read.length >= 96 && !memcmp(read.bytes, mapped, sizeof(mapped))) {
		struct cap_prefix inner = { .family = 4, .length = (uint8_t)(read.length - 96) };

		memcpy(inner.bytes, read.bytes + 12, 4);
		clear_host_bits(&inner);
		cap_prefix_text(&inner, meant);
		return cap_fail(
			err, EINVAL,
			"is an IPv4 address in the form of IPv6, which no packet has: write %s",
			meant);
	}
	if (clear_host_bits(&read)) {
		cap_prefix_text(&read, meant);
		return cap_fail(
			err, EINVAL,
			"has bits behind its prefix length: write %s for the network, or %s for the host",
			meant, address);
	}
	*prefix = read;
	return 0;
}

void cap_prefix_text(const struct cap_prefix *prefix, char text[CAP_PREFIX_TEXT])
{
	char address[INET6_ADDRSTRLEN];

	inet_ntop(prefix->family == 6 ? AF_INET6 : AF_INET, prefix->bytes, address,
		  sizeof(address));
	snprintf(text, CAP_PREFIX_TEXT, "%s/%u", address, prefix->length);
}

int cap_ports_read(const char *text, struct cap_port_range *range, struct cap_error *err)
{
	const char *dash = strchr(text, '-');
	const size_t len = dash ? (size_t)(dash - text) : strlen(text);
	const long first = number_of(text, len, UINT16_MAX);
	const long last = dash ? number_of(dash + 1, strlen(dash + 1), UINT16_MAX) : first;

	if (first < 0 || last < 0)
		return cap_fail(
			err, EINVAL,
			"is no port or range of ports from 0 to 65535: write \"443\" or \"1024-2047\"");
	if (last < first)
		return cap_fail(err, EINVAL, "ends before it begins: write \"%ld-%ld\"", last,
				first);
	*range = (struct cap_port_range){ (uint16_t)first, (uint16_t)last };
	return 0;
}

void cap_ports_text(const struct cap_port_range *range, char text[CAP_PORTS_TEXT])
{
	if (range->first == range->last)
		snprintf(text, CAP_PORTS_TEXT, "%u", range->first);
	else
		snprintf(text, CAP_PORTS_TEXT, "%u-%u", range->first, range->last);
}

bool cap_mac_read(const char *text, uint8_t mac[CAP_MAC_LEN])
{
	uint8_t read[CAP_MAC_LEN];

	for (unsigned i = 0; i < CAP_MAC_LEN; i++) {
		int byte = byte_of(text);

		if (byte < 0)
			return false;
		read[i] = (uint8_t)byte;
		text += 2;
		if (i < CAP_MAC_LEN - 1 && *text != ':' && *text != '-')
			return false;
		text += i < CAP_MAC_LEN - 1;
	}
	if (*text)
		return false;
	memcpy(mac, read, sizeof(read));
	return true;
}

void cap_mac_text(const uint8_t mac[CAP_MAC_LEN], char text[CAP_MAC_TEXT])
{
	snprintf(text, CAP_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
}

bool cap_protocol_read(const char *name, uint8_t *protocol)
{
	for (size_t i = 0; i < N_PROTOCOLS; i++)
		if (!strcmp(protocols[i].name, name)) {
			*protocol = protocols[i].number;
			return true;
		}
	return false;
}

const char *cap_protocol_name(uint8_t protocol)
{
	for (size_t i = 0; i < N_PROTOCOLS; i++)
		if (protocols[i].number == protocol)
			return protocols[i].name;
	return NULL;
}

/* Exactly @p digits of them. @return what is behind, or NULL */
static const char *take_digits(const char *text, int digits, int *value)
{
	*value = 0;
	for (; digits > 0; digits--, text++) {
		if (*text < '0' || *text > '9')
			return NULL;
		*value = 10 * *value + (*text - '0');
	}
	return text;
}

static const char *take_character(const char *text, const char *any_of)
{
	return text && *text && strchr(any_of, *text) ? text + 1 : NULL;
}

/* "2026-12-01" with what follows @p end it. */
static const char *take_three(const char *text, const int digits[3], const char *between,
			      int value[3])
{
	for (int i = 0; i < 3 && text; i++) {
		if (i)
			text = take_character(text, between);
		if (text)
			text = take_digits(text, digits[i], &value[i]);
	}
	return text;
}

/* "Z", "+01:00". @return what is behind, or NULL */
static const char *take_offset(const char *text, int *seconds)
{
	int sign, hours, minutes;

	*seconds = 0;
	if (*text == 'Z')
		return text + 1;
	if (*text != '+' && *text != '-')
		return NULL;
	sign = *text == '-' ? -1 : 1;
	text = take_character(take_digits(text + 1, 2, &hours), ":");
	if (text)
		text = take_digits(text, 2, &minutes);
	if (!text || hours > 23 || minutes > 59)
		return NULL;
	*seconds = sign * (3600 * hours + 60 * minutes);
	return text;
}

static bool is_date(const int date[3])
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	const bool leap = date[0] % 4 == 0 && (date[0] % 100 != 0 || date[0] % 400 == 0);

	return date[0] >= 1970 && date[0] <= LAST_YEAR && date[1] >= 1 && date[1] <= 12 &&
	       date[2] >= 1 && date[2] <= days[date[1] - 1] + (date[1] == 2 && leap);
}

bool cap_time_read(const char *text, uint64_t *ns)
{
	static const int of_date[] = { 4, 2, 2 }, of_clock[] = { 2, 2, 2 };
	int date[3], clock[3], offset;
	uint64_t fraction = 0;
	struct tm parts;
	time_t seconds;

	text = take_character(take_three(text, of_date, "-", date), "T");
	if (!text)
		return false;
	text = take_three(text, of_clock, ":", clock);
	if (text && *text == '.') {
		uint64_t unit = NS_PER_S;

		for (text++; *text >= '0' && *text <= '9' && unit > 1; text++) {
			unit /= 10;
			fraction += unit * (uint64_t)(*text - '0');
		}
		if (unit == NS_PER_S)
			return false;
	}
	if (!text || !(text = take_offset(text, &offset)) || *text || !is_date(date) ||
	    clock[0] > 23 || clock[1] > 59 || clock[2] > 59)
		return false;
	parts = (struct tm){ .tm_year = date[0] - 1900,
			     .tm_mon = date[1] - 1,
			     .tm_mday = date[2],
			     .tm_hour = clock[0],
			     .tm_min = clock[1],
			     .tm_sec = clock[2] };
	seconds = timegm(&parts) - offset;
	if (seconds < 0)
		return false;
	*ns = (uint64_t)seconds * NS_PER_S + fraction;
	return true;
}

void cap_time_text(uint64_t ns, char text[CAP_TIME_TEXT])
{
	const time_t seconds = (time_t)(ns / NS_PER_S);
	const unsigned fraction = (unsigned)(ns % NS_PER_S);
	struct tm parts;
	size_t used;

	gmtime_r(&seconds, &parts);
	used = strftime(text, CAP_TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(text + used, CAP_TIME_TEXT - used, fraction ? ".%09uZ" : "Z", fraction);
}
