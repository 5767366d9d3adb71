/* SPDX-License-Identifier: Apache-2.0 */
/** @file What an index is made of: one name that one target gives, and the order of them. */
#ifndef CAPSTAN_INDEX_TERMS_H
#define CAPSTAN_INDEX_TERMS_H

#include "target.h"

enum cap_term_kind {
	CAP_TERM_HOST4,
	CAP_TERM_HOST6,
	CAP_TERM_PREFIX4,
	CAP_TERM_PREFIX6,
	CAP_TERM_MAC,	     /**< of targets without prefixes, as all from here on */
	CAP_TERM_VLAN_OUTER, /**< and without MAC addresses */
	CAP_TERM_VLAN_INNER, /**< and without outer VLAN ids */
	CAP_TERM_PORTS,	     /**< and without inner ones */
	CAP_TERM_ANY_VLAN_OUTER,
	CAP_TERM_ANY_VLAN_INNER,
	CAP_TERM_ANY_PORTS,
	CAP_TERM_KINDS
};

#define CAP_TERM_NAME_LEN 16U

struct cap_term {
	uint8_t name[CAP_TERM_NAME_LEN]; /**< most significant byte first; the rest is 0 */
	uint8_t length;			 /**< of a prefix, in bits */
	uint32_t target;
};

/** Most terms that @p targets give for any one kind. */
uint32_t cap_terms_bound(const struct cap_target *targets, unsigned count);

/** Is a target found by its ports? */
bool cap_term_by_ports(const struct cap_target *target);

/** Gather the terms of one kind. @param terms room for all of them. @return how many */
uint32_t cap_terms_gather(struct cap_term *terms, enum cap_term_kind kind,
			  const struct cap_target *targets, unsigned count);

/** Most terms that cap_terms_put_keys puts for a target. */
uint32_t cap_terms_keys(const struct cap_target *target);

/**
 * Put what tells a target apart from the others of a crowd; its names are keys.
 *
 * @param mac_numbers of the target's MAC addresses
 * @return behind them
 */
struct cap_term *cap_terms_put_keys(struct cap_term *to, const struct cap_target *target,
				    uint32_t index, const uint32_t *mac_numbers);

/**
 * Sort by name, then length, then target.
 *
 * @param terms in the order of their targets
 * @param spare room for as many
 * @return which of the two holds the result
 */
struct cap_term *cap_terms_sort(struct cap_term *terms, struct cap_term *spare, uint32_t count);

#endif
