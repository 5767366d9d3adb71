// SPDX-License-Identifier: Apache-2.0
#include "redirect.h"

#include <stddef.h>
#include <string.h>

/* By the drivers' sources up to Linux 6.18: their verdicts are pass, drop and send back. */
static const struct {
	const char *name;
	bool zero_copy; /* redirects from there, and from nowhere else */
} unable[] = {
	{ "fbnic", false },
	{ "ixgbevf", false },
	{ "nicvf", false },
	{ "nfp", true },
};

bool cap_xdp_redirects(const char *driver, bool zero_copy)
{
	for (size_t i = 0; i < sizeof(unable) / sizeof(unable[0]); i++)
		if (!strcmp(unable[i].name, driver))
			return zero_copy && unable[i].zero_copy;
	return true;
}
