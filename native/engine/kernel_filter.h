/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A capture filter inside the kernel, as a socket filter that counts what it sees. Apart from
 * filter.h because libpcap and the kernel both name a `struct bpf_insn`.
 */
#ifndef CAPSTAN_KERNEL_FILTER_H
#define CAPSTAN_KERNEL_FILTER_H

#include "error.h"

#include <linux/filter.h>
#include <stdint.h>

struct cap_kernel_filter;

/**
 * Translate classic BPF that judges frames as they were on the wire to eBPF, and load it.
 *
 * @return 0, or negative errno with a sentence: -ENOTSUP or -E2BIG when the program cannot be judged
 *         there, -EPERM without CAP_BPF. The caller then filters in the engine alone, and says so.
 */
int cap_kernel_filter_load(const struct sock_filter *code, unsigned count,
			   struct cap_kernel_filter **loaded, struct cap_error *err);
void cap_kernel_filter_free(struct cap_kernel_filter *loaded);

/** File descriptor of the program, owned by @p loaded. */
int cap_kernel_filter_fd(const struct cap_kernel_filter *loaded);

/** Make it the filter of socket @p fd, in place of the one there. @return 0 or negative errno */
int cap_kernel_filter_attach(const struct cap_kernel_filter *loaded, int fd);

/** Packets seen and accepted since load, by counters of the program's own. */
void cap_kernel_filter_counters(const struct cap_kernel_filter *loaded, uint64_t *seen,
				uint64_t *accepted);

#endif
