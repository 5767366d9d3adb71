/* SPDX-License-Identifier: Apache-2.0 */
/** @file A port's settings for the method pf_ring, and what follows from them before a ring is opened. */
#ifndef CAPSTAN_PF_RING_OPTIONS_H
#define CAPSTAN_PF_RING_OPTIONS_H

#include "driver.h"

/** Several queues share a port's packets by the NIC's receive channels; other values: by a kernel cluster. */
#define CAP_PFRING_BY_CHANNELS 0

struct cap_pfring_options {
	char *library;	    /**< path of the vendor's library, or NULL: where the loader looks */
	bool zc;	    /**< zero-copy: the vendor's driver gives the NIC to the engine */
	int spread;	    /**< CAP_PFRING_BY_CHANNELS, or a position in cap_pfring_spread_words */
	bool hardware_time; /**< time stamps of the NIC */
	int64_t watermark;  /**< packets that wake a worker which sleeps */
};

extern const char *const cap_pfring_spread_words[];

int cap_pfring_parse_options(json_t *object, void **out, struct cap_error *err);
void cap_pfring_free_options(void *options);

/** The vendor's number of a kernel cluster's kind (enum cap_pfring_cluster). @param spread not by channels */
int cap_pfring_cluster_type(int spread);

/** Room of a device's name for pfring_open: "zc:", an interface and "@63". */
#define CAP_PFRING_DEVICE (CAP_NAME_LEN + 8)

/** The device of queue @p queue as pfring_open takes it: "eth1", "eth1@0" or "zc:eth1@0". */
void cap_pfring_device(const struct cap_port_config *config, unsigned queue,
		       char device[CAP_PFRING_DEVICE]);

/**
 * The channels of a NIC that queue @p queue of @p queues takes: every one that has the same remainder, so
 * that each channel is taken once, however many there are.
 */
uint64_t cap_pfring_channels(unsigned queue, unsigned queues);

/** Bytes of each frame that the ring is to hold, on an interface of @p mtu. */
uint32_t cap_pfring_caplen(const struct cap_port_config *config, unsigned mtu);

#endif
