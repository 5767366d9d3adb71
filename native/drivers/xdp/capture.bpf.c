// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hand every frame to the AF_XDP socket of its queue, with the time at which it was seen, and count
 * what happens to it. The counters lie in .bss, which the driver maps: reading them is a load.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "capture.h"

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

SEC("xdp.frags")
int capstan_capture(struct xdp_md *ctx)
{
	__u32 queue = ctx->rx_queue_index;
	struct capstan_xdp_counters *counters;
	struct capstan_xdp_stamp *stamp;
	void *data;

	if (!capstan_armed)
		return XDP_PASS;
	/* A remainder, not a comparison: it stays verifiable without CAP_PERFMON. */
	counters = &capstan_counters[queue % CAPSTAN_XDP_QUEUES];
	add_one(&counters->seen);
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

char _license[] SEC("license") = "Dual BSD/GPL";
