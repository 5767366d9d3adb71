/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The matcher once more, slow and plain: every target against every view, byte by byte.
 *
 * Written from target.h and frame_view.h alone. Shares no code with the engine's matcher: where the two
 * agree on random traffic, both are as the headers say, or wrong alike.
 */
#ifndef CAPSTAN_TESTS_TARGET_REFERENCE_H
#define CAPSTAN_TESTS_TARGET_REFERENCE_H

#include "match.h"

struct reference;

struct reference *reference_create(bool ethernet, uint32_t tunnels);
void reference_free(struct reference *reference);

/** @return whether the packet is somebody's; then @p out is what the matcher should say */
bool reference_match(struct reference *reference, const struct cap_target *targets, unsigned count,
		     const struct cap_packet *packet, struct cap_match *out);

#endif
