/* SPDX-License-Identifier: Apache-2.0 */
/** @file What sysfs says of a PCI device that is to be captured from, read before EAL touches it. */
#ifndef CAPSTAN_DPDK_PCI_H
#define CAPSTAN_DPDK_PCI_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

/** Where the kernel shows its devices; tests give another place. */
#define CAP_SYSFS "/sys"

/** @return whether there is a device of that address */
bool cap_pci_present(const char *sysfs, const char *address);

/** Name of the kernel driver that the device is bound to; "" when to none. */
void cap_pci_driver(const char *sysfs, const char *address, char *name, size_t size);

/** The kernel driver that a DPDK driver works beside, so that the device stays bound to it (mlx5_core). */
bool cap_pci_is_shared(const char *driver);

/** The device is there and bound to a driver that DPDK can take it from. @return 0, or a sentence */
int cap_pci_check(const char *sysfs, const char *address, struct cap_error *err);

/** Free hugepages of all sizes on the host, in bytes. */
unsigned long long cap_free_hugepages(const char *sysfs);

#endif
