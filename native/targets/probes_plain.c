// SPDX-License-Identifier: Apache-2.0
#include "scan.h"

static uint64_t probe_four(const struct cap_scan *scan, const struct cap_prefix_filter *filter,
			   const struct cap_seed *seed)
{
	uint64_t found = 0;

	for (uint32_t k = 0; k < scan->count4; k++) {
		const bool from = cap_filter_maybe4(filter, seed, scan->four[k][0]);
		const bool to = cap_filter_maybe4(filter, seed, scan->four[k][1]);

		found |= (uint64_t)(from | to) << k;
	}
	return found;
}

static uint64_t probe_six(const struct cap_scan *scan, const struct cap_prefix_filter *filter,
			  const struct cap_seed *seed)
{
	uint64_t found = 0;

	for (uint32_t k = 0; k < scan->count6; k++) {
		const bool from = cap_filter_maybe6(filter, seed, scan->six_upper[k][0]);
		const bool to = cap_filter_maybe6(filter, seed, scan->six_upper[k][1]);

		found |= (uint64_t)(from | to) << k;
	}
	return found;
}

static bool has_host(const struct cap_prefix_filter *filter, const struct cap_seed *seed,
		     uint64_t upper, uint64_t lower)
{
	const uint64_t nh = cap_nh64(seed, 0, upper) + cap_nh64(seed, 2, lower);

	return cap_filter_has(filter, cap_hash_nh(seed, nh));
}

static uint64_t probe_six_hosts(const struct cap_scan *scan, const struct cap_prefix_filter *filter,
				const struct cap_seed *seed)
{
	uint64_t found = 0;

	for (uint32_t k = 0; k < scan->count6; k++) {
		const bool from =
			has_host(filter, seed, scan->six_upper[k][0], scan->six_lower[k][0]);
		const bool to =
			has_host(filter, seed, scan->six_upper[k][1], scan->six_lower[k][1]);

		found |= (uint64_t)(from | to) << k;
	}
	return found;
}

const struct cap_probes cap_probes_plain = { probe_four, probe_six, probe_six_hosts };

const struct cap_probes *cap_probes_best(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return &cap_probes_avx2;
#endif
	return &cap_probes_plain;
}
