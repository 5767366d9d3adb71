// SPDX-License-Identifier: Apache-2.0
#include "module.h"

#include "library.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIRECTORY "/proc/net/pf_ring"
#define PARAMETERS "/sys/module/pf_ring/parameters"
#define INTERFACES "/sys/class/net"

/* The value of a line "Name  : value", without its end. @return whether there is such a line */
static bool value_of(const char *line, const char *name, const char **value)
{
	const char *colon = strchr(line, ':');

	if (strncmp(line, name, strlen(name)) || !colon)
		return false;
	*value = colon + 1 + strspn(colon + 1, " \t");
	return true;
}

static unsigned number_in(const char *path)
{
	unsigned value = 0;
	FILE *file = fopen(path, "re");

	if (!file)
		return 0;
	if (fscanf(file, "%u", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

static unsigned parameter(const char *root, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s" PARAMETERS "/%s", root, name);
	return number_in(path);
}

void cap_pfring_module_read(const char *root, struct cap_pfring_module *module)
{
	char path[PATH_MAX], line[256];
	const char *value;
	FILE *file;

	*module = (struct cap_pfring_module){ 0 };
	snprintf(path, sizeof(path), "%s" DIRECTORY "/info", root);
	file = fopen(path, "re");
	module->loaded = file != NULL;
	while (file && fgets(line, sizeof(line), file)) {
		if (value_of(line, "PF_RING Version", &value))
			snprintf(module->version, sizeof(module->version), "%.*s",
				 (int)strcspn(value, " \t\n"), value);
		else if (value_of(line, "Ring slots", &value))
			module->slots = (unsigned)strtoul(value, NULL, 10);
	}
	if (file)
		fclose(file);
	module->rebuilds_fragments = parameter(root, "enable_ip_defrag");
	module->leaves_tags_out = parameter(root, "keep_vlan_offload");
	module->locks_rings = parameter(root, "force_ring_lock");
}

static bool steers(const char *path)
{
	char mask[512] = "";
	FILE *file = fopen(path, "re");
	bool some;

	if (!file)
		return false;
	some = fgets(mask, sizeof(mask), file) && strpbrk(mask, "123456789abcdef");
	fclose(file);
	return some;
}

bool cap_pfring_is_steered(const char *root, const char *interface, unsigned ifindex)
{
	char folder[PATH_MAX], path[2 * PATH_MAX];
	bool found = false;
	struct dirent *entry;
	DIR *queues;

	snprintf(path, sizeof(path), "%s" INTERFACES "/%s/ifindex", root, interface);
	if (number_in(path) != ifindex)
		return false;
	snprintf(folder, sizeof(folder), "%s" INTERFACES "/%s/queues", root, interface);
	queues = opendir(folder);
	while (queues && !found && (entry = readdir(queues))) {
		if (strncmp(entry->d_name, "rx-", 3))
			continue;
		snprintf(path, sizeof(path), "%s/%s/rps_cpus", folder, entry->d_name);
		found = steers(path);
	}
	if (queues)
		closedir(queues);
	return found;
}

static bool is_in_cluster(const char *path, unsigned id)
{
	char line[256];
	const char *value;
	bool found = false;
	FILE *file = fopen(path, "re");

	while (file && !found && fgets(line, sizeof(line), file))
		found = value_of(line, "Cluster Id", &value) && strtoul(value, NULL, 10) == id;
	if (file)
		fclose(file);
	return found;
}

int cap_pfring_cluster_holder(const char *root, unsigned id)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int pid = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "%s" DIRECTORY, root);
	folder = opendir(path);
	/* A ring's file is PID-DEVICE.NUMBER. */
	while (folder && !pid && (entry = readdir(folder))) {
		char *end;
		long owner = strtol(entry->d_name, &end, 10);

		if (owner <= 0 || *end != '-')
			continue;
		snprintf(path, sizeof(path), "%s" DIRECTORY "/%s", root, entry->d_name);
		if (is_in_cluster(path, id))
			pid = (int)owner;
	}
	if (folder)
		closedir(folder);
	return pid;
}

static int try_socket(int family, int protocol)
{
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* A packet socket asks for the same right, also where there is no module to ask for it. Of protocol 0 it receives nothing. */
int cap_pfring_try_socket(void)
{
	return try_socket(AF_PACKET, 0) == EPERM ? EPERM :
						   try_socket(CAP_PFRING_FAMILY, htons(ETH_P_ALL));
}

static bool same_release(const char *module, const char *library)
{
	const char *dot = strchr(library, '.');
	size_t len = dot ? (size_t)(dot - library) + 1 + strcspn(dot + 1, ".") : strlen(library);

	return !strncmp(module, library, len) && (module[len] == '.' || !module[len]);
}

int cap_pfring_explain(const struct cap_pfring_failure *failure,
		       const struct cap_pfring_module *module, struct cap_error *err)
{
	const int code = failure->socket ? failure->socket : failure->code;
	const char *name = failure->interface;
	char library[CAP_PFRING_VERSION_TEXT];

	cap_pfring_version_text(failure->library_version, library);
	if (code == EAFNOSUPPORT && module->loaded)
		return cap_fail(
			err, EAFNOSUPPORT,
			"%s: pf_ring: the kernel module pf_ring is loaded, and its sockets are denied to this process: allow them, by AF_IB in the service's RestrictAddressFamilies",
			name);
	if (code == EAFNOSUPPORT)
		return cap_fail(
			err, EAFNOSUPPORT,
			"%s: pf_ring: the kernel module pf_ring is not loaded: run modprobe pf_ring, or deploy this host again",
			name);
	if (code == EPERM || code == EACCES)
		return cap_fail(
			err, EPERM,
			"%s: pf_ring: opening a ring is not permitted: start the engine as root or give it CAP_NET_ADMIN and CAP_NET_RAW",
			name);
	if (module->loaded && *module->version && !same_release(module->version, library))
		return cap_fail(
			err, EPROTO,
			"%s: pf_ring: the library is PF_RING %s and the loaded module is %s, which do not understand each other: install both in one version, and load the module anew",
			name, library, module->version);
	if (code == ENOMEM || code == ENOBUFS)
		return cap_fail(
			err, ENOMEM,
			"%s: pf_ring: no memory for a ring of %u slots for frames of %u bytes: load the module with a lower min_num_slots",
			name, module->slots, failure->caplen);
	if (failure->zc)
		return cap_fail(
			err, EBUSY,
			"%s: pf_ring: its zero-copy driver does not give it (%s): see that the vendor's driver has the NIC and no other program captures from it, or write zc: false",
			name, strerror(code));
	return cap_fail(
		err, code ? code : EIO,
		"%s: pf_ring: the library cannot open it: %s: see that the module has the library's version (%s), by /proc/net/pf_ring/info, and in the kernel's log whether there was no memory for a ring of %u slots (min_num_slots)",
		name, strerror(code), library, module->slots);
}
