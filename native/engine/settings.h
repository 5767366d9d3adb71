/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Strict reading of JSON settings, shared by engine.json and the drivers' options: each reader
 * takes a key out of the object, and what is left over at the end is an unknown key.
 */
#ifndef CAPSTAN_SETTINGS_H
#define CAPSTAN_SETTINGS_H

#include "error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/** One JSON object that is being read. `where` begins every sentence: "ports[0].options". */
struct cap_settings {
	json_t *object; /**< a shallow copy; keys vanish as they are read */
	json_t *taken;	/**< what was read, kept so that it stays borrowed until close */
	char where[96];
};

/**
 * Begin to read @p object.
 *
 * @param object borrowed; NULL reads as an empty object
 * @return 0, or -EINVAL when it is not an object
 */
int cap_settings_open(struct cap_settings *in, json_t *object, struct cap_error *err,
		      const char *where, ...) __attribute__((format(printf, 4, 5)));

/** Complain about keys that nobody asked for, and release. Returns @p rc when that is an error already. */
int cap_settings_close(struct cap_settings *in, int rc, struct cap_error *err);

/** Integer within [least, most]; *value keeps its default when the key is absent. */
int cap_settings_int(struct cap_settings *in, const char *key, int64_t least, int64_t most,
		     int64_t *value, struct cap_error *err);

int cap_settings_bool(struct cap_settings *in, const char *key, bool *value, struct cap_error *err);

/** Text; *value keeps its default (which may be NULL) when absent or null. @return a copy to free */
int cap_settings_text(struct cap_settings *in, const char *key, char **value,
		      struct cap_error *err);

/** One of a NULL-ended list of words; *value is its position. */
int cap_settings_word(struct cap_settings *in, const char *key, const char *const *words,
		      int *value, struct cap_error *err);

/** Any value, borrowed until cap_settings_close; NULL when absent. */
json_t *cap_settings_take(struct cap_settings *in, const char *key);

#endif
