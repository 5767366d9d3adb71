/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_FAULT_H
#define CAPSTAN_GEN_FAULT_H

/**
 * An error as a value: one sentence for the operator, with the remedy in it.
 * A function that takes one returns -1 (or NULL) after filling it, and leaves it alone otherwise.
 */
struct fault {
	char text[400];
};

/** Fills @p fault from a format. @return always -1, so that callers can `return fault_set(...)`. */
int fault_set(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
