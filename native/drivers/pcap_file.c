// SPDX-License-Identifier: Apache-2.0
#include "pcap_file.h"

#include "clock.h"
#include "pcapng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Holds the longest packet and more, and what is read at once stays in the processor's own cache. */
#define WINDOW (2U * CAP_MAX_SNAPLEN)

#define MAGIC_MICROSECONDS 0xa1b2c3d4U
#define MAGIC_NANOSECONDS 0xa1b23c4dU

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snaplen, network;
};

struct record_header {
	uint32_t seconds, fraction, captured, original;
};

struct cap_pcap_file {
	int fd;
	bool swapped;	      /* written on a machine of the other byte order */
	uint32_t fraction_ns; /* nanoseconds in one of the time stamp's fractions */
	uint32_t snaplen;
	size_t begin, end; /* of what is in the window and was not handed out */
	uint8_t window[WINDOW];
};

static uint32_t word(const struct cap_pcap_file *file, uint32_t value)
{
	return file->swapped ? __builtin_bswap32(value) : value;
}

static bool read_header(struct cap_pcap_file *file)
{
	struct file_header header;
	uint32_t magic;

	if (read(file->fd, &header, sizeof(header)) != (ssize_t)sizeof(header))
		return false;
	magic = header.magic;
	if (magic != MAGIC_MICROSECONDS && magic != MAGIC_NANOSECONDS) {
		file->swapped = true;
		magic = word(file, magic);
		header.major = __builtin_bswap16(header.major);
		header.minor = __builtin_bswap16(header.minor);
	}
	file->fraction_ns = magic == MAGIC_NANOSECONDS ? 1 : CAP_NS_PER_US;
	file->snaplen = word(file, header.snaplen);
	/* As libpcap has it: files were written that say nothing, or nonsense. */
	if (!file->snaplen || file->snaplen > CAP_MAX_SNAPLEN)
		file->snaplen = CAP_MAX_SNAPLEN;
	return (magic == MAGIC_MICROSECONDS || magic == MAGIC_NANOSECONDS) && header.major == 2 &&
	       header.minor == 4 && word(file, header.network) == CAP_LINKTYPE_ETHERNET;
}

struct cap_pcap_file *cap_pcap_file_open(const char *path)
{
	struct cap_pcap_file *file = malloc(sizeof(*file));
	struct stat info;

	if (!file)
		return NULL;
	file->begin = file->end = 0;
	file->swapped = false;
	/* What is no regular file gives its beginning only once. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0 || fstat(file->fd, &info) || !S_ISREG(info.st_mode) ||
	    !read_header(file)) {
		cap_pcap_file_close(file);
		return NULL;
	}
	return file;
}

/* @return 1 with more in the window than before, 0 at the end of the file, or negative errno */
static int read_on(struct cap_pcap_file *file, struct cap_error *err)
{
	ssize_t got;

	memmove(file->window, file->window + file->begin, file->end - file->begin);
	file->end -= file->begin;
	file->begin = 0;
	do
		got = read(file->fd, file->window + file->end, WINDOW - file->end);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return cap_fail(err, errno, "it cannot be read: %s", strerror(errno));
	file->end += (size_t)got;
	return got > 0;
}

static bool is_whole(const struct cap_pcap_file *file, struct record_header *header)
{
	const size_t left = file->end - file->begin;

	if (left < sizeof(*header))
		return false;
	memcpy(header, file->window + file->begin, sizeof(*header));
	header->captured = word(file, header->captured);
	return left - sizeof(*header) >= header->captured || header->captured > CAP_MAX_SNAPLEN;
}

/* Have a whole record at the window's beginning. @return 1, 0 at the end of the file, or negative errno */
static int have_record(struct cap_pcap_file *file, struct cap_error *err)
{
	struct record_header header;

	while (!is_whole(file, &header)) {
		int rc = read_on(file, err);

		if (rc < 0)
			return rc;
		if (rc == 0)
			return file->begin == file->end ?
				       0 :
				       cap_fail(err, EBADMSG, "the file ends within a packet");
	}
	return 1;
}

int cap_pcap_file_burst(struct cap_pcap_file *file, struct cap_packet *packets, unsigned max,
			struct cap_error *err)
{
	struct record_header header;
	unsigned n = 0;
	int rc = have_record(file, err);

	if (rc <= 0)
		return rc;
	/* No further than the window: what was handed out must stay where it is. */
	for (; n < max && is_whole(file, &header); n++) {
		const uint32_t captured = header.captured;
		const uint32_t original = word(file, header.original);

		if (captured > CAP_MAX_SNAPLEN)
			break;
		packets[n] = (struct cap_packet){
			.data = file->window + file->begin + sizeof(header),
			.len = captured < file->snaplen ? captured : file->snaplen,
			.wire_len = original > captured ? original : captured,
			.timestamp_ns = word(file, header.seconds) * CAP_NS_PER_S +
					(uint64_t)word(file, header.fraction) * file->fraction_ns,
			.n_segments = 1,
		};
		file->begin += sizeof(header) + captured;
	}
	return n ? (int)n : cap_fail(err, EBADMSG, "a packet is longer than any reader takes");
}

void cap_pcap_file_close(struct cap_pcap_file *file)
{
	if (!file)
		return;
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}
