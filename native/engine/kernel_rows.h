/* SPDX-License-Identifier: Apache-2.0 */
/** @file The rows of the kernel's tables for a set of targets, merged so that one look-up tells enough. */
#ifndef CAPSTAN_KERNEL_ROWS_H
#define CAPSTAN_KERNEL_ROWS_H

#include "bpf/targets.h"
#include "target.h"

#include <stdbool.h>
#include <stddef.h>

/** Tables of one set: the hosts' by enum capstan_host_table, and the prefixes' behind them. */
#define CAP_KERNEL_TABLES (CAPSTAN_HOST_TABLES + CAPSTAN_PREFIX_TABLES)

struct cap_kernel_row {
	struct capstan_prefix key; /**< of a host: all bits */
	struct capstan_hold hold;
};

/** Order by key: a network comes before those within it. @return below 0, 0, or above */
int cap_kernel_row_compare(const struct cap_kernel_row *left, const struct cap_kernel_row *right);

/** Is @p inner within the network of @p outer, or the same? */
bool cap_kernel_key_covers(const struct capstan_prefix *outer, const struct capstan_prefix *inner);

/** Make a hull hold what another holds. */
void cap_kernel_hold_widen(struct capstan_hold *hull, const struct capstan_hold *hold);

typedef void (*cap_kernel_row_visitor)(void *context, unsigned table,
				       const struct cap_kernel_row *row);

/** Visit the rows that a target gives by itself. */
void cap_kernel_rows_of(const struct cap_target *target, cap_kernel_row_visitor visit,
			void *context);

/** One table's rows: sorted by key, each key once. */
struct cap_kernel_rows {
	struct cap_kernel_row *rows;
	unsigned count;
};

/**
 * Make the rows. Of a network within others the row says what theirs say, too: a trie finds the longest.
 *
 * @param tables to be freed by cap_kernel_rows_free, also after an error
 * @return 0 or -ENOMEM
 */
int cap_kernel_rows_make(const struct cap_target *const *targets, unsigned count,
			 struct cap_kernel_rows tables[CAP_KERNEL_TABLES]);

/** Those that nobody took over. */
void cap_kernel_rows_free(struct cap_kernel_rows tables[CAP_KERNEL_TABLES]);

/** @return the kinds of a plan with those bits changed that say which tables have rows */
uint32_t cap_kernel_plan_kinds(uint32_t kinds,
			       const struct cap_kernel_rows tables[CAP_KERNEL_TABLES]);

/**
 * Fill in what is no table: VLAN ids, ports, tunnels, and which kinds there are.
 *
 * @return 0 or -ENOMEM
 */
int cap_kernel_plan_make(const struct cap_target *const *targets, unsigned count, uint32_t tunnels,
			 const struct cap_kernel_rows tables[CAP_KERNEL_TABLES],
			 struct capstan_plan *plan);

#endif
