// SPDX-License-Identifier: Apache-2.0
#include "send.h"

#include <string.h>
#include <unistd.h>

#include "interrupt.h"
#include "pace.h"
#include "progress.h"

#define NS_PER_SECOND 1000000000u
#define NS_PER_MS 1000000u

/* Signals and progress are looked after at least this often. */
#define TICK_NS (20 * NS_PER_MS)

/* A receiver that polls counts a frame when it takes it: counters may trail the last frame. */
#define SETTLE_STEP_NS (2 * NS_PER_MS)
#define SETTLE_QUIET_STEPS 250

/* What one core gets through a packet socket here; a pace above it needs XDP. */
#define AF_PACKET_RATE_MAX 600000

static const struct sender *const senders[] = { &sender_af_packet, &sender_xdp };

#define SENDERS (sizeof(senders) / sizeof(senders[0]))

static const struct sender *find_sender(const char *name)
{
	for (unsigned int i = 0; i < SENDERS; i++)
		if (strcmp(senders[i]->name, name) == 0)
			return senders[i];
	return NULL;
}

/* What the link accounts for: every frame offered ends up here, sooner or later. */
static uint64_t accounted(const struct link_counters *delta)
{
	return delta->tx_packets + delta->tx_dropped + delta->tx_errors;
}

/* Waits until the link accounts for @frames, or has stopped counting short of them. */
static int settle(const struct link *link, const struct link_counters *before, uint64_t frames,
		  int interrupt, struct link_counters *delta, struct fault *fault)
{
	struct link_counters now;
	uint64_t last = 0;

	for (unsigned int quiet = 0; quiet < SETTLE_QUIET_STEPS; quiet++) {
		if (link_counters_read(link, &now, fault))
			return -1;
		*delta = link_counters_since(&now, before);
		if (accounted(delta) >= frames)
			return 0;
		if (accounted(delta) != last)
			quiet = 0;
		last = accounted(delta);
		/* An interrupt that is already pending would end every wait at once. */
		if (interrupt_wait(interrupt, SETTLE_STEP_NS))
			usleep(SETTLE_STEP_NS / 1000);
	}
	return 0;
}

/* The run itself: bursts on time until count, seconds or a signal end it. */
static int send_paced(const struct send_order *order, const struct sender *sender, void *state,
		      int interrupt, struct send_result *result, struct fault *fault)
{
	uint64_t start = clock_now_ns(), now = start, tick = start;
	uint64_t end = order->seconds > 0 ? start + (uint64_t)(order->seconds * 1e9) : UINT64_MAX;
	uint64_t total = order->count ? order->count : UINT64_MAX - order->first;
	uint32_t most = sender->burst;
	struct progress progress;
	struct pace pace;

	pace_start(&pace, order->rate, start);
	progress_start(&progress, "sent", order->count, start);
	while (result->frames < total && now < end) {
		uint64_t left = total - result->frames;
		uint32_t due = pace_due(&pace, now, left < most ? (uint32_t)left : most);
		int64_t refused = sender->send(state, order->first + result->frames, due,
					       &result->bytes, fault);

		if (refused < 0)
			return -1;
		result->disowned += (uint64_t)refused;
		result->frames += due;
		pace_sent(&pace, due);
		now = clock_now_ns();
		if (now >= tick || pace_wait_ns(&pace, now)) {
			uint64_t wait = pace_wait_ns(&pace, now);

			if (result->frames == total)
				wait = 0;
			if (interrupt_wait(interrupt, wait < TICK_NS ? wait : TICK_NS)) {
				result->interrupted = true;
				break;
			}
			now = clock_now_ns();
			tick = now + TICK_NS;
			progress_tell(&progress, result->frames, now);
		}
	}
	result->elapsed = (double)(clock_now_ns() - start) / NS_PER_SECOND;
	progress_end(&progress);
	return 0;
}

/* The counters decide what was accepted, unless others used the link meanwhile. */
static void judge(struct send_result *result)
{
	const struct link_counters *link = &result->counters;
	uint64_t dropped = link->tx_dropped + link->tx_errors;

	if (dropped < result->disowned)
		dropped = result->disowned;
	result->disturbed = accounted(link) > result->frames;
	if (!result->disturbed)
		result->accepted = link->tx_packets;
	else if (dropped < result->frames)
		result->accepted = result->frames - dropped;
	result->refused = result->frames - result->accepted;
}

/* Sends the first frame and sees that the link noticed. */
static int send_probe(const struct send_order *order, const struct sender *sender, void *state,
		      int interrupt, const struct link_counters *before, struct send_result *result,
		      struct fault *fault)
{
	uint64_t bytes = 0;

	if (sender->send(state, order->first, 1, &bytes, fault) < 0 ||
	    settle(&order->link, before, 1, interrupt, &result->counters, fault))
		return -1;
	if (!accounted(&result->counters))
		return fault_set(fault,
				 "%s does not take frames by %s; for a veth, its peer needs an XDP "
				 "program or `ethtool -K PEER gro on`; or use --method af_packet.",
				 order->link.name, sender->name);
	result->frames = 1;
	result->bytes = bytes;
	return 0;
}

static int send_with(const struct send_order *order, const struct sender *sender, int interrupt,
		     struct send_result *result, struct fault *fault)
{
	struct link_counters before;
	void *state;
	int failed;

	*result = (struct send_result){ .method = sender->name };
	state = sender->open(&order->link, &order->traffic, fault);
	if (!state)
		return -1;
	failed = link_counters_read(&order->link, &before, fault) ||
		 (sender->silent &&
		  send_probe(order, sender, state, interrupt, &before, result, fault)) ||
		 send_paced(order, sender, state, interrupt, result, fault);
	sender->close(state);
	if (failed ||
	    settle(&order->link, &before, result->frames, interrupt, &result->counters, fault))
		return -1;
	judge(result);
	return 0;
}

/* `auto`: XDP where the pace asks for more than a packet socket gives and the link takes it. */
static int send_auto(const struct send_order *order, int interrupt, struct send_result *result,
		     struct fault *fault)
{
	if (!order->rate || order->rate > AF_PACKET_RATE_MAX) {
		if (send_with(order, &sender_xdp, interrupt, result, fault) == 0)
			return 0;
		if (result->frames)
			return -1;
	}
	return send_with(order, &sender_af_packet, interrupt, result, fault);
}

int send_run(const struct send_order *order, struct send_result *result, struct fault *fault)
{
	bool choose = strcmp(order->method, "auto") == 0;
	const struct sender *sender = find_sender(order->method);
	int interrupt, failed;

	if (!sender && !choose)
		return fault_set(fault, "--method: '%s' is unknown; choose auto, af_packet or xdp.",
				 order->method);
	if (link_holds(&order->link, &order->traffic, fault))
		return -1;
	interrupt = interrupt_open(fault);
	if (interrupt < 0)
		return -1;
	failed = choose ? send_auto(order, interrupt, result, fault) :
			  send_with(order, sender, interrupt, result, fault);
	close(interrupt);
	return failed;
}
