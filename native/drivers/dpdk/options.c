// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include "block.h"
#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bursts of a queue that are out of ring and pool at once: the one in hand, and the driver's own. */
#define BURSTS_UNDER_WAY 4U

/* A thread's cache grows to one and a half times its size before it gives buffers back. */
#define CACHE_FLUSH (CAP_DPDK_CACHE * 3 / 2)

/* In front of each frame of a packet socket's ring: struct tpacket2_hdr and the link address, aligned. */
#define TPACKET_ROOM 96U
#define LINK_OVERHEAD 22U

/* The kernel's shortest sleep that is worth its cost, and the longest that a quiet link is left alone. */
#define LEAST_SLEEP_NS 50000U
#define MOST_SLEEP_NS 1000000U

/* On the wire: 64 bytes with FCS, preamble and gap. */
#define SMALLEST_FRAME_BITS (84U * 8U)

const char *const cap_dpdk_idle_words[] = { "poll", "sleep", "interrupt", NULL };

int cap_dpdk_parse_options(json_t *object, void **out, struct cap_error *err)
{
	struct cap_dpdk_options *options = malloc(sizeof(*options));
	struct cap_settings in;
	int rc;

	if (!options)
		return cap_fail(err, ENOMEM, "out of memory");
	*options = (struct cap_dpdk_options){ .descriptors = 1024,
					      .idle = CAP_DPDK_IDLE_SLEEP,
					      .huge = true };
	rc = cap_settings_open(&in, object, err, "options");
	if (rc == 0)
		rc = cap_settings_int(&in, "descriptors", 64, 32768, &options->descriptors, err);
	if (rc == 0 && (options->descriptors & (options->descriptors - 1)))
		rc = cap_fail(err, EINVAL, "options.descriptors: must be a power of two");
	if (rc == 0)
		rc = cap_settings_word(&in, "idle", cap_dpdk_idle_words, &options->idle, err);
	if (rc == 0)
		rc = cap_settings_bool(&in, "huge", &options->huge, err);
	if (rc == 0)
		rc = cap_settings_bool(&in, "interpolate", &options->interpolate, err);
	if (rc == 0)
		rc = cap_settings_text(&in, "devargs", &options->devargs, err);
	if (rc == 0 && options->devargs &&
	    (strlen(options->devargs) > CAP_DPDK_DEVARGS / 2 || strpbrk(options->devargs, " \t\n")))
		rc = cap_fail(
			err, EINVAL,
			"options.devargs: must be at most %d characters without space: key=value,key=value",
			CAP_DPDK_DEVARGS / 2);
	rc = cap_settings_close(&in, rc, err);
	if (rc)
		cap_dpdk_free_options(options);
	else
		*out = options;
	return rc;
}

void cap_dpdk_free_options(void *options)
{
	free(((struct cap_dpdk_options *)options)->devargs);
	free(options);
}

bool cap_dpdk_is_pci(const char *interface)
{
	static const char shape[] = ":hh:hh.d";
	size_t domain = 0;

	while (isxdigit((unsigned char)interface[domain]))
		domain++;
	if (domain < 4 || domain > 6) /* more than four are of Intel's VMD */
		return false;
	for (size_t i = 0; i < sizeof(shape); i++) {
		unsigned char c = (unsigned char)interface[domain + i];

		if (shape[i] == 'h' ? !isxdigit(c) :
		    shape[i] == 'd' ? c < '0' || c > '7' :
				      c != (unsigned char)shape[i])
			return false;
	}
	return true;
}

unsigned cap_dpdk_buffers(unsigned descriptors)
{
	/* Two threads have touched a queue's pool: the main thread, which sets it up, and the worker. */
	unsigned need = descriptors + BURSTS_UNDER_WAY * CAP_BURST + 2 * CACHE_FLUSH;
	unsigned size = 1;

	while (size <= need)
		size *= 2;
	return size - 1; /* what a ring of a power of two holds */
}

bool cap_dpdk_devarg(const char *devargs, const char *key, char *value, size_t size)
{
	size_t len = strlen(key);

	for (const char *at = devargs; at && *at;
	     at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		size_t has = strcspn(at, ",");

		if (has <= len || strncmp(at, key, len) || at[len] != '=')
			continue;
		has -= len + 1;
		if (has >= size)
			return false;
		memcpy(value, at + len + 1, has);
		value[has] = '\0';
		return true;
	}
	return false;
}

static void add(char out[CAP_DPDK_DEVARGS], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add(char out[CAP_DPDK_DEVARGS], const char *format, ...)
{
	size_t used = strlen(out);
	va_list args;

	va_start(args, format);
	vsnprintf(out + used, CAP_DPDK_DEVARGS - used, format, args);
	va_end(args);
}

static void add_unless_said(char out[CAP_DPDK_DEVARGS], const char *devargs, const char *key,
			    unsigned value)
{
	char said[32];

	if (!cap_dpdk_devarg(devargs, key, said, sizeof(said)))
		add(out, ",%s=%u", key, value);
}

/* Each of the ring's frames must hold the largest frame of the interface: a longer one is cut. */
static unsigned packet_ring_frame(unsigned mtu)
{
	unsigned size = 2048;

	while (size < mtu + LINK_OVERHEAD + TPACKET_ROOM)
		size *= 2;
	return size;
}

/* Of a power of two; a memif takes 14 at most. */
static unsigned log2_of(int64_t descriptors)
{
	unsigned bits = 0;

	while (bits < 14 && descriptors >> (bits + 1))
		bits++;
	return bits;
}

void cap_dpdk_device_string(const struct cap_port_config *config, unsigned mtu,
			    char out[CAP_DPDK_DEVARGS])
{
	const struct cap_dpdk_options *options = config->options;
	const char *devargs = options->devargs;
	char said[32];

	snprintf(out, CAP_DPDK_DEVARGS, "%s%s%s", config->interface, devargs ? "," : "",
		 devargs ? devargs : "");
	if (!strncmp(config->interface, "net_af_packet", strlen("net_af_packet"))) {
		unsigned frame = packet_ring_frame(mtu);

		add_unless_said(out, devargs, "qpairs", config->queues);
		if (!cap_dpdk_devarg(devargs, "framesz", said, sizeof(said)) &&
		    !cap_dpdk_devarg(devargs, "blocksz", said, sizeof(said))) {
			add(out, ",blocksz=%u,framesz=%u", frame < CAP_PAGE ? CAP_PAGE : frame,
			    frame);
			add_unless_said(out, devargs, "framecnt", (unsigned)options->descriptors);
		}
	} else if (!strncmp(config->interface, "net_af_xdp", strlen("net_af_xdp"))) {
		add_unless_said(out, devargs, "queue_count", config->queues);
	} else if (!strncmp(config->interface, "net_memif", strlen("net_memif"))) {
		add_unless_said(out, devargs, "bsize", CAP_DPDK_MEMIF_BUFFER);
		add_unless_said(out, devargs, "rsize", log2_of(options->descriptors));
	}
}

uint64_t cap_dpdk_longest_sleep(unsigned descriptors, uint32_t mbps)
{
	uint64_t ns;

	if (!mbps || mbps == UINT32_MAX)
		return MOST_SLEEP_NS;
	ns = (uint64_t)descriptors / 2 * SMALLEST_FRAME_BITS * 1000 / mbps;
	if (ns < LEAST_SLEEP_NS)
		return LEAST_SLEEP_NS;
	return ns < MOST_SLEEP_NS ? ns : MOST_SLEEP_NS;
}
