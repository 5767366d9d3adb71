/* SPDX-License-Identifier: Apache-2.0 */
/** @file Which drivers of NICs run an XDP program without being able to hand a frame on to an AF_XDP socket. */
#ifndef CAPSTAN_XDP_REDIRECT_H
#define CAPSTAN_XDP_REDIRECT_H

#include <stdbool.h>

/**
 * Can frames reach AF_XDP sockets by the driver's own (native) XDP? A driver that knows no XDP_REDIRECT takes
 * program and sockets all the same, and throws every frame away.
 *
 * @param driver its name as ethtool -i tells it
 * @param zero_copy with a receive path of its own for the sockets' memory
 * @return false for those that are known not to; the others take the program and redirect, or refuse it
 */
bool cap_xdp_redirects(const char *driver, bool zero_copy);

#endif
