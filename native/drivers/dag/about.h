/* SPDX-License-Identifier: Apache-2.0 */
/** @file What the method dag is like: for the engine, which may have to tell of it without its object. */
#ifndef CAPSTAN_DAG_ABOUT_H
#define CAPSTAN_DAG_ABOUT_H

#define CAP_DAG_ABOUT                                                                                                                                                                                                                                                                              \
	.name = "dag",                                                                                                                                                                                                                                                                             \
	.summary =                                                                                                                                                                                                                                                                                 \
		"DAG: an Endace card writes records with its own time stamps into memory that the engine reads, a queue a receive stream",                                                                                                                                                         \
	.sees = "what a stream had no room for: by the card's own counter where its configuration library has it, else by the records' loss counters, which stick at 65535 and which coloured records lack; not what a port of the card drops before its streams, nor what arrives after a crash", \
	.features = CAP_FEATURE_HARDWARE_TIME | CAP_FEATURE_ZERO_COPY | CAP_FEATURE_MULTI_QUEUE,                                                                                                                                                                                                   \
	.privileges = 0

#endif
