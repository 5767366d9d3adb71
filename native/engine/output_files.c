// SPDX-License-Identifier: Apache-2.0
/* What is in the output directory: all files of ours, and which of them go to keep space free. */
#include "log.h"
#include "output.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static bool is_dash(size_t at)
{
	return at == 8 || at == 13 || at == 18 || at == 23;
}

bool cap_output_is_folder(const char *name, size_t len)
{
	for (size_t i = 0; len == CAP_FOLDER_LEN && i < len; i++) {
		bool fits = is_dash(i) ? name[i] == '-' :
					 isdigit((unsigned char)name[i]) ||
						 (name[i] >= 'a' && name[i] <= 'f');

		if (!fits)
			return false;
	}
	return len == CAP_FOLDER_LEN;
}

static DIR *open_list(int directory, const char *name)
{
	int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !list)
		close(fd);
	return list;
}

static void walk_folder(const struct cap_output *output, const char *folder, const regex_t *names,
			cap_output_visitor visit, void *context)
{
	DIR *list = open_list(output->directory, folder);
	struct dirent *entry;

	/* Gone with its last file meanwhile, or no folder at all. */
	if (!list)
		return;
	while ((entry = readdir(list))) {
		char name[CAP_OUTPUT_NAME_LEN];

		if (regexec(names, entry->d_name, 0, NULL, 0))
			continue;
		snprintf(name, sizeof(name), "%.*s/%s", (int)CAP_FOLDER_LEN, folder, entry->d_name);
		visit(context, name);
	}
	closedir(list);
}

int cap_output_walk(const struct cap_output *output, const regex_t *names, cap_output_visitor visit,
		    void *context)
{
	DIR *list = open_list(output->directory, ".");
	struct dirent *entry;

	if (!list)
		return -errno;
	while ((entry = readdir(list))) {
		if (regexec(names, entry->d_name, 0, NULL, 0) == 0)
			visit(context, entry->d_name);
		else if (cap_output_is_folder(entry->d_name, strlen(entry->d_name)))
			walk_folder(output, entry->d_name, names, visit, context);
	}
	closedir(list);
	return 0;
}

static bool is_older(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static void note_if_old(void *context, const char *name)
{
	struct cap_output *output = context;
	struct cap_oldest *oldest = &output->oldest;
	unsigned at = oldest->count;
	struct stat info;

	if (fstatat(output->directory, name, &info, AT_SYMLINK_NOFOLLOW) || !S_ISREG(info.st_mode))
		return;
	while (at > 0 && is_older(&info.st_mtim, &oldest->files[at - 1].finished))
		at--;
	if (at == CAP_OLDEST_FILES)
		return;
	if (oldest->count < CAP_OLDEST_FILES)
		oldest->count++;
	memmove(&oldest->files[at + 1], &oldest->files[at],
		(oldest->count - 1 - at) * sizeof(oldest->files[0]));
	oldest->files[at].finished = info.st_mtim;
	oldest->files[at].size = info.st_size;
	snprintf(oldest->files[at].name, sizeof(oldest->files[at].name), "%s", name);
}

/*
 * The whole file of ours that was finished first. Those found together stay the oldest, because what is
 * finished later is newer: one look through a hundred thousand files serves for many removals.
 *
 * @return 0, -ENOENT when there is none, or another negative errno
 */
static int find_oldest(struct cap_output *output, const struct cap_oldest_file **file)
{
	struct cap_oldest *oldest = &output->oldest;
	int rc = 0;

	if (oldest->next == oldest->count) {
		oldest->next = oldest->count = 0;
		rc = cap_output_walk(output, &output->whole, note_if_old, output);
	}
	if (rc == 0 && oldest->count == 0)
		rc = -ENOENT;
	if (rc == 0)
		*file = &oldest->files[oldest->next++];
	return rc;
}

int cap_output_keep_free(struct cap_output *output, uint64_t *removed, uint64_t *removed_bytes)
{
	for (;;) {
		const struct cap_oldest_file *oldest;
		struct statvfs space;
		int rc;

		if (fstatvfs(output->directory, &space))
			return -errno;
		if ((uint64_t)space.f_bavail * space.f_frsize >= output->config->min_free_bytes)
			return 0;
		rc = find_oldest(output, &oldest);
		if (rc)
			return rc == -ENOENT ? -ENOSPC : rc;
		rc = cap_output_remove(output, oldest->name);
		if (rc == -ENOENT)
			continue;
		if (rc)
			return rc;
		++*removed;
		*removed_bytes += (uint64_t)oldest->size;
		cap_warn("file_removed", "%s: removed, the oldest of %s, to keep %llu bytes free",
			 oldest->name, output->config->directory,
			 (unsigned long long)output->config->min_free_bytes);
	}
}
