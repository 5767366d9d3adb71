/* SPDX-License-Identifier: Apache-2.0 */
/** @file What the method dag is like: for the engine, which may have to tell of it without its object. */
#ifndef CAPSTAN_DAG_ABOUT_H
#define CAPSTAN_DAG_ABOUT_H

#include "driver.h"

static const struct cap_mode cap_dag_modes[] = {
	{ .name = "card",
	  .asked_by = "a card such as dag0 as interface",
	  .features = CAP_FEATURE_HARDWARE_TIME | CAP_FEATURE_ZERO_COPY | CAP_FEATURE_MULTI_QUEUE,
	  .queues = "one a receive stream: the card spreads packets, as it was configured",
	  .time = "the card's, to the nearest nanosecond" },
	{ 0 },
};

static const char *const cap_dag_drops[] = { "ring_full", "other_link", "invalid", NULL };

#define CAP_DAG_ABOUT                                                                                                                                                                                                               \
	.name = "dag",                                                                                                                                                                                                              \
	.summary =                                                                                                                                                                                                                  \
		"DAG: an Endace card writes records with its own time stamps into memory that the engine reads, a queue a receive stream",                                                                                          \
	.wire = "records taken from the streams, and what the card says that it lost",                                                                                                                                              \
	.sees = "what a stream had no room for: by the card's counter where its configuration library has it, else by the records' loss counters, which stick at 65535; and records of other links, or that contradict themselves", \
	.drops = cap_dag_drops,                                                                                                                                                                                                     \
	.blind =                                                                                                                                                                                                                    \
		"what a port of the card drops before its streams; losses behind coloured records where the card's counter is not known; what arrives after a crash",                                                               \
	.needs = "an Endace DAG card, its kernel module and libdag.so", .modes = cap_dag_modes,                                                                                                                                     \
	.features = CAP_FEATURE_HARDWARE_TIME | CAP_FEATURE_ZERO_COPY | CAP_FEATURE_MULTI_QUEUE,                                                                                                                                    \
	.privileges = 0

#endif
