// SPDX-License-Identifier: Apache-2.0
/* From a name to a port that is ready to be started, and back. */
#include "dpdk.h"

#include "eal.h"
#include "leftovers.h"
#include "log.h"
#include "netdev.h"
#include "pci.h"
#include "rss.h"

#include <errno.h>
#include <net/if.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The largest MTU that networks use; a port that can do more is not asked to. */
#define JUMBO_MTU 9600U

/* Ethernet header, FCS and two VLAN tags: what an MTU leaves out. */
#define LINK_OVERHEAD 26U

/* Nothing is sent. Some drivers want a transmit queue beside each receive queue, however small. */
#define SEND_DESCRIPTORS 64U

/* The bus may be telling of the device while we leave it. */
#define UNREGISTER_TRIES 100
#define UNREGISTER_PAUSE_NS 1000000L

/* What DPDK said of it. Its drivers return numbers that often mean nothing. */
static const char *reason(int rc)
{
	const char *complaint = cap_eal_complaint();

	return *complaint ? complaint : strerror(-rc);
}

static int fail(struct cap_error *err, const struct cap_port *port, int rc, const char *what)
{
	const char *why = reason(rc);

	if (rc == -ENOMEM)
		return cap_fail(
			err, ENOMEM,
			"%s: dpdk: %s failed: no memory for %u queues of %u descriptors on NUMA node %d: %slower descriptors: %s",
			port->config->interface, what, port->queue_count, port->descriptors,
			rte_eth_dev_socket_id(port->id),
			port->options->huge ? "reserve more hugepages there, or " : "", why);
	return cap_fail(err, -rc, "%s: dpdk: %s failed: %s", port->config->interface, what, why);
}

/* The port of the device; a device with several has them behind its first. */
static bool find(struct cap_port *port, struct rte_eth_dev_info *info)
{
	for (uint16_t id = 0; id < RTE_MAX_ETHPORTS; id++) {
		if (rte_eth_dev_is_valid_port(id) && rte_eth_dev_info_get(id, info) == 0 &&
		    !strcmp(rte_dev_name(info->device), port->config->interface)) {
			port->id = id;
			return true;
		}
	}
	return false;
}

static unsigned mtu_behind(const struct cap_port *port)
{
	struct cap_netdev netdev;
	char name[64];

	if (!cap_dpdk_devarg(port->options->devargs, "iface", name, sizeof(name)) ||
	    cap_netdev_read(name, &netdev))
		return 0;
	return netdev.mtu;
}

/* Drivers over the kernel's sockets say no more than that they could not open one. */
static bool lacks_raw_sockets(const struct cap_port_config *config)
{
	int fd = -1;

	if (!(cap_dpdk_port_privileges(config) & CAP_PRIVILEGE_NET_RAW))
		return false;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EPERM;
}

static int fail_probe(struct cap_port *port, int rc, struct cap_error *err)
{
	const char *name = port->config->interface;
	const char *why = reason(rc);
	char behind[IF_NAMESIZE];

	if (cap_dpdk_devarg(port->options->devargs, "iface", behind, sizeof(behind)) &&
	    !cap_dpdk_begins(name, "net_tap") && !if_nametoindex(behind))
		return cap_fail(
			err, ENODEV,
			"%s: dpdk: there is no such interface as %s, which its devargs name: see ip link",
			name, behind);
	if (!cap_dpdk_is_pci(name) && lacks_raw_sockets(port->config))
		return cap_fail(
			err, EPERM,
			"%s: dpdk: the virtual device cannot be made: opening a packet socket is not permitted: start the engine as root",
			name);
	if (!cap_dpdk_is_pci(name))
		return cap_fail(
			err, -rc,
			"%s: dpdk: the virtual device cannot be made: %s: look at its name and devargs",
			name, why);
	return cap_fail(
		err, -rc,
		"%s: dpdk: no driver of DPDK takes the device: %s: see that its IOMMU group is free, that the engine may open /dev/vfio, and that the NIC's librte-net package is installed",
		name, why);
}

static int probe(struct cap_port *port, struct rte_eth_dev_info *info, struct cap_error *err)
{
	char device[CAP_DPDK_DEVARGS];
	int rc;

	if (cap_dpdk_is_pci(port->config->interface)) {
		rc = cap_pci_check(CAP_SYSFS, port->config->interface, err);
		if (rc)
			return rc;
	}
	if (find(port, info))
		return 0;
	if (cap_dpdk_begins(port->config->interface, "net_memif"))
		cap_leftover_socket_remove(port->options->devargs);
	(void)cap_eal_complaint();
	cap_dpdk_device_string(port->config, mtu_behind(port), device);
	rc = rte_dev_probe(device);
	if (rc)
		return fail_probe(port, rc, err);
	return find(port, info) ? 0 : fail_probe(port, -ENODEV, err);
}

/* Told by EAL's thread, which must not touch the port: the main thread looks at the flag. */
static void bus_event(const char *name, enum rte_dev_event_type type, void *argument)
{
	struct cap_port *port = argument;

	(void)name;
	if (type == RTE_DEV_EVENT_REMOVE)
		__atomic_store_n(&port->removed, true, __ATOMIC_RELEASE);
}

static int port_event(uint16_t id, enum rte_eth_event_type type, void *argument, void *unused)
{
	struct cap_port *port = argument;

	(void)id;
	(void)type;
	(void)unused;
	__atomic_store_n(&port->removed, true, __ATOMIC_RELEASE);
	return 0;
}

static int watch_removal(struct cap_port *port, struct cap_error *err)
{
	int rc = rte_eth_dev_callback_register(port->id, RTE_ETH_EVENT_INTR_RMV, port_event, port);

	if (rc == 0)
		rc = rte_dev_event_callback_register(port->config->interface, bus_event, port);
	return rc ? fail(err, port, rc, "watching for its removal") : 0;
}

static void unwatch_removal(struct cap_port *port)
{
	const struct timespec pause = { .tv_nsec = UNREGISTER_PAUSE_NS };

	rte_eth_dev_callback_unregister(port->id, RTE_ETH_EVENT_INTR_RMV, port_event, port);
	for (unsigned i = 0; i < UNREGISTER_TRIES; i++) {
		if (rte_dev_event_callback_unregister(port->config->interface, bus_event, port) !=
		    -EAGAIN)
			return;
		nanosleep(&pause, NULL);
	}
}

static int check_queues(const struct cap_port *port, const struct rte_eth_dev_info *info,
			struct cap_error *err)
{
	if (port->queue_count > info->max_rx_queues)
		return cap_fail(
			err, EINVAL,
			"%s: dpdk: has %u receive queues at most (%s), and %u were asked for: write queues %u",
			port->config->interface, info->max_rx_queues, info->driver_name,
			port->queue_count, info->max_rx_queues);
	return 0;
}

static uint32_t overhead(const struct rte_eth_dev_info *info)
{
	return info->max_mtu != UINT16_MAX && info->max_rx_pktlen > info->max_mtu ?
		       info->max_rx_pktlen - info->max_mtu :
		       RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
}

static uint32_t largest_mtu(const struct rte_eth_dev_info *info)
{
	uint32_t mtu = info->max_mtu < JUMBO_MTU ? info->max_mtu : JUMBO_MTU;
	uint32_t room = info->max_rx_pktlen > overhead(info) ?
				info->max_rx_pktlen - overhead(info) :
				RTE_ETHER_MTU;

	return mtu < room ? mtu : room;
}

/* net_vmxnet3 says that it chains buffers, and tells the device that it has room for none behind the first. */
static bool chains_buffers(const struct rte_eth_dev_info *info)
{
	return (info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) &&
	       strcmp(info->driver_name, "net_vmxnet3");
}

/* Frames above one buffer are chained where the driver can; otherwise a buffer must hold the largest. */
static uint16_t buffer_room(const struct cap_port *port, const struct rte_eth_dev_info *info,
			    uint32_t mtu)
{
	uint32_t room = RTE_MBUF_DEFAULT_DATAROOM;
	char frame[16];

	if (!chains_buffers(info) && room < mtu + LINK_OVERHEAD)
		room = mtu + LINK_OVERHEAD;
	if (room < info->min_rx_bufsize)
		room = info->min_rx_bufsize;
	/* net_af_packet wants room for a frame of its ring, headers and all. */
	if (!strcmp(info->driver_name, "net_af_packet")) {
		char device[CAP_DPDK_DEVARGS];

		cap_dpdk_device_string(port->config, mtu_behind(port), device);
		if (cap_dpdk_devarg(device, "framesz", frame, sizeof(frame)) &&
		    room < strtoul(frame, NULL, 10))
			room = (uint32_t)strtoul(frame, NULL, 10);
	}
	room = (room + 63) & ~63U;
	return (uint16_t)(room + RTE_PKTMBUF_HEADROOM);
}

static struct rte_eth_conf configuration(struct cap_port *port, const struct rte_eth_dev_info *info,
					 uint8_t key[CAP_RSS_LONGEST_KEY], uint32_t mtu)
{
	const uint64_t flows = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP |
			       RTE_ETH_RSS_SCTP;
	struct rte_eth_conf conf = { .rxmode.mtu = mtu };

	conf.rxmode.offloads = info->rx_offload_capa &
			       (RTE_ETH_RX_OFFLOAD_SCATTER | RTE_ETH_RX_OFFLOAD_TIMESTAMP);
	port->stamps = conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TIMESTAMP;
	port->rss = port->queue_count > 1 && (info->flow_type_rss_offloads & flows);
	port->symmetric = port->rss && info->hash_key_size &&
			  info->hash_key_size <= CAP_RSS_LONGEST_KEY;
	if (port->rss) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & flows;
	}
	if (port->symmetric) {
		cap_rss_key(key, info->hash_key_size);
		conf.rx_adv_conf.rss_conf.rss_key = key;
		conf.rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
	}
	conf.intr_conf.rxq = port->idle == CAP_DPDK_IDLE_INTERRUPT;
	return conf;
}

/* Pools outlive a port that vanishes: its memory need not be found anew, without root's rights. */
static struct rte_mempool *pool_of(struct cap_port *port, unsigned queue, uint16_t room)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	struct rte_mempool *pool;
	int node = rte_eth_dev_socket_id(port->id);

	snprintf(name, sizeof(name), "cap%u.%u.%u", port->config->index, queue, room);
	pool = rte_mempool_lookup(name);
	if (!pool)
		pool = rte_pktmbuf_pool_create(name, cap_dpdk_buffers(port->descriptors),
					       CAP_DPDK_CACHE, 0, room, node);
	return pool;
}

static int set_up_queues(struct cap_port *port, const struct rte_eth_dev_info *info, uint16_t tx,
			 uint16_t room, const char **what)
{
	uint16_t rx_descriptors = (uint16_t)port->options->descriptors;
	uint16_t tx_descriptors = SEND_DESCRIPTORS;
	unsigned node = (unsigned)rte_eth_dev_socket_id(port->id);
	struct rte_eth_rxconf rx = info->default_rxconf;
	int rc;

	*what = "choosing the number of descriptors";
	rc = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx_descriptors, &tx_descriptors);
	if (rc)
		return rc;
	port->descriptors = rx_descriptors;
	/*
	 * A ring that is full holds up the NIC's memory until that is full, too, and imissed counts. Dropped
	 * at the ring, packets are in no counter of ethdev's (igb, ixgbe).
	 */
	rx.rx_drop_en = 0;
	rx.offloads = 0;
	*what = "setting up a receive queue";
	for (uint16_t q = 0; q < port->queue_count; q++) {
		struct rte_mempool *pool = pool_of(port, q, room);

		if (!pool)
			return -rte_errno;
		rc = rte_eth_rx_queue_setup(port->id, q, rx_descriptors, node, &rx, pool);
		if (rc)
			return rc;
	}
	*what = "setting up a transmit queue";
	for (uint16_t q = 0; q < tx; q++) {
		rc = rte_eth_tx_queue_setup(port->id, q, tx_descriptors, node, NULL);
		if (rc)
			return rc;
	}
	return 0;
}

static int try_configuration(struct cap_port *port, const struct rte_eth_dev_info *info,
			     uint32_t mtu, const char **what)
{
	uint16_t rx = (uint16_t)port->queue_count;
	uint16_t tx = rx < info->max_tx_queues ? rx : info->max_tx_queues;
	uint8_t key[CAP_RSS_LONGEST_KEY];
	struct rte_eth_conf conf = configuration(port, info, key, mtu);
	int rc;

	*what = "configuring the port";
	rc = rte_eth_dev_configure(port->id, rx, tx, &conf);
	if (rc == 0)
		rc = set_up_queues(port, info, tx, buffer_room(port, info, mtu), what);
	if (rc == 0 && !strcmp(info->driver_name, "net_memif"))
		port->largest_frame = CAP_DPDK_MEMIF_BUFFER; /* knows no MTU */
	else if (rc == 0)
		port->largest_frame =
			(mtu_behind(port) ? mtu_behind(port) : mtu) + RTE_ETHER_HDR_LEN;
	return rc;
}

/* From the best that the port says it can downwards; what it refuses is told. */
static int configure(struct cap_port *port, const struct rte_eth_dev_info *info,
		     struct cap_port_facts *facts, struct cap_error *err)
{
	uint32_t mtu = largest_mtu(info);
	const char *what;
	int rc = try_configuration(port, info, mtu, &what);

	if (rc && rc != -ENOMEM && port->idle == CAP_DPDK_IDLE_INTERRUPT) {
		port->idle = CAP_DPDK_IDLE_SLEEP;
		rc = try_configuration(port, info, mtu, &what);
		port->no_interrupts = rc == 0;
	}
	if (rc && rc != -ENOMEM && mtu > RTE_ETHER_MTU) {
		port->idle = port->options->idle;
		rc = try_configuration(port, info, RTE_ETHER_MTU, &what);
		if (rc == 0)
			cap_degraded(
				facts,
				"frames over %u bytes cannot be received: the port refuses a larger MTU here",
				RTE_ETHER_MTU + RTE_ETHER_HDR_LEN);
	}
	if (rc)
		return fail(err, port, rc, what);
	if (port->queue_count > 1 && !port->rss)
		cap_degraded(
			facts,
			"the port has no RSS: its device spreads packets over queues as it likes");
	else if (port->rss && !port->symmetric)
		cap_degraded(
			facts,
			"the port takes no key for its RSS: the two directions of a flow may come by two queues");
	return 0;
}

/*
 * A device on top of the kernel's would set the interface's flag, which a stop leaves set and a crash, too: such a
 * one is held promiscuous from here.
 */
static int become_promiscuous(struct cap_port *port)
{
	if (strcmp(port->driver_name, "net_af_packet") && strcmp(port->driver_name, "net_af_xdp"))
		return rte_eth_promiscuous_enable(port->id);
	port->promiscuous_fd = cap_netdev_hold_promiscuous(port->if_index);
	return port->promiscuous_fd < 0 ? port->promiscuous_fd : 0;
}

static void keep_tags(struct cap_port *port, struct cap_port_facts *facts)
{
	const int changes = RTE_ETH_VLAN_STRIP_OFFLOAD | RTE_ETH_VLAN_FILTER_OFFLOAD |
			    RTE_ETH_QINQ_STRIP_OFFLOAD;
	int vlan = rte_eth_dev_get_vlan_offload(port->id), left;

	if (vlan <= 0 || !(vlan & changes) ||
	    rte_eth_dev_set_vlan_offload(port->id, vlan & ~changes) == 0)
		return;
	left = rte_eth_dev_get_vlan_offload(port->id);
	if (left >= 0)
		vlan = left;
	if (vlan & RTE_ETH_VLAN_STRIP_OFFLOAD)
		cap_degraded(
			facts,
			"the port takes VLAN tags out of frames: they are put back, with the type of 802.1Q");
	if (vlan & RTE_ETH_QINQ_STRIP_OFFLOAD)
		cap_degraded(
			facts,
			"the port takes two VLAN tags out of frames that have two: the outer one is lost");
	if (vlan & RTE_ETH_VLAN_FILTER_OFFLOAD)
		cap_degraded(
			facts,
			"the port rejects frames by their VLAN id: those that are not set there are lost");
}

/* Every frame as it was on the wire, whoever it is for. */
static int take_all_frames(struct cap_port *port, struct cap_port_facts *facts,
			   struct cap_error *err)
{
	int rc = 0;

	keep_tags(port, facts);
	if (port->config->promiscuous)
		rc = become_promiscuous(port);
	if (rc == -ENOTSUP)
		cap_degraded(
			facts,
			"the port has no promiscuous mode: frames for other stations may not be seen");
	else if (rc)
		return fail(err, port, rc, "switching to promiscuous mode");
	/* A device without it that is promiscuous needs none. */
	(void)rte_eth_allmulticast_enable(port->id);
	return 0;
}

static bool is_over_sockets(const struct rte_eth_dev_info *info)
{
	return !strcmp(info->driver_name, "net_af_packet") ||
	       !strcmp(info->driver_name, "net_af_xdp");
}

/* What a virtual device does otherwise than a NIC would, and cannot be mended from here. */
static void tell_limits(const struct rte_eth_dev_info *info, struct cap_port_facts *facts)
{
	if (!strcmp(info->driver_name, "net_af_packet"))
		cap_degraded(
			facts,
			"net_af_packet rebuilds IP fragments, takes what this host sends, and shows 802.1ad tags as 802.1Q: method af_packet does better");
	if (strcmp(info->driver_name, "net_memif"))
		return;
	cap_degraded(
		facts,
		"net_memif garbles frames that take several of its buffers once its ring is full: where the other end is the client, give it a bsize that holds the largest frame");
	cap_degraded(
		facts,
		"net_memif takes its ring away when the other end leaves, also from under the worker, and the engine dies of that: end the sender after it is quiet");
}

static int register_stamp(struct cap_port *port, const struct rte_eth_dev_info *info,
			  struct cap_error *err)
{
	/* net_pcap stamps without being asked. */
	if (!port->stamps && strcmp(info->driver_name, "net_pcap"))
		return 0;
	if (rte_mbuf_dyn_rx_timestamp_register(&port->stamp_offset, &port->stamp_flag))
		return fail(err, port, -rte_errno, "making room for time stamps");
	return 0;
}

int cap_dpdk_device_open(struct cap_port *port, struct cap_port_facts *facts, struct cap_error *err)
{
	struct rte_eth_dev_info info;
	int rc;

	cap_kernel_sockets_begin(&port->sockets);
	rc = probe(port, &info, err);
	if (rc)
		return rc;
	port->device = info.device;
	port->driver_name = info.driver_name;
	port->if_index = info.if_index;
	port->idle = port->options->idle;
	port->longest_sleep_ns = cap_dpdk_longest_sleep((unsigned)port->options->descriptors, 0);
	rc = check_queues(port, &info, err);
	if (rc == 0)
		rc = configure(port, &info, facts, err);
	if (rc == 0 && is_over_sockets(&info))
		cap_kernel_sockets_find(&port->sockets);
	if (rc == 0)
		rc = take_all_frames(port, facts, err);
	if (rc == 0)
		rc = register_stamp(port, &info, err);
	if (rc == 0)
		rc = watch_removal(port, err);
	if (rc == 0)
		tell_limits(&info, facts);
	if (rc)
		cap_dpdk_device_close(port);
	return rc;
}

void cap_dpdk_device_close(struct cap_port *port)
{
	int rc;

	unwatch_removal(port);
	if (port->promiscuous_fd >= 0)
		close(port->promiscuous_fd);
	port->promiscuous_fd = -1;
	if (port->started && (rc = rte_eth_dev_stop(port->id)))
		cap_warn("dpdk", "%s: stopping the port failed: %s", port->config->interface,
			 strerror(-rc));
	rc = rte_eth_dev_close(port->id);
	if (rc)
		cap_warn("dpdk", "%s: closing the port failed: %s", port->config->interface,
			 strerror(-rc));
	rc = rte_dev_remove(port->device);
	if (rc && rc != -ENODEV)
		cap_warn("dpdk", "%s: giving the device back failed: %s", port->config->interface,
			 strerror(-rc));
}
