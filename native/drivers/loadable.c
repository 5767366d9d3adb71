// SPDX-License-Identifier: Apache-2.0
#include "loadable.h"

#include "dag/about.h"
#include "dpdk/about.h"
#include "pf_ring/about.h"
#include "version.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct cap_driver about_dag = { CAP_DAG_ABOUT };
static const struct cap_driver about_dpdk = { CAP_DPDK_ABOUT };
static const struct cap_driver about_pf_ring = { CAP_PF_RING_ABOUT };

const struct cap_loadable cap_loadables[] = {
	{ &about_dpdk, "capstan-engine-dpdk" },
	{ &about_pf_ring, "capstan-engine-pf-ring" },
	{ &about_dag, "capstan-engine-dag" },
	{ NULL, NULL },
};

/* Where the object lies: beside the program in a build tree, in ../lib/capstan once installed. */
static int find_object(const char *name, char path[PATH_MAX])
{
	static const char *const folders[] = { "", "../lib/capstan/" };
	char program[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (len <= 0)
		return -errno;
	program[len] = '\0';
	*(strrchr(program, '/') + 1) = '\0';
	for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		int used = snprintf(path, PATH_MAX, "%s%ssource_%s.so", program, folders[i], name);

		if (used > 0 && used < PATH_MAX && access(path, R_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

const struct cap_driver *cap_loadable_load(const struct cap_loadable *loadable,
					   struct cap_error *err)
{
	const char *name = loadable->about->name;
	const struct cap_source *source;
	char path[PATH_MAX];
	void *object;

	if (find_object(name, path)) {
		cap_fail(err, ENOENT, "method %s is not installed on this host: install %s", name,
			 loadable->package);
		return NULL;
	}
	object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object) {
		cap_fail(
			err, ENOENT,
			"method %s cannot be loaded: %s: install %s with the libraries that it depends on",
			name, dlerror(), loadable->package);
		return NULL;
	}
	source = dlsym(object, "cap_source");
	if (!source || source->driver_size != sizeof(struct cap_driver) ||
	    source->packet_size != sizeof(struct cap_packet) ||
	    strcmp(source->version, CAP_VERSION)) {
		cap_fail(err, ENOEXEC,
			 "method %s: %s is of another build than this engine (" CAP_VERSION
			 "): install %s in the engine's version",
			 name, path, loadable->package);
		dlclose(object);
		return NULL;
	}
	return source->driver;
}
