/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A JSON object that is read key by key, and its long lists element by element: a document with 100 000
 * targets is never in memory as a tree.
 */
#ifndef CAPSTAN_TARGET_DOCUMENT_H
#define CAPSTAN_TARGET_DOCUMENT_H

#include "error.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/** Largest document that is read: the most targets with all that they can say. */
#define CAP_DOCUMENT_MAX (512U << 20)

/** A text that is being read; not terminated. */
struct cap_document {
	const char *text;
	size_t len, at;
};

/**
 * Called behind each key of the document; reads its value by cap_document_value or cap_document_list.
 *
 * @return 0, or negative errno with a sentence
 */
typedef int (*cap_document_key)(void *context, const char *key, struct cap_document *document,
				struct cap_error *err);

/** Called for each element of a list; @p value is borrowed. */
typedef int (*cap_document_element)(void *context, const char *list, size_t index, json_t *value,
				    struct cap_error *err);

/** Read a whole object: a key twice, or anything behind its end, is an error. */
int cap_document_read(struct cap_document *document, cap_document_key key, void *context,
		      struct cap_error *err);

/** The next value. @return 0 with *value a new reference */
int cap_document_value(struct cap_document *document, json_t **value, struct cap_error *err);

/** The next value, which must be a list; its elements one after the other. @param list its key */
int cap_document_list(struct cap_document *document, const char *list, cap_document_element element,
		      void *context, struct cap_error *err);

/**
 * All that @p fd has, from its beginning where it has one. May wait for a disk.
 *
 * @return 0 with *text to be freed and *len set
 */
int cap_document_load(int fd, char **text, size_t *len, struct cap_error *err);

#endif
