// SPDX-License-Identifier: Apache-2.0
#include "bpf_run.h"

#include <bpf/bpf.h>
#include <string.h>

/* The kernel takes an Ethernet header off what it is given before a socket filter sees it. */
#define TAKEN_OFF 14

int64_t bpf_run(int program, const uint8_t *frame, uint32_t len)
{
	uint8_t wrapped[TAKEN_OFF + 2048] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = wrapped, .data_size_in = TAKEN_OFF + len,
		    .repeat = 1);

	if (len > sizeof(wrapped) - TAKEN_OFF)
		return -1;
	memcpy(wrapped + TAKEN_OFF, frame, len);
	return bpf_prog_test_run_opts(program, &run) ? -1 : (int64_t)run.retval;
}

int64_t bpf_run_xdp(int program, const uint8_t *frame, uint32_t len)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = len, .repeat = 1);

	return bpf_prog_test_run_opts(program, &run) ? -1 : (int64_t)run.retval;
}
