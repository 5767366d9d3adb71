// SPDX-License-Identifier: Apache-2.0
#include "config.h"
#include "sentence.h"
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PORT "{\"interface\":\"cap0\",\"method\":\"af_packet\"}"
#define REST \
	"\"version\":1,\"ledger\":\"/l\",\"control\":{\"path\":\"/c\"},\"output\":{\"directory\":\"/d\"}"

static int load(const char *text, struct cap_config *config, struct cap_error *err)
{
	char name[] = "/tmp/capstan-config-XXXXXX";
	int fd = mkstemp(name), rc;

	HOLDS(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	rc = cap_config_load(name, config, err);
	unlink(name);
	return rc;
}

static void the_least_configuration_has_good_defaults(void)
{
	struct cap_config config;
	struct cap_error err;

	HOLDS(load("{" REST ",\"ports\":[" PORT "]}", &config, &err) == 0);
	HOLDS(config.port_count == 1 && config.ports[0].queues == 1);
	HOLDS(config.ports[0].snaplen == CAP_MAX_SNAPLEN && config.ports[0].promiscuous);
	HOLDS(config.block_size == 1 << 20 && config.flush_ms == 1000);
	HOLDS(!strcmp(config.output.prefix, "capstan"));
	cap_config_free(&config);
}

/* What is wrong, and the word that the sentence must hold. */
static const struct {
	const char *text, *names;
} wrong[] = {
	{ "", "JSON" },
	{ "{", "JSON" },
	{ "[]", "configuration" },
	{ "{\"version\":1,\"version\":1}", "duplicate" },
	{ "{" REST "}", "ports" },
	{ "{" REST ",\"ports\":[]}", "ports" },
	{ "{" REST ",\"ports\":[" PORT "],\"colour\":1}", "colour" },
	{ "{" REST ",\"ports\":[" PORT "," PORT "]}", "cap0" },
	{ "{" REST ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"af_paket\"}]}", "af_paket" },
	{ "{" REST ",\"ports\":[{\"interface\":\"cap0\"}]}", "method" },
	{ "{" REST ",\"ports\":[{\"method\":\"pcap\"}]}", "interface" },
	{ "{" REST ",\"ports\":[{\"interface\":\"a name far too long\",\"method\":\"pcap\"}]}",
	  "interface" },
	{ "{" REST ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"pcap\",\"queues\":2}]}",
	  "queues" },
	{ "{" REST ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"pcap\",\"queues\":0}]}",
	  "queues" },
	{ "{" REST ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"pcap\",\"queues\":\"1\"}]}",
	  "queues" },
	{ "{" REST ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"pcap\",\"cores\":[-1]}]}",
	  "cores[0]" },
	{ "{" REST ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"pcap\",\"snaplen\":9999999}]}",
	  "snaplen" },
	{ "{" REST
	  ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"pcap\",\"options\":{\"ring\":1}}]}",
	  "ring" },
	{ "{" REST ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"pcap\",\"options\":7}]}",
	  "options" },
	{ "{" REST
	  ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"af_packet\",\"options\":{\"fanout\":\"x\"}}]}",
	  "fanout" },
	{ "{" REST
	  ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"af_xdp\",\"options\":{\"frames\":1000}}]}",
	  "frames" },
	{ "{" REST ",\"ports\":[{\"interface\":\"r\",\"method\":\"replay\"}]}", "generate" },
	{ "{" REST
	  ",\"ports\":[{\"interface\":\"r\",\"method\":\"replay\",\"options\":{\"file\":\"f\",\"generate\":{}}}]}",
	  "exclude" },
	{ "{" REST ",\"ports\":[" PORT "],\"targets\":{}}", "directory" },
	{ "{" REST ",\"ports\":[" PORT "],\"targets\":{\"directory\":\"/t\",\"file\":\"/f\"}}",
	  "either" },
	{ "{" REST ",\"ports\":[" PORT "],\"targets\":{\"directory\":\"t\"}}",
	  "targets.directory" },
	{ "{" REST ",\"ports\":[" PORT "],\"targets\":{\"file\":\"/f\",\"stream\":1}}", "stream" },
	{ "{" REST
	  ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"pcap\",\"tunnels\":[\"gre\",\"ipip\"]}]}",
	  "tunnels[1]" },
	{ "{" REST
	  ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"pcap\",\"tunnels\":[\"gre\",\"gre\"]}]}",
	  "tunnels[1]" },
	{ "{" REST ",\"ports\":[" PORT "],\"buffers\":{\"block_bytes\":600001}}", "block_bytes" },
	{ "{" REST ",\"ports\":[" PORT "],\"writer\":{\"flush_ms\":0}}", "flush_ms" },
	{ "{\"version\":2,"
	  "\"ports\":[" PORT "]}",
	  "version" },
	{ "{\"version\":1,\"ledger\":\"/l\",\"control\":{\"path\":\"/c\",\"mode\":\"0666\"},\"ports\":[" PORT
	  "]}",
	  "mode" },
	{ "{\"version\":1,\"ledger\":\"/l\",\"control\":{\"path\":\"/c\"},\"output\":{\"directory\":\"x\"},\"ports\":[" PORT
	  "]}",
	  "directory" },
	{ "{\"version\":1,\"ledger\":\"/l\",\"control\":{\"path\":\"/c\"},\"output\":{\"directory\":\"/x\",\"prefix\":\"../x\"},\"ports\":[" PORT
	  "]}",
	  "prefix" },
};

static void each_mistake_is_told_with_its_key(void)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct cap_config config;
		struct cap_error err = { "" };
		int rc = load(wrong[i].text, &config, &err);

		if (rc >= 0 || !strstr(err.text, wrong[i].names)) {
			fprintf(stderr, "%s\n-> %d: %s\n", wrong[i].text, rc, err.text);
			exit(1);
		}
		HOLDS(config.port_count == 0);
	}
}

static void targets_and_the_tunnels_of_a_port_are_read(void)
{
	struct cap_config config;
	struct cap_error err;

	HOLDS(load("{" REST ",\"ports\":[" PORT "]}", &config, &err) == 0);
	HOLDS(!cap_config_has_targets(&config) && config.ports[0].tunnels == 0);
	cap_config_free(&config);
	HOLDS(load("{" REST
		   ",\"ports\":[{\"interface\":\"cap0\",\"method\":\"pcap\",\"tunnels\":[\"mpls\",\"gtp_u\"]}],"
		   "\"targets\":{\"directory\":\"/t\",\"streams\":true}}",
		   &config, &err) == 0);
	HOLDS(cap_config_has_targets(&config) && !strcmp(config.targets.directory, "/t"));
	HOLDS(config.targets.streams);
	HOLDS(config.ports[0].tunnels == (CAP_TUNNEL_MPLS | CAP_TUNNEL_GTP_U));
	cap_config_free(&config);
}

/* The settings' model has the same bound: appliance/tests/test_config.py. */
static void a_file_has_room_for_one_block_and_its_own_pages(void)
{
	static const char settings[] =
		"{\"version\":1,\"ledger\":\"/l\",\"control\":{\"path\":\"/c\"},\"ports\":[" PORT
		"],\"output\":{\"directory\":\"/d\",\"rotate_bytes\":%u},\"buffers\":{\"block_bytes\":%u}}";
	const unsigned block = 4U << 20, least = block + 3 * 4096;
	struct cap_config config;
	struct cap_error err;
	char text[512];

	snprintf(text, sizeof(text), settings, least, block);
	HOLDS(load(text, &config, &err) == 0 && config.output.rotate_bytes == least);
	cap_config_free(&config);
	snprintf(text, sizeof(text), settings, least - 1, block);
	HOLDS(load(text, &config, &err) < 0 && strstr(err.text, "output.rotate_bytes"));
}

static void a_file_that_is_not_there_is_told_with_its_path(void)
{
	struct cap_config config;
	struct cap_error err;

	HOLDS(cap_config_load("/nowhere/engine.json", &config, &err) < 0);
	HOLDS(strstr(err.text, "/nowhere/engine.json"));
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "the least configuration has good defaults",
		  the_least_configuration_has_good_defaults },
		{ "each mistake is told with its key", each_mistake_is_told_with_its_key },
		{ "targets and the tunnels of a port are read",
		  targets_and_the_tunnels_of_a_port_are_read },
		{ "a file has room for one block and its own pages",
		  a_file_has_room_for_one_block_and_its_own_pages },
		{ "a file that is not there is told with its path",
		  a_file_that_is_not_there_is_told_with_its_path },
	};

	return HOLD_ALL(sentences);
}
