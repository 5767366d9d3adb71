// SPDX-License-Identifier: Apache-2.0
/*
 * Writes block the writer, which is what back-pressure is. A sync may take seconds on a slow disk and must
 * not hold up what other files have to write: a thread of its own does them, one by one.
 */
#include "sink_io.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct cap_io {
	struct cap_io_op *done; /* the writer's own */
	int event;		/* something was synced */
	pthread_t thread;
	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t more;
	struct cap_io_op *wanted, *synced;
	bool stop;
};

static void push(struct cap_io_op **list, struct cap_io_op *op)
{
	op->next = *list;
	*list = op;
}

static struct cap_io_op *pop(struct cap_io_op **list)
{
	struct cap_io_op *op = *list;

	if (op)
		*list = op->next;
	return op;
}

void cap_io_carry_out(struct cap_io_op *op)
{
	do {
		op->result = op->kind == CAP_IO_SYNC ?
				     fsync(op->fd) :
				     pwritev(op->fd, op->vectors, (int)op->count, op->offset);
	} while (op->result < 0 && errno == EINTR);
	if (op->result < 0)
		op->result = -errno;
}

static void *sync_main(void *argument)
{
	const uint64_t one = 1;
	struct cap_io *io = argument;
	struct cap_io_op *op;

	pthread_mutex_lock(&io->lock);
	for (;;) {
		while (!(op = pop(&io->wanted)) && !io->stop)
			pthread_cond_wait(&io->more, &io->lock);
		if (!op)
			break;
		pthread_mutex_unlock(&io->lock);
		cap_io_carry_out(op);
		pthread_mutex_lock(&io->lock);
		push(&io->synced, op);
		/* Fails only when it is full, and then it is readable. */
		(void)!write(io->event, &one, sizeof(one));
	}
	pthread_mutex_unlock(&io->lock);
	return NULL;
}

static int pwrite_open(struct cap_io **out, struct cap_error *err)
{
	struct cap_io *io = calloc(1, sizeof(*io));
	int rc;

	if (!io)
		return cap_fail(err, ENOMEM, "out of memory");
	io->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (io->event < 0) {
		rc = cap_fail(err, errno, "eventfd: %s", strerror(errno));
		free(io);
		return rc;
	}
	pthread_mutex_init(&io->lock, NULL);
	pthread_cond_init(&io->more, NULL);
	rc = pthread_create(&io->thread, NULL, sync_main, io);
	if (rc) {
		close(io->event);
		free(io);
		return cap_fail(err, rc, "the thread that syncs files cannot be started: %s",
				strerror(rc));
	}
	pthread_setname_np(io->thread, "cap-sync");
	*out = io;
	return 0;
}

static void pwrite_submit(struct cap_io *io, struct cap_io_op *op)
{
	if (op->kind == CAP_IO_WRITE) {
		cap_io_carry_out(op);
		push(&io->done, op);
		return;
	}
	pthread_mutex_lock(&io->lock);
	push(&io->wanted, op);
	pthread_cond_signal(&io->more);
	pthread_mutex_unlock(&io->lock);
}

static struct cap_io_op *pwrite_completed(struct cap_io *io)
{
	struct cap_io_op *op = pop(&io->done);
	uint64_t count;

	if (op)
		return op;
	pthread_mutex_lock(&io->lock);
	op = pop(&io->synced);
	if (!op)
		(void)!read(io->event, &count, sizeof(count));
	pthread_mutex_unlock(&io->lock);
	return op;
}

static int pwrite_wait_fd(struct cap_io *io)
{
	return io->event;
}

static void pwrite_close(struct cap_io *io)
{
	pthread_mutex_lock(&io->lock);
	io->stop = true;
	pthread_cond_signal(&io->more);
	pthread_mutex_unlock(&io->lock);
	pthread_join(io->thread, NULL);
	pthread_cond_destroy(&io->more);
	pthread_mutex_destroy(&io->lock);
	close(io->event);
	free(io);
}

const struct cap_io_backend cap_io_pwrite = {
	.name = "pwrite",
	.open = pwrite_open,
	.submit = pwrite_submit,
	.completed = pwrite_completed,
	.wait_fd = pwrite_wait_fd,
	.close = pwrite_close,
};
