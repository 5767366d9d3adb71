// SPDX-License-Identifier: Apache-2.0
#include "target_document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More keys than any document here has: what each was is remembered to find one that comes twice. */
#define MOST_KEYS 16U

/* A pipe does not say how much is to come. */
#define FIRST_ROOM (64U << 10)

static size_t line_at(const struct cap_document *document)
{
	size_t line = 1;

	for (size_t i = 0; i < document->at && i < document->len; i++)
		line += document->text[i] == '\n';
	return line;
}

static char peek(struct cap_document *document)
{
	while (document->at < document->len &&
	       strchr(" \t\r\n", document->text[document->at] ? document->text[document->at] : 'x'))
		document->at++;
	return document->at < document->len ? document->text[document->at] : '\0';
}

/* @param wanted for people, such as "a list [...]" */
static int expect(struct cap_document *document, char c, const char *wanted, struct cap_error *err)
{
	if (peek(document) != c)
		return cap_fail(err, EINVAL, "line %zu: not valid JSON: %s is expected here",
				line_at(document), wanted);
	document->at++;
	return 0;
}

int cap_document_value(struct cap_document *document, json_t **value, struct cap_error *err)
{
	json_error_t where;

	peek(document);
	*value = json_loadb(document->text + document->at, document->len - document->at,
			    JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES,
			    &where);
	if (!*value)
		return cap_fail(err, EINVAL, "line %zu: not valid JSON: %s",
				line_at(document) + (size_t)(where.line > 0 ? where.line - 1 : 0),
				where.text);
	document->at += (size_t)where.position;
	return 0;
}

int cap_document_list(struct cap_document *document, const char *list, cap_document_element element,
		      void *context, struct cap_error *err)
{
	int rc;

	if (peek(document) != '[')
		return cap_fail(err, EINVAL, "%s: must be a list [...]", list);
	document->at++;
	if (peek(document) == ']') {
		document->at++;
		return 0;
	}
	for (size_t i = 0;; i++) {
		json_t *value;

		rc = cap_document_value(document, &value, err);
		if (rc == 0) {
			rc = element(context, list, i, value, err);
			json_decref(value);
		}
		if (rc)
			return rc;
		if (peek(document) != ',')
			return expect(document, ']', "\",\" or the list's end \"]\"", err);
		document->at++;
	}
}

static int read_key(struct cap_document *document, char **key, struct cap_error *err)
{
	json_t *value;
	int rc;

	if (peek(document) != '"')
		return expect(document, '"', "a key in quotes", err);
	rc = cap_document_value(document, &value, err);
	if (rc)
		return rc;
	*key = strdup(json_string_value(value));
	json_decref(value);
	if (!*key)
		return cap_fail(err, ENOMEM, "out of memory");
	return expect(document, ':', "\":\"", err);
}

int cap_document_read(struct cap_document *document, cap_document_key key, void *context,
		      struct cap_error *err)
{
	char *keys[MOST_KEYS] = { NULL };
	unsigned count = 0;
	int rc;

	if (peek(document) != '{')
		return cap_fail(err, EINVAL, "must be one JSON object {...}");
	document->at++;
	rc = 0;
	while (rc == 0 && (count || peek(document) != '}')) {
		if (count == MOST_KEYS) {
			rc = cap_fail(err, EINVAL,
				      "has more keys than there are: see docs/targets.md");
			break;
		}
		rc = read_key(document, &keys[count], err);
		for (unsigned i = 0; rc == 0 && i < count; i++)
			if (!strcmp(keys[i], keys[count]))
				rc = cap_fail(err, EINVAL,
					      "line %zu: the key \"%.64s\" is there twice",
					      line_at(document), keys[i]);
		if (rc == 0)
			rc = key(context, keys[count], document, err);
		count++;
		if (rc || peek(document) != ',')
			break;
		document->at++;
	}
	if (rc == 0)
		rc = expect(document, '}', "\",\" or the end \"}\"", err);
	if (rc == 0 && (peek(document) || document->at < document->len))
		rc = cap_fail(err, EINVAL, "line %zu: something follows behind the end",
			      line_at(document));
	for (unsigned i = 0; i < MOST_KEYS; i++)
		free(keys[i]);
	return rc;
}

int cap_document_load(int fd, char **text, size_t *len, struct cap_error *err)
{
	size_t room = FIRST_ROOM, used = 0;
	struct stat about;
	char *bytes;
	ssize_t n;

	if (fstat(fd, &about))
		return cap_fail(err, errno, "cannot be looked at: %s", strerror(errno));
	if (S_ISREG(about.st_mode)) {
		(void)lseek(fd, 0, SEEK_SET);
		if (about.st_size > CAP_DOCUMENT_MAX)
			return cap_fail(err, EFBIG,
					"is larger than the %u MiB that are read: split the change",
					CAP_DOCUMENT_MAX >> 20);
		room = (size_t)about.st_size + 1; /* to see its end */
	}
	bytes = malloc(room);
	for (;;) {
		if (!bytes)
			return cap_fail(err, ENOMEM, "out of memory for %zu bytes", room);
		n = read(fd, bytes + used, room - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
		if (used == room) {
			char *grown = used > CAP_DOCUMENT_MAX ? NULL : realloc(bytes, 2 * room);

			if (!grown)
				free(bytes);
			if (used > CAP_DOCUMENT_MAX)
				return cap_fail(
					err, EFBIG,
					"is larger than the %u MiB that are read: split the change",
					CAP_DOCUMENT_MAX >> 20);
			bytes = grown;
			room *= 2;
		}
	}
	if (n < 0) {
		n = errno;
		free(bytes);
		return cap_fail(err, (int)n, "cannot be read: %s", strerror((int)n));
	}
	*text = bytes;
	*len = used;
	return 0;
}
