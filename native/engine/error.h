/* SPDX-License-Identifier: Apache-2.0 */
/** @file Errors as values: a negative errno and one sentence for the operator. */
#ifndef CAPSTAN_ERROR_H
#define CAPSTAN_ERROR_H

#include <stdarg.h>
#include <stddef.h>

/** A sentence that says what went wrong, where, and what to do. Owned by the caller. */
struct cap_error {
	char text[768];
};

/**
 * As vsnprintf, but of whole UTF-8 characters, for JSON takes no others: where too little room or a precision cuts
 * one in two, or a file's name has bytes that are none, a "?" stands for them, and nothing at a sentence's cut end.
 */
void cap_sentence(char *text, size_t size, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));

/**
 * Put a sentence into @p err.
 *
 * @param err  filled; an earlier sentence is replaced
 * @param code positive errno
 * @return -code, so that `return cap_fail(...)` reads as one statement
 */
int cap_fail(struct cap_error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/** Put "context: " in front of the sentence already in @p err, and return @p rc unchanged. */
int cap_fail_in(struct cap_error *err, int rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
