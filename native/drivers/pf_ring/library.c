// SPDX-License-Identifier: Apache-2.0
#include "library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/*
 * As installed: the plain name, the major version's, and the soname, which has not followed the version.
 * Majors beyond today's are tried as well, and judged by their functions.
 */
static const char *const names[] = {
	"libpfring.so",	   "libpfring.so.8",  "libpfring.so.9", "libpfring.so.10",
	"libpfring.so.11", "libpfring.so.12", "libpfring.so.1",
};

/* Its filters need libpcap, which it does not always name itself. The engine's own is there already. */
static const char *const pcap_names[] = { "libpcap.so.0.8", "libpcap.so.1" };

#define N_NAMES (sizeof(names) / sizeof(names[0]))
#define N_PCAP_NAMES (sizeof(pcap_names) / sizeof(pcap_names[0]))

#define MEMBER(name) offsetof(struct cap_pfring_library, name)

static const struct {
	const char *symbol;
	size_t member;
	bool needed;
} functions[] = {
	{ "pfring_open", MEMBER(open), true },
	{ "pfring_close", MEMBER(close), true },
	{ "pfring_enable_ring", MEMBER(enable_ring), true },
	{ "pfring_recv", MEMBER(recv), true },
	{ "pfring_poll", MEMBER(poll), true },
	{ "pfring_stats", MEMBER(stats), true },
	{ "pfring_get_num_queued_pkts", MEMBER(get_num_queued_pkts), true },
	{ "pfring_get_selectable_fd", MEMBER(get_selectable_fd), true },
	{ "pfring_get_card_settings", MEMBER(get_card_settings), true },
	{ "pfring_set_direction", MEMBER(set_direction), true },
	{ "pfring_set_socket_mode", MEMBER(set_socket_mode), true },
	{ "pfring_set_application_name", MEMBER(set_application_name), true },
	{ "pfring_set_poll_watermark", MEMBER(set_poll_watermark), true },
	{ "pfring_set_channel_mask", MEMBER(set_channel_mask), true },
	{ "pfring_set_bpf_filter", MEMBER(set_bpf_filter), true },
	{ "pfring_version", MEMBER(version_of), true },
	{ "pfring_version_noring", MEMBER(version_noring), true },
	{ "pfring_set_cluster", MEMBER(set_cluster), false },
	{ "pfring_set_cluster_consumer", MEMBER(set_cluster_consumer), false },
	{ "pfring_zc_check_device_license_by_name", MEMBER(licence), false },
};

#define N_FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

void cap_pfring_version_text(uint32_t version, char text[CAP_PFRING_VERSION_TEXT])
{
	snprintf(text, CAP_PFRING_VERSION_TEXT, "%u.%u.%u", version >> 16 & 0xff,
		 version >> 8 & 0xff, version & 0xff);
}

/* All symbols at once: one that is missing must be told now, not end the process when it is first called. */
static void *load(const char *name)
{
	return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

/* dlerror begins with the file that it could not open: the library itself, or one that it depends on. */
static bool is_absent(const char *name, const char *why)
{
	size_t len = strlen(name);

	return !strncmp(why, name, len) &&
	       !strncmp(why + len, ": cannot open", strlen(": cannot open"));
}

static int fail_load(struct cap_error *err, const char *why)
{
	return cap_fail(
		err, ELIBACC,
		"the vendor's library cannot be loaded: %s: install the vendor's package pfring with what it depends on",
		why);
}

static int find(void **handle, struct cap_error *err)
{
	for (size_t i = 0; i < N_NAMES; i++) {
		const char *why;

		*handle = load(names[i]);
		if (*handle)
			return 0;
		why = dlerror();
		if (!is_absent(names[i], why))
			return fail_load(err, why);
	}
	return cap_fail(
		err, ENOENT,
		"the vendor's library libpfring.so is not on this host: install the vendor's package pfring, or name the library's path in \"library\"");
}

static int open_library(void **handle, const char *path, struct cap_error *err)
{
	void *pcap = NULL;

	for (size_t i = 0; i < N_PCAP_NAMES && !pcap; i++)
		pcap = dlopen(pcap_names[i], RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
	if (pcap)
		dlclose(pcap);
	if (!path)
		return find(handle, err);
	*handle = load(path);
	return *handle ? 0 : fail_load(err, dlerror());
}

static int resolve(struct cap_pfring_library *library, struct cap_error *err)
{
	for (size_t i = 0; i < N_FUNCTIONS; i++) {
		void *address = dlsym(library->handle, functions[i].symbol);

		if (!address && functions[i].needed)
			return cap_fail(
				err, ELIBBAD,
				"the vendor's library has no function %s: it is of another ABI than PF_RING 8 and 9: install one of these",
				functions[i].symbol);
		memcpy((char *)library + functions[i].member, &address, sizeof(address));
	}
	return 0;
}

static int judge_version(struct cap_pfring_library *library, struct cap_error *err)
{
	char have[CAP_PFRING_VERSION_TEXT], least[CAP_PFRING_VERSION_TEXT];

	library->version_noring(&library->version);
	if (library->version >= CAP_PFRING_OLDEST)
		return 0;
	cap_pfring_version_text(library->version, have);
	cap_pfring_version_text(CAP_PFRING_OLDEST, least);
	return cap_fail(
		err, EPROTONOSUPPORT,
		"the vendor's library is PF_RING %s, and %s is the oldest that is used, because those before mix up VLAN tags and receive channels: install %s or later",
		have, least, least);
}

int cap_pfring_load(struct cap_pfring_library *library, const char *path, struct cap_error *err)
{
	int rc;

	*library = (struct cap_pfring_library){ 0 };
	rc = open_library(&library->handle, path, err);
	if (rc == 0)
		rc = resolve(library, err);
	if (rc == 0)
		rc = judge_version(library, err);
	if (rc)
		cap_pfring_unload(library);
	return rc;
}

void cap_pfring_unload(struct cap_pfring_library *library)
{
	if (library->handle)
		dlclose(library->handle);
	library->handle = NULL;
}
