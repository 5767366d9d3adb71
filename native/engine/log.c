// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include "clock.h"
#include "error.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {
	[CAP_LOG_INFO] = "info",
	[CAP_LOG_WARNING] = "warning",
	[CAP_LOG_ERROR] = "error",
};

/* Set once by main before any thread exists, read-only afterwards. */
static bool log_text;

void cap_log_as_text(bool text)
{
	log_text = text;
}

/* Standard error may be a pipe whose reader has gone; there is nobody left to tell. */
static void write_whole(const char *line, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, line, len);

		if (n <= 0)
			return;
		line += n;
		len -= (size_t)n;
	}
}

void cap_log(enum cap_log_level level, const char *event, const char *format, ...)
{
	char message[1024];
	char stamp[CAP_RFC3339_LEN];
	char line[1400];
	va_list args;
	json_t *record;
	char *text;
	int len;

	va_start(args, format);
	cap_sentence(message, sizeof(message), format, args);
	va_end(args);
	cap_rfc3339(cap_realtime_ns(), stamp);

	if (log_text) {
		len = snprintf(line, sizeof(line), "%s %-7s %s\n", stamp, level_names[level],
			       message);
		write_whole(line, (size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1);
		return;
	}
	record = json_pack("{s:s, s:s, s:s, s:s%}", "time", stamp, "level", level_names[level],
			   "event", event, "message", message, strlen(message));
	text = record ? json_dumps(record, JSON_COMPACT) : NULL;
	if (text) {
		len = snprintf(line, sizeof(line), "%s\n", text);
		if ((size_t)len < sizeof(line)) {
			write_whole(line, (size_t)len);
		} else {
			write_whole(text, strlen(text));
			write_whole("\n", 1);
		}
	} else {
		/* No memory: the sentence still has to reach the operator. */
		write_whole(message, strlen(message));
		write_whole("\n", 1);
	}
	free(text);
	json_decref(record);
}
