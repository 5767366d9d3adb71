/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The output directory: names of capture files, free space, and what a crash left behind.
 *
 * A file is written as `.NAME.part`, locked (flock) while it is, and renamed to NAME when it is whole:
 * the rename is the commit mark. NAME is PREFIX-IFACE-qQUEUE-TIME-SEQUENCE.pcapng, UTC. Only names of
 * exactly this form are ever removed or recovered; a prefix has no dash, so that it cannot be taken
 * for the beginning of another.
 */
#ifndef CAPSTAN_OUTPUT_H
#define CAPSTAN_OUTPUT_H

#include "config.h"

#include <limits.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>

/** Names of whole files that status tells, newest last. */
#define CAP_RECENT_FILES 64

struct cap_output {
	const struct cap_output_config *config;
	int directory;	     /**< descriptor, or -1 with the null sink */
	bool direct;	     /**< files are opened with O_DIRECT */
	bool copies;	     /**< a write copies into memory: the page cache, or the file itself */
	regex_t whole, part; /**< names of our whole files, and of those being written */
};

/** A file that is being written. */
struct cap_output_file {
	int fd;
	char name[NAME_MAX + 1]; /**< its name once whole; ".NAME.part" until then */
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

/** Create the next file of a stream. @return 0 or negative errno */
int cap_output_create(struct cap_output *output, const char *interface, unsigned queue,
		      uint32_t sequence, struct cap_output_file *file);

/** The commit mark: give the file its own name, and close it. @return 0 or negative errno */
int cap_output_commit(struct cap_output *output, struct cap_output_file *file);

/** Close a file that must not have its name: it stays hidden, for the next start to recover. */
void cap_output_abandon(struct cap_output_file *file);

/** Throw away a file that holds no packet. */
void cap_output_discard(struct cap_output *output, struct cap_output_file *file);

/**
 * Make sure that the floor of free space is kept, removing the oldest whole files of our prefix.
 *
 * @param removed,removed_bytes incremented
 * @return 0, -ENOSPC when there is nothing left to remove, or another negative errno
 */
int cap_output_keep_free(struct cap_output *output, uint64_t *removed, uint64_t *removed_bytes);

#endif
