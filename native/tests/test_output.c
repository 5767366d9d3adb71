// SPDX-License-Identifier: Apache-2.0
#include "output.h"
#include "pcapng.h"
#include "sentence.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Name of a file of ours up to the last digit of its time. */
#define OURS "capstan-cap0-q0-20260101T000000.00000000"

static char directory[] = "/tmp/capstan-output-XXXXXX";
static char prefix[] = "capstan";
static struct cap_output_config config = { .directory = directory, .prefix = prefix };

/* The directory that was synced last. */
static ino_t synced;

/* In place of the C library's. */
int fsync(int fd)
{
	struct stat about;

	HOLDS(fstat(fd, &about) == 0);
	if (S_ISDIR(about.st_mode))
		synced = about.st_ino;
	return (int)syscall(SYS_fsync, fd);
}

static struct cap_output open_output(void)
{
	struct cap_output output;
	struct cap_error err;

	HOLDS(cap_output_open(&output, &config, &err) == 0);
	return output;
}

static bool there(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return access(path, F_OK) == 0;
}

static unsigned entries(void)
{
	DIR *list = opendir(directory);
	unsigned count = 0;

	while (readdir(list))
		count++;
	closedir(list);
	return count - 2;
}

static void put(const char *name, const void *bytes, size_t len, time_t age)
{
	const struct timespec times[2] = { { .tv_sec = age }, { .tv_sec = age } };
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	HOLDS(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	futimens(fd, times);
	close(fd);
}

static void take_away(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	HOLDS(unlink(path) == 0);
}

static void a_file_is_hidden_until_it_is_whole(void)
{
	struct cap_output output = open_output();
	struct cap_output_file file;
	char part[CAP_OUTPUT_NAME_LEN + 8];

	HOLDS(cap_output_create(&output, NULL, "cap0", 3, 1, &file) == 0);
	snprintf(part, sizeof(part), ".%s.part", file.name);
	HOLDS(there(part) && !there(file.name));
	HOLDS(!strncmp(file.name, "capstan-cap0-q3-2", 17));
	HOLDS(cap_output_commit(&output, &file) == 0);
	HOLDS(!there(part) && there(file.name));
	take_away(file.name);
	cap_output_close(&output);
}

static void the_probe_leaves_nothing_behind(void)
{
	struct cap_output output = open_output();

	HOLDS(entries() == 0);
	cap_output_close(&output);
}

static void the_oldest_files_of_our_prefix_go_first(void)
{
	struct cap_output output = open_output();
	uint64_t removed = 0, bytes = 0;

	put(OURS "2Z-000001.pcapng", "22", 2, 200);
	put(OURS "1Z-000001-recovered.pcapng", "333", 3, 100);
	put("other-c.pcapng", "1", 1, 50);
	put("capstan-evidence.pcapng", "1", 1, 50);
	put("capstan-d.txt", "1", 1, 50);
	config.min_free_bytes = UINT64_MAX; /* more than any disk has: all of ours must go */
	HOLDS(cap_output_keep_free(&output, &removed, &bytes) == -ENOSPC);
	HOLDS(removed == 2 && bytes == 5);
	HOLDS(there("other-c.pcapng") && there("capstan-evidence.pcapng") &&
	      there("capstan-d.txt"));
	config.min_free_bytes = 0;
	HOLDS(cap_output_keep_free(&output, &removed, &bytes) == 0);
	take_away("other-c.pcapng");
	take_away("capstan-evidence.pcapng");
	take_away("capstan-d.txt");
	cap_output_close(&output);
}

static void what_a_crash_left_is_cut_and_named(void)
{
	static uint8_t file[3 * CAP_PAGE];
	const struct cap_pcapng_interface interface = {
		.name = "cap0", .description = "", .link_type = 1, .snaplen = 65535
	};
	struct cap_output output = open_output();
	struct cap_error err;
	struct stat info;
	char path[512];

	cap_pcapng_head(file, &interface);
	cap_epb_close(file + CAP_PAGE, 60, 60, 1, 0);
	put("." OURS "3Z-000001.pcapng.part", file, CAP_PAGE + cap_epb_size(60) + 7, 100);
	put("." OURS "4Z-000002.pcapng.part", file, CAP_PAGE, 100);
	put(".other-cap0-q0-20260101T000000.000000003Z-000001.pcapng.part", file, CAP_PAGE, 100);
	HOLDS(cap_output_recover(&output, &err) == 0);
	HOLDS(there(OURS "3Z-000001-recovered.pcapng"));
	HOLDS(!there("." OURS "3Z-000001.pcapng.part") && !there("." OURS "4Z-000002.pcapng.part"));
	HOLDS(there(".other-cap0-q0-20260101T000000.000000003Z-000001.pcapng.part"));
	snprintf(path, sizeof(path), "%s/" OURS "3Z-000001-recovered.pcapng", directory);
	HOLDS(stat(path, &info) == 0 && info.st_size == CAP_PAGE + cap_epb_size(60));
	take_away(OURS "3Z-000001-recovered.pcapng");
	take_away(".other-cap0-q0-20260101T000000.000000003Z-000001.pcapng.part");
	cap_output_close(&output);
}

static void a_file_that_another_engine_writes_is_left_alone(void)
{
	struct cap_output output = open_output();
	struct cap_output_file file;
	struct cap_error err;
	char part[CAP_OUTPUT_NAME_LEN + 8];

	HOLDS(cap_output_create(&output, NULL, "cap0", 0, 1, &file) == 0);
	snprintf(part, sizeof(part), ".%s.part", file.name);
	HOLDS(cap_output_recover(&output, &err) == 0);
	HOLDS(there(part));
	cap_output_discard(&output, &file);
	HOLDS(entries() == 0);
	cap_output_close(&output);
}

#define TARGET "01234567-89ab-cdef-0123-456789abcdef"
#define OTHER_TARGET "11111111-89ab-cdef-0123-456789abcdef"

static void a_targets_file_is_in_a_folder_of_its_name(void)
{
	struct cap_output output = open_output();
	struct cap_output_file file;
	char part[CAP_OUTPUT_NAME_LEN + 8];

	HOLDS(cap_output_create(&output, TARGET, "cap0", 3, 1, &file) == 0);
	HOLDS(!strncmp(file.name, TARGET "/capstan-cap0-q3-2", sizeof(TARGET) + 17));
	snprintf(part, sizeof(part), TARGET "/.%.250s.part", file.name + sizeof(TARGET));
	HOLDS(there(part) && !there(file.name));
	HOLDS(cap_output_commit(&output, &file) == 0);
	HOLDS(!there(part) && there(file.name));
	HOLDS(cap_output_remove(&output, file.name) == 0);
	HOLDS(!there(TARGET));
	HOLDS(cap_output_create(&output, TARGET, "cap0", 3, 2, &file) == 0);
	cap_output_discard(&output, &file);
	HOLDS(entries() == 0);
	cap_output_close(&output);
}

static void make_folder(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	HOLDS(mkdir(path, 0700) == 0);
}

static void the_oldest_files_go_first_whichever_folder_they_are_in(void)
{
	const unsigned many = CAP_OLDEST_FILES + 20;
	struct cap_output output = open_output();
	uint64_t removed = 0, bytes = 0;
	struct cap_output_config floor = config;
	char name[CAP_OUTPUT_NAME_LEN];

	make_folder(TARGET);
	make_folder(OTHER_TARGET);
	make_folder("not-a-target");
	for (unsigned i = 0; i < many; i++) {
		snprintf(name, sizeof(name), "%s/" OURS "1Z-%06u.pcapng",
			 i % 2 ? TARGET : OTHER_TARGET, i);
		put(name, "1", 1, 1000 + (i * 7) % many);
	}
	put(OURS "1Z-000001.pcapng", "1", 1, 999);
	put("not-a-target/" OURS "1Z-000001.pcapng", "1", 1, 1);
	floor.min_free_bytes = UINT64_MAX;
	output.config = &floor;
	HOLDS(cap_output_keep_free(&output, &removed, &bytes) == -ENOSPC);
	HOLDS(removed == many + 1 && bytes == many + 1);
	HOLDS(!there(TARGET) && !there(OTHER_TARGET));
	HOLDS(there("not-a-target/" OURS "1Z-000001.pcapng"));
	take_away("not-a-target/" OURS "1Z-000001.pcapng");
	cap_output_close(&output);
	snprintf(name, sizeof(name), "%s/not-a-target", directory);
	HOLDS(rmdir(name) == 0);
}

static void the_list_of_the_oldest_is_sorted_by_age(void)
{
	const unsigned many = CAP_OLDEST_FILES + 20;
	struct cap_output output = open_output();
	struct cap_output_config floor = config;
	uint64_t removed = 0, bytes = 0;
	char name[CAP_OUTPUT_NAME_LEN];

	for (unsigned i = 0; i < many; i++) {
		snprintf(name, sizeof(name), OURS "1Z-%06u.pcapng", i);
		put(name, "1", 1, 1000 + (i * 7) % many);
	}
	floor.min_free_bytes = UINT64_MAX;
	output.config = &floor;
	HOLDS(cap_output_keep_free(&output, &removed, &bytes) == -ENOSPC && removed == many);
	/* The second look found the twenty that had no room in the first. */
	for (unsigned i = 0; i < CAP_OLDEST_FILES; i++)
		HOLDS(output.oldest.files[i].finished.tv_sec ==
		      1000 + i + (i < many - CAP_OLDEST_FILES ? CAP_OLDEST_FILES : 0));
	cap_output_close(&output);
}

static void a_crash_is_recovered_from_in_targets_folders_too(void)
{
	static uint8_t file[3 * CAP_PAGE];
	const struct cap_pcapng_interface interface = {
		.name = "cap0", .description = "", .link_type = 1, .snaplen = 65535
	};
	struct cap_output output = open_output();
	struct cap_error err;
	struct stat folder;

	cap_pcapng_head(file, &interface);
	cap_epb_close(file + CAP_PAGE, 60, 60, 1, 0);
	make_folder(TARGET);
	HOLDS(fstatat(output.directory, TARGET, &folder, 0) == 0);
	make_folder(OTHER_TARGET);
	put(TARGET "/." OURS "3Z-000001.pcapng.part", file, CAP_PAGE + cap_epb_size(60) + 7, 100);
	put(OTHER_TARGET "/." OURS "4Z-000002.pcapng.part", file, CAP_PAGE, 100);
	HOLDS(cap_output_recover(&output, &err) == 0);
	HOLDS(there(TARGET "/" OURS "3Z-000001-recovered.pcapng"));
	HOLDS(!there(TARGET "/." OURS "3Z-000001.pcapng.part"));
	HOLDS(synced == folder.st_ino); /* its new name is on the disk */
	HOLDS(!there(OTHER_TARGET));
	HOLDS(cap_output_remove(&output, TARGET "/" OURS "3Z-000001-recovered.pcapng") == 0);
	HOLDS(entries() == 0);
	cap_output_close(&output);
}

static void a_directory_that_is_not_there_is_told(void)
{
	struct cap_output_config missing = config;
	char nowhere[] = "/nowhere/captures";
	struct cap_output output;
	struct cap_error err;

	missing.directory = nowhere;
	HOLDS(cap_output_open(&output, &missing, &err) == -ENOENT);
	HOLDS(strstr(err.text, "/nowhere/captures"));
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "the probe leaves nothing behind", the_probe_leaves_nothing_behind },
		{ "a file is hidden until it is whole", a_file_is_hidden_until_it_is_whole },
		{ "the oldest files of our prefix go first",
		  the_oldest_files_of_our_prefix_go_first },
		{ "what a crash left is cut and named", what_a_crash_left_is_cut_and_named },
		{ "a file that another engine writes is left alone",
		  a_file_that_another_engine_writes_is_left_alone },
		{ "a target's file is in a folder of its name",
		  a_targets_file_is_in_a_folder_of_its_name },
		{ "the oldest files go first, whichever folder they are in",
		  the_oldest_files_go_first_whichever_folder_they_are_in },
		{ "the list of the oldest is sorted by age",
		  the_list_of_the_oldest_is_sorted_by_age },
		{ "a crash is recovered from in targets' folders, too",
		  a_crash_is_recovered_from_in_targets_folders_too },
		{ "a directory that is not there is told", a_directory_that_is_not_there_is_told },
	};
	int rc;

	HOLDS(mkdtemp(directory));
	rc = HOLD_ALL(sentences);
	rmdir(directory);
	return rc;
}
