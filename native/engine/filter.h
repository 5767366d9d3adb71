/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The capture filter: a libpcap expression, judged on the frame as it was on the wire.
 *
 * One filter, two places. The engine's is exact. The kernel's may only be more generous: it sees
 * frames whose outer VLAN tag has been moved aside, so the program that is loaded puts the tag back
 * into its view of the frame, and lets through what it cannot judge. Every method thus selects the
 * same packets as `tcpdump -r` would from an unfiltered file.
 */
#ifndef CAPSTAN_FILTER_H
#define CAPSTAN_FILTER_H

#include "error.h"

#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdint.h>

#define CAP_LINKTYPE_RAW 101U

struct cap_filter {
	struct bpf_program program;
};

/** pcap_datalink's DLT_ value as the LINKTYPE_ value that files use; the two differ for raw IP alone. */
static inline uint32_t cap_link_type_of(int dlt)
{
	return dlt == DLT_RAW ? CAP_LINKTYPE_RAW : (uint32_t)dlt;
}

/**
 * Compile @p expression for frames of @p link_type (a LINKTYPE_ value). Not thread-safe.
 *
 * @return 0 with *filter to be freed by cap_filter_free, or -EINVAL with a sentence
 */
int cap_filter_compile(const char *expression, uint32_t link_type, struct cap_filter **filter,
		       struct cap_error *err);
void cap_filter_free(struct cap_filter *filter);

/** @param captured contiguous bytes at @p data; @param wire_len the frame's length on the wire */
static inline bool cap_filter_match(const struct cap_filter *filter, const uint8_t *data,
				    uint32_t wire_len, uint32_t captured)
{
	return bpf_filter(filter->program.bf_insns, data, wire_len, captured) != 0;
}

struct cap_kernel_filter;

/** Load @p filter into the kernel: see cap_kernel_filter_load for result and errors. */
int cap_filter_load(const struct cap_filter *filter, struct cap_kernel_filter **loaded,
		    struct cap_error *err);

/**
 * Attach a filter to a packet socket that takes nothing, or at most @p snaplen bytes of every frame that
 * arrives. What this host sends is never taken.
 */
int cap_socket_take_nothing(int fd);
int cap_socket_take_all(int fd, uint32_t snaplen);

#endif
