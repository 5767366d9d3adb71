// SPDX-License-Identifier: Apache-2.0
#include "target_index.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

void cap_target_index_free(struct cap_target_index *index)
{
	free(index->entries);
	free(index->terms);
	free(index->crowds);
	free(index->crowd_keys);
	free(index->crowd_targets);
	cap_host_table_free(&index->hosts4);
	cap_host_table_free(&index->hosts6);
	free(index->hosts6_names);
	free(index->prefixes4.tops);
	free(index->prefixes4.parts);
	free(index->prefixes4.lasts);
	free(index->prefixes4.values);
	cap_range_tree_free(&index->prefixes6.upper);
	free(index->prefixes6.parts);
	free(index->prefixes6.lasts);
	free(index->prefixes6.values);
	cap_prefix_filter_free(&index->filter4);
	cap_prefix_filter_free(&index->filter6);
	cap_prefix_filter_free(&index->filter6_hosts);
	cap_host_table_free(&index->macs);
	free(index->vlans[0]);
	free(index->vlans[1]);
	free(index->port_blocks);
	free(index->any_ports);
	free(index->port_map);
}

size_t cap_target_index_memory(const struct cap_target_index *index)
{
	const struct cap_prefixes4 *four = &index->prefixes4;
	const struct cap_prefixes6 *six = &index->prefixes6;
	size_t sum = index->entry_count * sizeof(*index->entries) +
		     index->term_count * sizeof(*index->terms) +
		     index->hosts6_count * sizeof(*index->hosts6_names);

	sum += index->crowd_count * sizeof(*index->crowds) +
	       index->crowd_key_count *
		       (sizeof(*index->crowd_keys) + sizeof(*index->crowd_targets));
	sum += cap_host_table_memory(&index->hosts4) + cap_host_table_memory(&index->hosts6) +
	       cap_host_table_memory(&index->macs);
	sum += cap_prefix_filter_memory(&index->filter4) +
	       cap_prefix_filter_memory(&index->filter6) +
	       cap_prefix_filter_memory(&index->filter6_hosts);
	if (four->tops)
		sum += 65536 * sizeof(*four->tops) + four->part_count * sizeof(*four->parts) +
		       four->range_count * (sizeof(*four->lasts) + sizeof(*four->values));
	sum += cap_range_tree_memory(&six->upper) + six->part_count * sizeof(*six->parts) +
	       six->range_count * (sizeof(*six->lasts) + sizeof(*six->values));
	for (unsigned i = 0; i < 2; i++)
		sum += index->vlans[i] ? CAP_VLAN_IDS * sizeof(*index->vlans[i]) : 0;
	sum += index->any_ports ? CAP_PROTOCOLS * sizeof(*index->any_ports) : 0;
	return sum +
	       (index->port_blocks ? CAP_PORT_BLOCKS * sizeof(*index->port_blocks) + 65536 / 8 : 0);
}

uint32_t cap_index_host4(const struct cap_target_index *index, uint32_t address)
{
	struct cap_host_search search;

	if (!index->hosts4.bucket_count)
		return 0;
	search = cap_host_begin(&index->hosts4, cap_hash32(&index->seed, 0, address));
	return cap_host_next(&index->hosts4, &search, address);
}

uint32_t cap_index_host6(const struct cap_target_index *index, const uint8_t *address)
{
	const uint64_t nh = cap_nh128(&index->seed, address);
	struct cap_host_search search;
	uint32_t entry;

	if (!index->hosts6.bucket_count)
		return 0;
	search = cap_host_begin(&index->hosts6, cap_hash_nh(&index->seed, nh));
	do
		entry = cap_host_next(&index->hosts6, &search, cap_index_tag(nh));
	while (entry && memcmp(index->hosts6_names[entry - index->hosts6_first], address, 16));
	return entry;
}

uint32_t cap_index_prefix4(const struct cap_target_index *index, uint32_t address)
{
	const struct cap_prefixes4 *prefixes = &index->prefixes4;
	const uint16_t low = (uint16_t)address;
	const uint16_t *lasts;
	uint32_t top, from, n;

	if (!prefixes->tops)
		return 0;
	top = prefixes->tops[address >> 16];
	if (top & CAP_TOP_ONE)
		return top & ~CAP_TOP_ONE;
	from = prefixes->parts[top];
	lasts = prefixes->lasts + from;
	/* The first range that ends at or behind the address; the last one does. */
	for (n = prefixes->parts[top + 1] - from; n > 1; n -= n / 2)
		lasts += lasts[n / 2 - 1] < low ? n / 2 : 0;
	return prefixes->values[lasts - prefixes->lasts];
}

static uint32_t find_deep(const struct cap_prefixes6 *prefixes, uint32_t part, uint64_t low)
{
	const uint64_t *lasts = prefixes->lasts + prefixes->parts[part];

	for (uint32_t n = prefixes->parts[part + 1] - prefixes->parts[part]; n > 1; n -= n / 2)
		lasts += lasts[n / 2 - 1] < low ? n / 2 : 0;
	return prefixes->values[lasts - prefixes->lasts];
}

uint32_t cap_index_prefix6(const struct cap_target_index *index, const uint8_t *address)
{
	const struct cap_prefixes6 *prefixes = &index->prefixes6;
	uint64_t half[2];
	uint32_t found;

	if (!prefixes->upper.nodes)
		return 0;
	memcpy(half, address, sizeof(half));
	found = cap_range_tree_find(&prefixes->upper, be64toh(half[0]));
	return found & CAP_DEEP ? find_deep(prefixes, found & ~CAP_DEEP, be64toh(half[1])) : found;
}

/* A MAC address as a name in the table. */
static uint64_t mac_nh(const struct cap_target_index *index, const uint8_t *mac)
{
	uint8_t name[16] = { 0 };

	memcpy(name, mac, CAP_MAC_LEN);
	return cap_nh128(&index->seed, name);
}

struct cap_host_search cap_index_mac_begin(const struct cap_target_index *index, const uint8_t *mac)
{
	return cap_host_begin(&index->macs, cap_hash_nh(&index->seed, mac_nh(index, mac)));
}

uint32_t cap_index_mac_next(const struct cap_target_index *index, struct cap_host_search *search,
			    const uint8_t *mac)
{
	return cap_host_next(&index->macs, search, cap_index_tag(mac_nh(index, mac)));
}

uint32_t cap_index_mac_number(const struct cap_target_index *index, const uint8_t *mac)
{
	return (uint32_t)cap_hash_nh(&index->seed, mac_nh(index, mac)) >> 4;
}

const struct cap_crowd *cap_index_crowd(const struct cap_target_index *index, uint32_t entry)
{
	uint32_t low = 0, high = index->crowd_count;

	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (index->crowds[middle].entry < entry)
			low = middle + 1;
		else
			high = middle;
	}
	return low < index->crowd_count && index->crowds[low].entry == entry ? &index->crowds[low] :
									       NULL;
}

/* @return how many of @p count keys are below @p key */
static uint32_t keys_below(const uint32_t *keys, uint32_t count, uint32_t key)
{
	uint32_t low = 0;

	while (low < count) {
		const uint32_t middle = low + (count - low) / 2;

		if (keys[middle] < key)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

const uint32_t *cap_index_crowd_targets(const struct cap_target_index *index,
					const struct cap_crowd *crowd, uint32_t key,
					uint32_t *count)
{
	const uint32_t *keys = index->crowd_keys + crowd->first;
	const uint32_t at = keys_below(keys, crowd->count, key);

	*count = keys_below(keys + at, crowd->count - at, key + 1);
	return index->crowd_targets + crowd->first + at;
}
