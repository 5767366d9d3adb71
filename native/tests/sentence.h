/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_TESTS_SENTENCE_H
#define CAPSTAN_TESTS_SENTENCE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/** A test: a sentence about behaviour and the code that holds it true. */
struct sentence {
	const char *text;
	void (*hold)(void);
};

/** Ends the program with the place and the condition that does not hold. */
#define HOLDS(condition)                                                                  \
	do {                                                                              \
		if (!(condition)) {                                                       \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, \
				#condition);                                              \
			exit(1);                                                          \
		}                                                                         \
	} while (0)

/** Holds @p count sentences in turn. @return main's exit status */
static inline int hold_all(const struct sentence *sentences, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		sentences[i].hold();
		printf("holds: %s\n", sentences[i].text);
	}
	return 0;
}

#define HOLD_ALL(sentences) hold_all(sentences, sizeof(sentences) / sizeof((sentences)[0]))

#endif
