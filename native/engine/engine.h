/* SPDX-License-Identifier: Apache-2.0 */
/** @file The engine as a whole: from a configuration to a clean stop. */
#ifndef CAPSTAN_ENGINE_H
#define CAPSTAN_ENGINE_H

#include "config.h"

/** Exit codes of the program. */
enum cap_exit {
	CAP_EXIT_CLEAN = 0,
	CAP_EXIT_USAGE = 2, /**< command line or configuration */
	CAP_EXIT_SETUP = 3, /**< a port, the ledger, the output or privileges could not be set up */
	CAP_EXIT_FAILED = 4, /**< failed while running */
};

/**
 * Capture until told to stop by a signal, the control socket or the end of all finite sources.
 *
 * @param parent process with which to stop cleanly, or 0
 * @param err set when the result is not CAP_EXIT_CLEAN
 */
enum cap_exit cap_engine_run(const struct cap_config *config, pid_t parent, struct cap_error *err);

#endif
