// SPDX-License-Identifier: Apache-2.0
#include "eal.h"

#include "clock.h"
#include "leftovers.h"
#include "log.h"
#include "pci.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <xdp/libxdp.h>

/* A driver that complains of the same thing again and again is heard once a minute. */
#define REMEMBERED_LINES 64
#define SILENCE_NS (60 * CAP_NS_PER_S)

/* What drivers complain of when no other process may join in, which is what we want. */
static const char wanted[] = "Failed to register mp action callback";

struct said {
	uint64_t hash, at_ns;
};

/* EAL is one for the process, and what it logs comes from any thread. */
static struct {
	pthread_mutex_t lock;
	char complaint[256]; /* the first warning or error since it was asked for */
	char taken[256];     /* a copy for the main thread */
	struct said said[REMEMBERED_LINES];
	struct cap_eal_arguments arguments; /* EAL keeps pointers into them */
} eal = { .lock = PTHREAD_MUTEX_INITIALIZER };

static enum cap_log_level level_of(int rte_level)
{
	if (rte_level > 0 && rte_level <= (int)RTE_LOG_ERR)
		return CAP_LOG_ERROR;
	return rte_level == (int)RTE_LOG_WARNING ? CAP_LOG_WARNING : CAP_LOG_INFO;
}

/* FNV-1a, 64 bits. */
static uint64_t hash_of(const char *text, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	while (len--)
		hash = (hash ^ (unsigned char)*text++) * UINT64_C(0x100000001b3);
	return hash;
}

/* Under the lock. The place of a line is its hash's: another line of that place is forgotten. */
static bool was_said_lately(const char *text, size_t len)
{
	uint64_t hash = hash_of(text, len), now = cap_coarse_ns();
	struct said *said = &eal.said[hash % REMEMBERED_LINES];
	bool lately = said->hash == hash && now - said->at_ns < SILENCE_NS;

	if (!lately)
		*said = (struct said){ hash, now };
	return lately;
}

/* DPDK writes a line at a time into its stream: into our log with it. */
static ssize_t log_line(void *cookie, const char *text, size_t size)
{
	int rte_level = rte_log_cur_msg_loglevel();
	size_t len = size;
	bool lately;

	(void)cookie;
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	if (!len || memmem(text, len, wanted, strlen(wanted)))
		return (ssize_t)size;
	pthread_mutex_lock(&eal.lock);
	if (rte_level > 0 && rte_level <= (int)RTE_LOG_WARNING && !eal.complaint[0])
		snprintf(eal.complaint, sizeof(eal.complaint), "%.*s", (int)len, text);
	lately = was_said_lately(text, len);
	pthread_mutex_unlock(&eal.lock);
	if (lately)
		return (ssize_t)size;
	/* An error of DPDK's is no failure of ours yet: whoever called it decides. */
	cap_log(level_of(rte_level) == CAP_LOG_INFO ? CAP_LOG_INFO : CAP_LOG_WARNING, "dpdk",
		"%.*s", (int)len, text);
	return (ssize_t)size;
}

const char *cap_eal_complaint(void)
{
	pthread_mutex_lock(&eal.lock);
	memcpy(eal.taken, eal.complaint, sizeof(eal.taken));
	eal.complaint[0] = '\0';
	pthread_mutex_unlock(&eal.lock);
	return eal.taken;
}

/* net_af_xdp's libraries write to standard error; what they refuse comes back as return values. */
static int quiet_bpf(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static int quiet_xdp(enum libxdp_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* Before the free hugepages are counted: dead processes may have them. */
static void clear_leftovers(bool huge)
{
	struct cap_leftovers pages = { 0 };

	cap_leftover_folders_remove("/var/run/dpdk");
	if (huge)
		pages = cap_leftover_pages_remove("/proc/self/mounts", "/proc");
	if (pages.removed)
		cap_info(
			"leftovers_removed",
			"removed %u files of hugepages that DPDK processes had left when they died; %u of living ones stay",
			pages.removed, pages.in_use);
	if (pages.failed)
		cap_warn(
			"leftovers_not_removed",
			"%u files of hugepages may be left by dead DPDK processes and cannot be judged or removed: look for *map_* in hugetlbfs",
			pages.failed);
}

static int check_ports(const struct cap_port_config *const *ports, unsigned count,
		       struct cap_error *err)
{
	const struct cap_dpdk_options *first = ports[0]->options;

	for (unsigned i = 0; i < count; i++) {
		const struct cap_dpdk_options *options = ports[i]->options;
		const char *name = ports[i]->interface;
		int rc;

		if (options->huge != first->huge)
			return cap_fail(
				err, EINVAL,
				"%s: dpdk: huge differs from that of %s: all ports of an engine share one memory, write the same for each",
				name, ports[0]->interface);
		if (cap_dpdk_is_pci(name)) {
			rc = cap_pci_check(CAP_SYSFS, name, err);
			if (rc)
				return rc;
		} else if (strncmp(name, "net_", strlen("net_"))) {
			return cap_fail(
				err, EINVAL,
				"%s: dpdk: is no port of DPDK: write a PCI address such as 0000:19:00.1, or a virtual device's name such as net_tap0",
				name);
		}
	}
	clear_leftovers(first->huge);
	if (first->huge && cap_free_hugepages(CAP_SYSFS) == 0)
		return cap_fail(
			err, ENOMEM,
			"%s: dpdk: no hugepage is free on this host: reserve some (sysctl vm.nr_hugepages=512), or write huge: false for ports that are no NICs",
			ports[0]->interface);
	return 0;
}

int cap_eal_start(const struct cap_port_config *const *ports, unsigned count, struct cap_error *err)
{
	const cookie_io_functions_t into_log = { .write = log_line };
	char *words[CAP_EAL_MAX_ARGUMENTS + 1];
	cpu_set_t before, cpus;
	FILE *stream;
	int rc = check_ports(ports, count, err);

	if (rc)
		return rc;
	if (sched_getaffinity(0, sizeof(before), &before))
		return cap_fail(err, errno, "dpdk: the CPUs of this process cannot be read: %s",
				strerror(errno));
	/* EAL takes memory of its own from the node of its core, and hugepages lie where the ports are. */
	cpus = before;
	if (ports[0]->core_count) {
		CPU_ZERO(&cpus);
		for (unsigned i = 0; i < ports[0]->core_count; i++)
			CPU_SET((size_t)ports[0]->cores[i], &cpus);
	}
	rc = cap_eal_arguments(&eal.arguments, ports, count, &cpus, getpid(), err);
	if (rc)
		return rc;
	libbpf_set_print(quiet_bpf);
	libxdp_set_print(quiet_xdp);
	stream = fopencookie(NULL, "w", into_log);
	if (!stream)
		return cap_fail(err, ENOMEM, "dpdk: out of memory");
	setvbuf(stream, NULL, _IOLBF, 0);
	rte_openlog_stream(stream);
	/* EAL's threads start before the engine gives up its rights: those of a thread are its own affair. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return cap_fail(err, errno, "dpdk: giving up new privileges: %s", strerror(errno));
	/* EAL reorders what it is given. */
	memcpy(words, eal.arguments.words, sizeof(words));
	if (rte_eal_init(eal.arguments.count, words) < 0) {
		const char *why = cap_eal_complaint();
		int failed = rte_errno ? rte_errno : EIO;

		return cap_fail(
			err, failed, "dpdk: EAL cannot be initialised: %s%s%s%s", strerror(failed),
			*why ? ": " : "", why,
			failed == ENOMEM ?
				": reserve more hugepages, or lower queues and descriptors" :
				"");
	}
	if (sched_setaffinity(0, sizeof(before), &before))
		return cap_fail(err, errno, "dpdk: the CPUs of this process cannot be restored: %s",
				strerror(errno));
	/* EAL makes a folder for files that a process in memory has none of. */
	if (rmdir(rte_eal_get_runtime_dir()) && errno != ENOENT)
		cap_warn("dpdk", "%s: EAL's folder cannot be removed: %s",
			 rte_eal_get_runtime_dir(), strerror(errno));
	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return cap_fail(err, EPERM, "dpdk: EAL did not become a primary process");
	return 0;
}
