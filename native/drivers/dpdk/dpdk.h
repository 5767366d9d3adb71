/* SPDX-License-Identifier: Apache-2.0 */
/** @file A port of DPDK and its queues, shared by the files of this driver. */
#ifndef CAPSTAN_DPDK_H
#define CAPSTAN_DPDK_H

#include "account.h"
#include "clock_line.h"
#include "kernel_sockets.h"
#include "options.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

/** Buffers that one frame may lie in: 16 of 2 KiB hold the largest that any NIC takes (16 KiB) twice. */
#define CAP_DPDK_SEGMENTS 16

/** What the packets' times come from. */
enum cap_dpdk_time {
	CAP_DPDK_TIME_BURST_TSC, /**< the CPU's counter, read once a burst */
	CAP_DPDK_TIME_BURST_CLOCK, /**< the same by the system's clock: the counter is not steady here */
	CAP_DPDK_TIME_NIC,	   /**< the NIC's counter, read back by rte_eth_read_clock */
	CAP_DPDK_TIME_NIC_PTP, /**< the NIC's PTP clock, in nanoseconds */
	CAP_DPDK_TIME_WALL_NS, /**< the device gives wall-clock nanoseconds */
	CAP_DPDK_TIME_WALL_US, /**< the same in microseconds (net_pcap) */
};

/** A clock that the main thread looks at and workers tell the time by. */
struct cap_dpdk_clock {
	struct cap_clock_fit fit; /**< the main thread's */
	struct cap_clock_shared line;
	uint64_t error_ns;
};

struct cap_queue {
	struct cap_port *port;
	uint16_t index;
	unsigned held; /**< buffers of the burst in hand */
	struct rte_mbuf *buffers[CAP_BURST];
	struct cap_segment segments[CAP_BURST * CAP_DPDK_SEGMENTS];
	uint64_t taken;	      /**< packets since arm; read by other threads */
	uint64_t untimed;     /**< of these, with the time of their burst */
	uint64_t believed;    /**< of these, with the time that the NIC's clock gives their stamp */
	uint64_t doubted;     /**< of the untimed, stamped with what is far from their burst */
	uint64_t fresh_ticks; /**< when the ring was last seen (nearly) empty */
	uint64_t last_ticks;  /**< when the last burst was taken */
	uint64_t late_ns;     /**< the longest since then that a burst was taken */
	unsigned drain_left;  /**< after disarm: what the ring may have held then */
	unsigned empty_polls;
	bool ready;	   /**< this worker's thread has been made known to DPDK */
	bool interrupts;   /**< the queue's interrupt reaches this thread */
	bool no_interrupt; /**< it cannot be waited for: the queue sleeps instead */
} __attribute__((aligned(64)));

struct cap_port {
	const struct cap_port_config *config;
	const struct cap_dpdk_options *options;
	uint16_t id; /**< rte_ethdev's number of the port */
	struct rte_device *device;
	const char *driver_name;
	unsigned if_index; /**< of the network device behind a virtual device, or 0 */
	struct cap_kernel_sockets sockets; /**< of net_af_packet and net_af_xdp; elsewhere none */
	int promiscuous_fd;		   /**< holds that network device promiscuous, or -1 */
	uint16_t descriptors;
	uint32_t largest_frame;
	bool rss;	/**< several queues, over which the device spreads packets by their flow */
	bool symmetric; /**< both directions of a flow by one queue */
	bool started;
	bool stamps; /**< the device was asked for time stamps */
	enum cap_dpdk_time time;
	int stamp_offset;
	uint64_t stamp_flag;
	bool tells_by_cpu; /**< bursts are timed by the CPU's counter */
	struct cap_dpdk_clock cpu, nic;
	uint64_t nic_hz;    /**< of ticks that could be read before the port was started, or 0 */
	uint64_t nic_ticks; /**< at the last look at the NIC's clock */
	uint64_t believed, doubted; /**< of all queues at that look */
	unsigned bad_looks;	    /**< in a row, that found its clock or its stamps wrong */
	bool nic_is_off;	    /**< its stamps are not believed any more; read by workers */
	const char *no_nic_time; /**< why packets are without its time, to be told once, or NULL */
	bool no_interrupts;	 /**< they were asked for, and there are none: to be told once */
	int idle;		 /**< enum cap_dpdk_idle that is in effect */
	uint64_t longest_sleep_ns; /**< renewed with the link's speed */

	bool removed;  /**< told by the bus or the driver; set by EAL's thread */
	bool disarmed; /**< nothing more is taken but what the rings held */
	struct cap_dpdk_figures base, figures; /**< at arm, and since then; the main thread's */
	uint64_t received; /**< figures.received when disarmed; read by workers */

	unsigned queue_count;
	struct cap_queue queues[];
};

/** struct cap_driver's port_privileges. */
uint32_t cap_dpdk_port_privileges(const struct cap_port_config *config);

/** Find or probe the device, and set up port, queues and buffers. @return 0 or negative errno */
int cap_dpdk_device_open(struct cap_port *port, struct cap_port_facts *facts,
			 struct cap_error *err);

/** Stop and close the port, and give the device back. */
void cap_dpdk_device_close(struct cap_port *port);

/** Look at how the started device spreads packets over its queues, and tell what is not as it was asked for. */
void cap_dpdk_check_spread(const struct cap_port *port);

/** @return whether the name of a device or its driver begins so */
bool cap_dpdk_begins(const char *name, const char *with);

/** What the port's driver, or the kernel for it, has counted so far. Main thread. @return 0 or negative errno */
int cap_dpdk_read_figures(struct cap_port *port, struct cap_dpdk_figures *figures);

/** Packets that a queue's ring, or the kernel's below it, can hold. Main thread. */
unsigned cap_dpdk_held_at_most(const struct cap_port *port);

/** Renew `figures`, until the port is disarmed. Main thread. */
void cap_dpdk_renew_figures(struct cap_port *port);

/** struct cap_driver's watch and device_counters. */
int cap_dpdk_watch(const struct cap_port_config *config, struct cap_port *port,
		   struct cap_device *device);
int cap_dpdk_device_counters(struct cap_port *port, struct cap_device_counter *out, unsigned max);

/** A burst in hand. */
struct cap_dpdk_burst {
	uint64_t ns;	   /**< when it was taken */
	uint64_t late_ns;  /**< how long before that the ring was last seen empty */
	uint64_t apart_ns; /**< from each packet's time to the next one's, whose last is `ns` */
	unsigned packets;
};

/** Read a counter of the port's or the CPU's. @return 0 or negative errno */
typedef int (*cap_dpdk_read_ticks)(const struct cap_port *port, uint64_t *ticks);

/** Read a counter and the wall clock at one moment, the closest of several. @return 0 or negative */
int cap_dpdk_read_pair(const struct cap_port *port, cap_dpdk_read_ticks read,
		       struct cap_clock_pair *pair);

/** How fast a counter is, from how far it comes in 50 ms. @return ticks a second, or 0: it cannot be told */
uint64_t cap_dpdk_measure_hz(const struct cap_port *port, cap_dpdk_read_ticks read);

/** Begin a clock by a counter of @p hz, and lay it anew through @p now. Main thread. */
bool cap_dpdk_clock_begin(struct cap_port *port, struct cap_dpdk_clock *clock,
			  cap_dpdk_read_ticks read, uint64_t hz);
void cap_dpdk_clock_renew(struct cap_dpdk_clock *clock, const struct cap_clock_pair *now);

/** Wall-clock nanoseconds of @p ticks. Any thread. */
uint64_t cap_dpdk_clock_at(const struct cap_dpdk_clock *clock, uint64_t ticks);

/** Decide what bursts are timed by. Before the port is started. */
void cap_dpdk_time_begin(struct cap_port *port);

/** Look at the clocks again: a few times a second, by the main thread. */
void cap_dpdk_time_renew(struct cap_port *port);

/**
 * The NIC's clock, where packets are stamped by one: measure it where it runs in a port that is not
 * started; switch it on and begin to tell the time by it, once the port is.
 */
void cap_dpdk_nic_measure(struct cap_port *port);
void cap_dpdk_nic_begin(struct cap_port *port);

/** Look at the NIC's clock again and at what came of its stamps: cap_dpdk_time_renew's. */
void cap_dpdk_nic_renew(struct cap_port *port);

/** Words for people about where times come from. */
const char *cap_dpdk_time_words(const struct cap_port *port);

/** Ticks now, and wall-clock nanoseconds of ticks, of the clock that bursts are timed by. */
uint64_t cap_dpdk_ticks(const struct cap_port *port);
uint64_t cap_dpdk_burst_ns(const struct cap_port *port, uint64_t ticks);
uint64_t cap_dpdk_ticks_to_ns(const struct cap_port *port, uint64_t ticks);

/** The wall-clock time of a buffer by its stamp. @return false: it has none that can be believed */
bool cap_dpdk_stamp_ns(struct cap_queue *queue, const struct rte_mbuf *buffer,
		       const struct cap_dpdk_burst *burst, uint64_t *ns);

/** See whether the started port's queues interrupt, where that is asked for: else it sleeps. Main thread, before arm's end. */
void cap_dpdk_idle_begin(struct cap_port *port);

/** Sleep or not, as the port's idle setting says. */
void cap_dpdk_idle_wait(struct cap_queue *queue, int timeout_ms);

#endif
