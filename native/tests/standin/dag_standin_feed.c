// SPDX-License-Identifier: Apache-2.0
#include "dag_standin.h"

#include "drivers/erf.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Who starts a stream throws away what is in it from before: a file's records must come after that. */
#define FILE_BEGINS_MS 100

#define FRAME_MOST 16384U
#define BATCH 64U
#define SOCKET_BYTES (64 << 20)

/* Of a source that never pauses, so many frames at a time. */
#define PULL_MOST 262144U

#define VLAN_TAG 4U
#define ADDRESSES 12U

static uint32_t crc_of(const uint8_t *bytes, size_t len)
{
	static uint32_t table[256];
	uint32_t crc = UINT32_MAX;

	if (!table[1])
		for (uint32_t i = 0; i < 256; i++) {
			table[i] = i;
			for (unsigned bit = 0; bit < 8; bit++)
				table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320U : 0);
		}
	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
	return ~crc;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int open_socket(struct standin_stream *stream)
{
	const int on = 1, bytes = SOCKET_BYTES;
	struct packet_mreq all = { .mr_ifindex = (int)if_nametoindex(stream->card->source),
				   .mr_type = PACKET_MR_PROMISC };
	/* No protocol: nothing arrives before it is started. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	stream->feed = fd;
	if (fd < 0)
		return -1;
	stream->buffers = malloc((size_t)BATCH * FRAME_MOST);
	return !stream->buffers || setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) ||
			       setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
			       setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) ||
			       setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all,
					  sizeof(all)) ?
		       -1 :
		       0;
}

int standin_feed_open(struct standin_stream *stream)
{
	stream->feed = stream->fanout = -1;
	if (stream->card->feed == STANDIN_PACKETS)
		return open_socket(stream);
	stream->feed = open(stream->card->source, O_RDONLY | O_CLOEXEC);
	return stream->feed < 0 ? -1 : 0;
}

int standin_feed_start(struct standin_stream *stream, int fanout)
{
	const struct sockaddr_ll to = { .sll_family = AF_PACKET,
					.sll_protocol = htons(ETH_P_ALL),
					.sll_ifindex = (int)if_nametoindex(stream->card->source) };
	const int mode = PACKET_FANOUT_HASH | (fanout < 0 ? PACKET_FANOUT_FLAG_UNIQUEID : 0);
	int group = (fanout < 0 ? 0 : fanout) | mode << 16;
	socklen_t size = sizeof(group);

	stream->started_ms = now_ms();
	if (stream->card->feed == STANDIN_ERF)
		return 0;
	if (bind(stream->feed, (const struct sockaddr *)&to, sizeof(to)) ||
	    setsockopt(stream->feed, SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)) ||
	    getsockopt(stream->feed, SOL_PACKET, PACKET_FANOUT, &group, &size))
		return -1;
	stream->fanout = group & 0xffff;
	return 0;
}

void standin_feed_close(struct standin_stream *stream)
{
	if (stream->feed >= 0)
		close(stream->feed);
	stream->feed = -1;
	free(stream->buffers);
	stream->buffers = NULL;
}

static void drop(struct standin_stream *stream, uint32_t count)
{
	stream->dropped += count;
	stream->told_lost += count;
}

/* The frame as it was on the wire, with its VLAN tag and a check sequence, as a record. */
static void put_frame(struct standin_stream *stream, const uint8_t *frame, uint32_t len,
		      const struct tpacket_auxdata *aux, const struct timespec *when)
{
	const bool tagged = aux && aux->tp_status & TP_STATUS_VLAN_VALID;
	const uint32_t tag = tagged ? VLAN_TAG : 0, wire = len + tag + CAP_ETHERNET_FCS;
	const uint32_t size = (CAP_ERF_HEADER + CAP_ERF_ETHERNET_PAD + wire + 7U) & ~7U;
	const uint64_t stamp =
		cap_erf_stamp((uint64_t)when->tv_sec * 1000000000U + (uint64_t)when->tv_nsec);
	uint16_t lost = stream->told_lost < UINT16_MAX ? (uint16_t)stream->told_lost : UINT16_MAX;
	const uint16_t lengths[3] = { htons((uint16_t)size), htons(lost), htons((uint16_t)wire) };
	uint8_t *at = standin_room(stream, size), *to;
	uint32_t crc;

	if (!at) {
		drop(stream, 1);
		return;
	}
	memset(at, 0, size);
	memcpy(at, &stamp, sizeof(stamp));
	at[8] = stream->card->type;
	at[9] = CAP_ERF_FLAG_VARYING;
	memcpy(at + 10, lengths, sizeof(lengths));
	/* The other Ethernet types have a colour there. */
	if (at[8] != CAP_ERF_ETH)
		memset(at + 12, 0xc0, 2);
	stream->told_lost = 0;
	to = at + CAP_ERF_HEADER + CAP_ERF_ETHERNET_PAD;
	if (tagged) {
		const uint16_t words[2] = { htons(aux->tp_status & TP_STATUS_VLAN_TPID_VALID ?
							  aux->tp_vlan_tpid :
							  ETH_P_8021Q),
					    htons(aux->tp_vlan_tci) };

		memcpy(to, frame, ADDRESSES);
		memcpy(to + ADDRESSES, words, sizeof(words));
		memcpy(to + ADDRESSES + VLAN_TAG, frame + ADDRESSES, len - ADDRESSES);
	} else {
		memcpy(to, frame, len);
	}
	crc = crc_of(to, len + tag);
	memcpy(to + len + tag, &crc, sizeof(crc));
	standin_wrote(stream, size);
}

static void put_message(struct standin_stream *stream, const struct mmsghdr *message)
{
	const struct msghdr *head = &message->msg_hdr;
	const struct sockaddr_ll *from = head->msg_name;
	const struct tpacket_auxdata *aux = NULL;
	struct timespec when = { 0 };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c;
	     c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)head, c)) {
		if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA)
			aux = (const void *)CMSG_DATA(c);
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			memcpy(&when, CMSG_DATA(c), sizeof(when));
	}
	if (from->sll_pkttype != PACKET_OUTGOING && message->msg_len <= FRAME_MOST)
		put_frame(stream, head->msg_iov->iov_base, message->msg_len, aux, &when);
}

/*
 * The one error that the kernel tells comes when an interface goes down, which is before it is gone; once it
 * is, the socket is bound to none.
 */
static bool is_bound(int feed)
{
	struct sockaddr_ll address = { 0 };
	socklen_t size = sizeof(address);

	return getsockname(feed, (struct sockaddr *)&address, &size) == 0 &&
	       address.sll_ifindex > 0;
}

static void pull_packets(struct standin_stream *stream)
{
	struct tpacket_stats stats;
	socklen_t size = sizeof(stats);
	int got = (int)BATCH;

	for (unsigned pulled = 0; got == (int)BATCH && pulled < PULL_MOST; pulled += BATCH) {
		struct sockaddr_ll from[BATCH];
		struct mmsghdr messages[BATCH];
		struct iovec pieces[BATCH];
		_Alignas(struct cmsghdr) char control[BATCH][128];

		for (unsigned i = 0; i < BATCH; i++) {
			pieces[i] = (struct iovec){ stream->buffers + (size_t)i * FRAME_MOST,
						    FRAME_MOST };
			messages[i].msg_hdr =
				(struct msghdr){ .msg_name = &from[i],
						 .msg_namelen = sizeof(from[i]),
						 .msg_iov = &pieces[i],
						 .msg_iovlen = 1,
						 .msg_control = control[i],
						 .msg_controllen = sizeof(control[i]) };
		}
		got = recvmmsg(stream->feed, messages, BATCH, MSG_TRUNC, NULL);
		for (int i = 0; i < got; i++)
			put_message(stream, &messages[i]);
	}
	if (got < 0 && !is_bound(stream->feed))
		stream->gone = true;
	if (getsockopt(stream->feed, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0)
		drop(stream, stats.tp_drops);
}

/* Whole records as far as there is room; the rest of a damaged file as it is. */
static void pull_file(struct standin_stream *stream)
{
	for (;;) {
		uint8_t head[CAP_ERF_HEADER], *at;
		ssize_t got = read(stream->feed, head, sizeof(head)), rest = 0;
		size_t size = (size_t)(head[10] << 8 | head[11]);

		if (got <= 0)
			return;
		if (got < (ssize_t)sizeof(head) || size < sizeof(head))
			size = (size_t)got;
		at = standin_room(stream, size);
		if (!at) {
			lseek(stream->feed, -got, SEEK_CUR);
			return;
		}
		memcpy(at, head, (size_t)got);
		if (size > (size_t)got)
			rest = read(stream->feed, at + got, size - (size_t)got);
		standin_wrote(stream, (size_t)(got + (rest > 0 ? rest : 0)));
	}
}

void standin_feed_pull(struct standin_stream *stream)
{
	if (*stream->card->file && access(stream->card->file, F_OK))
		stream->gone = true;
	if (stream->gone || !stream->started)
		return;
	if (stream->card->feed == STANDIN_PACKETS)
		pull_packets(stream);
	else if (now_ms() - stream->started_ms >= FILE_BEGINS_MS)
		pull_file(stream);
}
