// SPDX-License-Identifier: Apache-2.0
#include "library.h"

#include "erf.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Without a path: the name that the vendor's development files have, and numbered ones. */
static const char *const default_names[] = { "libdag.so", "libdag.so.1", "libdag.so.2",
					     "libdag.so.3", NULL };

static int load(struct cap_dag_library *library, const char *port, const char *path,
		struct cap_error *err)
{
	const char *const given[] = { path, NULL };
	const char *const *names = path ? given : default_names;
	const char *first_reason = NULL;
	char reason[256] = "";

	for (unsigned i = 0; names[i] && !library->handle; i++) {
		snprintf(library->path, sizeof(library->path), "%s", names[i]);
		library->handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
		if (!library->handle && !first_reason) {
			first_reason = dlerror();
			snprintf(reason, sizeof(reason), "%s", first_reason);
		}
	}
	if (library->handle)
		return 0;
	if (path)
		return cap_fail(
			err, ENOENT,
			"%s: dag: the library cannot be opened: %s: correct options.library, or install the software of the DAG card",
			port, reason);
	return cap_fail(
		err, ENOENT,
		"%s: dag: the vendor's library is not on this host: %s: install the software of the DAG card, or write where it lies as options.library",
		port, reason);
}

/* The configuration library is called after the other: libdag.so -> libdagconf.so, in the same folder. */
static void load_config(struct cap_dag_library *library)
{
	const char *slash = strrchr(library->path, '/');
	const char *file = slash ? slash + 1 : library->path;
	char path[PATH_MAX];
	int used;

	if (strncmp(file, "libdag", strlen("libdag")))
		return;
	used = snprintf(path, sizeof(path), "%.*slibdagconf%s", (int)(file - library->path),
			library->path, file + strlen("libdag"));
	if (used > 0 && (size_t)used < sizeof(path))
		library->config_handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static void *symbol(void *handle, const char *name)
{
	return handle ? dlsym(handle, name) : NULL;
}

/* ISO C has no cast from an object's pointer to a function's; POSIX promises that the bytes fit. */
#define FIND(member, from, name)                                                                \
	do {                                                                                    \
		void *found = symbol(from, name);                                               \
		_Static_assert(sizeof(found) == sizeof(member), "a function's pointer is one"); \
		memcpy(&(member), &found, sizeof(member));                                      \
	} while (0)

static void find_config(struct cap_dag_library *library)
{
	void *from = symbol(library->handle, "dag_config_init") ? library->handle :
								  library->config_handle;

	FIND(library->config_open, from, "dag_config_init");
	FIND(library->config_close, from, "dag_config_dispose");
	FIND(library->attribute_by_code, from, "dag_config_get_indexed_attribute_uuid");
	FIND(library->attribute_by_name, from, "dag_config_get_indexed_named_attribute_uuid");
	FIND(library->read_u32, from, "dag_config_get_uint32_attribute_ex");
	if (!library->config_close || !library->read_u32)
		library->config_open = NULL;
}

static int find_streams(struct cap_dag_library *library, const char *port, struct cap_error *err)
{
	const struct {
		const char *name;
		const void *found;
	} needed[] = {
		{ "dag_parse_name", (const void *)(uintptr_t)library->parse_name },
		{ "dag_open", (const void *)(uintptr_t)library->open },
		{ "dag_close", (const void *)(uintptr_t)library->close },
		{ "dag_attach_stream64", library->attach64 || library->attach32 ? library : NULL },
		{ "dag_detach_stream", (const void *)(uintptr_t)library->detach },
		{ "dag_start_stream", (const void *)(uintptr_t)library->start },
		{ "dag_stop_stream", (const void *)(uintptr_t)library->stop },
		{ "dag_set_stream_poll64",
		  library->set_poll64 || library->set_poll32 ? library : NULL },
		{ "dag_advance_stream", (const void *)(uintptr_t)library->advance },
		{ "dag_rx_get_stream_count", (const void *)(uintptr_t)library->receive_streams },
	};

	for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!needed[i].found)
			return cap_fail(
				err, ENOEXEC,
				"%s: dag: %s has no %s: it is no libdag, or one before streams (DAG 2.5): install a newer release of the card's software",
				port, library->path, needed[i].name);
	return 0;
}

int cap_dag_library_open(struct cap_dag_library *library, const char *port, const char *path,
			 struct cap_error *err)
{
	void *from;
	int rc;

	*library = (struct cap_dag_library){ 0 };
	rc = load(library, port, path, err);
	if (rc)
		return rc;
	from = library->handle;
	FIND(library->parse_name, from, "dag_parse_name");
	FIND(library->open, from, "dag_open");
	FIND(library->close, from, "dag_close");
	FIND(library->attach64, from, "dag_attach_stream64");
	FIND(library->attach32, from, "dag_attach_stream");
	FIND(library->detach, from, "dag_detach_stream");
	FIND(library->start, from, "dag_start_stream");
	FIND(library->stop, from, "dag_stop_stream");
	FIND(library->set_poll64, from, "dag_set_stream_poll64");
	FIND(library->set_poll32, from, "dag_set_stream_poll");
	FIND(library->advance, from, "dag_advance_stream");
	FIND(library->receive_streams, from, "dag_rx_get_stream_count");
	FIND(library->buffer_size, from, "dag_get_stream_buffer_size");
	rc = find_streams(library, port, err);
	if (rc) {
		cap_dag_library_close(library);
		return rc;
	}
	load_config(library);
	find_config(library);
	return 0;
}

void cap_dag_library_close(struct cap_dag_library *library)
{
	if (library->config_handle)
		dlclose(library->config_handle);
	if (library->handle)
		dlclose(library->handle);
	library->handle = library->config_handle = NULL;
}

static int negative_errno(int rc)
{
	if (rc >= 0)
		return 0;
	return errno > 0 ? -errno : -EIO;
}

int cap_dag_attach(const struct cap_dag_library *library, int fd, int stream)
{
	errno = 0;
	return negative_errno(library->attach64 ? library->attach64(fd, stream, 0, 0) :
						  library->attach32(fd, stream, 0, 0));
}

int cap_dag_set_wait(const struct cap_dag_library *library, int fd, int stream,
		     unsigned microseconds)
{
	struct timeval most = { .tv_usec = (suseconds_t)microseconds }, look = { 0 };

	errno = 0;
	return negative_errno(
		library->set_poll64 ?
			library->set_poll64(fd, stream, CAP_ERF_HEADER, &most, &look) :
			library->set_poll32(fd, stream, CAP_ERF_HEADER, &most, &look));
}
