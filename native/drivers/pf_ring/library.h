/* SPDX-License-Identifier: Apache-2.0 */
/** @file The vendor's library, opened at run time: neither the build nor a host without it needs it. */
#ifndef CAPSTAN_PF_RING_LIBRARY_H
#define CAPSTAN_PF_RING_LIBRARY_H

#include "abi.h"
#include "error.h"

/** Room for "255.255.255". */
#define CAP_PFRING_VERSION_TEXT 16

/**
 * The oldest version that is used: before 8.0 the module put back the wrong one of three VLAN tags, and mixed
 * up the receive channels of NICs that do not say which one a frame came by.
 */
#define CAP_PFRING_OLDEST 0x080000U

/** The library's functions under their own names, less `pfring_`. Those from `set_cluster` on may be NULL. */
struct cap_pfring_library {
	void *handle;
	uint32_t version; /**< of the library: 0x080800 is 8.8.0 */

	struct pfring *(*open)(const char *device, uint32_t caplen, uint32_t flags);
	void (*close)(struct pfring *ring);
	int (*enable_ring)(struct pfring *ring);
	int (*recv)(struct pfring *ring, unsigned char **buffer, unsigned buffer_len,
		    struct cap_pfring_header *header, uint8_t wait);
	int (*poll)(struct pfring *ring, unsigned milliseconds);
	int (*stats)(struct pfring *ring, struct cap_pfring_stats *stats);
	uint32_t (*get_num_queued_pkts)(struct pfring *ring);
	int (*get_selectable_fd)(struct pfring *ring);
	int (*get_card_settings)(struct pfring *ring, struct cap_pfring_card *card);
	int (*set_direction)(struct pfring *ring, int direction);
	int (*set_socket_mode)(struct pfring *ring, int mode);
	int (*set_application_name)(struct pfring *ring, char *name);
	int (*set_poll_watermark)(struct pfring *ring, uint16_t packets);
	int (*set_channel_mask)(struct pfring *ring, uint64_t mask);
	int (*set_bpf_filter)(struct pfring *ring, const char *expression);
	int (*version_of)(struct pfring *ring, uint32_t *version); /**< the module's */
	void (*version_noring)(uint32_t *version);

	int (*set_cluster)(struct pfring *ring, unsigned id, int type);
	/** Takes the place of set_cluster from 8.6.1 on. */
	int (*set_cluster_consumer)(struct pfring *ring, uint16_t id, uint16_t consumer, int type,
				    uint32_t options);
	/** There where the library was built with zero-copy. @return 1 when valid, and until when (0: for ever) */
	int (*licence)(char *device, uint32_t *expiration);
};

/**
 * Open the library and find its functions. It stays loaded when it is closed again.
 *
 * @param path absolute path, or NULL: looked for under its usual names where the loader looks
 * @return 0, or negative errno with a sentence: -ENOENT there is none, -ELIBACC it cannot be loaded, -ELIBBAD
 *         it is of another ABI, -EPROTONOSUPPORT it is too old
 */
int cap_pfring_load(struct cap_pfring_library *library, const char *path, struct cap_error *err);
void cap_pfring_unload(struct cap_pfring_library *library);

/** "8.8.0" of 0x080800. */
void cap_pfring_version_text(uint32_t version, char text[CAP_PFRING_VERSION_TEXT]);

#endif
