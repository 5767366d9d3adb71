// SPDX-License-Identifier: Apache-2.0
#include "target_file.h"

#include "durable_text.h"
#include "target_document.h"
#include "target_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRESH_NAME "." CAP_TARGET_FILE_NAME ".new"

/* The engine's group may list the targets; others may not. */
#define MODE 0640

struct file {
	struct cap_target_list *list;
	uint64_t *serial;
	bool versioned, listed;
};

static int take_target(void *context, const char *list, size_t index, json_t *value,
		       struct cap_error *err)
{
	struct file *file = context;
	char where[48];

	snprintf(where, sizeof(where), "%s[%zu]", list, index);
	return cap_target_read(file->list, value, CAP_TARGET_IN_FILE, where, err);
}

static int take_key(void *context, const char *key, struct cap_document *document,
		    struct cap_error *err)
{
	struct file *file = context;
	json_int_t number;
	json_t *value;
	int rc;

	if (!strcmp(key, "targets")) {
		file->listed = true;
		return cap_document_list(document, key, take_target, file, err);
	}
	rc = cap_document_value(document, &value, err);
	if (rc)
		return rc;
	number = json_is_integer(value) ? json_integer_value(value) : -1;
	json_decref(value);
	if (!strcmp(key, "version")) {
		file->versioned = true;
		return number == CAP_TARGET_FILE_VERSION ?
			       0 :
			       cap_fail(err, EINVAL, "version: must be %d",
					CAP_TARGET_FILE_VERSION);
	}
	if (!strcmp(key, "serial")) {
		if (number < 0)
			return cap_fail(err, EINVAL, "serial: must be a whole number from 0 up");
		*file->serial = (uint64_t)number;
		return 0;
	}
	return cap_fail(err, EINVAL, "unknown key \"%.64s\": write version, serial and targets",
			key);
}

int cap_target_file_read(int fd, struct cap_target_list *list, uint64_t *serial,
			 struct cap_error *err)
{
	struct file file = { .list = list, .serial = serial };
	struct cap_document document = { 0 };
	char *text = NULL;
	int rc = cap_document_load(fd, &text, &document.len, err);

	*serial = 0;
	if (rc)
		return rc;
	document.text = text;
	rc = cap_document_read(&document, take_key, &file, err);
	if (rc == 0 && !file.versioned)
		rc = cap_fail(err, EINVAL, "version: is missing: write %d",
			      CAP_TARGET_FILE_VERSION);
	if (rc == 0 && !file.listed)
		rc = cap_fail(err, EINVAL, "targets: is missing: write a list, which may be empty");
	if (rc == 0)
		rc = cap_target_list_sort(list, err);
	free(text);
	return rc;
}

int cap_target_file_load(const char *path, struct cap_target_list *list, uint64_t *serial,
			 struct cap_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc;

	if (fd < 0)
		return cap_fail(err, errno, "%s: cannot be opened: %s", path, strerror(errno));
	rc = cap_target_file_read(fd, list, serial, err);
	close(fd);
	return rc ? cap_fail_in(err, rc, "%s", path) : 0;
}

static int fill(int fd, struct cap_target_walk targets, uint64_t serial)
{
	const struct cap_target *target;
	bool first = true;
	FILE *out;
	int rc = fchmod(fd, MODE) ? -errno : cap_durable_text_begin(fd, &out);

	if (rc)
		return rc;
	fprintf(out, "{\"version\":%d,\"serial\":%llu,\"targets\":[", CAP_TARGET_FILE_VERSION,
		(unsigned long long)serial);
	for (; (target = cap_target_walk_next(&targets)); first = false) {
		fputs(first ? "\n" : ",\n", out);
		cap_target_write(out, target, CAP_TARGET_IN_FILE);
	}
	fputs("\n]}\n", out);
	return cap_durable_text_end(out);
}

int cap_target_file_write(int directory, struct cap_target_walk targets, uint64_t serial,
			  struct cap_error *err)
{
	int fd = openat(directory, FRESH_NAME,
			O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, MODE);
	int rc = fd < 0 ? -errno : fill(fd, targets, serial);

	if (fd >= 0)
		close(fd);
	if (rc == 0 && renameat(directory, FRESH_NAME, directory, CAP_TARGET_FILE_NAME))
		rc = -errno;
	if (rc == 0)
		return fsync(directory) ?
			       cap_fail(err, errno,
					CAP_TARGET_FILE_NAME " is not on the disk for certain: %s",
					strerror(errno)) :
			       0;
	(void)unlinkat(directory, FRESH_NAME, 0);
	return cap_fail(err, -rc, CAP_TARGET_FILE_NAME " cannot be written: %s: free space there",
			strerror(-rc));
}
