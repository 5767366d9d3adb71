// SPDX-License-Identifier: Apache-2.0
/*
 * Targets go to each port's method. The kernel waits for its own programs when tables change, some 10 ms a time,
 * so all ports are changed beside each other.
 */
#include "port.h"

#include "log.h"

#include <stdio.h>
#include <string.h>

static void tell_targets(struct cap_running_port *port, const char *where,
			 const struct cap_error *why)
{
	struct cap_port_facts *facts = &port->facts;
	bool new_reason = strncmp(facts->targets_why, why->text, sizeof(facts->targets_why) - 1);

	pthread_mutex_lock(&port->facts_lock);
	facts->targets_in = where;
	snprintf(facts->targets_why, sizeof(facts->targets_why), "%.*s",
		 (int)sizeof(facts->targets_why) - 1, why->text);
	pthread_mutex_unlock(&port->facts_lock);
	if (new_reason && why->text[0])
		cap_warn("degraded", "%s: targets are matched in the engine, not in the kernel: %s",
			 port->config->interface, why->text);
	else if (new_reason)
		cap_info("targets_in_kernel", "%s: targets are matched in the kernel again",
			 port->config->interface);
}

void cap_running_port_set_targets(struct cap_running_port *port,
				  const struct cap_active_targets *active)
{
	const struct cap_driver *driver = port->config->driver;
	struct cap_error why = { "" };

	pthread_mutex_lock(&port->handle_lock);
	if (port->handle && driver->set_targets)
		tell_targets(port,
			     driver->set_targets(port->handle, active, port->config->tunnels,
						 &why) ?
				     "engine" :
				     "kernel",
			     &why);
	else if (port->handle)
		tell_targets(port, "engine", &why);
	pthread_mutex_unlock(&port->handle_lock);
}

void cap_running_port_take_targets(void *context, const struct cap_active_targets *active)
{
	cap_running_port_set_targets(context, active);
}

struct share {
	struct cap_running_port *port;
	const struct cap_active_targets *active;
	pthread_t thread;
	bool started;
};

static void *do_share(void *argument)
{
	const struct share *share = argument;

	cap_running_port_set_targets(share->port, share->active);
	return NULL;
}

void cap_running_ports_set_targets(struct cap_running_port *ports, unsigned port_count,
				   const struct cap_active_targets *active)
{
	struct share shares[CAP_MAX_PORTS];

	for (unsigned p = 0; p < port_count; p++) {
		struct share *share = &shares[p];

		*share = (struct share){ .port = &ports[p], .active = active };
		share->started = port_count > 1 &&
				 !pthread_create(&share->thread, NULL, do_share, share);
		if (!share->started)
			do_share(share);
	}
	for (unsigned p = 0; p < port_count; p++)
		if (shares[p].started)
			pthread_join(shares[p].thread, NULL);
}
