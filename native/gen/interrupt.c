// SPDX-License-Identifier: Apache-2.0
#include "interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>

#define NS_PER_SECOND 1000000000u

int interrupt_open(struct fault *fault)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return fault_set(fault, "Cannot watch for signals: %s.", strerror(errno));
	/* The default slack of 50 us would bunch the frames of a pace above 20 000 a second. */
	prctl(PR_SET_TIMERSLACK, 1);
	return fd;
}

bool interrupt_wait(int fd, uint64_t ns)
{
	struct pollfd watch = { .fd = fd, .events = POLLIN };
	struct timespec timeout = { .tv_sec = (time_t)(ns / NS_PER_SECOND),
				    .tv_nsec = (long)(ns % NS_PER_SECOND) };

	return ppoll(&watch, 1, &timeout, NULL) > 0;
}

uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}
