/* SPDX-License-Identifier: Apache-2.0 */
/** @file From root to the engine's own user, with the few capabilities that its methods need. */
#ifndef CAPSTAN_PRIVILEGES_H
#define CAPSTAN_PRIVILEGES_H

#include "config.h"

#include <jansson.h>
#include <sys/types.h>

/** Who the engine is to become. */
struct cap_identity {
	uid_t uid;
	gid_t gid;
	bool change; /**< false: no user is configured, stay as is */
};

/** Look up user and group of @p config; a group that is not named is the user's own. */
int cap_identity_find(const struct cap_config *config, struct cap_identity *identity,
		      struct cap_error *err);

/** Enter the network namespace at @p path, the calling thread and those that it starts. */
int cap_enter_netns(const char *path, struct cap_error *err);

/**
 * Become @p identity keeping only what `privileges` of the configured drivers name. Before the first
 * thread starts. Without root (and with no change of user asked for) nothing is taken away or added.
 */
int cap_drop_privileges(const struct cap_config *config, const struct cap_identity *identity,
			struct cap_error *err);

/** Names of the effective capabilities, for status. @return new reference */
json_t *cap_capability_names(void);

/** Names of the capabilities that bits of enum cap_privilege stand for. @return new reference */
json_t *cap_privilege_names(uint32_t privileges);

#endif
