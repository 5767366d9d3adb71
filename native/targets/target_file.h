/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file targets.json: a set of targets on disk. Read strictly; written at once or not at all, one target a line,
 * ordered by id.
 */
#ifndef CAPSTAN_TARGET_FILE_H
#define CAPSTAN_TARGET_FILE_H

#include "target_list.h"

#define CAP_TARGET_FILE_VERSION 1
#define CAP_TARGET_FILE_NAME "targets.json"

/**
 * Read and check the file that @p fd is open on.
 *
 * @param list empty before; afterwards ordered by id. The caller frees it, also after an error
 * @param serial of the set; 0 where the file has none
 * @return 0, or negative errno with a sentence that names target, key and what to write
 */
int cap_target_file_read(int fd, struct cap_target_list *list, uint64_t *serial,
			 struct cap_error *err);

/** The same by its path, which begins the sentence. @return -ENOENT when there is none */
int cap_target_file_load(const char *path, struct cap_target_list *list, uint64_t *serial,
			 struct cap_error *err);

/**
 * Replace the file in @p directory: who reads it sees the old set or the new one, also after a power cut.
 *
 * @param directory descriptor
 * @return 0, or negative errno with a sentence; then the file is as it was
 */
int cap_target_file_write(int directory, struct cap_target_walk targets, uint64_t serial,
			  struct cap_error *err);

#endif
