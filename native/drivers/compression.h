/* SPDX-License-Identifier: Apache-2.0 */
/** @file Compressed files, which no reader here takes apart: told by what they begin with. */
#ifndef CAPSTAN_COMPRESSION_H
#define CAPSTAN_COMPRESSION_H

#include <stddef.h>
#include <stdint.h>

/** Bytes that decide. */
#define CAP_COMPRESSION_MAGIC 6U

struct cap_compression {
	const char *name; /**< "gzip" */
	const char *cat;  /**< command that writes what the file was to its standard output */
};

/** What @p bytes, a file's beginning, are compressed by, or NULL. */
const struct cap_compression *cap_compression_of(const uint8_t *bytes, size_t len);

/** What the regular file at @p path is compressed by, or NULL, also where it cannot be read. */
const struct cap_compression *cap_compression_of_file(const char *path);

#endif
