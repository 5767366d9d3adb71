// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define NETNS_FOLDER "/run/netns"
#define VLAN_TAG_BYTES 4
#define XMIT_ERRORS_SUFFIX "_xdp_xmit_errors"

int netns_enter(const char *name, struct fault *fault)
{
	char path[256];
	int fd, failed;

	snprintf(path, sizeof(path), "%s%s%s", strchr(name, '/') ? "" : NETNS_FOLDER,
		 strchr(name, '/') ? "" : "/", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fault_set(
			fault,
			"--netns: cannot open %s: %s; `ip netns list` shows what there is, "
			"`ip netns add %s` makes it.",
			path, strerror(errno), name);
	failed = setns(fd, CLONE_NEWNET);
	close(fd);
	if (failed && errno == EPERM)
		return fault_set(fault, "Entering network namespace %s needs root; run with sudo.",
				 name);
	if (failed)
		return fault_set(fault, "--netns: %s is not a network namespace: %s.", path,
				 strerror(errno));
	return 0;
}

static int request(unsigned long code, const char *name, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int failed;

	if (fd < 0)
		return -1;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	failed = ioctl(fd, code, ifr);
	close(fd);
	return failed;
}

/* A driver that cannot tell its channels is taken for one of a single queue. */
static uint32_t read_tx_queues(const char *name)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq ifr = { .ifr_data = (void *)&channels };
	uint32_t queues;

	if (request(SIOCETHTOOL, name, &ifr))
		return 1;
	queues = channels.tx_count + channels.combined_count;
	return queues ? queues : 1;
}

/* Asks the driver: IFF_RUNNING trails the carrier by up to a second, both ways. */
static bool has_carrier(const char *name)
{
	struct ethtool_value link = { .cmd = ETHTOOL_GLINK };
	struct ifreq ifr = { .ifr_data = (void *)&link };

	/* A driver without the question has no carrier to lose. */
	return request(SIOCETHTOOL, name, &ifr) != 0 || link.data;
}

int link_open(const char *name, struct link *link, struct fault *fault)
{
	struct ifreq ifr = { 0 };

	if (strlen(name) >= IFNAMSIZ || request(SIOCGIFINDEX, name, &ifr))
		return fault_set(
			fault,
			"--interface: there is no interface '%s' here; `ip link` shows what "
			"there is, --netns NAME looks in another namespace.",
			name);
	*link = (struct link){ .index = ifr.ifr_ifindex };
	snprintf(link->name, sizeof(link->name), "%s", name);
	if (request(SIOCGIFFLAGS, name, &ifr))
		return fault_set(fault, "%s: cannot read its flags: %s.", name, strerror(errno));
	if (!(ifr.ifr_flags & IFF_UP))
		return fault_set(fault, "%s is down; bring it up with `ip link set %s up`.", name,
				 name);
	if (!has_carrier(name))
		return fault_set(
			fault, "%s has no carrier; bring the other end up (for a veth: its peer).",
			name);
	if (request(SIOCGIFMTU, name, &ifr))
		return fault_set(fault, "%s: cannot read its MTU: %s.", name, strerror(errno));
	link->mtu = (uint32_t)ifr.ifr_mtu;
	link->tx_queues = read_tx_queues(name);
	return 0;
}

int link_holds(const struct link *link, const struct traffic *traffic, struct fault *fault)
{
	/* The kernel grants one 802.1Q tag beside the MTU; of two tags the inner counts as payload. */
	uint32_t tags = traffic->tag_count == 1 ? VLAN_TAG_BYTES : 0;
	uint32_t room = link->mtu + ETH_HLEN + tags;

	if (traffic->sizes.largest <= room)
		return 0;
	return fault_set(fault,
			 "--size: %u bytes are too long for %s with MTU %u (room for %u); "
			 "`ip link set %s mtu %u` on both ends makes room.",
			 traffic->sizes.largest, link->name, link->mtu, room, link->name,
			 traffic->sizes.largest - ETH_HLEN - tags);
}

/* One attribute out of a whole RTM_NEWLINK message. */
static const struct rtattr *find_attribute(const struct nlmsghdr *message, unsigned short type)
{
	const struct rtattr *attribute = IFLA_RTA(NLMSG_DATA(message));
	size_t left = IFLA_PAYLOAD(message);

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == type)
			return attribute;
	return NULL;
}

static int ask_stats64(int index, struct rtnl_link_stats64 *stats)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} ask = {
		.header = { .nlmsg_len = sizeof(ask),
			    .nlmsg_type = RTM_GETLINK,
			    .nlmsg_flags = NLM_F_REQUEST },
		.info = { .ifi_family = AF_UNSPEC, .ifi_index = index },
	};
	union {
		struct nlmsghdr header;
		char bytes[32768];
	} answer;
	const struct rtattr *attribute;
	ssize_t got = -1;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -1;
	if (send(fd, &ask, sizeof(ask), 0) == (ssize_t)sizeof(ask))
		got = recv(fd, &answer, sizeof(answer), 0);
	close(fd);
	if (got < 0)
		return -1;
	if (!NLMSG_OK(&answer.header, (size_t)got) || answer.header.nlmsg_type != RTM_NEWLINK) {
		errno = ENODEV;
		return -1;
	}
	attribute = find_attribute(&answer.header, IFLA_STATS64);
	if (!attribute ||
	    RTA_PAYLOAD(attribute) < offsetof(struct rtnl_link_stats64, rx_nohandler)) {
		errno = EPROTO;
		return -1;
	}
	memset(stats, 0, sizeof(*stats));
	memcpy(stats, RTA_DATA(attribute),
	       RTA_PAYLOAD(attribute) < sizeof(*stats) ? RTA_PAYLOAD(attribute) : sizeof(*stats));
	return 0;
}

/* Sums the driver's tx_queue_N_xdp_xmit_errors; a driver without any has refused nothing there. */
static uint64_t read_xdp_xmit_errors(const char *name)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ethtool_gstrings *names = NULL;
	struct ethtool_stats *values = NULL;
	struct ifreq ifr = { .ifr_data = (void *)&info };
	uint64_t sum = 0;
	uint32_t n;

	if (request(SIOCETHTOOL, name, &ifr) || !info.n_stats)
		return 0;
	n = info.n_stats;
	names = calloc(1, sizeof(*names) + (size_t)n * ETH_GSTRING_LEN);
	values = calloc(1, sizeof(*values) + (size_t)n * sizeof(uint64_t));
	if (!names || !values)
		goto out;
	*names = (struct ethtool_gstrings){ .cmd = ETHTOOL_GSTRINGS,
					    .string_set = ETH_SS_STATS,
					    .len = n };
	ifr.ifr_data = (void *)names;
	if (request(SIOCETHTOOL, name, &ifr))
		goto out;
	*values = (struct ethtool_stats){ .cmd = ETHTOOL_GSTATS, .n_stats = n };
	ifr.ifr_data = (void *)values;
	if (request(SIOCETHTOOL, name, &ifr))
		goto out;
	for (uint32_t i = 0; i < n; i++) {
		const char *label = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;
		size_t length = strnlen(label, ETH_GSTRING_LEN);
		size_t suffix = strlen(XMIT_ERRORS_SUFFIX);

		if (strncmp(label, "tx_queue_", 9) == 0 && length > suffix &&
		    strncmp(label + length - suffix, XMIT_ERRORS_SUFFIX, suffix) == 0)
			sum += values->data[i];
	}
out:
	free(names);
	free(values);
	return sum;
}

int link_counters_read(const struct link *link, struct link_counters *counters, struct fault *fault)
{
	struct rtnl_link_stats64 stats;

	if (ask_stats64(link->index, &stats))
		return fault_set(fault, "%s: cannot read its counters (is it gone?): %s.",
				 link->name, strerror(errno));
	*counters = (struct link_counters){
		.tx_packets = stats.tx_packets,
		.tx_bytes = stats.tx_bytes,
		.tx_dropped = stats.tx_dropped,
		.tx_errors = stats.tx_errors,
		.xdp_xmit_errors = read_xdp_xmit_errors(link->name),
	};
	return 0;
}

struct link_counters link_counters_since(const struct link_counters *now,
					 const struct link_counters *before)
{
	return (struct link_counters){
		.tx_packets = now->tx_packets - before->tx_packets,
		.tx_bytes = now->tx_bytes - before->tx_bytes,
		.tx_dropped = now->tx_dropped - before->tx_dropped,
		.tx_errors = now->tx_errors - before->tx_errors,
		.xdp_xmit_errors = now->xdp_xmit_errors - before->xdp_xmit_errors,
	};
}
