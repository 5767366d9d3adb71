/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The engine's log: one record a line on standard error, JSON for the supervisor or text for a
 * person. Thread-safe: each record is one write(2). Never called from the packet path.
 */
#ifndef CAPSTAN_LOG_H
#define CAPSTAN_LOG_H

#include <stdbool.h>

enum cap_log_level { CAP_LOG_INFO, CAP_LOG_WARNING, CAP_LOG_ERROR };

/** Choose text (true) or JSON lines (false, the default). Call before the first thread starts. */
void cap_log_as_text(bool text);

/**
 * Write one record.
 *
 * @param event short_snake_case name that programs can match on
 * @param format the sentence for a person
 */
void cap_log(enum cap_log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define cap_info(event, ...) cap_log(CAP_LOG_INFO, event, __VA_ARGS__)
#define cap_warn(event, ...) cap_log(CAP_LOG_WARNING, event, __VA_ARGS__)
#define cap_alert(event, ...) cap_log(CAP_LOG_ERROR, event, __VA_ARGS__)

#endif
