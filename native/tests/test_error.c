// SPDX-License-Identifier: Apache-2.0
#include "error.h"
#include "sentence.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#define AE "\303\244"
#define EURO "\342\202\254"
#define CLEF "\360\235\204\236"

static bool is_text(const char *text)
{
	json_t *value = json_string(text);
	const bool is = value;

	json_decref(value);
	return is;
}

static void a_sentence_that_is_cut_ends_with_a_whole_character(void)
{
	static const char *const characters[] = { "x", AE, EURO, CLEF };
	char text[2 * sizeof(((struct cap_error *)0)->text)];
	struct cap_error err;

	for (size_t c = 0; c < 4; c++)
		for (size_t shift = 0; shift < 4; shift++) {
			const size_t len = strlen(characters[c]);
			size_t used = shift;

			memset(text, 'x', shift);
			for (; used + len < sizeof(text); used += len)
				memcpy(text + used, characters[c], len);
			text[used] = '\0';
			HOLDS(cap_fail(&err, EINVAL, "%s", text) == -EINVAL);
			HOLDS(is_text(err.text) && !strchr(err.text, '?'));
			HOLDS(strlen(err.text) + len >= sizeof(err.text));
			HOLDS(!strncmp(err.text, text, strlen(err.text)));
			HOLDS(cap_fail_in(&err, -EIO, "where") == -EIO);
			HOLDS(is_text(err.text) && !strncmp(err.text, "where: ", 7));
			HOLDS(cap_fail_in(&err, -EIO, "%s", text) == -EIO);
			HOLDS(is_text(err.text));
		}
}

/* What is put into a sentence, and what stands there. */
static const struct {
	const char *put, *says;
} pieces[] = {
	{ "plain", "plain" },	 { AE EURO CLEF, AE EURO CLEF },
	{ "a\377b", "a?b" },	 { "a\303", "a?" },
	{ "a\303b", "a?b" },	 { "\342\202x", "?x" },
	{ "\300\200", "?" },	 { "\340\200\200", "?" },
	{ "\355\240\200", "?" }, { "\364\220\200\200", "?" },
	{ "\200\200", "?" },	 { "\360\235\204", "?" },
};

static void what_is_no_character_is_a_question_mark(void)
{
	struct cap_error err;
	char says[64];

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		cap_fail(&err, EINVAL, "\"%s\": remove it", pieces[i].put);
		snprintf(says, sizeof(says), "\"%s\": remove it", pieces[i].says);
		HOLDS(!strcmp(err.text, says) && is_text(err.text));
	}
	cap_fail(&err, EINVAL, "unknown key \"%.3s\"", AE AE);
	HOLDS(!strcmp(err.text, "unknown key \"" AE "?\""));
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "a sentence that is cut ends with a whole character",
		  a_sentence_that_is_cut_ends_with_a_whole_character },
		{ "what is no character is a question mark",
		  what_is_no_character_is_a_question_mark },
	};

	return HOLD_ALL(sentences);
}
