// SPDX-License-Identifier: Apache-2.0
/*
 * A stand-in for the vendor's kernel module, as far as a socket of its family tells of it, for tests alone: loaded
 * in front of the C library (LD_PRELOAD), it answers who asks for such a socket with the errno in
 * STANDIN_PFRING_SOCKET, or with one where that is 0.
 */
#include "pf_ring/abi.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int socket(int family, int type, int protocol)
{
	const char *told = getenv("STANDIN_PFRING_SOCKET");

	if (family != CAP_PFRING_FAMILY || !told)
		return (int)syscall(SYS_socket, family, type, protocol);
	errno = atoi(told);
	return errno ? -1 : (int)syscall(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}
