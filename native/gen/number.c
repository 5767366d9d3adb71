// SPDX-License-Identifier: Apache-2.0
#include "number.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int number_parse(const char *option, const char *text, uint64_t low, uint64_t high, uint64_t *out,
		 struct fault *fault)
{
	char *end;
	int base = strncmp(text, "0x", 2) == 0 ? 16 : 10;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, base);
	if (!isdigit((unsigned char)text[0]) || *end || errno)
		return fault_set(fault, "%s: '%s' is not a whole number.", option, text);
	if (value < low || value > high)
		return fault_set(fault, "%s: %s is outside %llu to %llu.", option, text,
				 (unsigned long long)low, (unsigned long long)high);
	*out = value;
	return 0;
}

const char *number_group(uint64_t number, char text[static NUMBER_TEXT])
{
	char *at = text + NUMBER_TEXT - 1;
	unsigned int digits = 0;

	*at = '\0';
	do {
		if (digits && digits % 3 == 0)
			*--at = ' ';
		*--at = (char)('0' + number % 10);
		number /= 10;
		digits++;
	} while (number);
	return memmove(text, at, (size_t)(text + NUMBER_TEXT - at));
}
