/* SPDX-License-Identifier: Apache-2.0 */
/** @file Files of ERF records, read one by one. */
#ifndef CAPSTAN_ERF_FILE_H
#define CAPSTAN_ERF_FILE_H

#include "erf.h"

struct cap_erf_file;

/**
 * Whether @p path is to be read as ERF: by its content, or by its name (.erf) where that says nothing, and where
 * it is no regular file, such as a FIFO.
 */
bool cap_erf_is_file(const char *path);

/**
 * Open @p path. An empty file is ERF without a record.
 *
 * @return 0 with *file to be closed, or negative errno with a sentence that does not name the file
 */
int cap_erf_file_open(const char *path, struct cap_erf_file **file, struct cap_error *err);

/**
 * Look at the first record without taking it.
 *
 * @return 0: there is a whole one, or the file is empty; else what cap_erf_read returns, -EAGAIN where the
 *         file ends within its first record
 */
int cap_erf_file_peek(const struct cap_erf_file *file, enum cap_erf_fcs fcs,
		      struct cap_erf_record *record, struct cap_error *err);

/**
 * Read the next record. It is valid until the next call.
 *
 * @return 1, 0 at the end of the file, or negative errno with a sentence:
 *         -EILSEQ: the record contradicts itself, and was passed over: the next call reads the one behind it;
 *         -EBADMSG: the file ends within a record, or nobody knows where the next one begins;
 *         reading on makes no sense then, nor after any other
 */
int cap_erf_file_next(struct cap_erf_file *file, enum cap_erf_fcs fcs,
		      struct cap_erf_record *record, struct cap_error *err);

void cap_erf_file_close(struct cap_erf_file *file);

#endif
