/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_NUMBER_H
#define CAPSTAN_GEN_NUMBER_H

#include <stdint.h>

#include "fault.h"

/**
 * Reads a whole number of the command line: decimal, or hexadecimal after 0x.
 *
 * @param option the option's name, for the sentence
 * @param out    left alone on error
 * @return 0, or -1 when @p text is no number or lies outside @p low to @p high
 */
int number_parse(const char *option, const char *text, uint64_t low, uint64_t high, uint64_t *out,
		 struct fault *fault);

/** Room for the largest number in groups of three, and its end. */
#define NUMBER_TEXT 28

/** Writes @p number with thin groups ("1 000 000") into @p text. @return @p text */
const char *number_group(uint64_t number, char text[static NUMBER_TEXT]);

#endif
