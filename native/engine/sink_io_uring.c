// SPDX-License-Identifier: Apache-2.0
#include "sink_io.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

/* More than files that can be open at once: one operation a file. */
#define RING_ENTRIES 4096

struct cap_io {
	struct io_uring ring;
	struct cap_io_op
		*done; /* not through the ring: written at once, or failed since it was full */
};

static int uring_open(struct cap_io **out, struct cap_error *err)
{
	struct cap_io *io = calloc(1, sizeof(*io));
	int rc;

	if (!io)
		return cap_fail(err, ENOMEM, "out of memory");
	rc = io_uring_queue_init(RING_ENTRIES, &io->ring, 0);
	if (rc) {
		free(io);
		return cap_fail(
			err, -rc,
			"io_uring is not to be had: %s: set writer.io to pwrite, or allow io_uring (sysctl kernel.io_uring_disabled)",
			strerror(-rc));
	}
	*out = io;
	return 0;
}

/* What the kernel does not take now stays in the ring, and is offered again by uring_completed. */
static void uring_start(struct cap_io *io)
{
	if (io_uring_sq_ready(&io->ring))
		(void)io_uring_submit(&io->ring);
}

static void hand_back(struct cap_io *io, struct cap_io_op *op)
{
	op->next = io->done;
	io->done = op;
}

static void uring_submit(struct cap_io *io, struct cap_io_op *op)
{
	struct io_uring_sqe *entry;

	if (op->kind == CAP_IO_WRITE && op->at_once) {
		cap_io_carry_out(op);
		hand_back(io, op);
		return;
	}
	entry = io_uring_get_sqe(&io->ring);
	if (!entry) {
		uring_start(io);
		entry = io_uring_get_sqe(&io->ring);
	}
	if (!entry) {
		op->result = -EBUSY;
		hand_back(io, op);
		return;
	}
	if (op->kind == CAP_IO_SYNC)
		io_uring_prep_fsync(entry, op->fd, 0);
	else
		io_uring_prep_writev(entry, op->fd, op->vectors, op->count, (uint64_t)op->offset);
	io_uring_sqe_set_data(entry, op);
}

static struct cap_io_op *uring_completed(struct cap_io *io)
{
	struct io_uring_cqe *event;
	struct cap_io_op *op = io->done;

	if (op) {
		io->done = op->next;
		return op;
	}
	uring_start(io);
	if (io_uring_peek_cqe(&io->ring, &event))
		return NULL;
	op = io_uring_cqe_get_data(event);
	op->result = event->res;
	io_uring_cqe_seen(&io->ring, event);
	return op;
}

static int uring_wait_fd(struct cap_io *io)
{
	return io->ring.ring_fd;
}

static void uring_close(struct cap_io *io)
{
	io_uring_queue_exit(&io->ring);
	free(io);
}

const struct cap_io_backend cap_io_uring = {
	.name = "io_uring",
	.open = uring_open,
	.submit = uring_submit,
	.start = uring_start,
	.completed = uring_completed,
	.wait_fd = uring_wait_fd,
	.close = uring_close,
};
