// SPDX-License-Identifier: Apache-2.0
#include "packet_sockets.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>

/* The engine has a few files a port and queue; new ones get the lowest numbers. */
#define MOST_DESCRIPTORS 4096

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, level, option, &value, &size) ? -1 : value;
}

static bool is_of(int fd, unsigned if_index)
{
	struct sockaddr_ll bound = { 0 };
	socklen_t size = sizeof(bound);

	return option_of(fd, SOL_SOCKET, SO_DOMAIN) == AF_PACKET &&
	       option_of(fd, SOL_PACKET, PACKET_VERSION) == TPACKET_V2 &&
	       getsockname(fd, (struct sockaddr *)&bound, &size) == 0 &&
	       bound.sll_protocol == htons(ETH_P_ALL) && bound.sll_ifindex == (int)if_index;
}

void cap_packet_sockets_find(struct cap_packet_sockets *sockets, unsigned if_index)
{
	memset(sockets, 0, sizeof(*sockets));
	for (int fd = 0; fd < MOST_DESCRIPTORS && sockets->count < CAP_MAX_QUEUES; fd++)
		if (is_of(fd, if_index))
			sockets->fds[sockets->count++] = fd;
}

void cap_packet_sockets_renew(struct cap_packet_sockets *sockets)
{
	for (unsigned i = 0; i < sockets->count; i++) {
		struct tpacket_stats stats;
		socklen_t size = sizeof(stats);

		if (getsockopt(sockets->fds[i], SOL_PACKET, PACKET_STATISTICS, &stats, &size))
			continue;
		/* tp_packets counts what was dropped as well. */
		sockets->received += stats.tp_packets - stats.tp_drops;
		sockets->missed += stats.tp_drops;
	}
}
