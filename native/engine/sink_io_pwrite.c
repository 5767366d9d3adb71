// SPDX-License-Identifier: Apache-2.0
#include "sink_io.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct cap_io {
	struct cap_io_op *done;
};

static int pwrite_open(struct cap_io **out, struct cap_error *err)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : cap_fail(err, ENOMEM, "out of memory");
}

void cap_io_write_at_once(struct cap_io_op *op)
{
	do
		op->result = pwritev(op->fd, op->vectors, (int)op->count, op->offset);
	while (op->result < 0 && errno == EINTR);
	if (op->result < 0)
		op->result = -errno;
}

static void pwrite_submit(struct cap_io *io, struct cap_io_op *op)
{
	if (op->kind == CAP_IO_SYNC) {
		do
			op->result = fsync(op->fd);
		while (op->result < 0 && errno == EINTR);
		if (op->result < 0)
			op->result = -errno;
	} else {
		cap_io_write_at_once(op);
	}
	op->next = io->done;
	io->done = op;
}

static struct cap_io_op *pwrite_completed(struct cap_io *io)
{
	struct cap_io_op *op = io->done;

	if (op)
		io->done = op->next;
	return op;
}

static int pwrite_wait_fd(struct cap_io *io)
{
	(void)io;
	return -1;
}

static void pwrite_close(struct cap_io *io)
{
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
