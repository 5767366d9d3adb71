// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Sends the frames that user space builds: each run of the program takes the next one from a ring
 * in its own memory, makes it the content of the page it was given, and redirects the page into a
 * link. With nothing in the ring the page goes back unused.
 *
 * Run by BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES, over and over in one system call: to
 * set such a call up and tear it down takes the kernel some 20 ms, too long for one call a burst.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "xdp_emit.h"

#define ETHERNET_HEADER 14

/* Set before loading. */
const volatile unsigned int target; /* the link's index */
const volatile unsigned int stride; /* bytes from slot to slot */

/* The ring. User space maps this memory; it writes frames and lengths first, `produced` last. */
unsigned char area[EMIT_AREA_BYTES];
unsigned int lengths[EMIT_SLOTS];
unsigned int produced __attribute__((aligned(64)));
unsigned int consumed __attribute__((aligned(64)));

/* What this side last saw of `produced`, so as not to take its cache line for every frame. */
unsigned int seen;

SEC("xdp")
int emit(struct xdp_md *ctx)
{
	unsigned int at = consumed, slot = at % EMIT_SLOTS;
	unsigned int offset, length;
	int grow, verdict = XDP_DROP;

	if (at == seen) {
		seen = __sync_fetch_and_add(&produced, 0);
		if (at == seen)
			return XDP_DROP;
	}
	offset = slot * stride;
	length = lengths[slot];
	if (offset > EMIT_AREA_BYTES - EMIT_FRAME_MAX || length < ETHERNET_HEADER ||
	    length > EMIT_FRAME_MAX)
		goto out;
	grow = (int)length - (int)(ctx->data_end - ctx->data);
	if (grow && bpf_xdp_adjust_tail(ctx, grow))
		goto out;
	if (bpf_xdp_store_bytes(ctx, 0, area + offset, length))
		goto out;
	verdict = (int)bpf_redirect(target, 0);
out:
	/* The slot is user space's again only after it was read: the fetching form orders memory. */
	return __sync_fetch_and_add(&consumed, 1) == at ? verdict : XDP_ABORTED;
}

char _license[] SEC("license") = "Dual BSD/GPL";
