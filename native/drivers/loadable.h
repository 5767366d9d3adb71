/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file Methods in shared objects of their own: `source_NAME.so`, loaded when a configuration asks for
 * the method, so that a host without it needs none of its libraries.
 *
 * Such an object exports one constant, `cap_source`. What a method is like is compiled into the engine
 * as well (its about.h), so that `--methods` can tell of one that is not there.
 */
#ifndef CAPSTAN_LOADABLE_H
#define CAPSTAN_LOADABLE_H

#include "driver.h"

/** What a shared object exports under the name "cap_source". */
struct cap_source {
	const char *version;  /**< CAP_VERSION of the build */
	uint32_t driver_size; /**< sizeof(struct cap_driver): another build's would be misread */
	uint32_t packet_size; /**< sizeof(struct cap_packet) */
	const struct cap_driver *driver;
};

#define CAP_SOURCE(a_driver)                              \
	extern const struct cap_source cap_source;        \
	const struct cap_source cap_source = {            \
		.version = CAP_VERSION,                   \
		.driver_size = sizeof(struct cap_driver), \
		.packet_size = sizeof(struct cap_packet), \
		.driver = &(a_driver),                    \
	}

/** A method that may be loaded. */
struct cap_loadable {
	const struct cap_driver *about; /**< name, words, features and privileges only */
	const char *package;		/**< the Debian package that holds it */
};

/** All of them, ended by an entry without `about`. */
extern const struct cap_loadable cap_loadables[];

/**
 * Load it, from beside the engine's program or from ../lib/capstan. It stays loaded.
 *
 * @return the driver, or NULL with a sentence that says what to install
 */
const struct cap_driver *cap_loadable_load(const struct cap_loadable *loadable,
					   struct cap_error *err);

#endif
