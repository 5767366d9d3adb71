/* SPDX-License-Identifier: Apache-2.0 */
/** @file Run a loaded BPF program once. Apart, since libpcap and libbpf name one struct differently. */
#ifndef CAPSTAN_TESTS_BPF_RUN_H
#define CAPSTAN_TESTS_BPF_RUN_H

#include <stdint.h>

/** @return what the program returned for @p frame, or -1 when the kernel refused to run it */
int64_t bpf_run(int program, const uint8_t *frame, uint32_t len);

/** What an XDP program returns: drop, or pass on to the kernel's network. */
#define BPF_RUN_XDP_DROP 1
#define BPF_RUN_XDP_PASS 2

/** The same for an XDP program. */
int64_t bpf_run_xdp(int program, const uint8_t *frame, uint32_t len);

#endif
