// SPDX-License-Identifier: Apache-2.0
#include "target_store.h"

#include "log.h"
#include "target_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME ".lock"

static int take(struct cap_target_store *store, struct cap_error *err)
{
	store->directory = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->directory < 0)
		return cap_fail(
			err, errno,
			"cannot be opened: %s: make it, and let the engine's user write there",
			strerror(errno));
	store->lock = openat(store->directory, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
			     0600);
	if (store->lock < 0)
		return cap_fail(err, errno,
				LOCK_NAME
				" cannot be opened: %s: let the engine's user write there",
				strerror(errno));
	if (flock(store->lock, LOCK_EX | LOCK_NB))
		return cap_fail(
			err, errno == EWOULDBLOCK ? EBUSY : errno,
			"another process has these targets: ask the engine that runs by its control socket, or stop it");
	return 0;
}

static int read_file(struct cap_target_store *store, struct cap_target_list *list,
		     struct cap_error *err)
{
	int fd = openat(store->directory, CAP_TARGET_FILE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return errno == ENOENT ?
			       0 :
			       cap_fail(err, errno, CAP_TARGET_FILE_NAME " cannot be opened: %s",
					strerror(errno));
	rc = cap_target_file_read(fd, list, &store->serial, err);
	close(fd);
	return rc ? cap_fail_in(err, rc, CAP_TARGET_FILE_NAME) : 0;
}

struct catching_up {
	struct cap_target_store *store;
	struct cap_target_list *list;
};

/* The change goes when this returns, and what it adds lies in it: the new list has everything of its own. */
static int catch_up(void *context, const struct cap_target_change *change, struct cap_error *err)
{
	struct catching_up *to = context;
	struct cap_target_list next = { 0 }, borrowed = { 0 };
	struct cap_target_outcome outcome;
	int rc = cap_target_change_apply(change, cap_target_list_walk(to->list), &outcome,
					 &borrowed, err);

	if (rc == 0) {
		rc = cap_target_list_copy(&next, &borrowed, err);
		cap_target_outcome_free(&outcome);
	}
	cap_target_list_free(&borrowed);
	if (rc) {
		cap_target_list_free(&next);
		return rc;
	}
	cap_target_list_free(to->list);
	*to->list = next;
	to->store->serial = change->serial;
	return 0;
}

int cap_target_store_open(struct cap_target_store *store, const char *path,
			  struct cap_target_list *list, struct cap_error *err)
{
	struct catching_up to = { store, list };
	int rc, missed;

	*store = (struct cap_target_store){ .directory = -1, .lock = -1, .path = strdup(path) };
	if (!store->path)
		return cap_fail(err, ENOMEM, "out of memory");
	rc = take(store, err);
	if (rc == 0)
		rc = read_file(store, list, err);
	missed = rc ? rc :
		      cap_target_log_replay(store->directory, &store->rest, store->serial, catch_up,
					    &to, err);
	if (missed < 0) {
		cap_target_store_close(store);
		return cap_fail_in(err, missed, "%s", path);
	}
	if (missed == 0)
		return 0;
	cap_info("targets_caught_up",
		 "targets: %d change%s that the log has and " CAP_TARGET_FILE_NAME
		 " had not yet are in force",
		 missed, missed == 1 ? "" : "s");
	if (cap_target_store_write(store, cap_target_list_walk(list), store->serial, err))
		cap_alert("targets_not_written", "%s", err->text);
	return 0;
}

int cap_target_store_commit(struct cap_target_store *store, const struct cap_target_change *change,
			    const struct cap_target_outcome *outcome,
			    const struct cap_target_peer *peer, struct cap_error *err)
{
	int rc = cap_target_log_append(store->directory, &store->rest, change, outcome, peer,
				       store->serial + 1, err);

	if (rc)
		return cap_fail_in(err, rc, "%s", store->path);
	store->serial++;
	return 0;
}

int cap_target_store_write(const struct cap_target_store *store, struct cap_target_walk targets,
			   uint64_t serial, struct cap_error *err)
{
	int rc = cap_target_file_write(store->directory, targets, serial, err);

	return rc ? cap_fail_in(err, rc, "%s", store->path) : 0;
}

void cap_target_store_close(struct cap_target_store *store)
{
	if (store->directory >= 0)
		close(store->directory);
	if (store->lock >= 0)
		close(store->lock);
	free(store->path);
	*store = (struct cap_target_store){ .directory = -1, .lock = -1 };
}
