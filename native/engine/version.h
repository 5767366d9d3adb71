/* SPDX-License-Identifier: Apache-2.0 */
/** @file Who wrote this; the version comes from meson.build. */
#ifndef CAPSTAN_VERSION_H
#define CAPSTAN_VERSION_H

#define CAP_PROGRAM "capstan-engine"

#endif
