/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Text that is in a file for certain, or not at all: written by stdio in pieces, and synced.
 */
#ifndef CAPSTAN_DURABLE_TEXT_H
#define CAPSTAN_DURABLE_TEXT_H

#include <stdio.h>

/**
 * Begin to write at the end of the file.
 *
 * @param fd stays the caller's, and open
 * @param out for fprintf and its kind, whose errors are told by cap_durable_text_end(); NULL on failure
 * @return 0, or negative errno
 */
int cap_durable_text_begin(int fd, FILE **out);

/**
 * Have what was written confirmed by the disk, and close the stream, also when that fails.
 *
 * @return 0, or the negative errno of the first error since it was begun
 */
int cap_durable_text_end(FILE *out);

#endif
