/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef CAPSTAN_GEN_XDP_EMIT_H
#define CAPSTAN_GEN_XDP_EMIT_H

/* What the XDP program and send_xdp.c agree on. */

/**
 * The longest frame: a page less the headroom (256) and the shared info at its end (320 on x86-64
 * and arm64), rounded down to what stays safe when the kernel's structures grow.
 */
#define EMIT_FRAME_MAX 3328

/** Slots of the ring; a power of two. */
#define EMIT_SLOTS 256

/** The ring's frames, one after the other at a stride of up to EMIT_FRAME_MAX. */
#define EMIT_AREA_BYTES (EMIT_SLOTS * EMIT_FRAME_MAX)

#endif
