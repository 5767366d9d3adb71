/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The control socket: one JSON object a line in, one a line out. Main thread only, never blocks.
 *
 * Only root, the engine's own user and members of the configured group get an answer: the socket's
 * owner and mode say so to the file system, and each peer's credentials are checked once more.
 */
#ifndef CAPSTAN_CONTROL_H
#define CAPSTAN_CONTROL_H

#include "config.h"
#include "privileges.h"

#include <jansson.h>

/** Clients at once; more are turned away. */
#define CAP_CONTROL_CLIENTS 16

/** Longest request line; what is longer comes in a file that is passed along (SCM_RIGHTS). */
#define CAP_CONTROL_LINE 4096

struct cap_control;

/** A request, and who makes it. */
struct cap_control_call {
	json_t *request; /**< a JSON object, borrowed */
	uid_t uid;	 /**< of the client, as the kernel says */
	pid_t pid;
	int file;	 /**< that came with it, or -1; to be set to -1 by who takes it */
	uint64_t ticket; /**< for an answer later on */
	bool later; /**< to be set: cap_control_answer gives it, and until then this client's next requests wait */
};

/**
 * Answers a request.
 *
 * @return the reply, a new reference; not looked at with `later`. NULL, as json_pack gives it: the client is told that
 *         there is an answer which cannot be written
 */
typedef json_t *(*cap_control_handler)(void *context, struct cap_control_call *call);

/** Bind and listen. A socket that a dead engine left is replaced; one with a live engine is an error. */
int cap_control_create(struct cap_control **control, const struct cap_config *config,
		       const struct cap_identity *identity, struct cap_error *err);

/** Descriptor that polls readable when a client wants something (an epoll instance). */
int cap_control_fd(const struct cap_control *control);

/** Serve what is waiting. */
void cap_control_serve(struct cap_control *control, cap_control_handler handler, void *context);

/** Answer a request that was put off. A client that is gone by then gets none. @param answer taken over; NULL as above */
void cap_control_answer(struct cap_control *control, uint64_t ticket, json_t *answer);

/** Close all, and remove the socket. */
void cap_control_close(struct cap_control *control);

/** {"ok": false, "error": sentence}. @return new reference, or NULL without memory */
json_t *cap_control_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
