// SPDX-License-Identifier: Apache-2.0
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int cap_fail(struct cap_error *err, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return -code;
}

int cap_fail_in(struct cap_error *err, int rc, const char *format, ...)
{
	struct cap_error inner = *err;
	va_list args;
	int used;

	va_start(args, format);
	used = vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	if (used >= 0 && (size_t)used < sizeof(err->text))
		snprintf(err->text + used, sizeof(err->text) - (size_t)used, ": %.*s",
			 (int)(sizeof(err->text) - (size_t)used - 3), inner.text);
	return rc;
}
