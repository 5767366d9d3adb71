// SPDX-License-Identifier: Apache-2.0
#include "sender.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frame.h"
#include "xdp_emit.h"

/* bpftool's output is not ours to lint. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "xdp_emit.skel.h"
#pragma GCC diagnostic pop

#define CACHE_LINE 64
#define BURST 64

/* Pages the kernel hands over at once; its most is 256. */
#define KERNEL_BATCH 64

/* One call of the kernel lasts as good as for ever: a signal ends it. */
#define REPEAT (1 << 30)
#define WAKE_SIGNAL SIGUSR1

/* A full ring of EMIT_SLOTS lasts the fastest link for some 80 us. */
#define RING_WAIT_NS 40000
#define JOIN_STEP_NS 2000000
#define DRAIN_STEPS_MAX 50000

/* A thread that keeps the kernel running one program, fed by a ring. */
struct lane {
	struct xdp_emit_bpf *program;
	pthread_t thread;
	bool running;
	unsigned int consumed; /* what was last seen of the ring's; its cache line is the kernel's */
	int cpu;	       /* pinned there; -1: anywhere */
	atomic_bool stop;
	atomic_int trouble; /* errno of a run that failed */
};

struct xdp {
	const struct link *link;
	const struct traffic *traffic;
	unsigned int stride;
	unsigned int lane_count;
	struct lane lanes[];
};

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static void wake(int number)
{
	(void)number;
}

static void pause_ns(long ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

static void *lane_run(void *argument)
{
	struct lane *lane = argument;
	uint8_t page[ETH_ZLEN] = { 0 };
	cpu_set_t one;

	CPU_ZERO(&one);
	if (lane->cpu >= 0) {
		CPU_SET((size_t)lane->cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	while (!atomic_load(&lane->stop)) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = page, .data_size_in = sizeof(page),
			    .repeat = REPEAT, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
			    .batch_size = KERNEL_BATCH);
		int failed =
			bpf_prog_test_run_opts(bpf_program__fd(lane->program->progs.emit), &run);

		if (failed && failed != -EINTR) {
			atomic_store(&lane->trouble, -failed);
			break;
		}
	}
	return NULL;
}

static int lane_open(struct xdp *self, struct lane *lane, struct fault *fault)
{
	int failed;

	lane->program = xdp_emit_bpf__open();
	if (!lane->program)
		return fault_set(fault, "Cannot open the XDP program: %s.", strerror(errno));
	lane->program->rodata->target = (unsigned int)self->link->index;
	lane->program->rodata->stride = self->stride;
	failed = xdp_emit_bpf__load(lane->program);
	if (failed == -EPERM)
		return fault_set(fault,
				 "Sending by XDP needs root (CAP_BPF and CAP_NET_ADMIN); run "
				 "with sudo, or use --method af_packet.");
	if (failed)
		return fault_set(
			fault,
			"This kernel does not load the XDP program (it takes Linux 5.18 and "
			"BPF): %s; use --method af_packet.",
			strerror(-failed));
	failed = pthread_create(&lane->thread, NULL, lane_run, lane);
	if (failed)
		return fault_set(fault, "Cannot start a thread: %s.", strerror(failed));
	lane->running = true;
	return 0;
}

/* Waits until at most @left frames are in the ring. */
static int lane_drain(struct lane *lane, unsigned int left, struct fault *fault)
{
	for (unsigned int step = 0; step < DRAIN_STEPS_MAX; step++) {
		int trouble = atomic_load(&lane->trouble);

		lane->consumed = __atomic_load_n(&lane->program->bss->consumed, __ATOMIC_ACQUIRE);
		if (lane->program->bss->produced - lane->consumed <= left)
			return 0;
		if (trouble)
			return fault_set(fault,
					 "The kernel refuses to run XDP frames: %s; use "
					 "--method af_packet.",
					 strerror(trouble));
		pause_ns(RING_WAIT_NS);
	}
	return fault_set(fault,
			 "The kernel has stopped taking XDP frames; use --method af_packet.");
}

static void lane_close(struct lane *lane)
{
	struct fault ignored;

	if (lane->running) {
		lane_drain(lane, 0, &ignored);
		atomic_store(&lane->stop, true);
		/* A signal that comes between two runs is lost, so it is repeated. */
		for (;;) {
			struct timespec until;

			pthread_kill(lane->thread, WAKE_SIGNAL);
			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_nsec += JOIN_STEP_NS;
			if (until.tv_nsec >= 1000000000) {
				until.tv_nsec -= 1000000000;
				until.tv_sec++;
			}
			if (pthread_timedjoin_np(lane->thread, NULL, &until) == 0)
				break;
		}
	}
	xdp_emit_bpf__destroy(lane->program);
}

static void xdp_close(void *state)
{
	struct xdp *self = state;

	for (unsigned int i = 0; self && i < self->lane_count; i++)
		lane_close(&self->lanes[i]);
	free(self);
}

/*
 * A link that takes XDP frames chooses its queue by the CPU that hands them over, so flows spread
 * over the queues by being dealt to lanes on CPUs of their own.
 */
static struct xdp *allocate_lanes(const struct link *link, const struct traffic *traffic)
{
	unsigned int most = traffic->flows < link->tx_queues ? traffic->flows : link->tx_queues;
	unsigned int count = 0;
	cpu_set_t allowed;
	struct xdp *self;

	CPU_ZERO(&allowed);
	sched_getaffinity(0, sizeof(allowed), &allowed);
	if (most > (unsigned int)CPU_COUNT(&allowed))
		most = (unsigned int)CPU_COUNT(&allowed);
	if (most < 1)
		most = 1;
	self = calloc(1, sizeof(*self) + most * sizeof(self->lanes[0]));
	if (!self)
		return NULL;
	self->lane_count = most;
	self->lanes[0].cpu = -1;
	for (size_t cpu = 0; cpu < CPU_SETSIZE && most > 1 && count < most; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			self->lanes[count++].cpu = (int)cpu;
	return self;
}

static int fits(const struct link *link, const struct traffic *traffic, struct fault *fault)
{
	uint16_t largest = traffic->sizes.largest;

	if (largest > EMIT_FRAME_MAX)
		return fault_set(
			fault,
			"--size: XDP sends frames of up to %d bytes; use --method af_packet "
			"for %u.",
			EMIT_FRAME_MAX, largest);
	if (largest > link->mtu + ETH_HLEN)
		return fault_set(fault,
				 "--size: by XDP %s with MTU %u takes up to %u bytes, VLAN tags "
				 "included; `ip link set %s mtu %u` on both ends makes room.",
				 link->name, link->mtu, link->mtu + ETH_HLEN, link->name,
				 largest - ETH_HLEN);
	return 0;
}

static void *xdp_open(const struct link *link, const struct traffic *traffic, struct fault *fault)
{
	struct sigaction action = { .sa_handler = wake };
	struct xdp *self;

	if (fits(link, traffic, fault))
		return NULL;
	self = allocate_lanes(link, traffic);
	if (!self) {
		fault_set(fault, "Out of memory.");
		return NULL;
	}
	self->link = link;
	self->traffic = traffic;
	self->stride = (traffic->sizes.largest + CACHE_LINE - 1u) / CACHE_LINE * CACHE_LINE;
	libbpf_set_print(quiet);
	sigaction(WAKE_SIGNAL, &action, NULL);
	for (unsigned int i = 0; i < self->lane_count; i++) {
		if (lane_open(self, &self->lanes[i], fault)) {
			xdp_close(self);
			return NULL;
		}
	}
	return self;
}

static int64_t xdp_send(void *state, uint64_t first, uint32_t count, uint64_t *bytes,
			struct fault *fault)
{
	struct xdp *self = state;

	for (uint64_t number = first; number < first + count; number++) {
		struct lane *lane =
			&self->lanes[traffic_flow(self->traffic, number) % self->lane_count];
		unsigned int at = lane->program->bss->produced;
		unsigned int slot = at % EMIT_SLOTS;

		if (at - lane->consumed == EMIT_SLOTS && lane_drain(lane, EMIT_SLOTS / 2, fault))
			return -1;
		lane->program->bss->lengths[slot] = (unsigned int)frame_build(
			self->traffic, number, lane->program->bss->area + slot * self->stride);
		*bytes += lane->program->bss->lengths[slot];
		__atomic_store_n(&lane->program->bss->produced, at + 1, __ATOMIC_RELEASE);
	}
	return 0;
}

const struct sender sender_xdp = {
	.name = "xdp",
	.burst = BURST,
	.silent = true,
	.open = xdp_open,
	.send = xdp_send,
	.close = xdp_close,
};
