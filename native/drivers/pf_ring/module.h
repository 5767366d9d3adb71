/* SPDX-License-Identifier: Apache-2.0 */
/** @file What the kernel says of the vendor's module, for sentences and status; the ABI tells none of it. */
#ifndef CAPSTAN_PF_RING_MODULE_H
#define CAPSTAN_PF_RING_MODULE_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

/** Where the module tells of itself, and where its parameters are; tests give another root. */
#define CAP_PFRING_ROOT ""

struct cap_pfring_module {
	bool loaded; /**< it tells of itself: /proc/net/pf_ring/info of this network namespace */
	char version[32];	 /**< "8.8.0", or "" */
	unsigned slots;		 /**< of each ring (the parameter min_num_slots), or 0 */
	bool rebuilds_fragments; /**< enable_ip_defrag: packets that were never on the wire */
	bool leaves_tags_out;	 /**< keep_vlan_offload: stripped VLAN tags are not put back */
	bool locks_rings;	 /**< force_ring_lock: several CPUs may write into any ring */
};

/** Read what @p root (CAP_PFRING_ROOT) has of it. What cannot be read stays empty. */
void cap_pfring_module_read(const char *root, struct cap_pfring_module *module);

/** Process that has a ring in kernel cluster @p id, or 0: two programs in one share its packets unseen. */
int cap_pfring_cluster_holder(const char *root, unsigned id);

/**
 * Whether the kernel hands an interface's packets on to other CPUs (rps_cpus). The module writes into a ring of
 * one receive channel without a lock, as if one CPU alone did.
 *
 * @param ifindex of the interface: another network namespace's is not the one that @p root shows
 */
bool cap_pfring_is_steered(const char *root, const char *interface, unsigned ifindex);

/** Ask for the right to have one, and for a socket of the module's, as the library does. @return 0 it gives one, or errno of the refusal */
int cap_pfring_try_socket(void);

/** Why pfring_open failed, as far as that can be known: most libraries leave ENODEV whatever the reason. */
struct cap_pfring_failure {
	const char *interface;
	int code;   /**< errno after the call */
	int socket; /**< cap_pfring_try_socket, afterwards */
	bool zc;
	uint32_t library_version;
	uint32_t caplen;
};

/** @return negative errno with a sentence for the operator */
int cap_pfring_explain(const struct cap_pfring_failure *failure,
		       const struct cap_pfring_module *module, struct cap_error *err);

#endif
