// SPDX-License-Identifier: Apache-2.0
/* A port between the main thread, which arms it, and the one that changes targets. */
#include "port.h"
#include "sentence.h"

#include <time.h>

static bool arming, asked;
static unsigned told;

static void pause_for(long ms)
{
	const struct timespec pause = { .tv_nsec = ms * 1000000L };

	nanosleep(&pause, NULL);
}

static int arm(struct cap_port *handle, struct cap_error *err)
{
	(void)handle;
	(void)err;
	__atomic_store_n(&arming, true, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&asked, __ATOMIC_SEQ_CST))
		pause_for(1);
	/* Time for a change to come in between. */
	pause_for(50);
	__atomic_store_n(&arming, false, __ATOMIC_SEQ_CST);
	return 0;
}

static int set_targets(struct cap_port *handle, const struct cap_active_targets *active,
		       uint32_t tunnels, struct cap_error *err)
{
	(void)handle;
	(void)active;
	(void)tunnels;
	(void)err;
	HOLDS(!__atomic_load_n(&arming, __ATOMIC_SEQ_CST));
	told++;
	return 0;
}

static void *change_targets(void *port)
{
	while (!__atomic_load_n(&arming, __ATOMIC_SEQ_CST))
		pause_for(1);
	__atomic_store_n(&asked, true, __ATOMIC_SEQ_CST);
	cap_running_port_set_targets(port, NULL);
	return NULL;
}

static void test_targets_change_before_a_port_is_armed_or_behind(void)
{
	static const struct cap_driver driver = { .name = "scripted",
						  .arm = arm,
						  .set_targets = set_targets };
	const struct cap_port_config config = { .driver = &driver, .interface = "cap0" };
	struct cap_ledger_queue ledger = { 0 };
	struct cap_ledger_device device = { 0 };
	struct cap_running_port port = { .config = &config, .ledger = &ledger };
	struct cap_error err;
	pthread_t thread;

	/* The driver is the only one that would look at it. */
	port.handle = (struct cap_port *)&port;
	HOLDS(cap_device_counters_begin(&port.counters, &device) == 0);
	pthread_mutex_init(&port.facts_lock, NULL);
	pthread_mutex_init(&port.handle_lock, NULL);
	HOLDS(pthread_create(&thread, NULL, change_targets, &port) == 0);
	HOLDS(cap_running_port_arm(&port, &err) == 0);
	pthread_join(thread, NULL);
	HOLDS(told == 1 && port.phase == CAP_PORT_OPEN);
	cap_device_counters_free(&port.counters);
	pthread_mutex_destroy(&port.facts_lock);
	pthread_mutex_destroy(&port.handle_lock);
}

int main(void)
{
	test_targets_change_before_a_port_is_armed_or_behind();
	return 0;
}
