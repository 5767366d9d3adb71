// SPDX-License-Identifier: Apache-2.0
/* A port between the main thread, which arms it, and the one that changes targets. */
#include "port.h"
#include "sentence.h"
#include "target_force.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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

/* A port whose device came back, and whose kernel takes its time over the targets. */
static bool is_within, may_go; /* atomic */
static unsigned filled, armed;

static int open_port(const struct cap_port_config *config, struct cap_port **port,
		     struct cap_port_facts *facts, struct cap_error *err)
{
	(void)err;
	snprintf(facts->effective_mode, sizeof(facts->effective_mode), "scripted");
	*port = (struct cap_port *)(uintptr_t)config;
	return 0;
}

static void close_port(struct cap_port *port)
{
	(void)port;
}

static int watch_port(const struct cap_port_config *config, struct cap_port *port,
		      struct cap_device *device)
{
	(void)config;
	(void)port;
	*device = (struct cap_device){ .identity = 1, .up = true };
	return 0;
}

static int fill_slowly(struct cap_port *port, const struct cap_active_targets *active,
		       uint32_t tunnels, struct cap_error *err)
{
	(void)port;
	(void)tunnels;
	(void)err;
	HOLDS(active->count == 1 && !active->is_step);
	__atomic_store_n(&is_within, true, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&may_go, __ATOMIC_SEQ_CST))
		pause_for(1);
	filled++;
	return 0;
}

static int arm_filled(struct cap_port *port, struct cap_error *err)
{
	(void)port;
	(void)err;
	HOLDS(filled == 1);
	armed++;
	return 0;
}

static void make_force(struct cap_target_force **force, const struct cap_targets_config *config)
{
	static const char targets[] =
		"{\"version\":1,\"targets\":[{\"id\":\"00000000-0000-4000-8000-000000000001\",\"vlans\":[1]}]}";
	FILE *file = fopen(config->file, "w");
	struct cap_error err;

	HOLDS(file && fputs(targets, file) >= 0 && fclose(file) == 0);
	HOLDS(cap_target_force_create(force, config, NULL, 0, &err) == 0);
	HOLDS(cap_target_force_load(*force, &err) == 0);
}

static void test_a_port_that_comes_back_is_filled_beside_the_main_thread(void)
{
	static const struct cap_driver driver = { .name = "scripted",
						  .open = open_port,
						  .arm = arm_filled,
						  .watch = watch_port,
						  .set_targets = fill_slowly,
						  .close = close_port };
	const struct cap_port_config config = { .driver = &driver, .interface = "cap0" };
	char path[] = "/tmp/capstan-port-XXXXXX";
	const struct cap_targets_config targets = { .file = path };
	struct cap_ledger_queue ledger = { 0 };
	struct cap_ledger_device device = { 0 };
	struct cap_running_port port = { .config = &config, .ledger = &ledger, .lock = -1 };
	int fd = mkstemp(path);

	HOLDS(fd >= 0 && close(fd) == 0);
	make_force(&port.targets, &targets);
	HOLDS(cap_device_counters_begin(&port.counters, &device) == 0);
	pthread_mutex_init(&port.facts_lock, NULL);
	pthread_mutex_init(&port.handle_lock, NULL);
	snprintf(port.facts.effective_mode, sizeof(port.facts.effective_mode), "scripted");
	cap_running_port_tick(&port);
	while (!__atomic_load_n(&is_within, __ATOMIC_SEQ_CST))
		pause_for(1);
	cap_running_port_tick(&port);
	HOLDS(port.phase == CAP_PORT_FILLING && armed == 0);
	__atomic_store_n(&may_go, true, __ATOMIC_SEQ_CST);
	for (unsigned looks = 0; looks < 10000 && port.phase != CAP_PORT_OPEN; looks++) {
		pause_for(1);
		cap_running_port_tick(&port);
	}
	HOLDS(port.phase == CAP_PORT_OPEN && armed == 1 && ledger.monitor.reopens == 1);
	cap_running_port_close(&port);
	cap_target_force_close(port.targets);
	unlink(path);
}

int main(void)
{
	test_a_port_that_comes_back_is_filled_beside_the_main_thread();
	test_targets_change_before_a_port_is_armed_or_behind();
	return 0;
}
