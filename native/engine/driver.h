/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The contract between the engine and a capture method.
 *
 * A method is one constant `struct cap_driver` in one file or folder under drivers/. The engine knows
 * methods only through this table; nothing outside a driver's files names its method. Some are shared
 * objects of their own (drivers/loadable.h), so that only hosts that use them need their libraries.
 *
 * Life of a port (M: main thread, W: the queue's worker thread):
 *
 *     prepare, open (M, still privileged) -> arm (M) -> { rx_burst, release, wait, counters } (W), watch (M)
 *          -> disarm (M) -> the worker drains -> close (M)
 *
 * Where targets are in force, set_targets comes between open and arm, and again whenever they change.
 *
 * A port that vanishes is drained, closed, and opened again when it is back, by the same calls; then
 * `open` runs with only the capabilities that `cap_driver.privileges` names.
 */
#ifndef CAPSTAN_DRIVER_H
#define CAPSTAN_DRIVER_H

#include "active_targets.h"
#include "error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/** Most packets that one rx_burst hands out. */
#define CAP_BURST 64

/** Most queues of one port: the RSS indirection of common NICs addresses 64 or fewer per function. */
#define CAP_MAX_QUEUES 64

/** Longest interface name with its terminator: IFNAMSIZ. */
#define CAP_NAME_LEN 16

/** Largest frame that any method delivers: libpcap's MAXIMUM_SNAPLEN, so every reader takes it. */
#define CAP_MAX_SNAPLEN 262144U

/** A run of bytes of a packet that the driver holds in several buffers. */
struct cap_segment {
	const uint8_t *data;
	uint32_t len;
};

/**
 * One received packet. Its bytes lie in the driver's ring and are valid until the queue's next release.
 * When `n_segments` is above 1 the bytes are `segments[0..n_segments)` and `data` is segments[0].data.
 */
struct cap_packet {
	const uint8_t *data;
	uint32_t len;	   /**< bytes present, over all segments */
	uint32_t wire_len; /**< bytes that the frame had on the wire, less a stripped VLAN tag */
	uint64_t timestamp_ns; /**< nanoseconds since the epoch, UTC */
	uint16_t vlan_tpid; /**< of a tag that NIC or kernel took out of the frame; 0: none was */
	uint16_t vlan_tci;  /**< all 16 bits: priority, drop eligible, VLAN id */
	uint32_t n_segments;
	const struct cap_segment *segments;
	uint32_t note_len;    /**< bytes of `note`, at most CAP_MAX_NOTE; 0: there is none */
	const char *note;     /**< text for people about this packet, for its comment in the file */
	uint32_t lost_before; /**< packets that the source says it lost since the one before */
};

/** Longest note of a packet. */
#define CAP_MAX_NOTE 124U

/**
 * What the source side of one queue has counted since arm. Monotonic. Where a method cannot know a
 * figure it stays 0. No packet is in two of filtered, dropped, ring_full, unbound, other_link, invalid.
 */
struct cap_source_counters {
	uint64_t wire;	    /**< packets offered to the queue, by a counter apart from rx_burst */
	uint64_t filtered;  /**< of these, rejected by filter or targets inside the kernel */
	uint64_t dropped;   /**< of these, dropped by the kernel for want of ring or frame memory */
	uint64_t ring_full; /**< of these, dropped because the receive ring was full */
	uint64_t unbound;   /**< of these, on a queue that no socket is bound to */
	uint64_t other_link;	/**< of these, packets of another kind of link than the port's */
	uint64_t invalid;	/**< of these, records that cannot be taken apart */
	uint64_t freezes;	/**< times that the kernel stopped a full ring (not packets) */
	uint64_t fill_empty;	/**< attempts that found no free frame (not packets) */
	uint64_t untimed;	/**< packets that have the time of their burst only */
	uint64_t unjudged;	/**< packets that came up because the kernel could not tell whose */
	uint64_t time_error_ns; /**< by how much a packet's time may be wrong at most, so far */
};

/** What there is of a port's device: read by `watch`, or by the engine for a driver without one. */
struct cap_device {
	uint64_t identity; /**< another one under the same name has another identity */
	bool up;	   /**< the link carries */
	bool counts_on;	   /**< rx_packets goes on while no engine has the device */
	uint64_t rx_packets;
	uint64_t rx_missed;    /**< dropped for want of room in NIC or ring */
	uint64_t rx_no_buffer; /**< dropped for want of memory */
	uint64_t rx_errors; /**< damaged, and counted in none of the others; 0 where not told apart */
};

/** Longest name of a device's counter with its terminator: DPDK's have 64 bytes, ethtool's 32. */
#define CAP_COUNTER_NAME_LEN 64

/** One of a device's own counters. */
struct cap_device_counter {
	char name[CAP_COUNTER_NAME_LEN];
	uint64_t value;
};

/** Most sentences about less being delivered than asked for. */
#define CAP_MAX_DEGRADED 4

/** What `open` really got, for status and reports. Written by open and tell only, targets by the engine. */
struct cap_port_facts {
	char effective_mode[128]; /**< for people, e.g. "native XDP, copy" */
	const char *filter_in;	  /**< "none", "kernel" or "engine" */
	const char *targets_in; /**< where packets of nobody are left: the same words; the engine's */
	char targets_why[256]; /**< why that is not the kernel although the method can; "": it is */
	uint32_t link_type;    /**< LINKTYPE_ value for the file's interface block */
	uint32_t fcs_len;      /**< bytes of frame check sequence that end each packet; 0: none */
	uint32_t snaplen;      /**< bytes kept of each packet */
	unsigned degraded_count;
	char degraded[CAP_MAX_DEGRADED][256];
};

/** Settings of one port. Owned by the configuration, which outlives every port. */
struct cap_port_config {
	char interface[CAP_NAME_LEN];
	const struct cap_driver *driver;
	unsigned queues;
	unsigned core_count; /**< 0: workers are not pinned */
	int cores[CAP_MAX_QUEUES];
	uint32_t snaplen;
	bool promiscuous;
	char *filter;	  /**< pcap filter expression, or NULL */
	uint32_t tunnels; /**< enum cap_tunnel: what the targets' packets may be inside of */
	bool targeted;	  /**< packets are judged by targets, on the whole frame */
	void *options;	  /**< the driver's own structure, from parse_options */
	unsigned index;	  /**< position in the configuration */
	unsigned hold_ms; /**< longest time that the source may keep a packet back to gather more */
};

/** An open port and one queue of it; the definitions are the driver's own. */
struct cap_port;
struct cap_queue;

/** Bits of cap_driver.features. */
enum cap_feature {
	CAP_FEATURE_KERNEL_FILTER =
		1U << 0, /**< rejects packets before they are copied to user space */
	CAP_FEATURE_HARDWARE_TIME = 1U << 1, /**< can give the NIC's own time stamps */
	CAP_FEATURE_ZERO_COPY = 1U << 2, /**< the NIC can write straight into the engine's memory */
	CAP_FEATURE_MULTI_QUEUE = 1U << 3, /**< more than one queue a port */
	CAP_FEATURE_PACED_BY_ENGINE =
		1U << 4,	      /**< the source waits for the engine: it never overruns */
	CAP_FEATURE_NETDEV = 1U << 5, /**< the port is a network device of this host */
};

/**
 * One way in which a method captures: what a setting or the kind of the port makes of it. Constant data, which
 * `--methods --json` prints and the tables of the documentation are made of.
 */
struct cap_mode {
	const char *name; /**< for people, unique within the method: "zero-copy" */
	const char *
		asked_by; /**< the port's settings in engine.json that ask for it: "mode zerocopy" */
	uint32_t features;  /**< enum cap_feature, a part of cap_driver.features */
	const char *queues; /**< how packets come to queues, and how many queues there may be */
	const char *time;   /**< whose time stamps packets have, and how fine */
};

/** Bits of cap_driver.privileges: what `open` needs when it runs again after privileges were dropped. */
enum cap_privilege {
	CAP_PRIVILEGE_NET_RAW = 1U << 0,
	CAP_PRIVILEGE_NET_ADMIN = 1U << 1,
	CAP_PRIVILEGE_BPF = 1U << 2,
	CAP_PRIVILEGE_IPC_LOCK = 1U << 3,
};

struct cap_driver {
	/** The word that configuration uses: "af_packet". */
	const char *name;

	/** One line for `--methods`. */
	const char *summary;

	/** By what cap_source_counters.wire is counted. */
	const char *wire;

	/** What its drop counters see. */
	const char *sees;

	/** Names in the ledger (ledger_fields.h) under which that stands, ended by NULL. */
	const char *const *drops;

	/** What is lost without any counter of this method seeing it. */
	const char *blind;

	/** What the host needs that no package of Capstan's brings: module, library, licence. NULL: nothing. */
	const char *needs;

	uint32_t features;   /**< enum cap_feature: what any of its modes has */
	uint32_t privileges; /**< enum cap_privilege */

	/** The ways in which it captures, at least one, the best first; ended by an entry without a name. */
	const struct cap_mode *modes;

	/**
	 * Read the port's "options" object strictly: an unknown key or a value out of range is an error.
	 *
	 * @param options JSON object, or NULL when there is none
	 * @param out set to an allocation that free_options releases
	 * @return 0 or negative errno with a sentence that names the key
	 */
	int (*parse_options)(json_t *options, void **out, struct cap_error *err);
	void (*free_options)(void *options);

	/**
	 * Set up what belongs to the process and not to one port. NULL: there is nothing such.
	 *
	 * Called once, privileged, before the first open, with all ports of this method.
	 */
	int (*prepare)(const struct cap_port_config *const *ports, unsigned count,
		       struct cap_error *err);

	/** What this very port needs of enum cap_privilege; NULL: `privileges`. */
	uint32_t (*port_privileges)(const struct cap_port_config *config);

	/**
	 * Get everything ready without counting a packet: sockets, rings, programs, filter.
	 *
	 * @return 0 with *port set, or negative errno with nothing left open: -ENODEV when there is no
	 *         such interface (the engine may try again later)
	 */
	int (*open)(const struct cap_port_config *config, struct cap_port **port,
		    struct cap_port_facts *facts, struct cap_error *err);

	/** Queue @p index (below config->queues) of an open port; owned by the port. */
	struct cap_queue *(*queue)(struct cap_port *port, unsigned index);

	/**
	 * Leave packets of nobody where they are, and count them as filtered. The engine's exact matcher
	 * comes behind: this may let more through than that would, and never less. First called between
	 * open and arm; from then on whole frames come up, whatever the snap length, for that matcher.
	 * A packet is judged by the set before or by this one, and none is lost by the change.
	 *
	 * Not concurrently with itself or another call of the main thread; workers may run. NULL: the
	 * method has no such place, and the engine's matcher does all.
	 *
	 * @param active those in force now, borrowed until the return; none: every packet is nobody's
	 * @param tunnels bits of enum cap_tunnel that are looked into
	 * @return 0, or negative errno with a sentence: from now on every packet is let through
	 */
	int (*set_targets)(struct cap_port *port, const struct cap_active_targets *active,
			   uint32_t tunnels, struct cap_error *err);

	/** Begin counting on all queues. Packets from before are neither delivered nor counted. */
	int (*arm)(struct cap_port *port, struct cap_error *err);

	/**
	 * Bring the facts up to date with what came of the port since `open`: the mode anew, and what is
	 * now less than asked for, once. NULL: open told all. Main thread, after arm and each watch.
	 */
	void (*tell)(struct cap_port *port, struct cap_port_facts *facts);

	/**
	 * Hand out up to @p max packets (at most CAP_BURST).
	 *
	 * All members are set but `note_len` and `lost_before`: these are 0 before the first burst, and
	 * a method that has them sets them for every packet.
	 *
	 * An interface that is down or gone is no error here: its ring is empty, and the engine watches
	 * the interface itself.
	 *
	 * @return number of packets, 0 when there is none now, -ENODATA at the end of a finite source,
	 *         else a negative errno: the port is then closed and opened again
	 */
	int (*rx_burst)(struct cap_queue *queue, struct cap_packet *packets, unsigned max);

	/** Give the memory of the last burst back. Called once after each burst that was not empty. */
	void (*release)(struct cap_queue *queue);

	/** Sleep until a packet may be there, at most @p timeout_ms milliseconds. */
	void (*wait)(struct cap_queue *queue, int timeout_ms);

	/** Read the source's counters; callable from arm to close. */
	void (*counters)(struct cap_queue *queue, struct cap_source_counters *out);

	/**
	 * Look at the port's device, a few times a second. NULL: it is a network device of this host
	 * (CAP_FEATURE_NETDEV) with nothing to know beyond what the kernel says of it, or it cannot go away.
	 *
	 * @param port NULL while the port is closed: is there a device to be opened?
	 * @return 0, or -ENODEV when the device is gone
	 */
	int (*watch)(const struct cap_port_config *config, struct cap_port *port,
		     struct cap_device *device);

	/**
	 * Read the device's own counters by its own names, such as a NIC's statistics. They stand beside the
	 * balance and are no part of it. NULL: the kernel is asked where the port is a network device, and
	 * there are none elsewhere. Main thread, about once a second.
	 *
	 * @param out room for @p max counters
	 * @return how many are in @p out, or negative errno when the device is gone
	 */
	int (*device_counters)(struct cap_port *port, struct cap_device_counter *out, unsigned max);

	/** Take no further packet; what is in the rings stays to be drained and the counters stand. */
	void (*disarm)(struct cap_port *port);

	/** Release everything. The workers have left the port. */
	void (*close)(struct cap_port *port);
};

/** All methods built in, ended by NULL. */
extern const struct cap_driver *const cap_drivers[];

/**
 * The driver of that name, loaded if it must be.
 *
 * @return NULL with a sentence: there is none, or it cannot be loaded on this host
 */
const struct cap_driver *cap_driver_find(const char *name, struct cap_error *err);

/**
 * Zeroed memory for a port and its queues, freed by free(). It begins on a cache line, so that queues whose
 * structure is aligned to one (CAP_OWN_LINES) share none: each queue's is written by another thread.
 */
void *cap_port_alloc(size_t size);

/** Of a struct cap_queue in an array. */
#define CAP_OWN_LINES __attribute__((aligned(64)))

/** Put a sentence on the list of what is less than asked for; further ones than fit are joined away. */
void cap_degraded(struct cap_port_facts *facts, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
