// SPDX-License-Identifier: Apache-2.0
/*
 * An empty ring. The module wakes a sleeper when as many packets wait as the watermark says; a NIC's ring of
 * zero-copy is looked at again after at most a tenth of a millisecond, in which it does not fill up.
 */
#include "ring.h"

#include <errno.h>
#include <time.h>

#define POLLS_BEFORE_SLEEP 64U
#define FIRST_SLEEP_NS 5000U
#define MOST_SLEEP_NS 100000U

static void sleep_ns(uint64_t ns)
{
	const struct timespec pause = { .tv_nsec = (long)ns };

	nanosleep(&pause, NULL);
}

void cap_pfring_wait(struct cap_queue *queue, int timeout_ms)
{
	unsigned doublings;

	if (!queue->port->options->zc) {
		/* A ring whose interface is gone fails at once, every time. */
		if (queue->port->library.poll(queue->ring, (unsigned)timeout_ms) < 0 &&
		    errno != EINTR)
			sleep_ns((uint64_t)timeout_ms * 1000000);
		return;
	}
	if (++queue->empty_polls <= POLLS_BEFORE_SLEEP)
		return;
	doublings = queue->empty_polls - POLLS_BEFORE_SLEEP;
	sleep_ns(doublings < 5 ? (uint64_t)FIRST_SLEEP_NS << doublings : MOST_SLEEP_NS);
}

const char *cap_pfring_recv_words(int error)
{
	switch (error) {
	case CAP_PFRING_END_OF_DEMO:
		return "zero-copy ran without a licence and its five minutes are over: install one in /etc/pf_ring, or write zc: false";
	case CAP_PFRING_NOT_ENABLED:
		return "the ring is not enabled";
	case -EPROTO:
		return "the library's packet headers make no sense: it is of another ABI than PF_RING 8 and 9";
	default:
		return "the library reports an error: see the kernel's log";
	}
}
