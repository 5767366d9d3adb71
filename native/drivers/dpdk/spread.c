// SPDX-License-Identifier: Apache-2.0
/* What the device made of the key and the queues that it was given: some drivers keep their own without a word. */
#include "dpdk.h"

#include "log.h"
#include "rss.h"

/* Entries of the largest table that is known (mlx5: 512), with room. */
#define LARGEST_TABLE 2048U

static void check_key(const struct cap_port *port)
{
	uint8_t key[CAP_RSS_LONGEST_KEY] = { 0 };
	struct rte_eth_rss_conf conf = { .rss_key = key, .rss_key_len = sizeof(key) };

	/* A driver that cannot say is believed. */
	if (rte_eth_dev_rss_hash_conf_get(port->id, &conf) == 0 && conf.rss_key_len &&
	    conf.rss_key_len <= sizeof(key) && !cap_rss_is_symmetric(key, conf.rss_key_len))
		cap_warn(
			"rss_key",
			"%s: the device spreads packets by a key of its own: the two directions of a flow may come by two queues",
			port->config->interface);
}

static void check_table(const struct cap_port *port, uint16_t size)
{
	struct rte_eth_rss_reta_entry64 groups[LARGEST_TABLE / RTE_ETH_RETA_GROUP_SIZE];
	uint16_t table[LARGEST_TABLE];
	int without;

	for (unsigned i = 0; i < LARGEST_TABLE / RTE_ETH_RETA_GROUP_SIZE; i++)
		groups[i].mask = UINT64_MAX;
	if (!size || size > LARGEST_TABLE || rte_eth_dev_rss_reta_query(port->id, groups, size))
		return;
	for (unsigned i = 0; i < size; i++)
		table[i] = groups[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
	without = cap_rss_queue_without(table, size, port->queue_count);
	if (without >= 0)
		cap_warn("rss_table",
			 "%s: the device's RSS leads nothing to queue %d: write fewer queues",
			 port->config->interface, without);
}

void cap_dpdk_check_spread(const struct cap_port *port)
{
	struct rte_eth_dev_info info;

	if (!port->rss || rte_eth_dev_info_get(port->id, &info))
		return;
	if (port->symmetric)
		check_key(port);
	check_table(port, info.reta_size);
}
