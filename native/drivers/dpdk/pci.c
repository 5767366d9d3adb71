// SPDX-License-Identifier: Apache-2.0
#include "pci.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const user_space[] = { "vfio-pci", "uio_pci_generic", "igb_uio", NULL };
static const char *const shared[] = { "mlx5_core", "mlx4_core", "mana", NULL };

static bool is_one_of(const char *const *names, const char *name)
{
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

bool cap_pci_present(const char *sysfs, const char *address)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/bus/pci/devices/%s", sysfs, address);
	return access(path, F_OK) == 0;
}

void cap_pci_driver(const char *sysfs, const char *address, char *name, size_t size)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/driver", sysfs, address);
	len = readlink(path, target, sizeof(target) - 1);
	target[len > 0 ? len : 0] = '\0';
	snprintf(name, size, "%s", strrchr(target, '/') ? strrchr(target, '/') + 1 : target);
}

bool cap_pci_is_shared(const char *driver)
{
	return is_one_of(shared, driver);
}

int cap_pci_check(const char *sysfs, const char *address, struct cap_error *err)
{
	char driver[64];

	if (!cap_pci_present(sysfs, address))
		return cap_fail(err, ENODEV,
				"%s: dpdk: there is no PCI device of that address: see lspci -D",
				address);
	cap_pci_driver(sysfs, address, driver, sizeof(driver));
	if (is_one_of(user_space, driver) || is_one_of(shared, driver))
		return 0;
	return cap_fail(
		err, ENXIO,
		"%s: dpdk: is bound to %s%s, from which DPDK cannot take it: bind it to vfio-pci (driverctl set-override %s vfio-pci)",
		address, *driver ? "driver " : "no driver", driver, address);
}

static unsigned long long read_number(const char *path)
{
	unsigned long long value = 0;
	FILE *file = fopen(path, "re");

	if (!file)
		return 0;
	if (fscanf(file, "%llu", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

unsigned long long cap_free_hugepages(const char *sysfs)
{
	unsigned long long bytes = 0, kilobytes;
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *folder;

	snprintf(path, sizeof(path), "%s/kernel/mm/hugepages", sysfs);
	folder = opendir(path);
	while (folder && (entry = readdir(folder))) {
		if (sscanf(entry->d_name, "hugepages-%llukB", &kilobytes) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/kernel/mm/hugepages/%s/free_hugepages", sysfs,
			 entry->d_name);
		bytes += read_number(path) * kilobytes * 1024;
	}
	if (folder)
		closedir(folder);
	return bytes;
}
