// SPDX-License-Identifier: Apache-2.0
#include "target_log.h"

#include "clock.h"
#include "durable_text.h"
#include "log.h"
#include "target_read.h"
#include "target_words.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE 0640
#define USER_ROOM 1024

/* Each record begins so: what is not behind the set on disk needs no further look. */
#define BEGINNING "{\"serial\":"

static void write_user(FILE *out, uid_t uid)
{
	char room[USER_ROOM];
	struct passwd entry, *found = NULL;

	if (getpwuid_r(uid, &entry, room, sizeof(room), &found) || !found)
		return;
	fputs(",\"user\":", out);
	cap_text_write(out, found->pw_name);
}

static void write_record(FILE *out, const struct cap_target_change *change,
			 const struct cap_target_outcome *outcome,
			 const struct cap_target_peer *peer, uint64_t serial)
{
	char id[CAP_TARGET_ID_TEXT], stamp[CAP_RFC3339_LEN];

	cap_rfc3339(cap_realtime_ns(), stamp);
	fprintf(out, BEGINNING "%llu,\"time\":\"%s\",\"uid\":%u", (unsigned long long)serial, stamp,
		peer->uid);
	write_user(out, peer->uid);
	fprintf(out, ",\"pid\":%d,\"who\":", peer->pid);
	if (*change->who)
		cap_text_write(out, change->who);
	else
		fputs("null", out);
	fprintf(out, ",\"origin\":\"%s\",\"removed\":[",
		change->origin == CAP_ORIGIN_INVENTORY ? "inventory" : "runtime");
	for (unsigned i = 0; i < outcome->removed_count; i++) {
		cap_target_id_text(outcome->removed[i]->id, id);
		fprintf(out, "%s\"%s\"", i ? "," : "", id);
	}
	fputs("],\"added\":[", out);
	for (unsigned i = 0; i < outcome->added_count; i++) {
		if (i)
			putc(',', out);
		cap_target_write(out, outcome->added[i], CAP_TARGET_IN_CHANGE);
	}
	fputs("]}\n", out);
}

/* By pieces: of a large change it is longer than all else that the change takes. @return 0, or negative errno */
static int write_durably(int fd, const struct cap_target_change *change,
			 const struct cap_target_outcome *outcome,
			 const struct cap_target_peer *peer, uint64_t serial)
{
	FILE *out;
	int rc = cap_durable_text_begin(fd, &out);

	if (rc)
		return rc;
	write_record(out, change, outcome, peer, serial);
	return cap_durable_text_end(out);
}

/* What was written of a record that did not get whole must not be read as one. @return 0, or negative errno with *rest */
static int take_back(int fd, off_t whole, struct cap_target_log_rest *rest)
{
	const bool known = rest->is;
	struct stat about;
	int rc;

	rest->is = false;
	if (ftruncate(fd, whole) == 0 && fsync(fd) == 0)
		return 0;
	rc = -errno;
	if (!known)
		cap_alert(
			"target_log_not_mended",
			CAP_TARGET_LOG_NAME
			": the record of a change that was refused cannot be taken back: %s: no change is taken until it can",
			strerror(-rc));
	*rest = (struct cap_target_log_rest){ .is = true, .whole = whole };
	if (fstat(fd, &about) == 0) {
		rest->device = about.st_dev;
		rest->inode = about.st_ino;
	}
	return rc;
}

/* With the log open. One that was moved away has what it has. @return 0: there is no rest, and @p about is right */
static int take_rest_back(int fd, struct stat *about, struct cap_target_log_rest *rest)
{
	int rc;

	if (rest->is && (rest->device != about->st_dev || rest->inode != about->st_ino))
		rest->is = false;
	if (!rest->is)
		return 0;
	rc = take_back(fd, rest->whole, rest);
	if (rc == 0)
		cap_info("target_log_mended", CAP_TARGET_LOG_NAME
			 ": the record of a change that was refused is taken back");
	return rc == 0 && fstat(fd, about) ? -errno : rc;
}

int cap_target_log_append(int directory, struct cap_target_log_rest *rest,
			  const struct cap_target_change *change,
			  const struct cap_target_outcome *outcome,
			  const struct cap_target_peer *peer, uint64_t serial,
			  struct cap_error *err)
{
	struct stat before;
	int fd, rc;

	fd = openat(directory, CAP_TARGET_LOG_NAME,
		    O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, MODE);
	if (fd < 0 || fstat(fd, &before)) {
		rc = errno;
		if (fd >= 0)
			close(fd);
		return cap_fail(
			err, rc,
			CAP_TARGET_LOG_NAME
			" cannot be opened: %s: let the engine's user write there; nothing was changed",
			strerror(rc));
	}
	if (take_rest_back(fd, &before, rest)) {
		close(fd);
		return cap_fail(
			err, EIO,
			CAP_TARGET_LOG_NAME
			" has the record of an earlier change, which was refused and cannot be taken back: see to its disk; nothing was changed");
	}
	rc = write_durably(fd, change, outcome, peer, serial);
	/* A file that was made just now has to have its name on the disk, too. */
	if (rc == 0 && before.st_size == 0 && fsync(directory))
		rc = -errno;
	if (rc)
		(void)take_back(fd, before.st_size, rest);
	close(fd);
	return rc ? cap_fail(err, -rc,
			     CAP_TARGET_LOG_NAME
			     " cannot be written: %s: free space there; nothing was changed",
			     strerror(-rc)) :
		    0;
}

/* @return the line's serial; 0: it is no whole record */
static uint64_t serial_of(const char *line)
{
	if (strncmp(line, BEGINNING, strlen(BEGINNING)) != 0)
		return 0;
	return strtoull(line + strlen(BEGINNING), NULL, 10);
}

struct replay {
	uint64_t serial;
	cap_target_log_change each;
	void *context;
	int count;
};

static int replay_line(struct replay *replay, const char *line, size_t len, struct cap_error *err)
{
	struct cap_target_change change = { 0 };
	int rc;

	if (serial_of(line) <= replay->serial)
		return 0;
	rc = cap_target_change_read(line, len, CAP_CHANGE_LOGGED, &change, err);
	if (rc == 0)
		rc = replay->each(replay->context, &change, err);
	if (rc == 0) {
		replay->serial = change.serial;
		replay->count++;
	}
	cap_target_change_free(&change);
	return rc;
}

int cap_target_log_replay(int directory, struct cap_target_log_rest *rest, uint64_t serial,
			  cap_target_log_change each, void *context, struct cap_error *err)
{
	struct replay replay = { .serial = serial, .each = each, .context = context };
	int fd = openat(directory, CAP_TARGET_LOG_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC), rc = 0;
	FILE *log = fd < 0 ? NULL : fdopen(fd, "r");
	off_t whole = 0;
	char *line = NULL;
	size_t room = 0;
	ssize_t len;

	if (!log)
		return fd < 0 && errno == ENOENT ?
			       0 :
			       cap_fail(err, errno, CAP_TARGET_LOG_NAME " cannot be opened: %s",
					strerror(errno));
	while (rc == 0 && (len = getline(&line, &room, log)) > 0) {
		if (line[len - 1] != '\n') {
			cap_warn(
				"target_log_cut", CAP_TARGET_LOG_NAME
				": its last record was not finished, and its change never in force: it is cut off");
			(void)take_back(fd, whole, rest);
			break;
		}
		rc = replay_line(&replay, line, (size_t)len, err);
		whole += len;
	}
	if (rc == 0 && ferror(log))
		rc = cap_fail(err, EIO, "cannot be read");
	free(line);
	fclose(log);
	return rc ? cap_fail_in(err, rc, CAP_TARGET_LOG_NAME) : replay.count;
}
