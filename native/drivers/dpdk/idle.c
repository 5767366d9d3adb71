// SPDX-License-Identifier: Apache-2.0
/*
 * An empty ring. Asking again at once costs a core; sleeping costs room in the ring. A worker asks a few
 * times more, then sleeps, each time longer, but never longer than in which half of its ring fills with
 * the smallest frames at the link's speed.
 */
#include "dpdk.h"

#include "log.h"

#include <errno.h>
#include <rte_interrupts.h>
#include <rte_pause.h>
#include <string.h>

#define POLLS_BEFORE_SLEEP 64U
#define FIRST_SLEEP_NS 5000U

static void sleep_a_while(struct cap_queue *queue)
{
	uint64_t most = __atomic_load_n(&queue->port->longest_sleep_ns, __ATOMIC_RELAXED);
	unsigned doublings = queue->empty_polls - POLLS_BEFORE_SLEEP;
	uint64_t ns = doublings < 16 ? (uint64_t)FIRST_SLEEP_NS << doublings : most;
	struct timespec pause = { .tv_nsec = (long)(ns < most ? ns : most) };

	nanosleep(&pause, NULL);
}

void cap_dpdk_idle_begin(struct cap_port *port)
{
	if (port->idle != CAP_DPDK_IDLE_INTERRUPT)
		return;
	for (uint16_t q = 0; q < port->queue_count; q++)
		if (rte_eth_dev_rx_intr_ctl_q_get_fd(port->id, q) < 0)
			port->no_interrupts = true;
	if (port->no_interrupts)
		port->idle = CAP_DPDK_IDLE_SLEEP;
}

/* What keeps a worker from waiting stays: it sleeps from here on. */
static void give_up_interrupts(struct cap_queue *queue, int rc)
{
	cap_warn("no_interrupt",
		 "%s queue %u: its interrupt cannot be waited for: %s: it sleeps instead",
		 queue->port->config->interface, queue->index, strerror(-rc));
	queue->no_interrupt = true;
}

/* net_tap has nothing to switch: the queue's file can be read while packets wait. */
static int enable_interrupt(const struct cap_queue *queue)
{
	int rc = rte_eth_dev_rx_intr_enable(queue->port->id, queue->index);

	return rc == -ENOTSUP && cap_dpdk_begins(queue->port->driver_name, "net_tap") ? 0 : rc;
}

/* Armed first, then a look at the ring: what comes in between is seen by one of both. */
static void wait_for_interrupt(struct cap_queue *queue, int timeout_ms)
{
	struct rte_epoll_event event;
	uint16_t port = queue->port->id;
	int rc;

	if (!queue->interrupts) {
		rc = rte_eth_dev_rx_intr_ctl_q(port, queue->index, RTE_EPOLL_PER_THREAD,
					       RTE_INTR_EVENT_ADD, NULL);

		if (rc && rc != -EEXIST) {
			give_up_interrupts(queue, rc);
			return;
		}
		queue->interrupts = true;
	}
	rc = enable_interrupt(queue);
	if (rc) {
		give_up_interrupts(queue, rc);
		return;
	}
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
