// SPDX-License-Identifier: Apache-2.0
#include "compression.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* RFC 1952 (8: deflate, the only method), RFC 8878, and the .xz file format 1.2. */
static const struct {
	struct cap_compression is;
	uint8_t magic[CAP_COMPRESSION_MAGIC];
	size_t len;
} compressions[] = {
	{ { "gzip", "zcat" }, { 0x1f, 0x8b, 0x08 }, 3 },
	{ { "zstd", "zstdcat" }, { 0x28, 0xb5, 0x2f, 0xfd }, 4 },
	{ { "xz", "xzcat" }, { 0xfd, '7', 'z', 'X', 'Z', 0x00 }, 6 },
};

const struct cap_compression *cap_compression_of(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < sizeof(compressions) / sizeof(compressions[0]); i++)
		if (len >= compressions[i].len &&
		    !memcmp(bytes, compressions[i].magic, compressions[i].len))
			return &compressions[i].is;
	return NULL;
}

const struct cap_compression *cap_compression_of_file(const char *path)
{
	uint8_t bytes[CAP_COMPRESSION_MAGIC];
	struct stat info;
	ssize_t got;
	int fd;

	/* What is no regular file gives its beginning only once. */
	if (stat(path, &info) || !S_ISREG(info.st_mode))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	got = read(fd, bytes, sizeof(bytes));
	close(fd);
	return got > 0 ? cap_compression_of(bytes, (size_t)got) : NULL;
}
