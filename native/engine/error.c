// SPDX-License-Identifier: Apache-2.0
#include "error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* @return the bytes of the character that begins there; 0: none does that is whole */
static size_t character(const char *text)
{
	const unsigned char *byte = (const unsigned char *)text;
	const unsigned first = byte[0];
	/* Neither longer than needed, nor a surrogate, nor beyond the last one. */
	const unsigned least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	const unsigned most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	const size_t len = first < 0x80			? 1 :
			   first < 0xc2 || first > 0xf4 ? 0 :
			   first < 0xe0			? 2 :
			   first < 0xf0			? 3 :
							  4;

	if (len > 1 && (byte[1] < least || byte[1] > most))
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((byte[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

/* @param cut the end is missing: so may be that of the last character, which goes then */
static void mend(char *text, bool cut)
{
	char *to = text;

	while (*text) {
		const size_t len = character(text);

		if (len) {
			memmove(to, text, len);
			to += len;
			text += len;
			continue;
		}
		do
			text++;
		while ((*text & 0xc0) == 0x80);
		if (*text || !cut)
			*to++ = '?';
	}
	*to = '\0';
}

void cap_sentence(char *text, size_t size, const char *format, va_list args)
{
	const int whole = vsnprintf(text, size, format, args);

	mend(text, whole >= 0 && (size_t)whole >= size);
}

int cap_fail(struct cap_error *err, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	cap_sentence(err->text, sizeof(err->text), format, args);
	va_end(args);
	return -code;
}

int cap_fail_in(struct cap_error *err, int rc, const char *format, ...)
{
	struct cap_error inner = *err;
	va_list args;
	size_t used;

	va_start(args, format);
	cap_sentence(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", inner.text);
	mend(err->text, used + strlen(inner.text) + 2 >= sizeof(err->text));
	return rc;
}
