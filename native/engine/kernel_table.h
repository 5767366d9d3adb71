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

/** Two sorted lists of rows, held against each other. */
struct cap_kernel_difference {
	unsigned added, removed;
	bool altered; /**< a key is in both, and says something else */
};

/**
 * Make a map with @p rows, and some room beyond them.
 *
 * @param rows taken over; freed with the table
 * @return 0, or negative errno: the kernel has no memory
 */
int cap_kernel_table_make(struct cap_kernel_table *table, bool hosts, struct cap_kernel_rows *rows);
void cap_kernel_table_free(struct cap_kernel_table *table);

void cap_kernel_table_compare(const struct cap_kernel_table *table,
			      const struct cap_kernel_rows *rows,
			      struct cap_kernel_difference *difference);

/** Add the rows that are not there yet, while programs use the table. @return 0 or negative errno: no room */
int cap_kernel_table_add(const struct cap_kernel_table *table, const struct cap_kernel_rows *rows);

/** Remove those that are not among @p rows, which the table takes over. */
void cap_kernel_table_reduce(struct cap_kernel_table *table, struct cap_kernel_rows *rows);

#endif
