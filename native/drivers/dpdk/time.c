// SPDX-License-Identifier: Apache-2.0
/*
 * Times. A device that stamps packets does so in a unit of its own: microseconds of the wall clock
 * (net_pcap), nanoseconds of it (net_af_packet), or by a clock of the NIC's (nic_time.c). All other
 * devices have their packets stamped when the burst is taken, by the CPU's counter where it is steady,
 * which costs less than the system's clock on machines without a fast one. A burst's
 * packets have one time, or with `interpolate` times spread evenly since the burst before.
 */
#include "dpdk.h"

#include "clock.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <string.h>

/* Whoever is interrupted between two readings is far off: the closest of several counts. */
#define READINGS 5

/* A counter's rate is measured over this at first: two readings off by 50 ns make it 2 ppm wrong. */
#define MEASURE_NS (50 * (long)CAP_NS_PER_MS)

static int read_cpu(const struct cap_port *port, uint64_t *ticks)
{
	(void)port;
	*ticks = rte_rdtsc_precise();
	return 0;
}

int cap_dpdk_read_pair(const struct cap_port *port, cap_dpdk_read_ticks read,
		       struct cap_clock_pair *pair)
{
	*pair = (struct cap_clock_pair){ .spread_ns = UINT64_MAX };
	for (unsigned i = 0; i < READINGS; i++) {
		uint64_t before = cap_realtime_ns(), took, ticks;

		if (read(port, &ticks))
			return -1;
		took = cap_realtime_ns() - before;
		if (took < pair->spread_ns)
			*pair = (struct cap_clock_pair){ ticks, before + took / 2, took };
	}
	return 0;
}

static void publish(struct cap_dpdk_clock *clock)
{
	cap_clock_publish(&clock->line, &clock->fit.line);
	__atomic_store_n(&clock->error_ns, clock->fit.error_ns, __ATOMIC_RELAXED);
}

uint64_t cap_dpdk_clock_at(const struct cap_dpdk_clock *clock, uint64_t ticks)
{
	struct cap_clock_line line = cap_clock_read(&clock->line);

	return cap_clock_at(&line, ticks);
}

/* How fast a counter is: nobody says of a NIC's, and of the CPU's DPDK only knows the next 10 MHz. */
uint64_t cap_dpdk_measure_hz(const struct cap_port *port, cap_dpdk_read_ticks read)
{
	const struct timespec pause = { .tv_nsec = MEASURE_NS };
	struct cap_clock_pair first, second;

	if (cap_dpdk_read_pair(port, read, &first))
		return 0;
	nanosleep(&pause, NULL);
	if (cap_dpdk_read_pair(port, read, &second) || second.ticks <= first.ticks ||
	    second.wall_ns <= first.wall_ns)
		return 0;
	return (uint64_t)((unsigned __int128)(second.ticks - first.ticks) * CAP_NS_PER_S /
			  (second.wall_ns - first.wall_ns));
}

bool cap_dpdk_clock_begin(struct cap_port *port, struct cap_dpdk_clock *clock,
			  cap_dpdk_read_ticks read, uint64_t hz)
{
	struct cap_clock_pair pair;

	if (!hz || cap_dpdk_read_pair(port, read, &pair))
		return false;
	cap_clock_begin(&clock->fit, &pair, hz);
	publish(clock);
	return true;
}

void cap_dpdk_clock_renew(struct cap_dpdk_clock *clock, const struct cap_clock_pair *now)
{
	cap_clock_renew(&clock->fit, now);
	publish(clock);
}

/* A counter that goes on at one rate whatever the CPU does, as the kernel sees it. */
static bool cpu_is_steady(void)
{
	char line[8192];
	bool steady = false;
	FILE *file = fopen("/proc/cpuinfo", "re");

	while (file && !steady && fgets(line, sizeof(line), file))
		if (!strncmp(line, "flags", strlen("flags")))
			steady = strstr(line, " constant_tsc") && strstr(line, " nonstop_tsc");
	if (file)
		fclose(file);
	return steady;
}

static bool is(const struct cap_port *port, const char *driver_name)
{
	return !strcmp(port->driver_name, driver_name);
}

void cap_dpdk_time_begin(struct cap_port *port)
{
	port->tells_by_cpu = cpu_is_steady() &&
			     cap_dpdk_clock_begin(port, &port->cpu, read_cpu,
						  cap_dpdk_measure_hz(port, read_cpu));
	port->time = port->tells_by_cpu ? CAP_DPDK_TIME_BURST_TSC : CAP_DPDK_TIME_BURST_CLOCK;
	if (is(port, "net_pcap"))
		port->time = CAP_DPDK_TIME_WALL_US;
	else if (port->stamps && is(port, "net_af_packet"))
		port->time = CAP_DPDK_TIME_WALL_NS;
}

static bool tells_by_cpu(const struct cap_port *port)
{
	return port->tells_by_cpu;
}

void cap_dpdk_time_renew(struct cap_port *port)
{
	struct cap_clock_pair now;

	if (tells_by_cpu(port) && cap_dpdk_read_pair(port, read_cpu, &now) == 0)
		cap_dpdk_clock_renew(&port->cpu, &now);
	cap_dpdk_nic_renew(port);
}

/* Of packets that have no time but their burst's. */
static const char *burst_words(const struct cap_port *port)
{
	if (port->options->interpolate)
		return port->tells_by_cpu ? "time a burst (TSC), interpolated" :
					    "time a burst (system clock), interpolated";
	return port->tells_by_cpu ? "time a burst (TSC)" : "time a burst (system clock)";
}

const char *cap_dpdk_time_words(const struct cap_port *port)
{
	static const char *const words[] = {
		[CAP_DPDK_TIME_NIC] = "time by the NIC",
		[CAP_DPDK_TIME_NIC_PTP] = "time by the NIC (PTP)",
		[CAP_DPDK_TIME_WALL_NS] = "time by the kernel",
		[CAP_DPDK_TIME_WALL_US] = "time by libpcap, microseconds",
	};

	return port->nic_is_off || port->time <= CAP_DPDK_TIME_BURST_CLOCK ? burst_words(port) :
									     words[port->time];
}

uint64_t cap_dpdk_ticks(const struct cap_port *port)
{
	return tells_by_cpu(port) ? rte_rdtsc() : cap_realtime_ns();
}

uint64_t cap_dpdk_burst_ns(const struct cap_port *port, uint64_t ticks)
{
	return tells_by_cpu(port) ? cap_dpdk_clock_at(&port->cpu, ticks) : ticks;
}

uint64_t cap_dpdk_ticks_to_ns(const struct cap_port *port, uint64_t ticks)
{
	if (!tells_by_cpu(port))
		return ticks;
	return (uint64_t)(((unsigned __int128)ticks *
			   cap_clock_read(&port->cpu.line).ns_per_tick) >>
			  32);
}
