/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file libdag, the vendor's library, opened at run time: what of its C interface is used here.
 *
 * The interface is known by how openly licensed programs call it (libpcap's pcap-dag.c, libtrace's
 * format_dag25.c, Suricata's source-erf-dag.c). Functions return a negative number, or NULL, with errno
 * set, when they fail. Streams of one card may be used by threads of their own.
 */
#ifndef CAPSTAN_DAG_LIBRARY_H
#define CAPSTAN_DAG_LIBRARY_H

#include "error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>

/** Room for a device's path: the library's DAGNAME_BUFSIZE. */
#define CAP_DAG_NAME 128

/** What the configuration library hands out: a card, a part of it, an attribute's identity (0: none). */
typedef void *cap_dag_card;
typedef void *cap_dag_component;
typedef uintptr_t cap_dag_attribute;

struct cap_dag_library {
	void *handle, *config_handle;
	char path[PATH_MAX]; /**< as it was asked for, for sentences */

	/** "dag0", "/dev/dag0:2" -> the device's path and a stream's number */
	int (*parse_name)(const char *name, char *device, size_t size, int *stream);
	int (*open)(const char *device);
	int (*close)(int fd);

	/** Take a stream for this process alone. The older function takes 32 bits; see cap_dag_attach. */
	int (*attach64)(int fd, int stream, uint32_t flags, uint64_t extra_window);
	int (*attach32)(int fd, int stream, uint32_t flags, uint32_t extra_window);
	int (*detach)(int fd, int stream);
	int (*start)(int fd, int stream);
	int (*stop)(int fd, int stream);

	/**
	 * How dag_advance_stream waits: for how many bytes, how long in all (0: without end), and how long
	 * between looks (0: it goes on looking).
	 */
	int (*set_poll64)(int fd, int stream, uint64_t bytes, struct timeval *most,
			  struct timeval *look);
	int (*set_poll32)(int fd, int stream, uint32_t bytes, struct timeval *most,
			  struct timeval *look);

	/**
	 * Give back what lies before *bottom, and get what has come.
	 *
	 * The memory is a ring that is mapped so that what is returned is in one piece: *bottom is moved
	 * to where it begins, by a ring's length if must be. NULL in *bottom the first time.
	 *
	 * @return where it ends, or NULL with errno; EAGAIN: nothing can be had now
	 */
	uint8_t *(*advance)(int fd, int stream, uint8_t **bottom);

	int (*receive_streams)(int fd);		/**< how many receive streams the card has */
	int (*buffer_size)(int fd, int stream); /**< bytes of a stream's memory; NULL: unknown */

	/** Of libdagconf; all NULL where there is none. */
	cap_dag_card (*config_open)(const char *device);
	void (*config_close)(cap_dag_card card);
	cap_dag_attribute (*attribute_by_code)(cap_dag_card card, int code, int index);
	cap_dag_attribute (*attribute_by_name)(cap_dag_card card, const char *name, int index);
	int (*read_u32)(cap_dag_card card, cap_dag_attribute attribute, uint32_t *value);
};

/**
 * Open the library; it stays loaded.
 *
 * @param port name of the port, for sentences
 * @param path absolute, or NULL: libdag.so as the linker finds it
 * @return 0; -ENOENT with a sentence that says what to install; -ENOEXEC with one that names what the
 *         library lacks
 */
int cap_dag_library_open(struct cap_dag_library *library, const char *port, const char *path,
			 struct cap_error *err);

void cap_dag_library_close(struct cap_dag_library *library);

/** Whether the configuration library is there, with what is used of it. */
static inline bool cap_dag_has_config(const struct cap_dag_library *library)
{
	return library->config_open;
}

/** Take a stream, by whichever function the library has. @return 0, or negative errno */
int cap_dag_attach(const struct cap_dag_library *library, int fd, int stream);

/** The shortest that dag_advance_stream can be made to wait; the card may be asked for what it holds meanwhile. */
#define CAP_DAG_SHORTEST_WAIT_US 1U

/**
 * Have dag_advance_stream wait for one record, so many microseconds at most.
 *
 * Not to wait at all would do on most cards. Those that spread packets by rules (DSM) write whole blocks, and
 * the library makes them give up one that is half full only while it waits for more.
 *
 * @return 0, or negative errno
 */
int cap_dag_set_wait(const struct cap_dag_library *library, int fd, int stream,
		     unsigned microseconds);

#endif
