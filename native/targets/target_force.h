/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The set of targets in force, and how it is changed while packets come in.
 *
 * Changes are asked for by the main thread and carried out one after the other by a thread of their own, so that
 * nothing else waits: judged whole, their set built beside the one in force, their record brought onto the disk,
 * the set published to the workers. Then they are answered: from there on each packet that arrives is matched
 * against them. A target that is in both sets is matched throughout.
 *
 * A change of a few targets costs about what it changes, however many are in force (target_set.h). Nobody waits for
 * what follows it (target_settle.h): the set is merged, and targets.json is written.
 *
 * The thread also tells who is active (active_hook) each time that changes, because what matches before the engine
 * knows no time: long before a start, because the thread may be busy then, and a little behind an end.
 */
#ifndef CAPSTAN_TARGET_FORCE_H
#define CAPSTAN_TARGET_FORCE_H

#include "active_targets.h"
#include "config.h"
#include "target_current.h"
#include "target_log.h"

#include <jansson.h>

/** Changes at once: those that wait, the one in hand, and those whose answers were not taken yet. */
#define CAP_TARGET_JOBS 16U

struct cap_target_force;

/**
 * Told of the targets that are active, will be within two minutes, or were two seconds ago; never by two threads at
 * once. Those of the set before are told of no more when it returns.
 *
 * @param active borrowed for the length of the call
 */
typedef void (*cap_target_active_hook)(void *context, const struct cap_active_targets *active);

/**
 * Make ready for a set, without looking for one.
 *
 * @param config borrowed until close
 * @param readers one a worker, borrowed until close; their `current` is set here
 */
int cap_target_force_create(struct cap_target_force **force,
			    const struct cap_targets_config *config,
			    struct cap_target_reader **readers, unsigned reader_count,
			    struct cap_error *err);

/** Read the set in force, and build it. As the engine's own user, before the first worker starts. */
int cap_target_force_load(struct cap_target_force *force, struct cap_error *err);

/** Start the thread, behind the first call of @p hook (or NULL) with what is active now. */
int cap_target_force_start(struct cap_target_force *force, cap_target_active_hook hook,
			   void *context, struct cap_error *err);

/** A change that is asked for. */
struct cap_target_job {
	uint64_t ticket; /**< the caller's own, comes back with the answer */
	struct cap_target_peer peer;
	char *text; /**< the change, or NULL: in `fd`. Freed by whoever has the job */
	size_t len;
	int fd; /**< closed by whoever has the job; -1 with text */
};

/** Hand a change to the thread. @return 0, or -EROFS or -EAGAIN with a sentence; then the job stays the caller's */
int cap_target_force_ask(struct cap_target_force *force, const struct cap_target_job *job,
			 struct cap_error *err);

/** Readable when there is an answer. */
int cap_target_force_fd(const struct cap_target_force *force);

/** Take an answer. @return false: there is none (yet); else *answer is a new reference, or NULL for want of memory */
bool cap_target_force_answer(struct cap_target_force *force, uint64_t *ticket, json_t **answer);

/** What the set in force is, for status. Never waits for a change. */
struct cap_target_summary {
	unsigned count, active;	     /**< active: by its start and end, to the moment */
	unsigned runtime, inventory; /**< of `count`, by origin */
	uint64_t serial;	     /**< targets.json may have it a moment later */
	uint64_t since_ns;	     /**< when it came into force */
	size_t memory;		     /**< bytes of the set */
	bool changeable;
	bool behind; /**< targets.json could not be written: the log has what it lacks */
};

void cap_target_force_summary(struct cap_target_force *force, struct cap_target_summary *summary);

/** Call @p hook once with what is active now, from the calling thread. */
void cap_target_force_tell(struct cap_target_force *force, cap_target_active_hook hook,
			   void *context);

/** End the thread behind the change in hand, and its file; those that wait are refused. */
void cap_target_force_stop(struct cap_target_force *force);

/** Free everything; the workers have been joined. */
void cap_target_force_close(struct cap_target_force *force);

/**
 * Change the targets of a directory that no engine has, in one go.
 *
 * @return 0 with *answer a new reference, or negative errno with a sentence
 */
int cap_target_change_directory(const char *directory, int fd, json_t **answer,
				struct cap_error *err);

#endif
