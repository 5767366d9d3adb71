// SPDX-License-Identifier: Apache-2.0
#include "erf_file.h"

#include "compression.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Holds several of the longest records, and reads in long pieces. */
#define WINDOW (4U * (CAP_ERF_LONGEST + 1))

struct cap_erf_file {
	int fd;
	size_t begin, end; /* of what is in the window and was not handed out */
	uint8_t window[WINDOW];
};

static bool has_magic_of_pcap(const uint8_t *bytes)
{
	static const uint8_t magics[][4] = {
		{ 0xa1, 0xb2, 0xc3, 0xd4 }, { 0xd4, 0xc3, 0xb2, 0xa1 }, { 0xa1, 0xb2, 0x3c, 0x4d },
		{ 0x4d, 0x3c, 0xb2, 0xa1 }, { 0x0a, 0x0d, 0x0d, 0x0a },
	};

	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (!memcmp(bytes, magics[i], sizeof(magics[i])))
			return true;
	return false;
}

static bool is_named_erf(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".erf");
}

/* What is none gives its beginning only once, and a reader that leaves a FIFO ends its writer. */
static bool is_regular(const char *path)
{
	struct stat info;

	return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* Fill the window as far as the file goes. @return 0, or negative errno with a sentence */
static int fill(struct cap_erf_file *file, struct cap_error *err)
{
	memmove(file->window, file->window + file->begin, file->end - file->begin);
	file->end -= file->begin;
	file->begin = 0;
	while (file->end < WINDOW) {
		ssize_t got = read(file->fd, file->window + file->end, WINDOW - file->end);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return cap_fail(err, errno, "it cannot be read: %s", strerror(errno));
		if (got == 0)
			break;
		file->end += (size_t)got;
	}
	return 0;
}

bool cap_erf_is_file(const char *path)
{
	struct cap_erf_file *file;
	struct cap_error err;
	bool is = is_named_erf(path);

	/* What cannot be read is told by whoever opens it. */
	if (!is_regular(path) || cap_erf_file_open(path, &file, &err))
		return is;
	/* Of 16 million ERF files one begins with a time that reads as gzip's magic. */
	if ((file->end >= 4 && has_magic_of_pcap(file->window)) ||
	    cap_compression_of(file->window, file->end))
		is = false;
	else if (!is)
		is = cap_erf_looks_like(file->window, file->end);
	cap_erf_file_close(file);
	return is;
}

int cap_erf_file_open(const char *path, struct cap_erf_file **out, struct cap_error *err)
{
	struct cap_erf_file *file = malloc(sizeof(*file));
	int rc;

	if (!file)
		return cap_fail(err, ENOMEM, "out of memory");
	file->begin = file->end = 0;
	file->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0)
		rc = cap_fail(err, errno, "%s", strerror(errno));
	else
		rc = fill(file, err);
	if (rc)
		cap_erf_file_close(file);
	else
		*out = file;
	return rc;
}

int cap_erf_file_peek(const struct cap_erf_file *file, enum cap_erf_fcs fcs,
		      struct cap_erf_record *record, struct cap_error *err)
{
	if (file->begin == file->end)
		return 0;
	return cap_erf_read(file->window + file->begin, file->end - file->begin, fcs, record, err);
}

int cap_erf_file_next(struct cap_erf_file *file, enum cap_erf_fcs fcs,
		      struct cap_erf_record *record, struct cap_error *err)
{
	int rc =
		cap_erf_read(file->window + file->begin, file->end - file->begin, fcs, record, err);

	if (rc == -EAGAIN) {
		rc = fill(file, err);
		if (rc)
			return rc;
		if (file->begin == file->end)
			return 0;
		rc = cap_erf_read(file->window, file->end, fcs, record, err);
	}
	if (rc == -EAGAIN)
		return record->size ? cap_fail(err, EBADMSG,
					       "it ends after %zu of the %u bytes of a record",
					       file->end, record->size) :
				      cap_fail(err, EBADMSG,
					       "it ends after %zu of the %u bytes of a header",
					       file->end, CAP_ERF_HEADER);
	if (rc && rc != -EILSEQ)
		return rc;
	file->begin += record->size;
	return rc ? rc : 1;
}

void cap_erf_file_close(struct cap_erf_file *file)
{
	if (!file)
		return;
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}
