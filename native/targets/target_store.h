/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The directory in which the targets in force are kept: targets.json, log.jsonl and the lock of the one
 * process that may change them.
 *
 * | the machine stops | a restart sees |
 * | --- | --- |
 * | while a change is judged, or its set is built | the set before |
 * | while the log's record is written | the set before; the piece is cut off |
 * | behind that, before the workers or targets.json have the change | the change: it is taken from the log |
 * | while targets.json is written | the change, as above; the hidden file is written anew |
 * | behind that | the change |
 *
 * A step that fails (disk full, no memory) before the record is on the disk leaves all as it was. Behind it
 * the change is in force: a targets.json that cannot be written is told, and tried again. A disk that neither takes a
 * record nor lets it be taken back is told, and no change is taken until it does; should the machine stop before that, a
 * restart may see the change that was refused.
 */
#ifndef CAPSTAN_TARGET_STORE_H
#define CAPSTAN_TARGET_STORE_H

#include "target_log.h"

struct cap_target_store {
	char *path;
	int directory, lock;
	uint64_t serial;		 /**< of the set in force */
	struct cap_target_log_rest rest; /**< of the log */
};

/**
 * Take the directory for this process, and read the set in force.
 *
 * @param list empty before; the caller frees it, also after an error
 * @return 0, or negative errno with a sentence: -EBUSY when another process has it
 */
int cap_target_store_open(struct cap_target_store *store, const char *path,
			  struct cap_target_list *list, struct cap_error *err);

/** Bring a change onto the disk. From here on it is in force. @return 0, or nothing was changed */
int cap_target_store_commit(struct cap_target_store *store, const struct cap_target_change *change,
			    const struct cap_target_outcome *outcome,
			    const struct cap_target_peer *peer, struct cap_error *err);

/**
 * Write targets.json. Another thread may bring changes onto the disk meanwhile.
 *
 * @param serial of the set that is written; what the log has behind it, a restart takes from there
 */
int cap_target_store_write(const struct cap_target_store *store, struct cap_target_walk targets,
			   uint64_t serial, struct cap_error *err);

void cap_target_store_close(struct cap_target_store *store);

#endif
