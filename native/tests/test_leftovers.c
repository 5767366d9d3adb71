// SPDX-License-Identifier: Apache-2.0
/* Left-overs of dead DPDK processes go, and what a living one has stays. */
#include "dpdk/leftovers.h"
#include "sentence.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[32];

static const char *in_root(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static void make_file(const char *name)
{
	int fd = open(in_root(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	HOLDS(fd >= 0 && ftruncate(fd, 4096) == 0);
	close(fd);
}

static bool is_there(const char *name)
{
	return access(in_root(name), F_OK) == 0;
}

/* A table of file systems with the folder as a hugetlbfs beside others. */
static void begin(void)
{
	FILE *mounts;

	strcpy(root, "/tmp/capstan-pages-XXXXXX");
	HOLDS(mkdtemp(root));
	mounts = fopen(in_root("mounts"), "w");
	HOLDS(mounts);
	fprintf(mounts, "proc /proc proc rw 0 0\nhugetlbfs %s hugetlbfs rw,pagesize=2M 0 0\n",
		root);
	HOLDS(fclose(mounts) == 0);
}

static void end(void)
{
	char text[64];

	snprintf(text, sizeof(text), "rm -r %s", root);
	HOLDS(system(text) == 0);
}

static struct cap_leftovers clear(const char *proc)
{
	char mounts[128];

	snprintf(mounts, sizeof(mounts), "%s", in_root("mounts"));
	return cap_leftover_pages_remove(mounts, proc);
}

/* A process that has a file locked or mapped, until it is told to end. */
static pid_t hold(const char *name, bool mapped)
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	HOLDS(pipe(ready) == 0);
	pid = fork();
	HOLDS(pid >= 0);
	if (pid == 0) {
		int fd = open(in_root(name), O_RDWR | O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (mapped) {
			if (mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
				_exit(1);
			close(fd);
		} else if (flock(fd, LOCK_SH)) {
			_exit(1);
		}
		if (write(ready[1], &byte, 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	HOLDS(read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	return pid;
}

static void let_go(pid_t pid)
{
	HOLDS(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

static void pages_of_the_dead_go_and_those_of_the_living_stay(void)
{
	struct cap_leftovers found;
	pid_t locker, mapper;

	begin();
	make_file("rtemap_0");
	make_file("rtemap_1");
	make_file("trace_0map_12");
	make_file("capstan-42map_3");
	locker = hold("rtemap_0", false);
	mapper = hold("rtemap_1", true);
	found = clear("/proc");
	HOLDS(found.removed == 2 && found.in_use == 2 && found.failed == 0);
	HOLDS(is_there("rtemap_0") && is_there("rtemap_1"));
	HOLDS(!is_there("trace_0map_12") && !is_there("capstan-42map_3"));

	let_go(locker);
	let_go(mapper);
	found = clear("/proc");
	HOLDS(found.removed == 2 && found.in_use == 0 && found.failed == 0);
	HOLDS(!is_there("rtemap_0") && !is_there("rtemap_1"));
	end();
}

static void what_is_not_named_as_a_page_stays(void)
{
	static const char *const others[] = { "rtemap_", "rtemap_1x", "map", "libvirt", "x_1" };
	struct cap_leftovers found;

	begin();
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		make_file(others[i]);
	HOLDS(symlink("mounts", in_root("linkmap_1")) == 0);
	found = clear("/proc");
	HOLDS(found.removed == 0 && found.in_use == 0 && found.failed == 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		HOLDS(is_there(others[i]));
	HOLDS(is_there("linkmap_1") && is_there("mounts"));
	end();
}

static void nothing_goes_while_another_process_starts(void)
{
	int folder;

	begin();
	make_file("rtemap_0");
	folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	HOLDS(folder >= 0 && flock(folder, LOCK_EX) == 0);
	HOLDS(clear("/proc").removed == 0 && is_there("rtemap_0"));
	close(folder);
	HOLDS(clear("/proc").removed == 1);
	end();
}

static void nothing_goes_where_processes_cannot_be_seen(void)
{
	begin();
	make_file("rtemap_0");
	HOLDS(clear("/nowhere").failed == 1 && is_there("rtemap_0"));
	end();
}

static void empty_folders_of_dead_engines_go(void)
{
	char living[32];
	pid_t dead = fork();

	HOLDS(dead >= 0);
	if (dead == 0)
		_exit(0);
	HOLDS(waitpid(dead, NULL, 0) == dead);
	begin();
	snprintf(living, sizeof(living), "capstan-%d", getpid());
	HOLDS(mkdir(in_root(living), 0700) == 0);
	HOLDS(mkdir(in_root("rte"), 0700) == 0);
	HOLDS(cap_leftover_folders_remove(root) == 0);
	{
		char gone[32], full[48];

		snprintf(gone, sizeof(gone), "capstan-%d", dead);
		HOLDS(mkdir(in_root(gone), 0700) == 0);
		snprintf(full, sizeof(full), "%s/config", gone);
		make_file(full);
		HOLDS(cap_leftover_folders_remove(root) == 0 && is_there(full));
		HOLDS(unlink(in_root(full)) == 0);
		HOLDS(cap_leftover_folders_remove(root) == 1 && !is_there(gone));
	}
	HOLDS(is_there(living) && is_there("rte"));
	HOLDS(cap_leftover_folders_remove("/nowhere") == 0);
	end();
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	HOLDS(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	HOLDS(listen(fd, 1) == 0);
	return fd;
}

static void the_socket_of_a_dead_memif_goes_and_that_of_a_living_one_stays(void)
{
	char path[64], devargs[160];
	int fd;

	begin();
	snprintf(path, sizeof(path), "%s/s", root);
	snprintf(devargs, sizeof(devargs), "role=server,socket=%s,socket-abstract=no", path);
	HOLDS(!cap_leftover_socket_remove(devargs) && !cap_leftover_socket_remove(NULL));
	fd = listen_at(path);
	HOLDS(!cap_leftover_socket_remove(devargs) && is_there("s"));
	close(fd);
	/* As a client it would be another's, and a file that is no socket is nobody's. */
	snprintf(devargs, sizeof(devargs), "role=client,socket=%s,socket-abstract=no", path);
	HOLDS(!cap_leftover_socket_remove(devargs) && is_there("s"));
	snprintf(devargs, sizeof(devargs), "role=server,socket=%s,socket-abstract=no", path);
	HOLDS(cap_leftover_socket_remove(devargs) && !is_there("s"));
	make_file("s");
	HOLDS(!cap_leftover_socket_remove(devargs) && is_there("s"));
	end();
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "pages of the dead go and those of the living stay",
		  pages_of_the_dead_go_and_those_of_the_living_stay },
		{ "what is not named as a page stays", what_is_not_named_as_a_page_stays },
		{ "nothing goes while another process starts",
		  nothing_goes_while_another_process_starts },
		{ "nothing goes where processes cannot be seen",
		  nothing_goes_where_processes_cannot_be_seen },
		{ "empty folders of dead engines go", empty_folders_of_dead_engines_go },
		{ "the socket of a dead memif goes and that of a living one stays",
		  the_socket_of_a_dead_memif_goes_and_that_of_a_living_one_stays },
	};

	return HOLD_ALL(sentences);
}
