// SPDX-License-Identifier: Apache-2.0
/*
 * An empty ring. Asking again at once costs a core; sleeping costs room in the ring. A worker asks a few
 * times more, then sleeps, each time longer, but never longer than in which half of its ring fills with
 * the smallest frames at the link's speed.
 */
#include "dpdk.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <rte_errno.h>
#include <rte_interrupts.h>
#include <rte_lcore.h>
#include <rte_pause.h>
#include <string.h>
#include <sys/prctl.h>

#define POLLS_BEFORE_SLEEP 64U
#define FIRST_SLEEP_NS 5000U

/* The kernel's shortest sleep that is worth its cost, and the longest that a quiet link is left alone. */
#define LEAST_SLEEP_NS 50000U
#define MOST_SLEEP_NS 1000000U

/* On the wire: 64 bytes with FCS, preamble and gap. */
#define SMALLEST_FRAME_BITS (84U * 8U)

uint64_t cap_dpdk_longest_sleep(unsigned descriptors, uint32_t mbps)
{
	uint64_t ns;

	if (!mbps || mbps == RTE_ETH_SPEED_NUM_UNKNOWN)
		return MOST_SLEEP_NS;
	ns = (uint64_t)descriptors / 2 * SMALLEST_FRAME_BITS * 1000 / mbps;
	if (ns < LEAST_SLEEP_NS)
		return LEAST_SLEEP_NS;
	return ns < MOST_SLEEP_NS ? ns : MOST_SLEEP_NS;
}

static void sleep_a_while(struct cap_queue *queue)
{
	uint64_t most = __atomic_load_n(&queue->port->longest_sleep_ns, __ATOMIC_RELAXED);
	unsigned doublings = queue->empty_polls - POLLS_BEFORE_SLEEP;
	uint64_t ns = doublings < 16 ? (uint64_t)FIRST_SLEEP_NS << doublings : most;
	struct timespec pause = { .tv_nsec = (long)(ns < most ? ns : most) };

	nanosleep(&pause, NULL);
}

/* The interrupt is level: what came in before it was armed is seen by the look at the ring. */
static void wait_for_interrupt(struct cap_queue *queue, int timeout_ms)
{
	struct rte_epoll_event event;
	uint16_t port = queue->port->id;

	if (!queue->interrupts) {
		int rc = rte_eth_dev_rx_intr_ctl_q(port, queue->index, RTE_EPOLL_PER_THREAD,
						   RTE_INTR_EVENT_ADD, NULL);

		if (rc && rc != -EEXIST) {
			cap_warn(
				"no_interrupt",
				"%s queue %u: its interrupt cannot be waited for: %s: it sleeps instead",
				queue->port->config->interface, queue->index, strerror(-rc));
			queue->no_interrupt = true;
			return;
		}
		queue->interrupts = true;
	}
	if (rte_eth_dev_rx_intr_enable(port, queue->index))
		return;
	if (rte_eth_rx_queue_count(port, queue->index) <= 0)
		(void)rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, timeout_ms);
	rte_eth_dev_rx_intr_disable(port, queue->index);
}

void cap_dpdk_idle_wait(struct cap_queue *queue, int timeout_ms)
{
	if (++queue->empty_polls <= POLLS_BEFORE_SLEEP || queue->port->idle == CAP_DPDK_IDLE_POLL) {
		rte_pause();
		return;
	}
	if (queue->port->idle == CAP_DPDK_IDLE_INTERRUPT && !queue->no_interrupt &&
	    !__atomic_load_n(&queue->port->disarmed, __ATOMIC_RELAXED))
		wait_for_interrupt(queue, timeout_ms);
	else
		sleep_a_while(queue);
}
