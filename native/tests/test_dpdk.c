// SPDX-License-Identifier: Apache-2.0
/* What of the method dpdk needs no EAL: settings, EAL's arguments, clocks, counters, sysfs. */
#include "dpdk/account.h"
#include "dpdk/clock_line.h"
#include "dpdk/eal.h"
#include "dpdk/options.h"
#include "dpdk/pci.h"
#include "dpdk/rss.h"
#include "sentence.h"

#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is hashed of a packet: two IPv6 addresses and two ports. */
#define MOST_HASHED 36U

#define FLOWS 8000U

#define GHZ UINT64_C(1000000000)

static struct cap_port_config port(const char *interface, unsigned queues, const char *options)
{
	struct cap_port_config config = { .queues = queues };
	json_t *object = options ? json_loads(options, 0, NULL) : NULL;
	struct cap_error err;

	snprintf(config.interface, sizeof(config.interface), "%s", interface);
	HOLDS(cap_dpdk_parse_options(object, &config.options, &err) == 0);
	json_decref(object);
	return config;
}

static void good_options_have_good_defaults(void)
{
	struct cap_port_config config = port("net_null0", 1, NULL);
	const struct cap_dpdk_options *options = config.options;

	HOLDS(options->descriptors == 1024 && options->idle == CAP_DPDK_IDLE_SLEEP);
	HOLDS(options->huge && !options->devargs);
	cap_dpdk_free_options(config.options);
}

static void wrong_options_are_told_with_their_key(void)
{
	static const struct {
		const char *text, *names;
	} wrong[] = {
		{ "{\"descriptors\":1000}", "options.descriptors" },
		{ "{\"descriptors\":32}", "options.descriptors" },
		{ "{\"idle\":\"doze\"}", "options.idle" },
		{ "{\"huge\":\"yes\"}", "options.huge" },
		{ "{\"devargs\":\"a=1 --vdev=x\"}", "options.devargs" },
		{ "{\"cores\":3}", "cores" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_t *object = json_loads(wrong[i].text, 0, NULL);
		struct cap_error err;
		void *options;

		HOLDS(cap_dpdk_parse_options(object, &options, &err) < 0);
		HOLDS(strstr(err.text, wrong[i].names));
		json_decref(object);
	}
}

static void a_pci_address_has_its_domain(void)
{
	HOLDS(cap_dpdk_is_pci("0000:00:04.0") && cap_dpdk_is_pci("10AB:fe:1f.7"));
	HOLDS(cap_dpdk_is_pci("10000:e1:00.0") && cap_dpdk_is_pci("10abcd:e1:00.0"));
	HOLDS(!cap_dpdk_is_pci("1000000:e1:00.0") && !cap_dpdk_is_pci("100:e1:00.0"));
	HOLDS(!cap_dpdk_is_pci("00:04.0") && !cap_dpdk_is_pci("0000:00:04.8"));
	HOLDS(!cap_dpdk_is_pci("0000:00:04.0x") && !cap_dpdk_is_pci("net_null0") &&
	      !cap_dpdk_is_pci(""));
}

static const char *argument(const struct cap_eal_arguments *arguments, const char *begins)
{
	for (int i = 0; i < arguments->count; i++)
		if (!strncmp(arguments->words[i], begins, strlen(begins)))
			return arguments->words[i];
	return "";
}

static void derive(struct cap_eal_arguments *arguments, const struct cap_port_config *a,
		   const struct cap_port_config *b)
{
	const struct cap_port_config *ports[] = { a, b };
	struct cap_error err;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(1, &cpus);
	CPU_SET(3, &cpus);
	HOLDS(cap_eal_arguments(arguments, ports, b ? 2 : 1, &cpus, 42, &err) == 0);
	HOLDS(arguments->words[arguments->count] == NULL);
}

static void eal_takes_the_ports_own_devices_and_pins_nothing(void)
{
	struct cap_port_config a = port("0000:00:04.0", 2, "{\"devargs\":\"x=1\"}");
	struct cap_port_config b = port("net_null0", 1, NULL);
	struct cap_eal_arguments arguments;

	derive(&arguments, &a, &b);
	HOLDS(!strcmp(argument(&arguments, "0000:"), "0000:00:04.0,x=1"));
	HOLDS(!strcmp(argument(&arguments, "--lcores"), "--lcores=0@(1,3)"));
	HOLDS(!strcmp(argument(&arguments, "--file-prefix"), "--file-prefix=capstan-42"));
	HOLDS(*argument(&arguments, "--in-memory") && *argument(&arguments, "--no-telemetry"));
	HOLDS(!*argument(&arguments, "--no-pci") && !*argument(&arguments, "--no-huge"));

	derive(&arguments, &b, NULL);
	HOLDS(*argument(&arguments, "--no-pci") && !*argument(&arguments, "-a"));
	cap_dpdk_free_options(a.options);
	cap_dpdk_free_options(b.options);
}

static void without_hugepages_eal_is_given_enough_memory_for_all_ports(void)
{
	struct cap_port_config a = port("net_null0", 1, "{\"huge\":false}");
	struct cap_port_config b = port("net_null1", 4, "{\"huge\":false,\"descriptors\":4096}");
	const struct cap_port_config *both[] = { &a, &b };
	struct cap_eal_arguments arguments;
	char megabytes[16];

	derive(&arguments, &a, &b);
	snprintf(megabytes, sizeof(megabytes), "%u", cap_eal_megabytes(both, 2));
	HOLDS(*argument(&arguments, "--no-huge") && *argument(&arguments, megabytes));
	HOLDS(!*argument(&arguments, "--in-memory"));
	HOLDS(cap_eal_megabytes(both, 2) >
	      cap_eal_megabytes(both, 1) + 4 * 4096 * 16384 / (1 << 20));
	cap_dpdk_free_options(a.options);
	cap_dpdk_free_options(b.options);
}

static void a_pool_holds_ring_bursts_and_caches(void)
{
	for (unsigned descriptors = 64; descriptors <= 32768; descriptors *= 2) {
		unsigned buffers = cap_dpdk_buffers(descriptors);

		HOLDS(buffers > descriptors + 2 * CAP_DPDK_CACHE + CAP_BURST);
		HOLDS(((buffers + 1) & buffers) == 0);
		HOLDS(CAP_DPDK_CACHE * 3 < buffers * 2); /* what rte_mempool asks of a cache */
	}
}

static void a_virtual_device_gets_what_its_devargs_leave_out(void)
{
	struct cap_port_config config =
		port("net_af_packet0", 2, "{\"devargs\":\"iface=cap0\",\"descriptors\":512}");
	char device[CAP_DPDK_DEVARGS];

	cap_dpdk_device_string(&config, 1500, device);
	HOLDS(!strcmp(device,
		      "net_af_packet0,iface=cap0,qpairs=2,blocksz=4096,framesz=2048,framecnt=512"));
	cap_dpdk_device_string(&config, 9000, device);
	HOLDS(strstr(device, ",blocksz=16384,framesz=16384,"));
	cap_dpdk_free_options(config.options);

	config = port("net_af_packet0", 2, "{\"devargs\":\"iface=cap0,framesz=4096,qpairs=1\"}");
	cap_dpdk_device_string(&config, 9000, device);
	HOLDS(!strcmp(device, "net_af_packet0,iface=cap0,framesz=4096,qpairs=1"));
	cap_dpdk_free_options(config.options);

	config = port("net_memif0", 1, "{\"devargs\":\"role=client\",\"descriptors\":512}");
	cap_dpdk_device_string(&config, 0, device);
	HOLDS(!strcmp(device, "net_memif0,role=client,bsize=16384,rsize=9"));
	cap_dpdk_free_options(config.options);
	config = port("net_memif0", 1, "{\"devargs\":\"rsize=4,bsize=64\",\"descriptors\":32768}");
	cap_dpdk_device_string(&config, 0, device);
	HOLDS(!strcmp(device, "net_memif0,rsize=4,bsize=64"));
	cap_dpdk_free_options(config.options);

	config = port("net_null0", 2, NULL);
	cap_dpdk_device_string(&config, 0, device);
	HOLDS(!strcmp(device, "net_null0"));
	cap_dpdk_free_options(config.options);
}

static void a_devarg_is_found_by_its_whole_key(void)
{
	char value[8];

	HOLDS(cap_dpdk_devarg("rx_iface=a,iface=cap0,x", "iface", value, sizeof(value)));
	HOLDS(!strcmp(value, "cap0"));
	HOLDS(!cap_dpdk_devarg("ifaces=a", "iface", value, sizeof(value)));
	HOLDS(!cap_dpdk_devarg("iface=far_too_long", "iface", value, sizeof(value)));
	HOLDS(!cap_dpdk_devarg(NULL, "iface", value, sizeof(value)));
}

static void a_worker_sleeps_for_half_a_ring_at_most(void)
{
	/* 1 Gbit/s carries 1.488 million of the smallest frames a second: 512 of them in 344 us. */
	HOLDS(cap_dpdk_longest_sleep(1024, 1000) == 344064);
	HOLDS(cap_dpdk_longest_sleep(4096, 10000) == 137625);
	HOLDS(cap_dpdk_longest_sleep(1024, 100000) == 50000);
	HOLDS(cap_dpdk_longest_sleep(32768, 10) == 1000000);
	HOLDS(cap_dpdk_longest_sleep(1024, 0) == 1000000);
	HOLDS(cap_dpdk_longest_sleep(1024, UINT32_MAX) == 1000000);
}

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* A counter that runs 40 ppm faster than its maker says, read five times a second for a minute. */
static void a_clock_line_follows_a_counter_that_runs_fast(void)
{
	const uint64_t hz = 3 * GHZ, wall = UINT64_C(1700000000) * CAP_NS_PER_S;
	struct cap_clock_pair pair = { 1000, wall, 60 };
	struct cap_clock_fit fit;
	uint64_t ns, ticks = 0;

	cap_clock_begin(&fit, &pair, hz);
	HOLDS(cap_clock_at(&fit.line, 1000) == wall);
	for (ns = 0; ns <= 60 * CAP_NS_PER_S; ns += 200 * CAP_NS_PER_MS) {
		ticks = 1000 + ns * 3 + ns / 25000 * 3;
		pair = (struct cap_clock_pair){ ticks, wall + ns, 60 };
		cap_clock_renew(&fit, &pair);
	}
	/* 200 ms ahead and behind, to the nanosecond or two of the rounding. */
	ns = 200 * CAP_NS_PER_MS;
	HOLDS(apart(cap_clock_at(&fit.line, ticks + 3 * ns + ns / 25000 * 3) - fit.line.wall_ns,
		    ns) <= 2);
	HOLDS(apart(fit.line.wall_ns - cap_clock_at(&fit.line, ticks - 3 * ns - ns / 25000 * 3),
		    ns) <= 2);
	/* Until the slope was known it ran off by 40 ppm of 200 ms. */
	HOLDS(fit.error_ns >= 8000 && fit.error_ns <= 8100);
}

static void a_step_of_the_wall_clock_is_followed_and_no_error(void)
{
	const uint64_t wall = UINT64_C(1700000000) * CAP_NS_PER_S;
	struct cap_clock_pair pair = { 0, wall, 100 };
	struct cap_clock_fit fit;

	cap_clock_begin(&fit, &pair, GHZ);
	pair = (struct cap_clock_pair){ GHZ, wall - 5 * CAP_NS_PER_S, 100 };
	cap_clock_renew(&fit, &pair);
	HOLDS(cap_clock_at(&fit.line, GHZ + 7) == wall - 5 * CAP_NS_PER_S + 7);
	HOLDS(fit.error_ns == 50);
	for (uint64_t s = 2; s < 12; s++) {
		pair = (struct cap_clock_pair){ s * GHZ, wall - 5 * CAP_NS_PER_S + (s - 1) * GHZ,
						100 };
		cap_clock_renew(&fit, &pair);
	}
	HOLDS(fit.line.ns_per_tick == UINT64_C(1) << 32 && fit.error_ns == 50);
}

#define LINES 3000000U

/* Line n: each number of it tells n. */
static void *lay_lines(void *argument)
{
	for (uint64_t n = 1; n <= LINES; n++) {
		struct cap_clock_line line = { n, 3 * n, 5 * n };

		cap_clock_publish(argument, &line);
	}
	return NULL;
}

static void a_line_that_is_read_while_it_is_laid_is_a_whole_one(void)
{
	struct cap_clock_shared shared = { 0 };
	struct cap_clock_line line = { 0 };
	pthread_t layer;

	HOLDS(pthread_create(&layer, NULL, lay_lines, &shared) == 0);
	while (line.ticks < LINES) {
		uint64_t before = line.ticks;

		line = cap_clock_read(&shared);
		HOLDS(line.wall_ns == 3 * line.ticks && line.ns_per_tick == 5 * line.ticks);
		HOLDS(line.ticks >= before);
	}
	pthread_join(layer, NULL);
}

static void figures_count_from_arm_and_never_backwards(void)
{
	const struct cap_dpdk_figures base = { 1000, 10, 1, 2 };
	struct cap_dpdk_figures now = { 1500, 30, 1, 5 }, since = { 0 };

	since = cap_dpdk_since(&now, &base, &since);
	HOLDS(since.received == 500 && since.missed == 20 && since.no_buffer == 0 &&
	      since.errors == 3);
	/* A difference of two counters may dip by a packet; a NIC that was reset begins anew. */
	now.received = 1499;
	now.missed = 0;
	since = cap_dpdk_since(&now, &base, &since);
	HOLDS(since.received == 500 && since.missed == 20);
	now.received = 1501;
	since = cap_dpdk_since(&now, &base, &since);
	HOLDS(since.received == 501);
}

static void a_port_owes_what_its_queues_have_not_taken(void)
{
	HOLDS(cap_dpdk_owed(100, 98) == 2);
	HOLDS(cap_dpdk_owed(100, 100) == 0 && cap_dpdk_owed(100, 130) == 0);
}

/* The hash as NICs compute it: the key, shifted by the place of each bit that is set. */
static uint32_t toeplitz(const uint8_t *key, const uint8_t *data, unsigned len)
{
	uint32_t hash = 0, window = (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 |
				    (uint32_t)key[2] << 8 | key[3];

	for (unsigned bit = 0; bit < len * 8; bit++) {
		unsigned next = bit + 32;

		if (data[bit / 8] & (0x80 >> bit % 8))
			hash ^= window;
		window = window << 1 | (key[next / 8] >> (7 - next % 8) & 1);
	}
	return hash;
}

/* The example that NICs' data sheets check themselves by. */
static void the_tests_own_hash_is_the_one_of_nics(void)
{
	static const uint8_t key[40] = {
		0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
		0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
		0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
	};
	/* 66.9.149.187:2794 to 161.142.100.80:1766 */
	static const uint8_t flow[12] = {
		66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6
	};

	HOLDS(toeplitz(key, flow, 12) == 0x51ccc178);
	HOLDS(toeplitz(key, flow, 8) == 0x323e8fc2);
}

static uint64_t random_state = 1;

static uint8_t random_byte(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint8_t)(random_state >> 56);
}

/* Addresses of @p bytes each, and ports where @p ports: once as sent, once as answered. */
static void make_flow(unsigned bytes, bool ports, uint8_t sent[MOST_HASHED],
		      uint8_t answered[MOST_HASHED])
{
	for (unsigned i = 0; i < 2 * bytes + 4; i++)
		sent[i] = random_byte();
	memcpy(answered, sent + bytes, bytes);
	memcpy(answered + bytes, sent, bytes);
	if (ports) {
		memcpy(answered + 2 * bytes, sent + 2 * bytes + 2, 2);
		memcpy(answered + 2 * bytes + 2, sent + 2 * bytes, 2);
	}
}

static void check_flows(unsigned key_len, unsigned bytes, bool ports, unsigned table_size,
			unsigned queues)
{
	uint8_t key[CAP_RSS_LONGEST_KEY] = { 0 }, sent[MOST_HASHED], answered[MOST_HASHED];
	unsigned len = 2 * bytes + (ports ? 4 : 0), share[CAP_MAX_QUEUES] = { 0 };
	uint16_t table[512];

	cap_rss_key(key, key_len);
	HOLDS(cap_rss_is_symmetric(key, key_len));
	/* As drivers fill it. */
	for (unsigned i = 0; i < table_size; i++)
		table[i] = (uint16_t)(i % queues);
	HOLDS(cap_rss_queue_without(table, table_size, queues) == -1);
	for (unsigned i = 0; i < FLOWS; i++) {
		uint16_t there, back;

		make_flow(bytes, ports, sent, answered);
		there = table[toeplitz(key, sent, len) % table_size];
		back = table[toeplitz(key, answered, len) % table_size];
		HOLDS(there == back);
		share[there]++;
	}
	/* A table of 128 gives 3 queues 43, 43 and 42 entries; chance adds some per cent. */
	for (unsigned q = 0; q < queues; q++)
		HOLDS(share[q] > FLOWS / queues * 8 / 10 && share[q] < FLOWS / queues * 12 / 10);
}

static void both_directions_of_a_flow_come_by_one_queue(void)
{
	static const unsigned key_lens[] = { 40, 52 }, queues[] = { 2, 3, 4, 8, 16 };
	static const unsigned table_sizes[] = { 64, 128, 512 };

	for (unsigned k = 0; k < 2; k++)
		for (unsigned t = 0; t < 3; t++)
			for (unsigned q = 0; q < 5; q++)
				for (unsigned ports = 0; ports < 2; ports++) {
					check_flows(key_lens[k], 4, ports, table_sizes[t],
						    queues[q]);
					check_flows(key_lens[k], 16, ports, table_sizes[t],
						    queues[q]);
				}
}

static void a_key_or_a_table_that_is_not_as_asked_for_is_known(void)
{
	static const uint16_t lame[4] = { 0, 1, 3, 0 };
	uint8_t key[40];

	cap_rss_key(key, sizeof(key));
	key[17] ^= 1;
	HOLDS(!cap_rss_is_symmetric(key, sizeof(key)));
	HOLDS(!cap_rss_is_symmetric(key, 0));
	HOLDS(cap_rss_queue_without(lame, 4, 4) == 2);
	HOLDS(cap_rss_queue_without(lame, 4, 2) == -1);
}

static void make(const char *root, const char *path)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%s", root);
	for (const char *at = path; *at;) {
		size_t used = strlen(whole), len = strcspn(at + 1, "/") + 1;

		snprintf(whole + used, sizeof(whole) - used, "%.*s", (int)len, at);
		mkdir(whole, 0700);
		at += len;
	}
}

static void a_port_on_the_wrong_driver_is_told_with_what_to_do(void)
{
	char root[] = "/tmp/capstan-sysfs-XXXXXX", path[128], text[128];
	struct cap_error err;
	FILE *file;

	HOLDS(mkdtemp(root));
	HOLDS(cap_pci_check(root, "0000:00:04.0", &err) == -ENODEV && strstr(err.text, "lspci"));
	make(root, "/bus/pci/devices/0000:00:04.0");
	HOLDS(cap_pci_check(root, "0000:00:04.0", &err) == -ENXIO && strstr(err.text, "no driver"));
	snprintf(path, sizeof(path), "%s/bus/pci/devices/0000:00:04.0/driver", root);
	HOLDS(symlink("../../../../bus/pci/drivers/e1000e", path) == 0);
	HOLDS(cap_pci_check(root, "0000:00:04.0", &err) == -ENXIO && strstr(err.text, "e1000e") &&
	      strstr(err.text, "vfio-pci"));
	HOLDS(unlink(path) == 0 && symlink("../x/vfio-pci", path) == 0);
	HOLDS(cap_pci_check(root, "0000:00:04.0", &err) == 0);
	HOLDS(unlink(path) == 0 && symlink("../x/mlx5_core", path) == 0);
	HOLDS(cap_pci_check(root, "0000:00:04.0", &err) == 0);

	HOLDS(cap_free_hugepages(root) == 0);
	make(root, "/kernel/mm/hugepages/hugepages-2048kB");
	snprintf(path, sizeof(path), "%s/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
		 root);
	file = fopen(path, "w");
	HOLDS(file && fputs("3\n", file) >= 0 && fclose(file) == 0);
	HOLDS(cap_free_hugepages(root) == 3ULL << 21);
	snprintf(text, sizeof(text), "rm -r %s", root);
	HOLDS(system(text) == 0);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "good options have good defaults", good_options_have_good_defaults },
		{ "wrong options are told with their key", wrong_options_are_told_with_their_key },
		{ "a PCI address has its domain", a_pci_address_has_its_domain },
		{ "EAL takes the ports' own devices and pins nothing",
		  eal_takes_the_ports_own_devices_and_pins_nothing },
		{ "without hugepages EAL is given enough memory for all ports",
		  without_hugepages_eal_is_given_enough_memory_for_all_ports },
		{ "a pool holds ring, bursts and caches", a_pool_holds_ring_bursts_and_caches },
		{ "a virtual device gets what its devargs leave out",
		  a_virtual_device_gets_what_its_devargs_leave_out },
		{ "a devarg is found by its whole key", a_devarg_is_found_by_its_whole_key },
		{ "a worker sleeps for half a ring at most",
		  a_worker_sleeps_for_half_a_ring_at_most },
		{ "a clock line follows a counter that runs fast",
		  a_clock_line_follows_a_counter_that_runs_fast },
		{ "a step of the wall clock is followed and no error",
		  a_step_of_the_wall_clock_is_followed_and_no_error },
		{ "a line that is read while it is laid is a whole one",
		  a_line_that_is_read_while_it_is_laid_is_a_whole_one },
		{ "figures count from arm and never backwards",
		  figures_count_from_arm_and_never_backwards },
		{ "a port owes what its queues have not taken",
		  a_port_owes_what_its_queues_have_not_taken },
		{ "the test's own hash is the one of NICs", the_tests_own_hash_is_the_one_of_nics },
		{ "both directions of a flow come by one queue",
		  both_directions_of_a_flow_come_by_one_queue },
		{ "a key or a table that is not as asked for is known",
		  a_key_or_a_table_that_is_not_as_asked_for_is_known },
		{ "a port on the wrong driver is told with what to do",
		  a_port_on_the_wrong_driver_is_told_with_what_to_do },
	};

	return HOLD_ALL(sentences);
}
