// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Targets for packet sockets: a socket filter that lets through what may be a target's and counts what it
 * does, for each of a port's sockets apart. Which of them it judges for it cannot see: a program of a few
 * instructions at each socket (engine/kernel_select.c) says so in the packet's control block and goes on here.
 * A filter expression in the kernel, where the port has one, judges next, as a program of its own.
 */
#include <linux/bpf.h>
#include <linux/if_packet.h>

#include <bpf/bpf_helpers.h>

/* How far into a frame is looked, as targets/frame_view.h says: what lies behind is as if it ended there. */
#define LOOK_BYTES 4096U

/* Socket filters may not read packets directly. @return 0, or not when the frame ends before */
static __always_inline long capstan_load(struct __sk_buff *ctx, __u32 at, void *to, __u32 len)
{
	return at > LOOK_BYTES - len || bpf_skb_load_bytes(ctx, at, to, len);
}

#define capstan_load_plain capstan_load
#define CAPSTAN_CONTEXT struct __sk_buff

#include "match.bpf.h"

/* What the engine keeps of a packet: all of it, for its own matcher. CAP_MAX_SNAPLEN. */
#define WHOLE_FRAME 262144

/* By queue: the filter's program. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, CAPSTAN_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} capstan_filters SEC(".maps");

struct capstan_verdicts capstan_counted[CAPSTAN_QUEUES];

SEC("socket")
int capstan_select(struct __sk_buff *ctx)
{
	__u32 tag = 0, queue = ctx->cb[0], verdict;

	/* What this host sends is neither seen nor accepted: it did not arrive. */
	if (ctx->pkt_type == PACKET_OUTGOING)
		return 0;
	if (ctx->vlan_present)
		tag = (ctx->vlan_tci & 0xfff) | TAG_PRESENT;
	verdict = (__u32)capstan_judge(ctx, tag);
	count(capstan_counted[queue % CAPSTAN_QUEUES].given, verdict);
	if (verdict == CAPSTAN_NOBODYS)
		return 0;
	bpf_tail_call(ctx, &capstan_filters, queue);
	return WHOLE_FRAME;
}

char _license[] SEC("license") = "Dual BSD/GPL";
