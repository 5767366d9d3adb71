/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Packets made in memory for the method replay: Ethernet, IPv4, UDP, with addresses of the benchmarking range of
 * RFC 2544 (198.18.0.0/15), a flow after the other.
 */
#ifndef CAPSTAN_REPLAY_GENERATE_H
#define CAPSTAN_REPLAY_GENERATE_H

#include "driver.h"
#include "settings.h"

/** Most sizes that frames take turns in. */
#define CAP_GENERATE_SIZES 64U

struct cap_generate_options {
	int64_t packets;  /**< to hand out for each queue; 0: until stopped */
	int64_t flows;	  /**< distinct addresses and ports */
	int64_t distinct; /**< frames held in memory */
	unsigned size_count;
	int64_t sizes[CAP_GENERATE_SIZES]; /**< bytes of frame i: sizes[i % size_count] */
};

struct cap_generator;

/** Read the object "generate", strictly. */
int cap_generate_read(json_t *object, struct cap_generate_options *options, struct cap_error *err);

/** @param options outlive the generator */
int cap_generator_make(const struct cap_generate_options *options, struct cap_generator **generator,
		       struct cap_error *err);
void cap_generator_free(struct cap_generator *generator);

/**
 * Hand out the next packets; they stay where they are.
 *
 * @return how many, at most @p max, or -ENODATA when all have been handed out
 */
int cap_generator_burst(struct cap_generator *generator, struct cap_packet *packets, unsigned max);

#endif
