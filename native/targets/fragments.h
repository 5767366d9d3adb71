/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The memory of first fragments, whose ports the later ones take.
 *
 * A NIC or the kernel spreads a port's packets over its queues by addresses and ports, and so a packet's
 * first fragment, which has ports, may reach another queue than the others, which have none. Hence one
 * memory is shared by a port's workers, and since none may wait for another there is no lock: each slot is
 * one cache line with a sequence number that is odd while somebody writes. Who finds it so, or changed
 * under its eyes, does without: then the packet's ports are unknown, and what is unknown holds.
 *
 * What is forgotten (the oldest of a few slots goes), too old, or not yet there only makes the engine keep
 * more. VLAN ids are part of a fragment's name: networks with the same addresses do not mix.
 */
#ifndef CAPSTAN_FRAGMENTS_H
#define CAPSTAN_FRAGMENTS_H

#include "frame_view.h"

/** How long a first fragment stands for later ones, in packets' time: as Linux keeps them (ipfrag_time). */
#define CAP_FRAGMENT_NS (30ULL * 1000000000ULL)

/** Slots of a port's memory: 512 KiB. */
#define CAP_FRAGMENT_SLOTS 8192U

struct cap_fragments;

/** @param slots most first fragments remembered at once; a power of 2, at least 4. @return NULL: no memory */
struct cap_fragments *cap_fragments_create(unsigned slots);
void cap_fragments_free(struct cap_fragments *fragments);

/**
 * Remember what a first fragment says of protocol and ports, or take what its first one said for a later
 * one. Any worker's thread.
 */
void cap_fragments_resolve(struct cap_fragments *fragments, struct cap_view *view,
			   uint64_t timestamp_ns);

#endif
