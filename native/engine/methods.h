/* SPDX-License-Identifier: Apache-2.0 */
/** @file What `--methods` says: each driver's own account of itself, and whether this host can load it. */
#ifndef CAPSTAN_METHODS_H
#define CAPSTAN_METHODS_H

#include <jansson.h>
#include <stdio.h>

/**
 * All methods, built in or loadable:
 *
 *     {"version": ..., "methods": [{"name", "summary", "wire", "drop_counters", "blind",
 *      "needs": text or null, "package": text or null, "loadable": bool, "why_not": text or null,
 *      "drops": [name of the ledger ...], "privileges": [name of a capability ...],
 *      "kernel_targets": bool, or null where it cannot be loaded,
 *      "modes": [{"name", "asked_by", "queues", "time", FEATURE: bool ...} ...], FEATURE: bool ...} ...]}
 *
 * FEATURE is each of kernel_filter, hardware_time, zero_copy, multi_queue, paced_by_engine, netdev (enum
 * cap_feature); a method has it where one of its modes has. Tests and the tables of the documentation are
 * made of this.
 *
 * @return new reference
 */
json_t *cap_methods(void);

/** The same for people. */
void cap_methods_print(FILE *out);

#endif
