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

/** Longest request line. */
#define CAP_CONTROL_LINE 4096

struct cap_control;

/**
 * Answers a request. @param request a JSON object with "cmd"
 * @return the reply, a new reference; never NULL
 */
typedef json_t *(*cap_control_handler)(void *context, json_t *request);

/** Bind and listen. A socket that a dead engine left is replaced; one with a live engine is an error. */
int cap_control_create(struct cap_control **control, const struct cap_config *config,
		       const struct cap_identity *identity, struct cap_error *err);

/** Descriptor that polls readable when a client wants something (an epoll instance). */
int cap_control_fd(const struct cap_control *control);

/** Serve what is waiting. */
void cap_control_serve(struct cap_control *control, cap_control_handler handler, void *context);

/** Close all, and remove the socket. */
void cap_control_close(struct cap_control *control);

/** {"ok": false, "error": sentence}. @return new reference */
json_t *cap_control_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
