// SPDX-License-Identifier: Apache-2.0
/*
 * EAL locks each of its files for as long as it has them, but with --legacy-mem only while it starts. So a
 * file without a lock may still be in somebody's memory, which their /proc/PID/maps tell.
 */
#include "leftovers.h"

#include "options.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

/* A line of /proc/PID/maps: its addresses and numbers, and a path. */
#define LONGEST_LINE (PATH_MAX + 128)

struct page_file {
	dev_t device;
	ino_t inode;
	bool mapped;
	char name[NAME_MAX + 1];
};

struct page_files {
	struct page_file *at;
	unsigned count, room;
};

/* PREFIXmap_N, as EAL names them: "rtemap_0". */
static bool is_named_as_page(const char *name)
{
	const char *number = strrchr(name, '_');

	if (!number || number - name < 3 || strncmp(number - 3, "map", 3) || !number[1])
		return false;
	for (number++; *number; number++)
		if (!isdigit((unsigned char)*number))
			return false;
	return true;
}

static bool add(struct page_files *files, const struct page_file *file)
{
	if (files->count == files->room) {
		unsigned room = files->room ? 2 * files->room : 64;
		struct page_file *more = realloc(files->at, room * sizeof(*more));

		if (!more)
			return false;
		files->at = more;
		files->room = room;
	}
	files->at[files->count++] = *file;
	return true;
}

/* @return the file, locked against everybody else, or -1: gone, no file, or (@p in_use) somebody's */
static int take(int folder, const char *name, struct stat *info, bool *in_use)
{
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	*in_use = false;
	if (fd < 0)
		return -1;
	if (fstat(fd, info) == 0 && S_ISREG(info->st_mode)) {
		*in_use = flock(fd, LOCK_EX | LOCK_NB) != 0;
		if (!*in_use)
			return fd;
	}
	close(fd);
	return -1;
}

/* The files that nobody has locked. */
static void collect(int folder, struct page_files *files, struct cap_leftovers *found)
{
	int listed = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = listed < 0 ? NULL : fdopendir(listed);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		struct page_file file = { 0 };
		struct stat info;
		bool in_use;
		int fd;

		if (!is_named_as_page(entry->d_name))
			continue;
		fd = take(folder, entry->d_name, &info, &in_use);
		found->in_use += in_use;
		if (fd < 0)
			continue;
		close(fd);
		file.device = info.st_dev;
		file.inode = info.st_ino;
		memcpy(file.name, entry->d_name, strlen(entry->d_name) + 1);
		if (!add(files, &file))
			found->failed++;
	}
	if (dir)
		closedir(dir);
	else if (listed >= 0)
		close(listed);
}

/* @return false when it was not removed: it is another file by now, or somebody's again */
static bool remove_file(int folder, const struct page_file *file)
{
	struct stat info;
	bool in_use, removed;
	int fd = take(folder, file->name, &info, &in_use);

	if (fd < 0)
		return false;
	removed = info.st_ino == file->inode && unlinkat(folder, file->name, 0) == 0;
	close(fd);
	return removed;
}

static int by_inode(const void *a, const void *b)
{
	const struct page_file *one = a, *other = b;

	return one->inode < other->inode ? -1 : one->inode > other->inode;
}

static void mark(struct page_files *files, dev_t device, ino_t inode)
{
	const struct page_file wanted = { .inode = inode };
	struct page_file *file =
		bsearch(&wanted, files->at, files->count, sizeof(*files->at), by_inode);

	if (file && file->device == device)
		file->mapped = true;
}

/* A process may be protected even from root; that it has no hugepage at all is no secret. */
static bool has_no_hugepage(const char *proc, const char *pid)
{
	unsigned long long kilobytes = 1;
	char path[PATH_MAX], line[256];
	FILE *status;

	snprintf(path, sizeof(path), "%s/%s/status", proc, pid);
	status = fopen(path, "re");
	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "HugetlbPages: %llu", &kilobytes) == 1)
			break;
	if (status)
		fclose(status);
	return kilobytes == 0;
}

/* @return false when the process is there and does not show its memory */
static bool look_into(const char *proc, const char *pid, struct page_files *files)
{
	char path[PATH_MAX], line[LONGEST_LINE];
	FILE *maps;

	snprintf(path, sizeof(path), "%s/%s/maps", proc, pid);
	maps = fopen(path, "re");
	if (!maps)
		return errno == ENOENT || errno == ESRCH || has_no_hugepage(proc, pid);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long long inode;
		unsigned high, low;

		if (sscanf(line, "%*s %*s %*s %x:%x %llu", &high, &low, &inode) == 3 && inode)
			mark(files, makedev(high, low), (ino_t)inode);
	}
	fclose(maps);
	return true;
}

/* @return false when it cannot be known of each process what it has in its memory */
static bool mark_mapped(const char *proc, struct page_files *files)
{
	DIR *processes = opendir(proc);
	struct dirent *entry;
	bool known = processes != NULL;

	qsort(files->at, files->count, sizeof(*files->at), by_inode);
	while (known && (entry = readdir(processes)))
		if (isdigit((unsigned char)entry->d_name[0]))
			known = look_into(proc, entry->d_name, files);
	if (processes)
		closedir(processes);
	return known;
}

static void clear(const char *path, const char *proc, struct cap_leftovers *found)
{
	struct page_files files = { 0 };
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool known;

	if (folder < 0)
		return;
	/* EAL holds this lock while it starts: then files are there that are not locked yet. */
	if (flock(folder, LOCK_EX | LOCK_NB)) {
		close(folder);
		return;
	}
	collect(folder, &files, found);
	known = !files.count || mark_mapped(proc, &files);
	for (unsigned i = 0; i < files.count; i++) {
		if (files.at[i].mapped)
			found->in_use++;
		else if (known && remove_file(folder, &files.at[i]))
			found->removed++;
		else
			found->failed++;
	}
	free(files.at);
	close(folder);
}

struct cap_leftovers cap_leftover_pages_remove(const char *mounts, const char *proc)
{
	struct cap_leftovers found = { 0 };
	FILE *table = setmntent(mounts, "re");
	struct mntent entry;
	char text[LONGEST_LINE];

	while (table && getmntent_r(table, &entry, text, sizeof(text)))
		if (!strcmp(entry.mnt_type, "hugetlbfs"))
			clear(entry.mnt_dir, proc, &found);
	if (table)
		endmntent(table);
	return found;
}

unsigned cap_leftover_folders_remove(const char *base)
{
	unsigned removed = 0;
	struct dirent *entry;
	DIR *folder = opendir(base);

	while (folder && (entry = readdir(folder))) {
		int pid, end = 0;

		if (sscanf(entry->d_name, "capstan-%d%n", &pid, &end) != 1 || entry->d_name[end] ||
		    pid <= 0)
			continue;
		/* Only an empty one goes: rmdir sees to that. */
		if (kill(pid, 0) && errno == ESRCH &&
		    unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR) == 0)
			removed++;
	}
	if (folder)
		closedir(folder);
	return removed;
}

bool cap_leftover_socket_remove(const char *devargs)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char word[16];
	struct stat info;
	bool dead;
	int fd;

	if (!cap_dpdk_devarg(devargs, "role", word, sizeof(word)) || strcmp(word, "server") ||
	    !cap_dpdk_devarg(devargs, "socket-abstract", word, sizeof(word)) ||
	    strcmp(word, "no") ||
	    !cap_dpdk_devarg(devargs, "socket", address.sun_path, sizeof(address.sun_path)) ||
	    lstat(address.sun_path, &info) || !S_ISSOCK(info.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	dead = connect(fd, (const struct sockaddr *)&address, sizeof(address)) &&
	       errno == ECONNREFUSED;
	close(fd);
	return dead && unlink(address.sun_path) == 0;
}
