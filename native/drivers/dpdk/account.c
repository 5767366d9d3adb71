// SPDX-License-Identifier: Apache-2.0
#include "account.h"

static uint64_t since(uint64_t now, uint64_t base, uint64_t last)
{
	return now >= base && now - base > last ? now - base : last;
}

struct cap_dpdk_figures cap_dpdk_since(const struct cap_dpdk_figures *now,
				       const struct cap_dpdk_figures *base,
				       const struct cap_dpdk_figures *last)
{
	return (struct cap_dpdk_figures){
		.received = since(now->received, base->received, last->received),
		.missed = since(now->missed, base->missed, last->missed),
		.no_buffer = since(now->no_buffer, base->no_buffer, last->no_buffer),
		.errors = since(now->errors, base->errors, last->errors),
	};
}

uint64_t cap_dpdk_owed(uint64_t received_by_port, uint64_t taken_by_queues)
{
	return received_by_port > taken_by_queues ? received_by_port - taken_by_queues : 0;
}
