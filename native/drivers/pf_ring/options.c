// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include "abi.h"
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ethernet header and two VLAN tags, which an MTU leaves out. */
#define LINK_OVERHEAD 22U

/* The longest that the vendor's library takes: MAX_CAPLEN. */
#define MOST_CAPLEN 65600U

const char *const cap_pfring_spread_words[] = {
	"channels",
	"flow",
	"flow_2_tuple",
	"flow_4_tuple",
	"flow_5_tuple",
	"flow_tcp_5_tuple",
	"flow_ip_5_tuple",
	"inner_flow",
	"inner_flow_2_tuple",
	"inner_flow_4_tuple",
	"inner_flow_5_tuple",
	"inner_flow_tcp_5_tuple",
	"inner_flow_ip_5_tuple",
	NULL,
};

static const enum cap_pfring_cluster types[] = {
	[1] = CAP_PFRING_FLOW,
	CAP_PFRING_FLOW_2_TUPLE,
	CAP_PFRING_FLOW_4_TUPLE,
	CAP_PFRING_FLOW_5_TUPLE,
	CAP_PFRING_FLOW_TCP_5_TUPLE,
	CAP_PFRING_FLOW_IP_5_TUPLE,
	CAP_PFRING_INNER_FLOW,
	CAP_PFRING_INNER_FLOW_2_TUPLE,
	CAP_PFRING_INNER_FLOW_4_TUPLE,
	CAP_PFRING_INNER_FLOW_5_TUPLE,
	CAP_PFRING_INNER_FLOW_TCP_5_TUPLE,
	CAP_PFRING_INNER_FLOW_IP_5_TUPLE,
};

_Static_assert(sizeof(types) / sizeof(types[0]) + 1 ==
		       sizeof(cap_pfring_spread_words) / sizeof(cap_pfring_spread_words[0]),
	       "a word for each kind of cluster");

int cap_pfring_parse_options(json_t *object, void **out, struct cap_error *err)
{
	struct cap_pfring_options *options = malloc(sizeof(*options));
	struct cap_settings in;
	int rc;

	if (!options)
		return cap_fail(err, ENOMEM, "out of memory");
	*options = (struct cap_pfring_options){ .watermark = 128 };
	rc = cap_settings_open(&in, object, err, "options");
	if (rc == 0)
		rc = cap_settings_text(&in, "library", &options->library, err);
	if (rc == 0 && options->library && options->library[0] != '/')
		rc = cap_fail(
			err, EINVAL,
			"options.library: is \"%s\", which is not absolute: write the whole path of libpfring.so",
			options->library);
	if (rc == 0)
		rc = cap_settings_bool(&in, "zc", &options->zc, err);
	if (rc == 0)
		rc = cap_settings_word(&in, "spread", cap_pfring_spread_words, &options->spread,
				       err);
	if (rc == 0 && options->zc && options->spread != CAP_PFRING_BY_CHANNELS)
		rc = cap_fail(
			err, EINVAL,
			"options.spread: is %s, and with zc the NIC alone spreads packets: write channels",
			cap_pfring_spread_words[options->spread]);
	if (rc == 0)
		rc = cap_settings_bool(&in, "hardware_time", &options->hardware_time, err);
	if (rc == 0)
		rc = cap_settings_int(&in, "watermark", 1, 32768, &options->watermark, err);
	rc = cap_settings_close(&in, rc, err);
	if (rc)
		cap_pfring_free_options(options);
	else
		*out = options;
	return rc;
}

void cap_pfring_free_options(void *options)
{
	free(((struct cap_pfring_options *)options)->library);
	free(options);
}

int cap_pfring_cluster_type(int spread)
{
	return (int)types[spread];
}

uint64_t cap_pfring_channels(unsigned queue, unsigned queues)
{
	uint64_t mask = 0;

	for (unsigned channel = queue; channel < CAP_MAX_QUEUES; channel += queues)
		mask |= UINT64_C(1) << channel;
	return mask;
}

void cap_pfring_device(const struct cap_port_config *config, unsigned queue,
		       char device[CAP_PFRING_DEVICE])
{
	const struct cap_pfring_options *options = config->options;

	/* Without a channel the name means all of them, and with zero-copy the first. */
	if (options->zc)
		snprintf(device, CAP_PFRING_DEVICE, "zc:%s@%u", config->interface, queue);
	else if (config->queues > 1 && options->spread == CAP_PFRING_BY_CHANNELS)
		snprintf(device, CAP_PFRING_DEVICE, "%s@%u", config->interface, queue);
	else
		snprintf(device, CAP_PFRING_DEVICE, "%s", config->interface);
}

uint32_t cap_pfring_caplen(const struct cap_port_config *config, unsigned mtu)
{
	uint32_t whole = mtu + LINK_OVERHEAD < MOST_CAPLEN ? mtu + LINK_OVERHEAD : MOST_CAPLEN;

	/* The whole frame comes up where the engine judges it, by a filter or by targets. */
	return config->filter || config->targeted || config->snaplen > whole ? whole :
									       config->snaplen;
}
