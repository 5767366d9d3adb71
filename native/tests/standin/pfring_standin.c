// SPDX-License-Identifier: Apache-2.0
/*
 * A stand-in for the vendor's library of PF_RING, for tests alone: the C interface of native/drivers/pf_ring/abi.h
 * over packet sockets. It does what the vendor's module and library do as far as a reader can tell:
 *
 * - A packet that was handed out stands until the next is asked for; then it is overwritten, as a ring would.
 * - VLAN tags that the kernel took out of a frame are put back as 802.1Q, whatever they were, and not at all when
 *   all their bits are 0.
 * - A ring that cannot be opened leaves ENODEV as errno, whatever the reason.
 * - Statistics count what was read and what found no room; a ring that is not enabled takes and counts nothing.
 *
 * Built with SLOTS its rings have as many, and WITHOUT_POLL leaves a function out. The environment makes it fail in
 * other ways that the vendor's can:
 *
 *   STANDIN_PFRING_VERSION, _MODULE_VERSION  their versions (0x090200)
 *   STANDIN_PFRING_OPEN         "fails": rings cannot be opened
 *   STANDIN_PFRING_LICENCE      "missing", or the second at which the licence ends (0: never)
 *   STANDIN_PFRING_DEMO         packets after which zero-copy ends for want of a licence
 *   STANDIN_PFRING_HEADER       "other": headers of another layout
 *   STANDIN_PFRING_ODD          every so many packets one has more bytes than it had on the wire, or none
 *   STANDIN_PFRING_FILTER       "none": sets no filter; "ignored": gives a descriptor that filters nothing
 *   STANDIN_PFRING_NIC_OFFSET   nanoseconds by which the NIC's clock is ahead; not set: the NIC has none
 */
#include "pf_ring/abi.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Slots of each ring: the module's min_num_slots. */
#ifndef SLOTS
#define SLOTS 4096
#endif

#define VLAN_TAG 4
#define ADDRESSES 12
#define LEAST_BLOCK (1U << 16)
#define MOST_GROUPS 64

/* In front of a frame: the ring's header, the link address, padding, and room for a VLAN tag. */
#define FRAME_OVERHEAD (TPACKET_ALIGN(TPACKET2_HDRLEN) + 2 * TPACKET_ALIGNMENT + VLAN_TAG)

/* The vendor's header is so much longer than what a reader knows of it. */
#define VENDOR_HEADER_REST 168

struct pfring {
	int fd;
	int other_fd; /* given out in place of fd, or -1 */
	uint8_t *memory;
	size_t memory_size;
	unsigned frame_size, frames_per_block, block_size, frames;
	unsigned next;
	struct tpacket2_hdr *held;
	uint32_t held_len;
	uint32_t caplen;
	bool zc, enabled, nic_time;
	struct bpf_program filter;
	struct group *group;
	uint64_t read, taken, dropped;
};

/* Rings that share an interface's packets. */
static struct group {
	unsigned key;
	int id;
	unsigned members;
} groups[MOST_GROUPS];

static unsigned long long number(const char *name, unsigned long long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static bool is(const char *name, const char *value)
{
	const char *text = getenv(name);

	return text && !strcmp(text, value);
}

void pfring_version_noring(uint32_t *version)
{
	*version = (uint32_t)number("STANDIN_PFRING_VERSION", 0x090200);
}

int pfring_version(struct pfring *ring, uint32_t *version)
{
	(void)ring;
	*version = (uint32_t)number("STANDIN_PFRING_MODULE_VERSION", 0x090200);
	return 0;
}

int pfring_zc_check_device_license_by_name(char *device, uint32_t *expiration)
{
	(void)device;
	*expiration = 0;
	if (is("STANDIN_PFRING_LICENCE", "missing"))
		return 0;
	*expiration = (uint32_t)number("STANDIN_PFRING_LICENCE", 0);
	return 1;
}

static int attach_return(int fd, uint32_t bytes)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, bytes),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int join(struct pfring *ring, unsigned key, int mode)
{
	struct group *group = NULL;
	socklen_t len = sizeof(int);
	int argument;

	for (unsigned i = 0; i < MOST_GROUPS && !group; i++)
		if (groups[i].members && groups[i].key == key)
			group = &groups[i];
	for (unsigned i = 0; i < MOST_GROUPS && !group; i++)
		if (!groups[i].members)
			group = &groups[i];
	if (!group)
		return -1;
	argument = group->members ? group->id | mode << 16 :
				    (mode | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
	if (setsockopt(ring->fd, SOL_PACKET, PACKET_FANOUT, &argument, sizeof(argument)) ||
	    getsockopt(ring->fd, SOL_PACKET, PACKET_FANOUT, &argument, &len))
		return -1;
	group->key = key;
	group->id = argument & 0xffff;
	group->members++;
	ring->group = group;
	return 0;
}

static int make_frames(struct pfring *ring)
{
	const int version = TPACKET_V2, reserve = VLAN_TAG;
	struct tpacket_req request;

	ring->frame_size = TPACKET_ALIGN(FRAME_OVERHEAD + ring->caplen);
	for (ring->block_size = LEAST_BLOCK; ring->block_size < ring->frame_size;)
		ring->block_size *= 2;
	ring->frames_per_block = ring->block_size / ring->frame_size;
	request = (struct tpacket_req){
		.tp_block_size = ring->block_size,
		.tp_block_nr = (SLOTS + ring->frames_per_block - 1) / ring->frames_per_block,
		.tp_frame_size = ring->frame_size,
	};
	request.tp_frame_nr = request.tp_block_nr * ring->frames_per_block;
	ring->frames = request.tp_frame_nr;
	ring->memory_size = (size_t)request.tp_block_nr * ring->block_size;
	if (setsockopt(ring->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(ring->fd, SOL_PACKET, PACKET_RESERVE, &reserve, sizeof(reserve)) ||
	    setsockopt(ring->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)))
		return -1;
	ring->memory =
		mmap(NULL, ring->memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	if (ring->memory == MAP_FAILED)
		ring->memory = NULL;
	return ring->memory ? 0 : -1;
}

static int bind_to(struct pfring *ring, unsigned ifindex, bool promiscuous)
{
	struct packet_mreq membership = { .mr_ifindex = (int)ifindex,
					  .mr_type = PACKET_MR_PROMISC };
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)ifindex,
	};

	if (promiscuous && setsockopt(ring->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership,
				      sizeof(membership)))
		return -1;
	return bind(ring->fd, (struct sockaddr *)&address, sizeof(address));
}

void pfring_close(struct pfring *ring)
{
	if (ring->memory)
		munmap(ring->memory, ring->memory_size);
	if (ring->fd >= 0)
		close(ring->fd);
	if (ring->other_fd >= 0)
		close(ring->other_fd);
	if (ring->group)
		ring->group->members--;
	pcap_freecode(&ring->filter);
	free(ring);
}

struct pfring *pfring_open(const char *device, uint32_t caplen, uint32_t flags)
{
	struct pfring *ring = calloc(1, sizeof(*ring));
	char name[IFNAMSIZ] = "";
	bool channel = strchr(device, '@') != NULL;
	unsigned ifindex;

	if (!ring)
		return NULL;
	ring->other_fd = -1;
	ring->zc = !strncmp(device, "zc:", 3);
	ring->caplen = caplen;
	ring->nic_time = flags & CAP_PFRING_HW_TIMESTAMP;
	device += ring->zc ? 3 : 0;
	strncat(name, device,
		strcspn(device, "@") < sizeof(name) ? strcspn(device, "@") : sizeof(name) - 1);
	ifindex = if_nametoindex(name);
	/* Protocol 0: nothing comes in before bind; and from then on nothing until the ring is enabled. */
	ring->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (is("STANDIN_PFRING_OPEN", "fails") || !ifindex || ring->fd < 0 || make_frames(ring) ||
	    attach_return(ring->fd, 0) || bind_to(ring, ifindex, flags & CAP_PFRING_PROMISC) ||
	    (channel && join(ring, ifindex, PACKET_FANOUT_QM))) {
		pfring_close(ring);
		errno = ENODEV;
		return NULL;
	}
	if (is("STANDIN_PFRING_FILTER", "ignored"))
		ring->other_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	return ring;
}

int pfring_set_channel_mask(struct pfring *ring, uint64_t mask)
{
	(void)ring;
	return mask ? 0 : -1;
}

int pfring_set_cluster_consumer(struct pfring *ring, uint16_t id, uint16_t consumer, int type,
				uint32_t options)
{
	(void)consumer;
	(void)options;
	if (type < CAP_PFRING_FLOW || type > CAP_PFRING_INNER_FLOW_IP_5_TUPLE)
		return -1;
	return join(ring, 1U << 31 | id, PACKET_FANOUT_HASH);
}

int pfring_set_direction(struct pfring *ring, int direction)
{
	(void)ring;
	return direction == CAP_PFRING_RX_ONLY ? 0 : -1;
}

int pfring_set_socket_mode(struct pfring *ring, int mode)
{
	(void)ring;
	return mode == CAP_PFRING_RECV_ONLY ? 0 : -1;
}

int pfring_set_application_name(struct pfring *ring, char *name)
{
	(void)ring;
	return *name ? 0 : -1;
}

int pfring_set_poll_watermark(struct pfring *ring, uint16_t packets)
{
	(void)ring;
	return packets ? 0 : -1;
}

int pfring_get_card_settings(struct pfring *ring, struct cap_pfring_card *card)
{
	*card = (struct cap_pfring_card){ ring->caplen, ring->frames, ring->frames };
	return 0;
}

int pfring_get_selectable_fd(struct pfring *ring)
{
	return ring->other_fd >= 0 ? ring->other_fd : ring->fd;
}

int pfring_set_bpf_filter(struct pfring *ring, const char *expression)
{
	pcap_t *dead;
	int rc;

	if (is("STANDIN_PFRING_FILTER", "none") ||
	    !(dead = pcap_open_dead(DLT_EN10MB, (int)ring->caplen)))
		return -1;
	pcap_freecode(&ring->filter);
	rc = pcap_compile(dead, &ring->filter, expression, 1, PCAP_NETMASK_UNKNOWN);
	pcap_close(dead);
	return rc;
}

int pfring_enable_ring(struct pfring *ring)
{
	struct sock_fprog program = { (unsigned short)ring->filter.bf_len,
				      (struct sock_filter *)ring->filter.bf_insns };

	ring->enabled = true;
	return program.len ? setsockopt(ring->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
					sizeof(program)) :
			     attach_return(ring->fd, ring->caplen);
}

/* The kernel clears its figures when they are read, and counts drops among the packets. */
static void count(struct pfring *ring)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);

	if (getsockopt(ring->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		return;
	ring->taken += stats.tp_packets - stats.tp_drops;
	ring->dropped += stats.tp_drops;
}

int pfring_stats(struct pfring *ring, struct cap_pfring_stats *stats)
{
	*stats = (struct cap_pfring_stats){ 0 };
	if (!ring->enabled)
		return 0;
	count(ring);
	stats->recv = ring->read;
	stats->drop = ring->dropped;
	return 0;
}

uint32_t pfring_get_num_queued_pkts(struct pfring *ring)
{
	if (ring->zc)
		return (uint32_t)CAP_PFRING_NOT_SUPPORTED;
	count(ring);
	return (uint32_t)(ring->taken - ring->read);
}

#ifndef WITHOUT_POLL
int pfring_poll(struct pfring *ring, unsigned milliseconds)
{
	struct pollfd ready = { .fd = ring->fd, .events = POLLIN };
	socklen_t len = sizeof(int);
	int rc = poll(&ready, 1, (int)milliseconds), error;

	if (rc > 0 && (ready.revents & POLLERR))
		(void)getsockopt(ring->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return rc;
}
#endif

/* What a reader has not kept is gone, as when the module puts another packet there. */
static void give_back(struct pfring *ring)
{
	if (!ring->held)
		return;
	memset((uint8_t *)ring->held + ring->held->tp_mac, 0xdd, ring->held_len);
	__atomic_store_n(&ring->held->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	ring->held = NULL;
}

static uint8_t *put_tag_back(const struct pfring *ring, const struct tpacket2_hdr *frame,
			     uint8_t *data, struct cap_pfring_header *header)
{
	const uint16_t tag[2] = { htons(ETH_P_8021Q), htons(frame->tp_vlan_tci) };

	if (!(frame->tp_status & TP_STATUS_VLAN_VALID) || !frame->tp_vlan_tci)
		return data;
	data -= VLAN_TAG;
	memmove(data, data + VLAN_TAG, ADDRESSES);
	memcpy(data + ADDRESSES, tag, sizeof(tag));
	header->len += VLAN_TAG;
	header->caplen += VLAN_TAG;
	if (header->caplen > ring->caplen)
		header->caplen = ring->caplen;
	return data;
}

static void set_time(const struct pfring *ring, const struct tpacket2_hdr *frame,
		     struct cap_pfring_header *header)
{
	bool has_clock = getenv("STANDIN_PFRING_NIC_OFFSET");
	uint64_t kernel_ns = frame->tp_sec * 1000000000ULL + frame->tp_nsec;

	if (!ring->zc) {
		header->ts = (struct timeval){ frame->tp_sec, frame->tp_nsec / 1000 };
		header->timestamp_ns = kernel_ns;
	}
	if (ring->nic_time && has_clock)
		header->timestamp_ns = kernel_ns + number("STANDIN_PFRING_NIC_OFFSET", 0);
}

int pfring_recv(struct pfring *ring, unsigned char **buffer, unsigned buffer_len,
		struct cap_pfring_header *header, uint8_t wait)
{
	struct tpacket2_hdr *frame =
		(void *)(ring->memory +
			 (size_t)(ring->next / ring->frames_per_block) * ring->block_size +
			 (size_t)(ring->next % ring->frames_per_block) * ring->frame_size);

	if (!ring->enabled)
		return CAP_PFRING_NOT_ENABLED;
	if (buffer_len || wait)
		return CAP_PFRING_NOT_SUPPORTED;
	if (ring->zc && ring->read >= number("STANDIN_PFRING_DEMO", UINT64_MAX))
		return CAP_PFRING_END_OF_DEMO;
	give_back(ring);
	if (!(__atomic_load_n(&frame->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
		return 0;
	memset(header, 0, offsetof(struct cap_pfring_header, rest) + VENDOR_HEADER_REST);
	header->caplen = frame->tp_snaplen;
	header->len = frame->tp_len;
	set_time(ring, frame, header);
	*buffer = put_tag_back(ring, frame, (uint8_t *)frame + frame->tp_mac, header);
	if (is("STANDIN_PFRING_HEADER", "other"))
		memmove(&header->caplen, &header->timestamp_ns,
			sizeof(*header) - offsetof(struct cap_pfring_header, timestamp_ns));
	if (ring->read % number("STANDIN_PFRING_ODD", UINT64_MAX) ==
	    number("STANDIN_PFRING_ODD", 0) - 1)
		header->caplen = ring->read % 2 ? 0 : header->len + 1;
	ring->held = frame;
	ring->held_len = frame->tp_snaplen;
	ring->next = (ring->next + 1) % ring->frames;
	ring->read++;
	return 1;
}
