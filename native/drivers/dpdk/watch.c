// SPDX-License-Identifier: Apache-2.0
/* What the main thread looks at a few times a second: link, counters, and whether the device is there. */
#include "dpdk.h"

#include "netdev.h"
#include "pci.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

bool cap_dpdk_begins(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

/* EAL hears of a removal through VFIO alone: with the uio drivers the kernel's list of devices has to tell. */
static bool is_removed(struct cap_port *port)
{
	const char *name = port->config->interface;

	if (cap_dpdk_is_pci(name) && !cap_pci_present(CAP_SYSFS, name))
		__atomic_store_n(&port->removed, true, __ATOMIC_RELEASE);
	return __atomic_load_n(&port->removed, __ATOMIC_ACQUIRE);
}

/* The network device behind a virtual device. @return whether it is there and told */
static bool read_behind(const struct cap_port *port, struct cap_netdev *netdev)
{
	char name[IF_NAMESIZE];

	return port->if_index && if_indextoname(port->if_index, name) &&
	       cap_netdev_read(name, netdev) == 0;
}

unsigned cap_dpdk_held_at_most(const struct cap_port *port)
{
	struct cap_netdev netdev;

	if (cap_dpdk_begins(port->driver_name, "net_tap") && read_behind(port, &netdev) &&
	    netdev.tx_queue_len > port->descriptors)
		return netdev.tx_queue_len;
	return port->descriptors;
}

int cap_dpdk_read_figures(struct cap_port *port, struct cap_dpdk_figures *figures)
{
	struct rte_eth_stats stats;
	struct cap_netdev netdev;
	int rc = is_removed(port) ? -ENODEV : rte_eth_stats_get(port->id, &stats);

	/* The registers of a device that is gone read as all ones: it may have gone while they were read. */
	if (rc == 0 && is_removed(port))
		rc = -ENODEV;
	if (rc)
		return rc;
	*figures = (struct cap_dpdk_figures){ stats.ipackets, stats.imissed, stats.rx_nombuf,
					      stats.ierrors };
	/* net_tap counts what it reads from the kernel, which counts what its queue had no room for. */
	if (cap_dpdk_begins(port->driver_name, "net_tap") && read_behind(port, &netdev))
		figures->missed += netdev.tx_dropped;
	cap_kernel_sockets_renew(&port->sockets);
	if (port->sockets.xdp) {
		figures->missed = port->sockets.missed;
	} else if (port->sockets.count) {
		figures->missed += port->sockets.missed;
		/* The driver counts a packet when it is taken, and the kernel when it is put into the ring. */
		figures->received = port->sockets.received;
	}
	return 0;
}

void cap_dpdk_renew_figures(struct cap_port *port)
{
	struct cap_dpdk_figures now;

	if (port->started && !__atomic_load_n(&port->disarmed, __ATOMIC_RELAXED) &&
	    cap_dpdk_read_figures(port, &now) == 0)
		port->figures = cap_dpdk_since(&now, &port->base, &port->figures);
}

/* What these receive has come through the kernel's device, which counts it with or without us. */
static bool is_counted_by_kernel(const struct cap_port *port)
{
	return cap_dpdk_begins(port->driver_name, "net_af_packet") ||
	       cap_dpdk_begins(port->driver_name, "net_af_xdp") ||
	       cap_dpdk_begins(port->driver_name, "net_pcap");
}

/* Not every driver of DPDK says how the network device is that it is over. */
static int look_behind(const struct cap_port *port, struct cap_device *device)
{
	struct cap_netdev netdev;

	if (!read_behind(port, &netdev))
		return -ENODEV;
	device->up = netdev.up;
	if (is_counted_by_kernel(port)) {
		device->counts_on = true;
		device->rx_packets = netdev.rx_packets;
	}
	return 0;
}

/* Is there anything to be opened? A virtual device is, unless it is over a network device that is not. */
static int look_for_device(const struct cap_port_config *config, struct cap_device *device)
{
	const struct cap_dpdk_options *options = config->options;
	char name[IF_NAMESIZE], driver[64];

	device->up = true;
	if (cap_dpdk_is_pci(config->interface)) {
		cap_pci_driver(CAP_SYSFS, config->interface, driver, sizeof(driver));
		return *driver ? 0 : -ENODEV;
	}
	if (cap_dpdk_devarg(options->devargs, "iface", name, sizeof(name)) && !if_nametoindex(name))
		return -ENODEV;
	return 0;
}

int cap_dpdk_watch(const struct cap_port_config *config, struct cap_port *port,
		   struct cap_device *device)
{
	struct rte_eth_link link = { 0 };

	*device = (struct cap_device){ 0 };
	if (!port)
		return look_for_device(config, device);
	if (is_removed(port))
		return -ENODEV;
	if (port->started && rte_eth_link_get_nowait(port->id, &link) == 0)
		device->up = link.link_status == RTE_ETH_LINK_UP;
	cap_dpdk_renew_figures(port);
	if (is_removed(port))
		return -ENODEV;
	device->rx_packets = port->figures.received;
	if (port->if_index && look_behind(port, device))
		return -ENODEV;
	cap_dpdk_time_renew(port);
	__atomic_store_n(&port->longest_sleep_ns,
			 cap_dpdk_longest_sleep(port->descriptors, link.link_speed),
			 __ATOMIC_RELAXED);
	device->identity = port->if_index;
	device->rx_missed = port->figures.missed;
	device->rx_no_buffer = port->figures.no_buffer;
	device->rx_errors = port->figures.errors;
	return 0;
}

static unsigned name_them(const struct rte_eth_xstat_name *names,
			  const struct rte_eth_xstat *values, unsigned count,
			  struct cap_device_counter *out, unsigned max)
{
	unsigned used = 0;

	for (unsigned i = 0; i < count && used < max; i++) {
		if (values[i].id >= count)
			continue;
		memcpy(out[used].name, names[values[i].id].name, sizeof(out[used].name));
		out[used++].value = values[i].value;
	}
	return used;
}

int cap_dpdk_device_counters(struct cap_port *port, struct cap_device_counter *out, unsigned max)
{
	struct rte_eth_xstat_name *names;
	struct rte_eth_xstat *values;
	int n = is_removed(port) ? -ENODEV : rte_eth_xstats_get_names(port->id, NULL, 0);

	if (n <= 0)
		return n;
	names = calloc((size_t)n, sizeof(*names));
	values = calloc((size_t)n, sizeof(*values));
	/* A port whose queues are being set up anew has other counters a moment later: then none, this once. */
	if (names && values && rte_eth_xstats_get_names(port->id, names, (unsigned)n) == n &&
	    rte_eth_xstats_get(port->id, values, (unsigned)n) == n)
		n = (int)name_them(names, values, (unsigned)n, out, max);
	else
		n = 0;
	free(names);
	free(values);
	return n;
}
