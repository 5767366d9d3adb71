/* SPDX-License-Identifier: Apache-2.0 */
/** @file One table of the kernel's for targets: a hash table or trie, and the rows that are in it. */
#ifndef CAPSTAN_KERNEL_TABLE_H
#define CAPSTAN_KERNEL_TABLE_H

#include "kernel_rows.h"

#include <stdbool.h>

struct cap_kernel_table {
	int fd; /**< of the map, or -1 */
	bool hosts;
	struct cap_kernel_rows rows;
};

/**
 * Make a map with @p rows, and some room beyond them.
 *
 * @param rows taken over; freed with the table
 * @return 0, or negative errno: the kernel has no memory
 */
int cap_kernel_table_make(struct cap_kernel_table *table, bool hosts, struct cap_kernel_rows *rows);
void cap_kernel_table_free(struct cap_kernel_table *table);

/** Make a map without rows, and with room for those that the table says. @return 0 or negative errno */
int cap_kernel_table_begin(struct cap_kernel_table *table, bool hosts);

/** Put a row into the map, in the place of one with its key, while programs use it. @return 0 or negative errno */
int cap_kernel_table_put(const struct cap_kernel_table *table, const struct cap_kernel_row *row);

/** Remove a row from the map. */
void cap_kernel_table_remove(const struct cap_kernel_table *table,
			     const struct cap_kernel_row *row);

#endif
