/* SPDX-License-Identifier: Apache-2.0 */
/** @file What the kernel says of a network device, in the network namespace of the calling thread. */
#ifndef CAPSTAN_NETDEV_H
#define CAPSTAN_NETDEV_H

#include "driver.h"

#include <stdbool.h>
#include <stdint.h>

/** Room for a driver's name. */
#define CAP_NETDEV_DRIVER 32

struct cap_netdev {
	unsigned ifindex;
	unsigned mtu;		 /**< bytes, without the Ethernet header */
	unsigned short arp_type; /**< ARPHRD_ value */
	bool up;		 /**< administratively up and with carrier */
	uint64_t rx_packets;
	uint64_t rx_missed;    /**< rx_missed_errors: the NIC had no room */
	uint64_t rx_no_buffer; /**< rx_fifo_errors */
	uint64_t tx_dropped;
	unsigned tx_queue_len; /**< packets */
};

/**
 * Read device @p name by rtnetlink (RTM_GETLINK with IFLA_STATS64).
 *
 * @return 0; -ENODEV when there is none of that name; or another negative errno
 */
int cap_netdev_read(const char *name, struct cap_netdev *device);

/** What many readings have in common. @return a socket for cap_netdev_ask, the caller's to close; or negative errno */
int cap_netdev_socket(void);

/** cap_netdev_read by a socket that is there; one thread at a time. */
int cap_netdev_ask(int fd, const char *name, struct cap_netdev *device);

/** The same for a driver that needs the device: on failure with a sentence that begins "NAME: METHOD:". */
int cap_netdev_find(const char *name, const char *method, struct cap_netdev *device,
		    struct cap_error *err);

/**
 * The name of the device's driver (ETHTOOL_GDRVINFO).
 *
 * @param out "" where the device does not tell
 */
void cap_netdev_driver(const char *name, char out[CAP_NETDEV_DRIVER]);

/** Receive queues that the device has now (ETHTOOL_GCHANNELS; 1 where it cannot say). */
unsigned cap_netdev_queues(const char *name);

/**
 * Does the device take 802.1Q tags out of frames, to hand them on beside them (rx-vlan-offload, ETHTOOL_GFLAGS)?
 *
 * @return false also where it cannot say
 */
bool cap_netdev_strips_tags(const char *name);

/**
 * The statistics that the device's driver keeps under its own names (what ethtool -S shows).
 *
 * @param out room for @p max counters; the driver's further ones are left out
 * @return how many are in @p out, 0 where the driver keeps none, or negative errno
 */
int cap_netdev_counters(const char *name, struct cap_device_counter *out, unsigned max);

/**
 * Keep the device promiscuous for as long as the descriptor is open, so also not after a crash.
 *
 * @return a packet socket that receives nothing, the caller's to close; or negative errno
 */
int cap_netdev_hold_promiscuous(unsigned ifindex);

#endif
