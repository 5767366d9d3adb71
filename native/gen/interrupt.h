/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_INTERRUPT_H
#define CAPSTAN_GEN_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"

/**
 * Turns SIGINT and SIGTERM of this process into something to poll, so that a run ends between two
 * bursts and still reports.
 * @return a file descriptor, or -1 with a sentence
 */
int interrupt_open(struct fault *fault);

/** Sleeps @p ns nanoseconds, less when interrupted. @return whether an interrupt is pending */
bool interrupt_wait(int fd, uint64_t ns);

/** @return nanoseconds of CLOCK_MONOTONIC */
uint64_t clock_now_ns(void);

#endif
