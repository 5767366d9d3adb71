// SPDX-License-Identifier: Apache-2.0
#include "sender.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "frame.h"

#define BURST 64
#define SEND_BUFFER_BYTES (4 << 20)

struct af_packet {
	int fd;
	const struct link *link;
	const struct traffic *traffic;
	struct mmsghdr messages[BURST];
	struct iovec vectors[BURST];
	uint8_t frames[BURST][FRAME_MAX];
};

static int open_socket(const struct link *link, const struct traffic *traffic, struct fault *fault)
{
	/* Protocol 0: this socket receives nothing. */
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_ifindex = link->index };
	int bytes = SEND_BUFFER_BYTES;
	/*
	 * Past the queueing discipline is faster, but then the CPU chooses the link's queue. Flows
	 * spread over many queues only where the stack hashes them.
	 */
	int bypass = traffic->flows == 1 || link->tx_queues == 1;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 && errno == EPERM)
		return fault_set(fault, "Sending needs root (CAP_NET_RAW); run with sudo.");
	if (fd < 0)
		return fault_set(fault, "Cannot open a packet socket: %s.", strerror(errno));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof(bypass))) {
		fault_set(fault, "%s: cannot bind a packet socket: %s.", link->name,
			  strerror(errno));
		close(fd);
		return -1;
	}
	/* Best effort: with the default buffer the same frames go out, in smaller gulps. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

static void *af_packet_open(const struct link *link, const struct traffic *traffic,
			    struct fault *fault)
{
	struct af_packet *self = calloc(1, sizeof(*self));

	if (!self) {
		fault_set(fault, "Out of memory for the send buffer.");
		return NULL;
	}
	self->link = link;
	self->traffic = traffic;
	self->fd = open_socket(link, traffic, fault);
	if (self->fd < 0) {
		free(self);
		return NULL;
	}
	for (unsigned int i = 0; i < BURST; i++) {
		self->vectors[i].iov_base = self->frames[i];
		self->messages[i].msg_hdr.msg_iov = &self->vectors[i];
		self->messages[i].msg_hdr.msg_iovlen = 1;
	}
	return self;
}

static int64_t af_packet_send(void *state, uint64_t first, uint32_t count, uint64_t *bytes,
			      struct fault *fault)
{
	struct af_packet *self = state;
	uint32_t done = 0;
	int64_t refused = 0;

	for (uint32_t i = 0; i < count; i++) {
		self->vectors[i].iov_len = frame_build(self->traffic, first + i, self->frames[i]);
		*bytes += self->vectors[i].iov_len;
	}
	while (done < count) {
		int sent = sendmmsg(self->fd, self->messages + done, count - done, 0);

		if (sent > 0) {
			done += (uint32_t)sent;
			/*
			 * Short of the count, the frame behind was thrown away by driver or queue
			 * and the error kept back: it is spent. Offered again it would count twice.
			 */
			if (done < count) {
				refused++;
				done++;
			}
		} else if (errno == ENOBUFS) {
			refused++;
			done++;
		} else if (errno != EINTR && errno != EAGAIN) {
			return fault_set(fault, "%s refused frame %llu: %s%s.", self->link->name,
					 (unsigned long long)(first + done), strerror(errno),
					 errno == ENETDOWN || errno == ENXIO ?
						 "; the interface went away while sending" :
						 "");
		}
	}
	return refused;
}

static void af_packet_close(void *state)
{
	struct af_packet *self = state;

	if (!self)
		return;
	close(self->fd);
	free(self);
}

const struct sender sender_af_packet = {
	.name = "af_packet",
	.burst = BURST,
	.open = af_packet_open,
	.send = af_packet_send,
	.close = af_packet_close,
};
