/* SPDX-License-Identifier: Apache-2.0 */
/** @file A port's settings for the method dpdk, and what is derived from them before there is an EAL. */
#ifndef CAPSTAN_DPDK_OPTIONS_H
#define CAPSTAN_DPDK_OPTIONS_H

#include "driver.h"

/** What a worker does while its ring is empty. */
enum cap_dpdk_idle {
	CAP_DPDK_IDLE_POLL,	 /**< ask again at once: burns its core */
	CAP_DPDK_IDLE_SLEEP,	 /**< sleep for at most as long as the ring has room for */
	CAP_DPDK_IDLE_INTERRUPT, /**< sleep until the NIC interrupts, where it can */
};

struct cap_dpdk_options {
	int64_t descriptors; /**< of each receive queue */
	int idle;	     /**< enum cap_dpdk_idle */
	bool huge;	     /**< memory in hugepages; all ports of one engine alike */
	bool interpolate; /**< the times of a burst's packets are spread, where they are its own */
	char *devargs;	  /**< for the device, as EAL's -a and --vdev take it; or NULL */
};

extern const char *const cap_dpdk_idle_words[];

int cap_dpdk_parse_options(json_t *object, void **out, struct cap_error *err);
void cap_dpdk_free_options(void *options);

/** @return whether @p interface is a PCI address with its domain: "0000:00:04.0" */
bool cap_dpdk_is_pci(const char *interface);

/** Frame buffers that one queue needs: its ring, the bursts under way, and what caches may hold back. */
unsigned cap_dpdk_buffers(unsigned descriptors);

/**
 * How long a worker may sleep, in nanoseconds, so that its ring is half full at most when a link of
 * @p mbps (0 or UINT32_MAX: unknown) begins to carry the smallest frames; within what a sleep is good for.
 */
uint64_t cap_dpdk_longest_sleep(unsigned descriptors, uint32_t mbps);

/** Buffers that a thread's cache of a pool may hold. */
#define CAP_DPDK_CACHE 256U

/** A buffer of a memif whose client we are: any frame in one, because of what net_memif does to chains. */
#define CAP_DPDK_MEMIF_BUFFER 16384U

/** Room of most devargs: names, a path, and what is derived. */
#define CAP_DPDK_DEVARGS 512

/**
 * The device as EAL takes it: interface and devargs, with what a virtual device needs for several queues
 * and for frames of @p mtu added where devargs do not say it themselves.
 */
void cap_dpdk_device_string(const struct cap_port_config *config, unsigned mtu,
			    char out[CAP_DPDK_DEVARGS]);

/** The value of @p key in @p devargs. @return whether there is one that fits */
bool cap_dpdk_devarg(const char *devargs, const char *key, char *value, size_t size);

#endif
