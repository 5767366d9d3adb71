// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hand every frame to the AF_XDP socket of its queue, with the time at which it was seen, and count
 * what happens to it. The counters lie in .bss, which the driver maps: reading them is a load.
 *
 * Two programs, of which one is attached: capstan_capture takes every frame, capstan_select what may be a
 * target's. The rest is dropped where it is: what is captured is never the kernel's network, and a frame of
 * nobody that went on to it would cost more than one that is captured.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "capture.h"

/* How far into a frame is looked, as targets/frame_view.h says: what lies behind is as if it ended there. */
#define LOOK_BYTES 4096U

/* Bytes of the frame, which may lie in several buffers. @return 0, or not when it ends before */
static __always_inline long capstan_load(struct xdp_md *ctx, __u32 at, void *to, __u32 len)
{
	return at > LOOK_BYTES - len || bpf_xdp_load_bytes(ctx, at, to, len);
}

/* By 8 bytes at a time, of which `to` has room for whole ones. */
static __always_inline void copy_eights(__u64 *to, const __u64 *from, __u32 len)
{
#pragma unroll
	for (__u32 i = 0; i < (len + 7) / 8; i++)
		to[i] = from[i];
}

#define DIRECTLY(offset)                                          \
	if (at == (offset) && data + (offset) + rounded <= end) { \
		copy_eights(to, data + (offset), len);            \
		return 0;                                         \
	}

/* The same where a plain packet has the headers: constant offsets may be read without a helper. */
static __always_inline long capstan_load_plain(struct xdp_md *ctx, __u32 at, void *to, __u32 len)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const __u32 rounded = (len + 7) / 8 * 8;

	DIRECTLY(0U)  /* Ethernet */
	DIRECTLY(14U) /* IP */
	DIRECTLY(18U) /* IP behind a tag */
	DIRECTLY(34U) /* behind IPv4 */
	DIRECTLY(38U)
	DIRECTLY(54U) /* behind IPv6 */
	return capstan_load(ctx, at, to, len);
}

#define CAPSTAN_CONTEXT struct xdp_md

#include "../bpf/match.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, CAPSTAN_XDP_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} capstan_sockets SEC(".maps");

struct capstan_xdp_counters capstan_counters[CAPSTAN_XDP_QUEUES];

/* Set by the driver once all sockets stand: until then frames are a stranger's. */
volatile __u32 capstan_armed;

/* Generic XDP may run one queue's frames on several CPUs at once, so the additions are atomic. */
static __always_inline void add_one(unsigned long long *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* A remainder, not a comparison: it stays verifiable without CAP_PERFMON. */
static __always_inline struct capstan_xdp_counters *counters_of(__u32 queue)
{
	return &capstan_counters[queue % CAPSTAN_XDP_QUEUES];
}

static __always_inline int hand_over(struct xdp_md *ctx, __u32 queue,
				     struct capstan_xdp_counters *counters)
{
	struct capstan_xdp_stamp *stamp;
	void *data;

	if (!bpf_map_lookup_elem(&capstan_sockets, &queue)) {
		add_one(&counters->unbound);
		return XDP_PASS;
	}
	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*stamp)) == 0) {
		stamp = (void *)(long)ctx->data_meta;
		data = (void *)(long)ctx->data;
		if ((void *)(stamp + 1) <= data) {
			stamp->monotonic_ns = bpf_ktime_get_ns();
			stamp->magic = stamp->monotonic_ns ^ CAPSTAN_XDP_MAGIC;
		}
	} else {
		add_one(&counters->untimed);
	}
	return bpf_redirect_map(&capstan_sockets, queue, XDP_PASS);
}

SEC("xdp.frags")
int capstan_capture(struct xdp_md *ctx)
{
	__u32 queue = ctx->rx_queue_index;
	struct capstan_xdp_counters *counters = counters_of(queue);

	if (!capstan_armed)
		return XDP_PASS;
	add_one(&counters->seen);
	return hand_over(ctx, queue, counters);
}

SEC("xdp.frags")
int capstan_select(struct xdp_md *ctx)
{
	__u32 queue = ctx->rx_queue_index;
	struct capstan_xdp_counters *counters = counters_of(queue);
	__u32 verdict;

	if (!capstan_armed)
		return XDP_PASS;
	verdict = (__u32)capstan_judge(ctx, 0);
	count(counters->judged, verdict);
	return verdict == CAPSTAN_NOBODYS ? XDP_DROP : hand_over(ctx, queue, counters);
}

char _license[] SEC("license") = "Dual BSD/GPL";
