// SPDX-License-Identifier: Apache-2.0
#include "filter.h"

#include "driver.h"
#include "kernel_filter.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/socket.h>

int cap_filter_compile(const char *expression, uint32_t link_type, struct cap_filter **filter,
		       struct cap_error *err)
{
	int dlt = link_type == CAP_LINKTYPE_RAW ? DLT_RAW : (int)link_type;
	struct cap_filter *made = calloc(1, sizeof(*made));
	pcap_t *dead = pcap_open_dead(dlt, CAP_MAX_SNAPLEN);
	int rc = 0;

	if (!made || !dead)
		rc = cap_fail(err, ENOMEM, "filter: out of memory");
	else if (pcap_compile(dead, &made->program, expression, 1, PCAP_NETMASK_UNKNOWN))
		rc = cap_fail(err, EINVAL,
			      "filter: \"%s\" does not compile: %s: correct it as for tcpdump",
			      expression, pcap_geterr(dead));
	if (dead)
		pcap_close(dead);
	if (rc) {
		free(made);
		return rc;
	}
	*filter = made;
	return 0;
}

void cap_filter_free(struct cap_filter *filter)
{
	if (!filter)
		return;
	pcap_freecode(&filter->program);
	free(filter);
}

int cap_filter_load(const struct cap_filter *filter, struct cap_kernel_filter **loaded,
		    struct cap_error *err)
{
	/* libpcap's struct bpf_insn and the kernel's struct sock_filter are the same four members. */
	_Static_assert(sizeof(struct bpf_insn) == sizeof(struct sock_filter),
		       "classic BPF differs");

	return cap_kernel_filter_load((const struct sock_filter *)filter->program.bf_insns,
				      filter->program.bf_len, loaded, err);
}

/*
 * What this host sends is not what arrived. The filter says so itself: the socket option for it does
 * not hold for fanout groups, and libpcap's judgement comes after the kernel's count.
 */
static int attach_return(int fd, uint32_t bytes)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, bytes),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

int cap_socket_take_nothing(int fd)
{
	return attach_return(fd, 0);
}

int cap_socket_take_all(int fd, uint32_t snaplen)
{
	return attach_return(fd, snaplen);
}
