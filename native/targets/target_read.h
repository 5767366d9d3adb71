/* SPDX-License-Identifier: Apache-2.0 */
/** @file One target as it is written in JSON: read strictly, and written back. */
#ifndef CAPSTAN_TARGET_READ_H
#define CAPSTAN_TARGET_READ_H

#include "target_list.h"

#include <jansson.h>
#include <stdio.h>

/** What a target may say beside what it is. */
enum cap_target_form {
	CAP_TARGET_IN_FILE,   /**< its origin, too */
	CAP_TARGET_IN_CHANGE, /**< its origin is the change's */
};

/**
 * Check one target and append it to @p list, with its terms.
 *
 * @param where its place, such as "targets[3]": begins the sentence
 * @return 0, or negative errno with a sentence that names place, id, key and what to write; then nothing
 *         is appended
 */
int cap_target_read(struct cap_target_list *list, json_t *object, enum cap_target_form form,
		    const char *where, struct cap_error *err);

/** Write a target as cap_target_read reads it, on one line without its end. */
void cap_target_write(FILE *out, const struct cap_target *target, enum cap_target_form form);

/** Write text as a JSON string, quotes included. */
void cap_text_write(FILE *out, const char *text);

#endif
