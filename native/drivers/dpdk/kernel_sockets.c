// SPDX-License-Identifier: Apache-2.0
#include "kernel_sockets.h"

#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <string.h>
#include <sys/socket.h>

static int domain_of(int fd)
{
	int domain = -1;
	socklen_t size = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) ? -1 : domain;
}

static bool captures(int domain)
{
	return domain == AF_PACKET || domain == AF_XDP;
}

void cap_kernel_sockets_begin(struct cap_kernel_sockets *sockets)
{
	memset(sockets, 0, sizeof(*sockets));
	for (int fd = 0; fd < CAP_KERNEL_SOCKET_FILES; fd++)
		sockets->before[fd] = captures(domain_of(fd));
}

void cap_kernel_sockets_find(struct cap_kernel_sockets *sockets)
{
	for (int fd = 0; fd < CAP_KERNEL_SOCKET_FILES && sockets->count < CAP_MAX_QUEUES; fd++) {
		int domain = sockets->before[fd] ? -1 : domain_of(fd);

		if (!captures(domain))
			continue;
		sockets->xdp = domain == AF_XDP;
		sockets->fds[sockets->count++] = fd;
	}
}

static void add_packet(struct cap_kernel_sockets *sockets, int fd)
{
	struct tpacket_stats stats;
	socklen_t size = sizeof(stats);

	if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size))
		return;
	/* tp_packets counts what was dropped as well. */
	sockets->received += stats.tp_packets - stats.tp_drops;
	sockets->missed += stats.tp_drops;
}

/* rx_fill_ring_empty_descs counts attempts, and is in rx_dropped as well. */
static uint64_t missed_by_xdp(int fd)
{
	struct xdp_statistics stats = { 0 };
	socklen_t size = sizeof(stats);

	if (getsockopt(fd, SOL_XDP, XDP_STATISTICS, &stats, &size))
		return 0;
	return stats.rx_dropped + stats.rx_ring_full;
}

void cap_kernel_sockets_renew(struct cap_kernel_sockets *sockets)
{
	uint64_t missed = 0;

	for (unsigned i = 0; i < sockets->count; i++) {
		if (sockets->xdp)
			missed += missed_by_xdp(sockets->fds[i]);
		else
			add_packet(sockets, sockets->fds[i]);
	}
	/* These go on counting when they are read. */
	if (sockets->xdp && missed > sockets->missed)
		sockets->missed = missed;
}
