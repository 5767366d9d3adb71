/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file How bytes reach files: io_uring, or pwritev(2) where there is no io_uring. One table each; the
 * writer thread is the only caller.
 */
#ifndef CAPSTAN_SINK_IO_H
#define CAPSTAN_SINK_IO_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/** Blocks, a file's head page and one that tells of a gap, in one write. */
#define CAP_IO_VECTORS 18

enum cap_io_kind { CAP_IO_WRITE, CAP_IO_SYNC };

/** One operation; owned by the caller, untouched until it is completed. At most one a file at a time. */
struct cap_io_op {
	enum cap_io_kind kind;
	int fd;
	/**
	 * Write in the calling thread. io_uring hands writes that copy into memory to a kernel thread, whose
	 * coming and going costs a tenth of the copy; worth it where several files are written side by
	 * side. What waits for the disk (CAP_IO_SYNC) never holds up the caller.
	 */
	bool at_once;
	unsigned count; /**< of vectors */
	struct iovec vectors[CAP_IO_VECTORS];
	int64_t offset;
	int64_t result; /**< bytes written, or negative errno */
	struct cap_io_op *next;
};

struct cap_io;

struct cap_io_backend {
	const char *name;
	int (*open)(struct cap_io **io, struct cap_error *err);
	/** Take @p op. It completes through `completed`, also when it fails at once. */
	void (*submit)(struct cap_io *io, struct cap_io_op *op);
	/** Start what was taken, in one call of the kernel; `completed` does, too. NULL: `submit` starts it. */
	void (*start)(struct cap_io *io);
	/** @return a completed operation, or NULL when none is now */
	struct cap_io_op *(*completed)(struct cap_io *io);
	/** @return a descriptor that polls readable when something has completed, or -1 */
	int (*wait_fd)(struct cap_io *io);
	void (*close)(struct cap_io *io);
};

/** Carry out the operation in the calling thread, and set its result. */
void cap_io_carry_out(struct cap_io_op *op);

extern const struct cap_io_backend cap_io_uring;
extern const struct cap_io_backend cap_io_pwrite;

#endif
