// SPDX-License-Identifier: Apache-2.0
#include "netdev.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for every attribute of one link: those with many VFs take some 10 KiB. */
#define REPLY_SIZE 65536

struct request {
	struct nlmsghdr head;
	struct ifinfomsg link;
	struct rtattr name;
	char text[IFNAMSIZ];
};

static void read_attributes(struct ifinfomsg *link, unsigned len, struct cap_netdev *device)
{
	struct rtnl_link_stats64 stats;
	unsigned value;

	for (struct rtattr *at = IFLA_RTA(link); RTA_OK(at, len); at = RTA_NEXT(at, len)) {
		if (at->rta_type == IFLA_TXQLEN && RTA_PAYLOAD(at) >= sizeof(value)) {
			memcpy(&value, RTA_DATA(at), sizeof(value));
			device->tx_queue_len = value;
		} else if (at->rta_type == IFLA_MTU && RTA_PAYLOAD(at) >= sizeof(value)) {
			memcpy(&value, RTA_DATA(at), sizeof(value));
			device->mtu = value;
		} else if (at->rta_type == IFLA_STATS64) {
			size_t size = RTA_PAYLOAD(at) < sizeof(stats) ? RTA_PAYLOAD(at) :
									sizeof(stats);

			memset(&stats, 0, sizeof(stats));
			memcpy(&stats, RTA_DATA(at), size);
			device->rx_packets = stats.rx_packets;
			device->rx_missed = stats.rx_missed_errors;
			device->rx_no_buffer = stats.rx_fifo_errors;
			device->tx_dropped = stats.tx_dropped;
		}
	}
}

static int parse_reply(struct nlmsghdr *head, size_t len, struct cap_netdev *device)
{
	if (!NLMSG_OK(head, len))
		return -EPROTO;
	if (head->nlmsg_type == NLMSG_ERROR)
		return ((struct nlmsgerr *)NLMSG_DATA(head))->error;
	if (head->nlmsg_type != RTM_NEWLINK)
		return -EPROTO;

	struct ifinfomsg *link = NLMSG_DATA(head);

	device->ifindex = (unsigned)link->ifi_index;
	device->arp_type = link->ifi_type;
	device->up = (link->ifi_flags & IFF_UP) && (link->ifi_flags & IFF_RUNNING);
	read_attributes(link, head->nlmsg_len - (unsigned)NLMSG_LENGTH(sizeof(*link)), device);
	return 0;
}

int cap_netdev_socket(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? -errno : fd;
}

int cap_netdev_ask(int fd, const char *name, struct cap_netdev *device)
{
	struct request ask = {
		.head = { .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST },
		.link = { .ifi_family = AF_UNSPEC },
		.name = { .rta_type = IFLA_IFNAME },
	};
	size_t name_len = strlen(name) + 1;
	char reply[REPLY_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
	ssize_t got;

	*device = (struct cap_netdev){ 0 };
	if (name_len > IFNAMSIZ)
		return -ENODEV;
	memcpy(ask.text, name, name_len);
	ask.name.rta_len = (unsigned short)RTA_LENGTH(name_len);
	ask.head.nlmsg_len = (uint32_t)(offsetof(struct request, name) + RTA_SPACE(name_len));

	if (send(fd, &ask, ask.head.nlmsg_len, 0) < 0 ||
	    (got = recv(fd, reply, sizeof(reply), 0)) < 0)
		return -errno;
	return parse_reply((struct nlmsghdr *)(void *)reply, (size_t)got, device);
}

int cap_netdev_read(const char *name, struct cap_netdev *device)
{
	int fd = cap_netdev_socket();
	int rc = fd < 0 ? fd : cap_netdev_ask(fd, name, device);

	if (fd >= 0)
		close(fd);
	return rc;
}

int cap_netdev_find(const char *name, const char *method, struct cap_netdev *device,
		    struct cap_error *err)
{
	int rc = cap_netdev_read(name, device);

	if (rc)
		cap_fail(err, -rc, "%s: %s: %s", name, method,
			 rc == -ENODEV ? "there is no such interface: see ip link" : strerror(-rc));
	return rc;
}

/* @param question begins with its command; the answer is put there */
static bool ask_ethtool(const char *name, void *question)
{
	struct ifreq request = { .ifr_data = question };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool answered;

	if (fd < 0)
		return false;
	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	answered = ioctl(fd, SIOCETHTOOL, &request) == 0;
	close(fd);
	return answered;
}

void cap_netdev_driver(const char *name, char out[CAP_NETDEV_DRIVER])
{
	struct ethtool_drvinfo told = { .cmd = ETHTOOL_GDRVINFO };

	_Static_assert(sizeof(told.driver) == CAP_NETDEV_DRIVER, "a driver's name");
	out[0] = '\0';
	if (!ask_ethtool(name, &told))
		return;
	memcpy(out, told.driver, CAP_NETDEV_DRIVER);
	out[CAP_NETDEV_DRIVER - 1] = '\0';
}

unsigned cap_netdev_queues(const char *name)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	unsigned queues = 0;

	/* A device without channels answers EOPNOTSUPP: it has one queue. */
	if (ask_ethtool(name, &channels))
		queues = channels.rx_count + channels.combined_count;
	return queues ? queues : 1;
}

bool cap_netdev_strips_tags(const char *name)
{
	struct ethtool_value flags = { .cmd = ETHTOOL_GFLAGS };

	return ask_ethtool(name, &flags) && flags.data & ETH_FLAG_RXVLAN;
}

int cap_netdev_hold_promiscuous(unsigned ifindex)
{
	struct packet_mreq membership = { .mr_ifindex = (int)ifindex,
					  .mr_type = PACKET_MR_PROMISC };
	/* Protocol 0: the socket receives nothing. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership))) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}
