/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The memory of first fragments, whose ports the later ones take.
 *
 * A NIC or the kernel spreads a port's packets over its queues by addresses and ports, and so a packet's
 * first fragment, which has ports, may reach another queue than the others, which have none. Hence one
 * memory is shared by a port's workers. Readers never wait: each set of a few places has a sequence number that
 * is odd while somebody writes, and who finds it so, or changed under its eyes, does without: then the
 * packet's ports are unknown, and what is unknown holds. A writer that cannot get at a set for long, because the
 * one who has it does not run, leaves a mark by which all that the set remembers becomes unknown.
 *
 * Ids are used again, and can be forged: two first fragments of one name that tell different things, within
 * CAP_FRAGMENT_NS of each other, make what they tell unknown. Whose network a packet is of is part of its
 * name, so that networks with the same addresses do not mix: VLAN ids, and of a tunnel its id and what is around.
 *
 * So what is forgotten (the oldest of a few places goes), too old, doubtful or not yet there only makes the engine
 * keep more. What no memory can tell: a first fragment that is alone on the wire before the later ones, and forged.
 */
#ifndef CAPSTAN_FRAGMENTS_H
#define CAPSTAN_FRAGMENTS_H

#include "frame_view.h"

/**
 * How long a first fragment stands for later ones, in packets' time. Its sender sends all of them at once; queues
 * and reordering part them by milliseconds. At 1 Gbit/s two hosts may come to the same of IPv4's 65536 ids within
 * 0.79 s (65536 packets of 1500 bytes; RFC 4963 tells what follows for those who wait longer).
 */
#define CAP_FRAGMENT_NS 500000000ULL

/** Places of a port's memory: 640 KiB. */
#define CAP_FRAGMENT_SLOTS 8192U

struct cap_fragments;

/** @param slots most first fragments remembered at once; a power of 2, at least 4. @return NULL: no memory */
struct cap_fragments *cap_fragments_create(unsigned slots);
void cap_fragments_free(struct cap_fragments *fragments);

/**
 * Remember what a first fragment says of protocol and ports, or take what its first one said for a later
 * one. Any worker's thread.
 *
 * @param views of the packet, at least up to that one
 * @param at which of @p views
 */
void cap_fragments_resolve(struct cap_fragments *fragments, struct cap_view *views, unsigned at,
			   uint64_t timestamp_ns);

#endif
