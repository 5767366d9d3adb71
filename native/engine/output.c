// SPDX-License-Identifier: Apache-2.0
#include "output.h"

#include "clock.h"
#include "log.h"
#include "pcapng.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define FILE_MODE 0640
#define FOLDER_MODE 0750
#define SUFFIX ".pcapng"
#define PART_SUFFIX ".pcapng.part"
#define RECOVERED_SUFFIX "-recovered" SUFFIX

/* What follows the prefix in a name of ours: interface, queue, time, sequence. */
#define NAME_PATTERN "-[^/]+-q[0-9]+-[0-9]{8}T[0-9]{6}\\.[0-9]{9}Z-[0-9]{6,}"

static int compile_patterns(struct cap_output *output, struct cap_error *err)
{
	const char *prefix = output->config->prefix;
	char whole[256], part[256];

	snprintf(whole, sizeof(whole), "^%s" NAME_PATTERN "(-recovered)?\\.pcapng$", prefix);
	snprintf(part, sizeof(part), "^\\.%s" NAME_PATTERN "\\.pcapng\\.part$", prefix);
	if (regcomp(&output->whole, whole, REG_EXTENDED | REG_NOSUB))
		return cap_fail(err, ENOMEM, "output: out of memory");
	if (regcomp(&output->part, part, REG_EXTENDED | REG_NOSUB)) {
		regfree(&output->whole);
		return cap_fail(err, ENOMEM, "output: out of memory");
	}
	return 0;
}

/* Where the name begins behind the folder's. */
static int base_at(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? (int)(slash + 1 - name) : 0;
}

static void part_name(const char *name, char out[CAP_OUTPUT_NAME_LEN + 8])
{
	int base = base_at(name);

	snprintf(out, CAP_OUTPUT_NAME_LEN + 8, "%.*s.%s.part", base, name, name + base);
}

/* Whether the file system takes O_DIRECT is only known by a write. */
static int probe(const struct cap_output *output, int flags)
{
	char name[64];
	void *page = NULL;
	int fd, rc = 0;

	snprintf(name, sizeof(name), ".%s-probe-%d", output->config->prefix, (int)getpid());
	if (posix_memalign(&page, CAP_PAGE, CAP_PAGE))
		return -ENOMEM;
	memset(page, 0, CAP_PAGE);
	fd = openat(output->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | flags,
		    FILE_MODE);
	if (fd < 0) {
		rc = -errno;
	} else {
		if (write(fd, page, CAP_PAGE) < 0 && errno != ENOSPC && errno != EDQUOT)
			rc = -errno;
		close(fd);
	}
	/* open(2) with O_DIRECT may leave the file behind although it fails. */
	unlinkat(output->directory, name, 0);
	free(page);
	return rc;
}

/* tmpfs takes O_DIRECT since Linux 6.6, and copies into its pages all the same. */
static bool is_in_memory(int directory)
{
	struct statfs about;

	return fstatfs(directory, &about) == 0 &&
	       (about.f_type == TMPFS_MAGIC || about.f_type == RAMFS_MAGIC);
}

int cap_output_open(struct cap_output *output, const struct cap_output_config *config,
		    struct cap_error *err)
{
	int rc;

	*output = (struct cap_output){ .config = config, .directory = -1 };
	if (config->sink == CAP_SINK_NULL)
		return 0;
	rc = compile_patterns(output, err);
	if (rc)
		return rc;
	output->directory = open(config->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (output->directory < 0) {
		regfree(&output->whole);
		regfree(&output->part);
		return cap_fail(
			err, errno,
			"output.directory: %s cannot be opened: %s: create it and give it to the engine's user",
			config->directory, strerror(errno));
	}
	rc = probe(output, 0);
	if (rc && rc != -ENOSPC && rc != -EDQUOT) {
		cap_output_close(output);
		return cap_fail(
			err, -rc,
			"output.directory: no file can be written in %s: %s: give it to the engine's user",
			config->directory, strerror(-rc));
	}
	output->copies = true;
	if (config->direct_io == CAP_SWITCH_OFF)
		return 0;
	rc = probe(output, O_DIRECT);
	output->direct = rc == 0;
	output->copies = rc != 0 || is_in_memory(output->directory);
	if (rc && config->direct_io == CAP_SWITCH_ON) {
		cap_output_close(output);
		return cap_fail(
			err, -rc,
			"output.direct_io: the file system of %s refuses O_DIRECT (%s): write auto or off",
			config->directory, strerror(-rc));
	}
	return 0;
}

void cap_output_close(struct cap_output *output)
{
	if (output->directory < 0)
		return;
	close(output->directory);
	output->directory = -1;
	regfree(&output->whole);
	regfree(&output->part);
}

int cap_output_open_place(const struct cap_output *output, const char *name)
{
	char folder[CAP_FOLDER_LEN + 1] = ".";
	int base = base_at(name), fd;

	if (base)
		snprintf(folder, sizeof(folder), "%.*s", base - 1, name);
	fd = openat(output->directory, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Without that a power cut may leave the file under its hidden name: then it is recovered once more. */
static void sync_place(const struct cap_output *output, const char *name)
{
	int fd = cap_output_open_place(output, name);

	if (fd < 0 || fsync(fd))
		cap_warn("name_not_synced", "%s: the disk did not confirm its name: %s", name,
			 strerror(fd < 0 ? -fd : errno));
	if (fd >= 0)
		close(fd);
}

/* @return bytes kept, 0 when nothing was worth keeping, or negative errno */
static int64_t recover_one(struct cap_output *output, const char *part, char *name)
{
	uint64_t packets = 0;
	struct stat info;
	int base = base_at(part);
	int64_t whole;
	int fd = openat(output->directory, part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		whole = -errno;
		close(fd);
		return whole;
	}
	/* ".NAME.pcapng.part" becomes "NAME-recovered.pcapng". */
	snprintf(name, CAP_OUTPUT_NAME_LEN, "%.*s%.*s%s", base, part,
		 (int)(strlen(part + base) - 1 - strlen(PART_SUFFIX)), part + base + 1,
		 RECOVERED_SUFFIX);
	whole = cap_pcapng_whole_length(fd, &packets);
	if (whole < 0 || fstat(fd, &info))
		whole = -errno;
	else if (packets == 0 && whole < info.st_size)
		whole = -EBADMSG; /* bytes that nobody can read may still be evidence */
	else if (packets == 0)
		whole = cap_output_remove(output, part);
	else if (ftruncate(fd, whole) || fsync(fd) ||
		 renameat(output->directory, part, output->directory, name))
		whole = -errno;
	else
		sync_place(output, name);
	close(fd);
	if (whole > 0)
		cap_warn("file_recovered",
			 "%s: left by a crash; %llu packets kept, up to the last whole block", name,
			 (unsigned long long)packets);
	return whole;
}

static void recover_visited(void *context, const char *part)
{
	char name[CAP_OUTPUT_NAME_LEN];
	int64_t rc = recover_one(context, part, name);

	/* EWOULDBLOCK: another engine is writing it. */
	if (rc < 0 && rc != -EWOULDBLOCK)
		cap_warn("recovery_failed",
			 "%s: cannot be recovered: %s: its packets stay in that hidden file", part,
			 strerror((int)-rc));
}

int cap_output_recover(struct cap_output *output, struct cap_error *err)
{
	int rc;

	if (output->directory < 0)
		return 0;
	rc = cap_output_walk(output, &output->part, recover_visited, output);
	return rc ? cap_fail(err, -rc, "output.directory: cannot be listed: %s", strerror(-rc)) : 0;
}

/* The directory was removed, and maybe made anew under its name. */
static int open_again(struct cap_output *output)
{
	int fresh = open(output->config->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fresh < 0)
		return -errno;
	if (dup3(fresh, output->directory, O_CLOEXEC) < 0)
		rc = -errno;
	close(fresh);
	return rc;
}

/* What is missing on the way is made: the target's folder, or the directory opened again. */
static bool make_way(struct cap_output *output, const char *folder)
{
	if (folder && (mkdirat(output->directory, folder, FOLDER_MODE) == 0 || errno == EEXIST))
		return true;
	return errno == ENOENT && open_again(output) == 0;
}

static int open_part(struct cap_output *output, const char *folder, const char *part)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | (output->direct ? O_DIRECT : 0);
	int fd = openat(output->directory, part, flags, FILE_MODE);

	/* At most: a folder, the directory and the folder again. */
	for (unsigned tries = 0; fd < 0 && errno == ENOENT && tries < 3; tries++) {
		if (!make_way(output, folder))
			break;
		fd = openat(output->directory, part, flags, FILE_MODE);
	}
	return fd < 0 ? -errno : fd;
}

int cap_output_create(struct cap_output *output, const char *folder, const char *interface,
		      unsigned queue, uint32_t sequence, struct cap_output_file *file)
{
	char stamp[CAP_RFC3339_LEN], part[CAP_OUTPUT_NAME_LEN + 8];
	struct stat info;
	int rc = 0;

	cap_file_stamp(cap_realtime_ns(), stamp);
	snprintf(file->name, sizeof(file->name), "%s%s%s-%s-q%u-%s-%06u%s", folder ? folder : "",
		 folder ? "/" : "", output->config->prefix, interface, queue, stamp, sequence,
		 SUFFIX);
	part_name(file->name, part);
	file->fd = open_part(output, folder, part);
	if (file->fd < 0)
		return file->fd;
	/* Another engine's recovery may have come between: then it has the lock, or the name is gone. */
	if (flock(file->fd, LOCK_EX | LOCK_NB) || fstat(file->fd, &info))
		rc = -errno;
	else if (info.st_nlink == 0)
		rc = -ESTALE;
	if (rc)
		cap_output_discard(output, file);
	return rc;
}

void cap_output_abandon(struct cap_output_file *file)
{
	close(file->fd);
	file->fd = -1;
}

int cap_output_commit(struct cap_output *output, struct cap_output_file *file)
{
	char part[CAP_OUTPUT_NAME_LEN + 8];
	int rc = 0;

	part_name(file->name, part);
	if (renameat(output->directory, part, output->directory, file->name))
		rc = -errno;
	if (close(file->fd) && rc == 0)
		rc = -errno;
	file->fd = -1;
	return rc;
}

void cap_output_discard(struct cap_output *output, struct cap_output_file *file)
{
	char part[CAP_OUTPUT_NAME_LEN + 8];

	part_name(file->name, part);
	(void)cap_output_remove(output, part);
	close(file->fd);
	file->fd = -1;
}

int cap_output_remove(const struct cap_output *output, const char *name)
{
	char folder[CAP_FOLDER_LEN + 1];
	int base = base_at(name);

	if (unlinkat(output->directory, name, 0))
		return -errno;
	/* Refused while there is anything else in it; whoever makes a file there makes it again. */
	if (base) {
		snprintf(folder, sizeof(folder), "%.*s", base - 1, name);
		(void)unlinkat(output->directory, folder, AT_REMOVEDIR);
	}
	return 0;
}
