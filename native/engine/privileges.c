// SPDX-License-Identifier: Apache-2.0
#include "privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Debian 12's libcap knows it; spelled out for older headers. */
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

static const struct {
	enum cap_privilege privilege;
	cap_value_t capability;
	const char *name;
} known[] = {
	{ CAP_PRIVILEGE_NET_RAW, CAP_NET_RAW, "net_raw" },
	{ CAP_PRIVILEGE_NET_ADMIN, CAP_NET_ADMIN, "net_admin" },
	{ CAP_PRIVILEGE_BPF, CAP_BPF, "bpf" },
	{ CAP_PRIVILEGE_IPC_LOCK, CAP_IPC_LOCK, "ipc_lock" },
};

#define N_KNOWN (sizeof(known) / sizeof(known[0]))

int cap_identity_find(const struct cap_config *config, struct cap_identity *identity,
		      struct cap_error *err)
{
	const struct passwd *user;
	const struct group *group;

	*identity = (struct cap_identity){ .uid = geteuid(), .gid = getegid() };
	if (config->user) {
		user = getpwnam(config->user);
		if (!user)
			return cap_fail(
				err, ENOENT,
				"user: there is no user \"%s\" on this host: create it, or leave the key out",
				config->user);
		*identity = (struct cap_identity){ user->pw_uid, user->pw_gid, true };
	}
	if (config->group) {
		group = getgrnam(config->group);
		if (!group)
			return cap_fail(
				err, ENOENT,
				"group: there is no group \"%s\" on this host: create it, or leave the key out",
				config->group);
		identity->gid = group->gr_gid;
		identity->change = true;
	}
	if (identity->change && geteuid() != 0 &&
	    (identity->uid != geteuid() || identity->gid != getegid()))
		return cap_fail(
			err, EPERM,
			"user: only root can become uid %u, gid %u: start the engine as root, or leave user and group out",
			identity->uid, identity->gid);
	return 0;
}

int cap_enter_netns(const char *path, struct cap_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return cap_fail(err, errno, "netns: %s cannot be opened: %s: see ip netns list",
				path, strerror(errno));
	if (setns(fd, CLONE_NEWNET)) {
		int rc = errno;

		close(fd);
		return cap_fail(err, rc,
				"netns: %s cannot be entered: %s: start the engine as root", path,
				strerror(rc));
	}
	close(fd);
	return 0;
}

static int keep_only(uint32_t privileges, struct cap_error *err)
{
	cap_t wanted = cap_init();
	int rc = 0;

	for (size_t i = 0; wanted && i < N_KNOWN && rc == 0; i++) {
		cap_value_t value = known[i].capability;

		if (!(privileges & known[i].privilege))
			continue;
		rc = cap_set_flag(wanted, CAP_PERMITTED, 1, &value, CAP_SET) ||
		     cap_set_flag(wanted, CAP_EFFECTIVE, 1, &value, CAP_SET);
	}
	if (!wanted || rc || cap_set_proc(wanted))
		rc = cap_fail(
			err, errno,
			"dropping privileges: the capabilities cannot be set: %s: start the engine as root or with them",
			strerror(errno));
	cap_free(wanted);
	return rc;
}

static int become(const struct cap_identity *identity, struct cap_error *err)
{
	if (prctl(PR_SET_KEEPCAPS, 1) || setgroups(1, &identity->gid) ||
	    setresgid(identity->gid, identity->gid, identity->gid) ||
	    setresuid(identity->uid, identity->uid, identity->uid))
		return cap_fail(err, errno, "dropping privileges: cannot become uid %u, gid %u: %s",
				identity->uid, identity->gid, strerror(errno));
	return 0;
}

int cap_drop_privileges(const struct cap_config *config, const struct cap_identity *identity,
			struct cap_error *err)
{
	uint32_t privileges = 0;
	int rc = 0;

	for (unsigned i = 0; i < config->port_count; i++) {
		const struct cap_port_config *port = &config->ports[i];

		privileges |= port->driver->port_privileges ? port->driver->port_privileges(port) :
							      port->driver->privileges;
	}
	if (geteuid() != 0)
		return 0;
	if (identity->change) {
		rc = become(identity, err);
		if (rc == 0)
			rc = keep_only(privileges, err);
	}
	if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		rc = cap_fail(err, errno, "dropping privileges: %s", strerror(errno));
	return rc;
}

json_t *cap_capability_names(void)
{
	json_t *names = json_array();
	cap_t have = cap_get_proc();

	for (size_t i = 0; have && i < N_KNOWN; i++) {
		cap_flag_value_t value = CAP_CLEAR;

		if (cap_get_flag(have, known[i].capability, CAP_EFFECTIVE, &value) == 0 &&
		    value == CAP_SET)
			json_array_append_new(names, json_string(known[i].name));
	}
	cap_free(have);
	return names;
}

json_t *cap_privilege_names(uint32_t privileges)
{
	json_t *names = json_array();

	for (size_t i = 0; i < N_KNOWN; i++)
		if (privileges & known[i].privilege)
			json_array_append_new(names, json_string(known[i].name));
	return names;
}
