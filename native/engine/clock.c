// SPDX-License-Identifier: Apache-2.0
#include "clock.h"

#include <stdio.h>

static void format_time(uint64_t ns, const char *date_format, unsigned digits, char *out)
{
	time_t seconds = (time_t)(ns / CAP_NS_PER_S);
	uint64_t fraction = ns % CAP_NS_PER_S;
	struct tm utc;
	size_t used;

	gmtime_r(&seconds, &utc);
	used = strftime(out, CAP_RFC3339_LEN, date_format, &utc);
	for (unsigned cut = digits; cut < 9; cut++)
		fraction /= 10;
	snprintf(out + used, CAP_RFC3339_LEN - used, ".%0*luZ", (int)digits,
		 (unsigned long)fraction);
}

void cap_rfc3339(uint64_t realtime_ns, char out[CAP_RFC3339_LEN])
{
	format_time(realtime_ns, "%Y-%m-%dT%H:%M:%S", 6, out);
}

void cap_file_stamp(uint64_t realtime_ns, char out[CAP_RFC3339_LEN])
{
	format_time(realtime_ns, "%Y%m%dT%H%M%S", 9, out);
}
