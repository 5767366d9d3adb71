/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file From what the module or the NIC counts to the ledger's counters.
 *
 * What was put into a ring is what its reader took and what waits in it; the library's own count of what was
 * read must be met by what it handed out. What our filter rejected in the module, only that filter counts.
 *
 *     wire = inserted + drop + filtered
 */
#ifndef CAPSTAN_PF_RING_ACCOUNT_H
#define CAPSTAN_PF_RING_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

/** One look at a ring's counters, by its reader between two packets. */
struct cap_pfring_look {
	uint64_t taken;	   /**< packets that the library has handed out */
	uint64_t recv;	   /**< packets that it says were read */
	uint64_t queued;   /**< packets that wait in the ring; 0 where nobody can say (zero-copy) */
	uint64_t drop;	   /**< packets for which there was no room */
	uint64_t filtered; /**< packets that the filter inside the kernel rejected */
};

struct cap_pfring_account {
	struct cap_pfring_look base;	   /**< where the counters stood when counting began */
	uint64_t inserted, drop, filtered; /**< since then; none goes back */
	bool settled;  /**< the counters stand: what arrives from here on is not ours */
	uint64_t left; /**< once settled: packets that may still be taken */
};

/** Begin to count. */
void cap_pfring_account_begin(struct cap_pfring_account *account,
			      const struct cap_pfring_look *look);

/** Take a look in, unless settled. A counter that went back stands still until it has caught up. */
void cap_pfring_account_renew(struct cap_pfring_account *account,
			      const struct cap_pfring_look *look);

/**
 * The last look: what waits in the ring now may still be taken, and nothing behind it.
 *
 * @param most packets that may be taken from a ring of which nobody can say what waits in it, else 0
 */
void cap_pfring_account_settle(struct cap_pfring_account *account,
			       const struct cap_pfring_look *look, uint64_t most);

/** One more packet was taken after settling. @param taken packets since begin */
void cap_pfring_account_took(struct cap_pfring_account *account, uint64_t taken);

/** Packets that were offered to the ring. */
uint64_t cap_pfring_account_wire(const struct cap_pfring_account *account);

#endif
