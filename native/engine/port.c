// SPDX-License-Identifier: Apache-2.0
#include "port.h"

#include "clock.h"
#include "log.h"
#include "netdev.h"
#include "target_force.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BUSY_TRIES 12
#define BUSY_PAUSE_NS 200000000L

/* Between two readings of a device's own counters: some ask the NIC's firmware for each. */
#define COUNTERS_NS CAP_NS_PER_S

/* How often, and how many times, a worker that was told to run is looked at: for 2 s at most. */
#define WORKER_LOOK_NS 200000L
#define WORKER_LOOKS 10000U

/* Between two tries to open a port that is there again and cannot be opened. */
#define RETRY_NS CAP_NS_PER_S

const char *cap_link_name(enum cap_link link)
{
	static const char *const names[] = {
		[CAP_LINK_DOWN] = "down",
		[CAP_LINK_UP] = "up",
		[CAP_LINK_GONE] = "gone",
	};

	return names[link];
}

static bool is_netdev(const struct cap_running_port *port)
{
	return port->config->driver->features & CAP_FEATURE_NETDEV;
}

/* The port has a device that can be looked at, and that can go and come back. */
static bool has_device(const struct cap_running_port *port)
{
	return is_netdev(port) || port->config->driver->watch;
}

/* @return 0, -ENODEV when the device is gone, or another negative errno */
static int read_device(const struct cap_running_port *port, struct cap_device *device)
{
	struct cap_netdev netdev;
	int rc;

	if (port->config->driver->watch)
		return port->config->driver->watch(port->config, port->handle, device);
	rc = cap_netdev_ask(port->netdev, port->config->interface, &netdev);
	*device = (struct cap_device){
		.identity = netdev.ifindex,
		.up = netdev.up,
		.counts_on = true,
		.rx_packets = netdev.rx_packets,
		.rx_missed = netdev.rx_missed,
		.rx_no_buffer = netdev.rx_no_buffer,
	};
	return rc;
}

/* @return how many of the device's own counters are in counters.now; 0 where it has none, or is gone */
static unsigned read_counters(struct cap_running_port *port)
{
	const struct cap_driver *driver = port->config->driver;
	struct cap_device_counter *now = port->counters.now;
	int count = 0;

	if (driver->device_counters)
		count = driver->device_counters(port->handle, now, CAP_DEVICE_COUNTERS);
	else if (is_netdev(port))
		count = cap_netdev_counters(port->config->interface, now, CAP_DEVICE_COUNTERS);
	return count > 0 ? (unsigned)count : 0;
}

/* Who holds the other end, for the sentence; 0 when it is too busy to say. */
static int holder_of(const struct sockaddr_un *address, socklen_t len)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return 0;
	if (connect(fd, (const struct sockaddr *)address, len) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		peer.pid = 0;
	close(fd);
	return peer.pid;
}

/*
 * Two engines on one interface would each believe that they capture it. An abstract socket is as
 * narrow as an interface name, per network namespace, and goes with its process however that ends.
 */
static int take_interface(struct cap_running_port *port, struct cap_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int used = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "capstan/port/%s",
			    port->config->interface);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used);

	port->lock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (port->lock < 0)
		return cap_fail(err, errno, "%s: cannot make a socket: %s", port->config->interface,
				strerror(errno));
	if (bind(port->lock, (struct sockaddr *)&address, len) == 0 && listen(port->lock, 1) == 0)
		return 0;
	if (errno == EADDRINUSE)
		return cap_fail(
			err, EBUSY,
			"%s: is captured already by capstan-engine with pid %d: stop that one first",
			port->config->interface, holder_of(&address, len));
	return cap_fail(err, errno, "%s: cannot take the interface: %s", port->config->interface,
			strerror(errno));
}

/* Under the lock, so that nobody gives targets to a port that is being closed. */
static void close_driver(struct cap_running_port *port)
{
	pthread_mutex_lock(&port->handle_lock);
	if (port->handle)
		port->config->driver->close(port->handle);
	port->handle = NULL;
	pthread_mutex_unlock(&port->handle_lock);
}

static int open_driver(struct cap_running_port *port, struct cap_error *err)
{
	const struct cap_driver *driver = port->config->driver;
	struct cap_port_facts facts = { .filter_in = "none", .targets_in = "none" };
	bool first = port->facts.effective_mode[0] == '\0';
	struct cap_port *handle;
	int rc = driver->open(port->config, &handle, &facts, err);

	if (rc)
		return rc;
	if (!first && facts.link_type != port->facts.link_type) {
		driver->close(handle);
		return cap_fail(
			err, EPROTOTYPE,
			"%s: came back with another link type (%u, was %u): restart the capture",
			port->config->interface, facts.link_type, port->facts.link_type);
	}
	memcpy(facts.targets_why, port->facts.targets_why, sizeof(facts.targets_why));
	pthread_mutex_lock(&port->facts_lock);
	port->facts = facts;
	pthread_mutex_unlock(&port->facts_lock);
	pthread_mutex_lock(&port->handle_lock);
	port->handle = handle;
	pthread_mutex_unlock(&port->handle_lock);
	for (unsigned i = 0; i < port->config->queues; i++) {
		port->workers[i].queue = driver->queue(port->handle, i);
		port->workers[i].snaplen = port->facts.snaplen;
		port->workers[i].gone = &port->gone;
	}
	return 0;
}

/* A queue that was in use a moment ago may stay busy for a second (AF_XDP): worth waiting for, once. */
static int open_driver_patiently(struct cap_running_port *port, struct cap_error *err)
{
	const struct timespec pause = { .tv_nsec = BUSY_PAUSE_NS };
	int rc = open_driver(port, err);

	for (unsigned tries = 0; rc == -EBUSY && tries < BUSY_TRIES; tries++) {
		nanosleep(&pause, NULL);
		rc = open_driver(port, err);
	}
	return rc;
}

/* Where targets say what is captured: a matcher for each worker, and what they share. */
static int make_matchers(struct cap_running_port *port, struct cap_error *err)
{
	const struct cap_port_config *config = port->config;

	if (!port->workers[0].targets.current)
		return 0;
	if (!cap_match_link_type(port->facts.link_type))
		return cap_fail(
			err, EPROTONOSUPPORT,
			"%s: targets are looked for in Ethernet frames and in raw IP packets, and its link type is %u: capture it without targets",
			config->interface, port->facts.link_type);
	port->fragments = cap_fragments_create(CAP_FRAGMENT_SLOTS);
	if (!port->fragments)
		return cap_fail(err, ENOMEM, "%s: out of memory", config->interface);
	for (unsigned i = 0; i < config->queues; i++) {
		port->workers[i].matcher =
			cap_matcher_create(port->facts.link_type, config->tunnels, port->fragments);
		if (!port->workers[i].matcher)
			return cap_fail(err, ENOMEM, "%s: out of memory", config->interface);
	}
	return 0;
}

static void free_matchers(struct cap_running_port *port)
{
	for (unsigned i = 0; i < port->config->queues; i++) {
		cap_matcher_free(port->workers[i].matcher);
		port->workers[i].matcher = NULL;
	}
	cap_fragments_free(port->fragments);
	port->fragments = NULL;
}

int cap_running_port_open(struct cap_running_port *port, const struct cap_port_config *config,
			  struct cap_ledger_device *device, struct cap_error *err)
{
	int rc = 0;

	port->config = config;
	port->order = CAP_ORDER_PARK;
	port->lock = port->netdev = -1;
	port->link = CAP_LINK_UP;
	pthread_mutex_init(&port->facts_lock, NULL);
	pthread_mutex_init(&port->handle_lock, NULL);
	if (cap_device_counters_begin(&port->counters, device))
		return cap_fail(err, ENOMEM, "%s: out of memory", config->interface);
	if (is_netdev(port))
		rc = take_interface(port, err);
	if (rc == 0 && is_netdev(port) && (port->netdev = cap_netdev_socket()) < 0)
		rc = cap_fail(err, -port->netdev, "%s: cannot make a socket: %s", config->interface,
			      strerror(-port->netdev));
	if (rc == 0)
		rc = open_driver_patiently(port, err);
	if (rc == 0 && config->filter) {
		rc = cap_filter_compile(config->filter, port->facts.link_type, &port->filter, err);
		if (rc)
			cap_fail_in(err, rc, "%s", config->interface);
	}
	for (unsigned i = 0; rc == 0 && i < config->queues; i++)
		port->workers[i].filter = port->filter;
	return rc ? rc : make_matchers(port, err);
}

/* A NIC whose counter went back was reset: what it has counted since then comes on top. */
static uint64_t counted(struct cap_nic_sum *sum, uint64_t *published, uint64_t now)
{
	uint64_t before = cap_sample(published);

	if (now < sum->at_arm || sum->before + (now - sum->at_arm) < before) {
		sum->before = before;
		sum->at_arm = 0;
	}
	cap_publish(published, sum->before + (now - sum->at_arm));
	return cap_sample(published);
}

static void publish_nic(struct cap_running_port *port, const struct cap_device *device)
{
	struct cap_ledger_monitor *ledger = &port->ledger->monitor;
	uint64_t lost = counted(&port->missed, &ledger->nic_missed, device->rx_missed) +
			counted(&port->no_buffer, &ledger->nic_no_buffer, device->rx_no_buffer) +
			counted(&port->errors, &ledger->nic_errors, device->rx_errors);

	cap_publish(&ledger->nic_lost, lost);
	cap_publish(&ledger->nic_rx_packets, device->rx_packets);
}

static void set_link(struct cap_running_port *port, enum cap_link link)
{
	if (link == port->link)
		return;
	port->link = link;
	cap_count(&port->ledger->monitor.link_changes, 1);
	cap_publish(&port->ledger->monitor.link_up, link == CAP_LINK_UP);
	cap_log(link == CAP_LINK_UP ? CAP_LOG_INFO : CAP_LOG_WARNING, "link_change",
		"%s: the link is %s", port->config->interface, cap_link_name(link));
}

/*
 * A port that is armed anew has an account already, and maybe a new device behind its name. Its NIC
 * counter is taken to have begun that much earlier, so that what the NIC counts from there on and what
 * the port counts stay comparable; modulo 2^64.
 */
static uint64_t wire_so_far(const struct cap_running_port *port)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < port->config->queues; i++)
		sum += cap_sample(&port->ledger[i].worker.wire_packets);
	return sum;
}

static bool any_worker(const struct cap_running_port *port, enum cap_worker_state state)
{
	for (unsigned i = 0; i < port->config->queues; i++)
		if (cap_worker_state(&port->workers[i]) == state)
			return true;
	return false;
}

/*
 * A parked worker looks for its order every few milliseconds. One that finds the order to stop in place of
 * the one to run would end without a look at its ring, which fills from here on.
 */
static void await_workers(const struct cap_running_port *port)
{
	const struct timespec pause = { .tv_nsec = WORKER_LOOK_NS };

	for (unsigned looks = 0; any_worker(port, CAP_WORKER_PARKED) && looks < WORKER_LOOKS;
	     looks++)
		nanosleep(&pause, NULL);
}

/* From any other thread the facts are read under the lock. */
static void renew_facts(struct cap_running_port *port)
{
	if (!port->config->driver->tell)
		return;
	pthread_mutex_lock(&port->facts_lock);
	port->config->driver->tell(port->handle, &port->facts);
	pthread_mutex_unlock(&port->facts_lock);
}

/* Under the lock, so that a change of targets finds the port as it was before, or armed whole. */
static int arm_driver(struct cap_running_port *port, struct cap_error *err)
{
	int rc;

	pthread_mutex_lock(&port->handle_lock);
	rc = port->config->driver->arm(port->handle, err);
	pthread_mutex_unlock(&port->handle_lock);
	return rc;
}

int cap_running_port_arm(struct cap_running_port *port, struct cap_error *err)
{
	struct cap_ledger_monitor *ledger = &port->ledger->monitor;
	struct cap_device before = { 0 }, after = { 0 };
	int rc;

	if (has_device(port) && (rc = read_device(port, &before)))
		return cap_fail(err, -rc, "%s: its counters cannot be read: %s",
				port->config->interface, strerror(-rc));
	cap_device_counters_arm(&port->counters, read_counters(port));
	rc = arm_driver(port, err);
	if (rc)
		return rc;
	if (has_device(port) && read_device(port, &after) == 0) {
		port->identity = after.identity;
		port->missed.at_arm = before.rx_missed;
		port->no_buffer.at_arm = before.rx_no_buffer;
		port->errors.at_arm = before.rx_errors;
		cap_publish(&ledger->nic_rx_at_arm, before.rx_packets - wire_so_far(port));
		cap_publish(&ledger->nic_life,
			    after.counts_on ? CAP_NIC_COUNTS_ON : CAP_NIC_ENDS_WITH_ENGINE);
		cap_publish(&ledger->nic_rx_arm_spread, after.rx_packets - before.rx_packets);
		cap_publish(&ledger->link_up, port->link == CAP_LINK_UP);
		set_link(port, after.up ? CAP_LINK_UP : CAP_LINK_DOWN);
		publish_nic(port, &after);
	}
	renew_facts(port);
	port->phase = CAP_PORT_OPEN;
	__atomic_store_n(&port->gone, false, __ATOMIC_RELAXED);
	__atomic_store_n(&port->order, CAP_ORDER_RUN, __ATOMIC_RELEASE);
	await_workers(port);
	return 0;
}

static bool all_workers(const struct cap_running_port *port, enum cap_worker_state state)
{
	for (unsigned i = 0; i < port->config->queues; i++)
		if (cap_worker_state(&port->workers[i]) != state)
			return false;
	return true;
}

static void park(struct cap_running_port *port, const char *why)
{
	cap_alert("port_lost", "%s: %s: capture on it stops until it is back",
		  port->config->interface, why);
	port->config->driver->disarm(port->handle);
	__atomic_store_n(&port->gone, true, __ATOMIC_RELAXED);
	port->phase = CAP_PORT_PARKING;
	__atomic_store_n(&port->order, CAP_ORDER_PARK, __ATOMIC_RELEASE);
}

/* What has become less than asked for while packets are captured. */
static void tell_anew(struct cap_running_port *port)
{
	unsigned told = port->facts.degraded_count;

	renew_facts(port);
	for (unsigned i = told; i < port->facts.degraded_count; i++)
		cap_warn("degraded", "%s: %s", port->config->interface, port->facts.degraded[i]);
}

static void publish_counters(struct cap_running_port *port)
{
	port->counters_at = cap_monotonic_ns() + COUNTERS_NS;
	cap_device_counters_publish(&port->counters, read_counters(port));
}

static void watch(struct cap_running_port *port)
{
	struct cap_device device;
	int rc = read_device(port, &device);

	if (rc == -ENODEV || (rc == 0 && device.identity != port->identity)) {
		set_link(port, CAP_LINK_GONE);
		park(port, "the interface is gone");
	} else if (any_worker(port, CAP_WORKER_LOST)) {
		park(port, "receiving failed");
	} else if (rc == 0) {
		set_link(port, device.up ? CAP_LINK_UP : CAP_LINK_DOWN);
		publish_nic(port, &device);
		tell_anew(port);
		if (cap_monotonic_ns() >= port->counters_at)
			publish_counters(port);
	}
}

static void finish_parking(struct cap_running_port *port)
{
	if (!all_workers(port, CAP_WORKER_PARKED))
		return;
	close_driver(port);
	port->missed.before = cap_sample(&port->ledger->monitor.nic_missed);
	port->no_buffer.before = cap_sample(&port->ledger->monitor.nic_no_buffer);
	port->errors.before = cap_sample(&port->ledger->monitor.nic_errors);
	port->last_error[0] = '\0';
	port->retry_at = 0;
	port->phase = CAP_PORT_CLOSED;
}

static void *fill(void *argument)
{
	struct cap_running_port *port = argument;

	cap_target_force_tell(port->targets, cap_running_port_take_targets, port);
	__atomic_store_n(&port->filled, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Hundreds of thousands of targets take the kernel seconds: the main thread has other ports, and shows that it lives. */
static void begin_filling(struct cap_running_port *port)
{
	port->phase = CAP_PORT_FILLING;
	__atomic_store_n(&port->filled, false, __ATOMIC_RELAXED);
	port->filling = pthread_create(&port->filler, NULL, fill, port) == 0;
	if (!port->filling)
		fill(port);
}

static void end_filling(struct cap_running_port *port)
{
	if (port->filling)
		pthread_join(port->filler, NULL);
	port->filling = false;
}

/* @param rc of its opening so far, with @p err */
static void finish_opening(struct cap_running_port *port, int rc, struct cap_error *err)
{
	port->phase = CAP_PORT_CLOSED;
	if (rc == 0) {
		cap_count(&port->ledger->monitor.reopens, 1);
		rc = cap_running_port_arm(port, err);
		if (rc)
			close_driver(port);
	}
	if (rc == 0) {
		cap_info("port_back", "%s: is back and captured again (%s)",
			 port->config->interface, port->facts.effective_mode);
	} else if (strncmp(port->last_error, err->text, sizeof(port->last_error) - 1)) {
		snprintf(port->last_error, sizeof(port->last_error), "%.*s",
			 (int)sizeof(port->last_error) - 1, err->text);
		cap_alert("port_not_back", "%s", err->text);
	}
}

static void open_again(struct cap_running_port *port)
{
	struct cap_device device;
	struct cap_error err;
	int rc;

	if (cap_monotonic_ns() < port->retry_at || read_device(port, &device) || !device.up)
		return;
	port->retry_at = cap_monotonic_ns() + RETRY_NS;
	rc = open_driver(port, &err);
	/* When the engine starts no set is read yet: all ports are told of the first one. */
	if (rc == 0 && port->targets)
		begin_filling(port);
	else
		finish_opening(port, rc, &err);
}

static void await_filled(struct cap_running_port *port)
{
	struct cap_error err;

	if (!__atomic_load_n(&port->filled, __ATOMIC_ACQUIRE))
		return;
	end_filling(port);
	finish_opening(port, 0, &err);
}

/* Other engines that were refused the interface have connected to see who has it. */
static void dismiss_callers(struct cap_running_port *port)
{
	struct pollfd caller = { .fd = port->lock, .events = POLLIN };
	int fd;

	/* To accept nobody costs the kernel a socket. */
	while (poll(&caller, 1, 0) > 0 && (fd = accept4(port->lock, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
}

void cap_running_port_tick(struct cap_running_port *port)
{
	if (!has_device(port))
		return;
	if (is_netdev(port))
		dismiss_callers(port);
	switch (port->phase) {
	case CAP_PORT_OPEN:
		watch(port);
		break;
	case CAP_PORT_PARKING:
		finish_parking(port);
		break;
	case CAP_PORT_CLOSED:
		open_again(port);
		break;
	case CAP_PORT_FILLING:
		await_filled(port);
		break;
	}
}

void cap_running_port_stop(struct cap_running_port *port)
{
	struct cap_device device;

	if (port->phase == CAP_PORT_OPEN && port->handle)
		port->config->driver->disarm(port->handle);
	if (port->phase == CAP_PORT_OPEN && has_device(port)) {
		if (read_device(port, &device) == 0 && device.identity == port->identity)
			publish_nic(port, &device);
		else
			__atomic_store_n(&port->gone, true, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&port->order, CAP_ORDER_STOP, __ATOMIC_RELEASE);
}

void cap_running_port_settle(struct cap_running_port *port)
{
	if (port->handle && port->phase == CAP_PORT_OPEN &&
	    !__atomic_load_n(&port->gone, __ATOMIC_RELAXED))
		publish_counters(port);
}

void cap_running_port_close(struct cap_running_port *port)
{
	end_filling(port);
	close_driver(port);
	cap_device_counters_free(&port->counters);
	free_matchers(port);
	cap_filter_free(port->filter);
	port->filter = NULL;
	if (port->lock >= 0)
		close(port->lock);
	if (port->netdev >= 0)
		close(port->netdev);
	port->lock = port->netdev = -1;
	pthread_mutex_destroy(&port->facts_lock);
	pthread_mutex_destroy(&port->handle_lock);
}

bool cap_running_port_ended(const struct cap_running_port *port, int *error)
{
	/* State first: a worker's error is there before it says that it has ended. */
	bool ended = all_workers(port, CAP_WORKER_ENDED);

	for (unsigned i = 0; ended && i < port->config->queues; i++)
		if (port->workers[i].error)
			*error = port->workers[i].error;
	return ended;
}
