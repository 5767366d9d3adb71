/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The output directory: names of capture files, free space, and what a crash left behind.
 *
 * A file is written as `.NAME.part`, locked (flock) while it is, and renamed to NAME when it is whole:
 * the rename is the commit mark. NAME is PREFIX-IFACE-qQUEUE-TIME-SEQUENCE.pcapng, UTC, in the directory
 * or in a folder of it that has a target's UUID for its name. Only names of exactly this form are ever
 * removed or recovered; a prefix has no dash, so that it cannot be taken for the beginning of another.
 */
#ifndef CAPSTAN_OUTPUT_H
#define CAPSTAN_OUTPUT_H

#include "config.h"

#include <limits.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/** Names of whole files that status tells, newest last. */
#define CAP_RECENT_FILES 64

/** A target's UUID as text, which is the name of its folder. */
#define CAP_FOLDER_LEN 36U

/** Folder, slash, name and terminator. */
#define CAP_OUTPUT_NAME_LEN (CAP_FOLDER_LEN + NAME_MAX + 2)

/** Whole files that are the next to go, found by one look through all of them. */
#define CAP_OLDEST_FILES 128U

struct cap_oldest {
	unsigned count, next;
	struct cap_oldest_file {
		struct timespec finished;
		int64_t size;
		char name[CAP_OUTPUT_NAME_LEN];
	} files[CAP_OLDEST_FILES]; /**< oldest first */
};

struct cap_output {
	const struct cap_output_config *config;
	int directory;	     /**< descriptor, or -1 with the null sink */
	bool direct;	     /**< files are opened with O_DIRECT */
	bool copies;	     /**< a write copies into memory: the page cache, or the file itself */
	regex_t whole, part; /**< names of our whole files, and of those being written */
	struct cap_oldest oldest;
};

/** A file that is being written. */
struct cap_output_file {
	int fd;
	char name[CAP_OUTPUT_NAME_LEN]; /**< [FOLDER/]NAME once whole; ".NAME.part" there until then */
};

/**
 * Open the directory, check that files can be made there, and find out whether O_DIRECT works.
 *
 * @return 0, or negative errno with a sentence that names the directory
 */
int cap_output_open(struct cap_output *output, const struct cap_output_config *config,
		    struct cap_error *err);
void cap_output_close(struct cap_output *output);

/**
 * Finish the `.part` files that nobody is writing: cut to whole blocks, rename with "-recovered". May run
 * beside the writer.
 */
int cap_output_recover(struct cap_output *output, struct cap_error *err);

/**
 * Create the next file of a stream.
 *
 * @param folder target's UUID, whose folder is made where it is missing; NULL: the directory itself
 * @return 0 or negative errno
 */
int cap_output_create(struct cap_output *output, const char *folder, const char *interface,
		      unsigned queue, uint32_t sequence, struct cap_output_file *file);

/** The commit mark: give the file its own name, and close it. @return 0 or negative errno */
int cap_output_commit(struct cap_output *output, struct cap_output_file *file);

/**
 * Open the directory that a file is in, to be synced: then its name is on the disk, too. A target's folder that
 * is new has come there with its own name, in one step.
 *
 * @return descriptor, or negative errno
 */
int cap_output_open_place(const struct cap_output *output, const char *name);

/** Close a file that must not have its name: it stays hidden, for the next start to recover. */
void cap_output_abandon(struct cap_output_file *file);

/** Throw away a file that holds no packet, and its folder with the last of them. */
void cap_output_discard(struct cap_output *output, struct cap_output_file *file);

/** It is a UUID as a target's folder is named: in small letters. @param len of @p name, which may go on */
bool cap_output_is_folder(const char *name, size_t len);

/** Called with the name of a file and its folder's, as "[FOLDER/]NAME". */
typedef void (*cap_output_visitor)(void *context, const char *name);

/**
 * Visit all files of ours in the directory and in targets' folders. Any thread.
 *
 * @param names output->whole or output->part
 * @return 0 or negative errno
 */
int cap_output_walk(const struct cap_output *output, const regex_t *names, cap_output_visitor visit,
		    void *context);

/** Remove a file, and its folder when it was the last one there. @return 0 or negative errno */
int cap_output_remove(const struct cap_output *output, const char *name);

/**
 * Make sure that the floor of free space is kept, removing the oldest whole files of our prefix,
 * whichever folder they are in. One thread.
 *
 * @param removed,removed_bytes incremented
 * @return 0, -ENOSPC when there is nothing left to remove, or another negative errno
 */
int cap_output_keep_free(struct cap_output *output, uint64_t *removed, uint64_t *removed_bytes);

#endif
