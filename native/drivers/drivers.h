/* SPDX-License-Identifier: Apache-2.0 */
/** @file The methods that are built in. */
#ifndef CAPSTAN_DRIVERS_H
#define CAPSTAN_DRIVERS_H

#include "driver.h"

extern const struct cap_driver cap_driver_pcap;
extern const struct cap_driver cap_driver_af_packet;
extern const struct cap_driver cap_driver_af_xdp;
extern const struct cap_driver cap_driver_replay;

#endif
