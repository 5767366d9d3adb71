// SPDX-License-Identifier: Apache-2.0
#include "netdev.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel writes as many as there are by then: a device may have been given queues since it was asked. */
#define SPARE 4096U

static int ask(int fd, const char *name, void *command)
{
	struct ifreq request = { .ifr_data = command };

	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	return ioctl(fd, SIOCETHTOOL, &request) ? -errno : 0;
}

static unsigned fill(const struct ethtool_gstrings *names, const struct ethtool_stats *values,
		     struct cap_device_counter *out, unsigned max)
{
	unsigned count = names->len < values->n_stats ? names->len : values->n_stats;

	if (count > max)
		count = max;
	for (unsigned i = 0; i < count; i++) {
		const char *name = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;

		memset(out[i].name, 0, sizeof(out[i].name));
		memcpy(out[i].name, name, strnlen(name, ETH_GSTRING_LEN));
		out[i].value = values->data[i];
	}
	return count;
}

int cap_netdev_counters(const char *name, struct cap_device_counter *out, unsigned max)
{
	struct ethtool_drvinfo driver = { .cmd = ETHTOOL_GDRVINFO };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_gstrings *names = NULL;
	struct ethtool_stats *values = NULL;
	int rc;

	if (fd < 0)
		return -errno;
	rc = ask(fd, name, &driver);
	if (rc == 0 && driver.n_stats) {
		size_t room = driver.n_stats + SPARE;

		names = calloc(1, sizeof(*names) + room * ETH_GSTRING_LEN);
		values = calloc(1, sizeof(*values) + room * sizeof(values->data[0]));
		rc = names && values ? 0 : -ENOMEM;
	}
	if (rc == 0 && names && values) {
		names->cmd = ETHTOOL_GSTRINGS;
		names->string_set = ETH_SS_STATS;
		names->len = driver.n_stats;
		values->cmd = ETHTOOL_GSTATS;
		values->n_stats = driver.n_stats;
		rc = ask(fd, name, names);
		if (rc == 0)
			rc = ask(fd, name, values);
		if (rc == 0)
			rc = (int)fill(names, values, out, max);
	}
	free(names);
	free(values);
	close(fd);
	/* A device whose driver keeps none. */
	return rc == -EOPNOTSUPP ? 0 : rc;
}
