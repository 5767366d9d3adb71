// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel's programs for targets cost: nanoseconds a packet of nobody (and of somebody), by
 * BPF_PROG_TEST_RUN, and milliseconds until a set is in force. No test: figures of one machine.
 *
 *     engine-measure-kernel_targets
 */
#include "clock.h"
#include "kernel_select.h"
#include "kernel_targets.h"
#include "sentence.h"
#include "xdp/capture.h"

/* Generated; its conversions are not ours to mend. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "capture.skel.h"
#pragma GCC diagnostic pop

#include <bpf/bpf.h>
#include <string.h>
#include <time.h>

#define REPEAT 1000000
#define TAKEN_OFF 14U
#define FRAME 64U

static void make_targets(struct cap_target *targets, struct cap_prefix *prefixes, unsigned count,
			 bool nets, uint8_t family)
{
	for (unsigned i = 0; i < count; i++) {
		uint32_t spread = (i + 1) * 2654435761U;
		struct cap_prefix *prefix = &prefixes[i];

		*prefix = (struct cap_prefix){ .family = family };
		if (family == 4) {
			prefix->length = nets ? 24 : 32;
			memcpy(prefix->bytes, &spread, nets ? 3 : 4);
		} else {
			prefix->length = nets ? 64 : 128;
			memcpy(prefix->bytes, "\x20\1\r\xb8", 4);
			memcpy(prefix->bytes + 4, &spread, 4);
			if (!nets)
				prefix->bytes[15] = 1;
		}
		targets[i] = (struct cap_target){ .any_protocol = true,
						  .end_ns = UINT64_MAX,
						  .prefix_count = 1,
						  .prefixes = prefix };
	}
}

static void make_frame(uint8_t *frame, uint8_t family)
{
	memset(frame, 0, TAKEN_OFF + FRAME);
	frame += TAKEN_OFF;
	frame[12] = family == 4 ? 0x08 : 0x86;
	frame[13] = family == 4 ? 0x00 : 0xdd;
	frame[14] = family == 4 ? 0x45 : 0x60;
	if (family == 4) {
		frame[23] = 17;
		memcpy(frame + 26, "\12\1\2\3\12\3\2\1", 8);
	} else {
		frame[20] = 17;
		frame[22] = frame[38] = 0x20;
		frame[23] = frame[39] = 0xff;
	}
}

/* @return nanoseconds a run, the least of five */
static unsigned run(int program, const uint8_t *frame, uint32_t len)
{
	unsigned least = UINT32_MAX;

	for (unsigned i = 0; i < 5; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = len,
			    .repeat = REPEAT);

		HOLDS(bpf_prog_test_run_opts(program, &opts) == 0);
		least = opts.duration < least ? opts.duration : least;
	}
	return least;
}

/* Until it is in force: by the wall clock, in which the kernel waits, and of CPU time. */
struct took {
	double wall_ms, cpu_ms;
};

static struct took set(struct cap_kernel_targets *tables, const struct cap_active_targets *active)
{
	const uint64_t cpu = cap_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	const uint64_t began = cap_monotonic_ns();
	struct cap_error err;

	HOLDS(cap_kernel_targets_set(tables, active, 0, &err) == 0);
	return (struct took){ (double)(cap_monotonic_ns() - began) / 1e6,
			      (double)(cap_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e6 };
}

static void measure(struct cap_kernel_select *select, struct capstan_capture *xdp,
		    struct cap_kernel_targets *tables, unsigned count, bool nets, uint8_t family)
{
	struct cap_target *targets = calloc(count + 1, sizeof(*targets));
	const struct cap_target **pointers = calloc(count + 1, sizeof(*pointers));
	struct cap_prefix *prefixes = calloc(count + 1, sizeof(*prefixes));
	uint8_t frame[TAKEN_OFF + FRAME];
	struct cap_error err;
	struct cap_active_targets all;
	struct took whole, more;

	HOLDS(targets && pointers && prefixes);
	make_targets(targets, prefixes, count + 1, nets, family);
	for (unsigned i = 0; i <= count; i++)
		pointers[i] = &targets[i];
	all = (struct cap_active_targets){ .targets = pointers, .count = count };
	HOLDS(cap_kernel_select_set(select, &all, 0, &err) == 0);
	whole = set(tables, &all);
	all.count++;
	more = set(tables, &all);
	make_frame(frame, family);
	printf("IPv%u %-5s %7u   XDP %4u ns   socket %4u ns   in force after %5.1f ms (CPU %5.1f), one more %5.1f ms (CPU %4.1f)\n",
	       family, nets ? "nets" : "hosts", count,
	       run(bpf_program__fd(xdp->progs.capstan_select), frame + TAKEN_OFF, FRAME),
	       run(cap_kernel_select_fd(select, 0), frame, TAKEN_OFF + FRAME), whole.wall_ms,
	       whole.cpu_ms, more.wall_ms, more.cpu_ms);
	free(targets);
	free(pointers);
	free(prefixes);
}

int main(void)
{
	static const unsigned counts[] = { 1, 1000, 100000 };
	struct capstan_capture *xdp = capstan_capture__open_and_load();
	struct cap_kernel_target_maps maps;
	struct cap_kernel_targets *tables;
	struct cap_kernel_select *select;
	struct cap_error err;
	uint64_t began = cap_monotonic_ns();

	HOLDS(xdp && cap_kernel_select_load(1, &select, &err) == 0);
	printf("socket program loaded in %.1f ms\n", (double)(cap_monotonic_ns() - began) / 1e6);
	maps = (struct cap_kernel_target_maps){
		.hosts = bpf_map__fd(xdp->maps.capstan_hosts),
		.prefixes = bpf_map__fd(xdp->maps.capstan_prefixes),
		.plans = bpf_map__fd(xdp->maps.capstan_plans),
		.current = bpf_map__fd(xdp->maps.capstan_current),
	};
	HOLDS(cap_kernel_targets_open(&maps, &tables, &err) == 0);
	xdp->bss->capstan_armed = 1;
	for (uint8_t family = 4; family <= 6; family = (uint8_t)(family + 2))
		for (unsigned nets = 0; nets < 2; nets++)
			for (unsigned i = 0; i < 3; i++)
				measure(select, xdp, tables, counts[i], nets, family);
	cap_kernel_targets_close(tables);
	cap_kernel_select_free(select);
	capstan_capture__destroy(xdp);
	return 0;
}
