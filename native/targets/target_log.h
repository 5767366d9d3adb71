/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file log.jsonl: who changed the targets, when, and how. Only ever appended to.
 *
 * A change is in force from the moment in which its record is on the disk: the log is what targets.json is
 * made up from, should the machine stop in between. One record a line:
 *
 *     {"serial":8,"time":"...","uid":0,"user":"root","pid":4711,"who":"alice","origin":"runtime",
 *      "removed":["UUID"],"added":[{"id":"UUID",...}]}
 *
 * What was changed is both removed and added.
 */
#ifndef CAPSTAN_TARGET_LOG_H
#define CAPSTAN_TARGET_LOG_H

#include "target_change.h"

#include <sys/types.h>

#define CAP_TARGET_LOG_NAME "log.jsonl"

/**
 * What a log still has of a change that was refused, because a disk that does not take a record may not let it be
 * taken back either. Until it is taken back, nothing is appended: it would be read as one that is in force.
 */
struct cap_target_log_rest {
	bool is; /**< false: there is none */
	dev_t device;
	ino_t inode;
	off_t whole; /**< bytes before it */
};

/** Who asks, as the kernel says. */
struct cap_target_peer {
	uid_t uid;
	pid_t pid;
};

/**
 * Append the record of a change, and wait until it is on the disk. The file is opened each time: one that was
 * moved away is begun anew.
 *
 * @param directory descriptor
 * @param rest      of an earlier append or replay: taken back first
 * @return 0, or negative errno with a sentence; then the log is as it was, or *rest says what it has too much
 */
int cap_target_log_append(int directory, struct cap_target_log_rest *rest,
			  const struct cap_target_change *change,
			  const struct cap_target_outcome *outcome,
			  const struct cap_target_peer *peer, uint64_t serial,
			  struct cap_error *err);

/**
 * Called for each change behind a serial, in order. @return 0, or negative errno with a sentence: ends the replay
 */
typedef int (*cap_target_log_change)(void *context, const struct cap_target_change *change,
				     struct cap_error *err);

/**
 * Go through what the log has behind @p serial. A last line that was never finished is cut off: its change was
 * never in force.
 *
 * @param rest set where it cannot be cut off
 * @return how many changes there were, or negative errno with a sentence
 */
int cap_target_log_replay(int directory, struct cap_target_log_rest *rest, uint64_t serial,
			  cap_target_log_change each, void *context, struct cap_error *err);

#endif
