// SPDX-License-Identifier: Apache-2.0
#include "dag_standin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HANDLES 64
#define PREFIX "standin:"
#ifndef HOLE_DEFAULT
#define HOLE_DEFAULT (32U << 20)
#endif
#define POISON 0xdd

/* From the question for a half-filled block until it is in memory. */
#define FLUSH_TAKES_US 100

/* What the library exports, as its callers declare it. */
int dag_parse_name(const char *name, char *buffer, size_t size, int *stream);
int dag_open(const char *device);
int dag_close(int fd);
int dag_rx_get_stream_count(int fd);
int dag_get_stream_buffer_size(int fd, int stream);
int dag_detach_stream(int fd, int stream);
int dag_start_stream(int fd, int stream);
int dag_stop_stream(int fd, int stream);
uint8_t *dag_advance_stream(int fd, int stream, uint8_t **bottom);
#ifdef STANDIN_OLD
int dag_attach_stream(int fd, int stream, uint32_t flags, uint32_t extra);
int dag_set_stream_poll(int fd, int stream, uint32_t bytes, struct timeval *most,
			struct timeval *look);
typedef uint32_t standin_size;
#define TAKEN EACCES
#define dag_attach_any dag_attach_stream
#define dag_set_poll_any dag_set_stream_poll
#else
int dag_attach_stream64(int fd, int stream, uint32_t flags, uint64_t extra);
int dag_set_stream_poll64(int fd, int stream, uint64_t bytes, struct timeval *most,
			  struct timeval *look);
typedef uint64_t standin_size;
#define TAKEN EBUSY
#define dag_attach_any dag_attach_stream64
#define dag_set_poll_any dag_set_stream_poll64
#endif

struct handle {
	int fd;
	struct standin_card card;
	struct standin_stream *streams[STANDIN_STREAMS];
};

static struct handle *handles[HANDLES];
static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;

static int fail(int error)
{
	errno = error;
	return -1;
}

static struct handle *handle_of(int fd)
{
	for (unsigned i = 0; i < HANDLES; i++)
		if (handles[i] && handles[i]->fd == fd)
			return handles[i];
	errno = EBADF;
	return NULL;
}

static struct standin_stream *stream_of(int fd, int number)
{
	struct handle *handle = handle_of(fd);

	if (!handle || number < 0 || number >= STANDIN_STREAMS || !handle->streams[number]) {
		errno = EINVAL;
		return NULL;
	}
	return handle->streams[number];
}

int dag_parse_name(const char *name, char *buffer, size_t size, int *stream)
{
	const char *colon = strchr(name, ':');
	size_t len = colon ? (size_t)(colon - name) : strlen(name);
	int used = snprintf(buffer, size, PREFIX "%.*s", (int)len, name);

	*stream = colon ? atoi(colon + 1) : 0;
	return len && used > 0 && (size_t)used < size && len < STANDIN_NAME ? 0 : fail(EINVAL);
}

static int receive_queues(const char *device)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq request = { .ifr_data = (void *)&channels };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", device);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request))
		channels.rx_count = 1;
	if (fd >= 0)
		close(fd);
	return (int)(channels.rx_count + channels.combined_count);
}

static int read_card(struct standin_card *card)
{
	const char *folder = getenv("CAPSTAN_STANDIN_DAG");
	char line[PATH_MAX + 32], word[16], value[PATH_MAX];
	FILE *file = NULL;

	card->hole = HOLE_DEFAULT;
	card->type = 2;
	snprintf(card->source, sizeof(card->source), "%s", card->name);
	if (folder) {
		snprintf(card->file, sizeof(card->file), "%s/%s", folder, card->name);
		file = fopen(card->file, "re");
	}
	if (!file)
		card->file[0] = '\0';
	while (file && fgets(line, sizeof(line), file)) {
		int number;

		if (sscanf(line, "feed packet %15s", card->source) == 1)
			card->feed = STANDIN_PACKETS;
		else if (sscanf(line, "feed erf %4095s", card->source) == 1)
			card->feed = STANDIN_ERF;
		else if (sscanf(line, "without %d", &number) == 1)
			card->without[number % STANDIN_STREAMS] = true;
		else if (sscanf(line, "%15s %4095s", word, value) != 2)
			continue;
		else if (!strcmp(word, "streams"))
			card->streams = atoi(value);
		else if (!strcmp(word, "hole"))
			card->hole = strtoul(value, NULL, 0);
		else if (!strcmp(word, "type"))
			card->type = (uint8_t)atoi(value);
		else if (!strcmp(word, "block"))
			card->block = strtoul(value, NULL, 0);
	}
	if (file)
		fclose(file);
	if (card->feed == STANDIN_PACKETS && !if_nametoindex(card->source))
		return fail(ENOENT);
	if (!card->streams)
		card->streams = card->feed == STANDIN_PACKETS ? receive_queues(card->source) : 1;
	return 0;
}

int dag_open(const char *device)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	int fd = -1;

	if (!handle || strncmp(device, PREFIX, strlen(PREFIX))) {
		free(handle);
		return fail(ENOENT);
	}
	snprintf(handle->card.name, sizeof(handle->card.name), "%s", device + strlen(PREFIX));
	if (read_card(&handle->card) == 0)
		fd = handle->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pthread_mutex_lock(&handles_lock);
	for (unsigned i = 0; fd >= 0 && handle && i < HANDLES; i++)
		if (!handles[i]) {
			handles[i] = handle;
			handle = NULL;
		}
	pthread_mutex_unlock(&handles_lock);
	free(handle);
	return fd;
}

int dag_close(int fd)
{
	struct handle *handle = handle_of(fd);

	if (!handle)
		return -1;
	for (int stream = 0; stream < STANDIN_STREAMS; stream++)
		if (handle->streams[stream])
			dag_detach_stream(fd, stream);
	pthread_mutex_lock(&handles_lock);
	for (unsigned i = 0; i < HANDLES; i++)
		if (handles[i] == handle)
			handles[i] = NULL;
	pthread_mutex_unlock(&handles_lock);
	free(handle);
	return close(fd);
}

int dag_rx_get_stream_count(int fd)
{
	struct handle *handle = handle_of(fd);

	return handle ? handle->card.streams : -1;
}

int dag_get_stream_buffer_size(int fd, int stream)
{
	struct standin_stream *found = stream_of(fd, stream);

	return found ? (int)found->card->hole : 0;
}

/* One owner on this machine, whichever process it is: of a card that a file describes, of that file's. */
static int lock_stream(const struct standin_card *card, int stream)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat file = { 0 };
	int fd, used;

	if (card->file[0] && stat(card->file, &file))
		return fail(ENOENT);
	used = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
			"capstan/standin-dag/%ju/%ju/%s/%d", (uintmax_t)file.st_dev,
			(uintmax_t)file.st_ino, card->name, stream);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    bind(fd, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used))) {
		close(fd);
		return fail(EBUSY);
	}
	return fd;
}

/* The hole, twice: a record that goes on beyond its end is in one piece. */
static uint8_t *map_hole(size_t size)
{
	int fd = memfd_create("standin-dag", MFD_CLOEXEC);
	uint8_t *both = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fd < 0 || ftruncate(fd, (off_t)size) || both == MAP_FAILED)
		abort();
	for (unsigned i = 0; i < 2; i++)
		if (mmap(both + i * size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			 0) == MAP_FAILED)
			abort();
	close(fd);
	return both;
}

int dag_attach_any(int fd, int stream, uint32_t flags, standin_size extra)
{
	struct handle *handle = handle_of(fd);
	struct standin_stream *made;

	(void)flags;
	(void)extra;
	if (!handle)
		return -1;
	if (stream < 0 || stream % 2 || stream >= 2 * handle->card.streams ||
	    stream >= STANDIN_STREAMS)
		return fail(EINVAL);
	if (handle->card.without[stream])
		return fail(ENOMEM);
	if (handle->streams[stream])
		return fail(TAKEN);
	made = calloc(1, sizeof(*made));
	*made = (struct standin_stream){ .card = &handle->card, .number = stream, .feed = -1 };
	made->lock = lock_stream(made->card, stream);
	if (made->lock < 0) {
		free(made);
		return fail(TAKEN);
	}
	made->memory = map_hole(made->card->hole);
	made->wait.most_us = made->wait.look_us = 10000;
	handle->streams[stream] = made;
	if (standin_feed_open(made)) {
		int error = errno;

		dag_detach_stream(fd, stream);
		return fail(error);
	}
	return 0;
}

int dag_detach_stream(int fd, int stream)
{
	struct standin_stream *found = stream_of(fd, stream);

	if (!found)
		return -1;
	standin_feed_close(found);
	munmap(found->memory, 2 * found->card->hole);
	close(found->lock);
	handle_of(fd)->streams[stream] = NULL;
	free(found);
	return 0;
}

int dag_start_stream(int fd, int stream)
{
	struct standin_stream *found = stream_of(fd, stream);
	struct handle *handle = handle_of(fd);
	int fanout = -1;

	if (!found)
		return -1;
	for (int other = 0; other < STANDIN_STREAMS; other++)
		if (handle->streams[other] && handle->streams[other]->started)
			fanout = handle->streams[other]->fanout;
	found->dropped = 0;
	found->started = standin_feed_start(found, fanout) == 0;
	return found->started ? 0 : -1;
}

int dag_stop_stream(int fd, int stream)
{
	struct standin_stream *found = stream_of(fd, stream);

	if (!found || !found->started)
		return fail(EINVAL);
	found->started = false;
	return 0;
}

int dag_set_poll_any(int fd, int stream, standin_size bytes, struct timeval *most,
		     struct timeval *look)
{
	struct standin_stream *found = stream_of(fd, stream);

	if (!found)
		return -1;
	found->min_bytes = bytes;
	found->wait.most_us = most->tv_sec * 1000000 + most->tv_usec;
	found->wait.look_us = look->tv_sec * 1000000 + look->tv_usec;
	return 0;
}

uint8_t *standin_room(struct standin_stream *stream, size_t size)
{
	if (stream->written - stream->given_back + size > stream->card->hole)
		return NULL;
	return stream->memory + stream->written % stream->card->hole;
}

void standin_wrote(struct standin_stream *stream, size_t size)
{
	stream->written += size;
	if (stream->written - stream->in_blocks >= stream->card->block)
		stream->in_blocks = stream->written;
}

static uint64_t there(const struct standin_stream *stream)
{
	return stream->shown - stream->given_back;
}

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void pull(struct standin_stream *stream)
{
	standin_feed_pull(stream);
	if (stream->flush_us && now_us() >= stream->flush_us) {
		stream->in_blocks = stream->written;
		stream->flush_us = 0;
	}
	stream->shown = stream->in_blocks;
}

/* Where nothing has come since the last time. */
static void ask_for_half_filled_block(struct standin_stream *stream)
{
	if (!stream->flush_us && stream->shown == stream->last_top &&
	    stream->written > stream->shown)
		stream->flush_us = now_us() + FLUSH_TAKES_US;
}

static void wait_for_bytes(struct standin_stream *stream)
{
	const struct timespec pause = { .tv_nsec = stream->wait.look_us * 1000 };
	const int64_t began = now_us();

	while (there(stream) < stream->min_bytes && !stream->gone) {
		ask_for_half_filled_block(stream);
		/* As the vendor has it, no time at all is without end. */
		if (stream->wait.most_us && now_us() - began > stream->wait.most_us)
			break;
		if (stream->wait.look_us)
			nanosleep(&pause, NULL);
		pull(stream);
	}
}

uint8_t *dag_advance_stream(int fd, int stream, uint8_t **bottom)
{
	struct standin_stream *found = stream_of(fd, stream);
	uint8_t *begin;

	if (!found)
		return NULL;
	begin = found->memory + found->given_back % found->card->hole;
	if (*bottom) {
		/* Who gives back what is not his has a mistake that no card would tell. */
		if (*bottom < begin || *bottom > begin + there(found))
			abort();
		/* What was given back is written over at once, as a fast card would. */
		memset(begin, POISON, (size_t)(*bottom - begin));
		found->given_back += (uint64_t)(*bottom - begin);
	}
	pull(found);
	wait_for_bytes(found);
	found->last_top = found->shown;
	if (found->gone && !there(found)) {
		errno = ENODEV;
		return NULL;
	}
	*bottom = found->memory + found->given_back % found->card->hole;
	return *bottom + there(found);
}

int standin_drops(const char *device, int stream, uint32_t *drops)
{
	int rc = -1;

	pthread_mutex_lock(&handles_lock);
	for (unsigned i = 0; i < HANDLES; i++) {
		struct handle *handle = handles[i];

		if (!handle || strcmp(handle->card.name, device + strlen(PREFIX)))
			continue;
		if (stream >= 2 * handle->card.streams)
			continue;
		if (handle->streams[stream]) {
			*drops = STANDIN_FIRST_DROPS + (uint32_t)handle->streams[stream]->dropped;
			rc = 0;
		}
	}
	pthread_mutex_unlock(&handles_lock);
	return rc;
}
