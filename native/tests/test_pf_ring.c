// SPDX-License-Identifier: Apache-2.0
/* What of the method pf_ring needs no ring: settings, names, counters, the module's words, the library. */
#include "pf_ring/account.h"
#include "pf_ring/library.h"
#include "pf_ring/module.h"
#include "pf_ring/options.h"
#include "sentence.h"

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct cap_port_config port(const char *interface, unsigned queues, const char *options)
{
	struct cap_port_config config = { .queues = queues, .snaplen = CAP_MAX_SNAPLEN };
	json_t *object = options ? json_loads(options, 0, NULL) : NULL;
	struct cap_error err;

	snprintf(config.interface, sizeof(config.interface), "%s", interface);
	HOLDS(cap_pfring_parse_options(object, &config.options, &err) == 0);
	json_decref(object);
	return config;
}

static void good_options_have_good_defaults(void)
{
	struct cap_port_config config = port("eth1", 1, NULL);
	const struct cap_pfring_options *options = config.options;

	HOLDS(!options->library && !options->zc && !options->hardware_time);
	HOLDS(options->spread == CAP_PFRING_BY_CHANNELS && options->watermark == 128);
	cap_pfring_free_options(config.options);
}

static void wrong_options_are_told_with_their_key(void)
{
	static const struct {
		const char *text, *names;
	} wrong[] = {
		{ "{\"library\":\"libpfring.so\"}", "options.library" },
		{ "{\"zc\":1}", "options.zc" },
		{ "{\"spread\":\"round_robin\"}", "options.spread" },
		{ "{\"zc\":true,\"spread\":\"flow\"}", "options.spread" },
		{ "{\"watermark\":0}", "options.watermark" },
		{ "{\"watermark\":32769}", "options.watermark" },
		{ "{\"hardware_time\":\"on\"}", "options.hardware_time" },
		{ "{\"slots\":4096}", "slots" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_t *object = json_loads(wrong[i].text, 0, NULL);
		struct cap_error err;
		void *options;

		HOLDS(cap_pfring_parse_options(object, &options, &err) < 0);
		HOLDS(strstr(err.text, wrong[i].names));
		json_decref(object);
	}
}

static bool device_is(const char *options, unsigned queues, unsigned queue, const char *expected)
{
	struct cap_port_config config = port("eth1", queues, options);
	char device[CAP_PFRING_DEVICE];

	cap_pfring_device(&config, queue, device);
	cap_pfring_free_options(config.options);
	return !strcmp(device, expected);
}

static void each_queue_opens_its_own_device(void)
{
	HOLDS(device_is(NULL, 1, 0, "eth1"));
	HOLDS(device_is(NULL, 4, 3, "eth1@3"));
	HOLDS(device_is("{\"spread\":\"flow\"}", 4, 3, "eth1"));
	HOLDS(device_is("{\"zc\":true}", 1, 0, "zc:eth1@0"));
	HOLDS(device_is("{\"zc\":true}", 64, 63, "zc:eth1@63"));
}

static void every_channel_belongs_to_one_queue(void)
{
	for (unsigned queues = 1; queues <= CAP_MAX_QUEUES; queues++) {
		uint64_t all = 0;

		for (unsigned queue = 0; queue < queues; queue++) {
			uint64_t mask = cap_pfring_channels(queue, queues);

			HOLDS(mask & UINT64_C(1) << queue);
			HOLDS(!(all & mask));
			all |= mask;
		}
		HOLDS(all == UINT64_MAX);
	}
}

static void the_words_of_a_cluster_have_the_vendors_numbers(void)
{
	static const int numbers[] = { 0, 2, 3, 4, 5, 11, 6, 7, 8, 9, 10, 12 };
	unsigned i = 1;

	for (; cap_pfring_spread_words[i]; i++)
		HOLDS(cap_pfring_cluster_type((int)i) == numbers[i - 1]);
	HOLDS(i - 1 == sizeof(numbers) / sizeof(numbers[0]));
	HOLDS(!strcmp(cap_pfring_spread_words[6], "flow_ip_5_tuple"));
}

static void a_ring_holds_what_the_files_are_to_hold(void)
{
	struct cap_port_config config = port("eth1", 1, NULL);

	HOLDS(cap_pfring_caplen(&config, 1500) == 1522);
	HOLDS(cap_pfring_caplen(&config, 9000) == 9022);
	HOLDS(cap_pfring_caplen(&config, 1 << 20) == 65600);
	config.snaplen = 96;
	HOLDS(cap_pfring_caplen(&config, 1500) == 96);
	config.targeted = true;
	HOLDS(cap_pfring_caplen(&config, 1500) == 1522);
	config.targeted = false;
	config.filter = (char *)"udp";
	HOLDS(cap_pfring_caplen(&config, 1500) == 1522);
	cap_pfring_free_options(config.options);
}

static void wire_is_what_was_put_into_the_ring_and_what_was_not(void)
{
	struct cap_pfring_look look = { 0 };
	struct cap_pfring_account account;

	cap_pfring_account_begin(&account, &look);
	look = (struct cap_pfring_look){
		.taken = 10, .recv = 10, .queued = 5, .drop = 3, .filtered = 2
	};
	cap_pfring_account_renew(&account, &look);
	HOLDS(cap_pfring_account_wire(&account) == 20);
	HOLDS(account.drop == 3 && account.filtered == 2);
	/* Taken from the ring: the sum stays. */
	look.taken = look.recv = 15;
	look.queued = 0;
	cap_pfring_account_renew(&account, &look);
	HOLDS(cap_pfring_account_wire(&account) == 20);
	/* Read by the library and not handed out: seen, and missed by the ledger. */
	look.recv = 17;
	cap_pfring_account_renew(&account, &look);
	HOLDS(cap_pfring_account_wire(&account) == 22);
}

static void counters_begin_where_the_nic_stands_and_never_go_back(void)
{
	struct cap_pfring_look look = { .drop = 1000, .filtered = 7 };
	struct cap_pfring_account account;

	cap_pfring_account_begin(&account, &look);
	look.drop = 1004;
	cap_pfring_account_renew(&account, &look);
	HOLDS(account.drop == 4 && account.filtered == 0);
	look = (struct cap_pfring_look){ 0 };
	cap_pfring_account_renew(&account, &look);
	HOLDS(account.drop == 4 && cap_pfring_account_wire(&account) == 4);
}

static void a_settled_ring_gives_what_waited_in_it_and_no_more(void)
{
	struct cap_pfring_look look = { 0 };
	struct cap_pfring_account account;

	cap_pfring_account_begin(&account, &look);
	look = (struct cap_pfring_look){ .taken = 8, .recv = 8, .queued = 2, .drop = 1 };
	cap_pfring_account_settle(&account, &look, 0);
	HOLDS(account.left == 2 && cap_pfring_account_wire(&account) == 11);
	cap_pfring_account_took(&account, 9);
	cap_pfring_account_took(&account, 10);
	HOLDS(account.left == 0 && cap_pfring_account_wire(&account) == 11);
	look.queued = 50;
	look.drop = 60;
	cap_pfring_account_renew(&account, &look);
	HOLDS(cap_pfring_account_wire(&account) == 11);
}

static void a_nics_ring_may_give_all_its_slots_and_each_counts(void)
{
	struct cap_pfring_look look = { 0 };
	struct cap_pfring_account account;

	cap_pfring_account_begin(&account, &look);
	look.taken = 5;
	cap_pfring_account_settle(&account, &look, 512);
	HOLDS(account.left == 512 && cap_pfring_account_wire(&account) == 5);
	cap_pfring_account_took(&account, 6);
	HOLDS(account.left == 511 && cap_pfring_account_wire(&account) == 6);
}

static char root[] = "/tmp/capstan-test-pf_ring-XXXXXX";

static void write_text(const char *path, const char *text)
{
	char whole[256];
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		HOLDS(mkdir(whole, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
	file = fopen(whole, "we");
	HOLDS(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void make_module(void)
{
	HOLDS(mkdtemp(root));
	write_text("/proc/net/pf_ring/info",
		   "PF_RING Version          : 8.8.0 (8.8.0-stable:0123456789)\n"
		   "Total rings              : 2\n\nStandard (non ZC) Options\n"
		   "Ring slots               : 65536\nSlot version             : 21\n");
	write_text("/proc/net/pf_ring/4242-eth1.17",
		   "Bound Device(s)    : eth1\nCluster Id         : 4098\n");
	write_text("/proc/net/pf_ring/4343-eth2.18",
		   "Bound Device(s)    : eth2\nCluster Id         : 0\n");
	write_text("/sys/module/pf_ring/parameters/enable_ip_defrag", "0\n");
	write_text("/sys/module/pf_ring/parameters/keep_vlan_offload", "1\n");
	write_text("/sys/module/pf_ring/parameters/force_ring_lock", "1\n");
	write_text("/sys/class/net/eth1/ifindex", "7\n");
	write_text("/sys/class/net/eth1/queues/rx-0/rps_cpus", "00000000,00000000\n");
	write_text("/sys/class/net/eth1/queues/tx-0/rps_cpus", "f\n");
	write_text("/sys/class/net/eth2/ifindex", "8\n");
	write_text("/sys/class/net/eth2/queues/rx-0/rps_cpus", "0\n");
	write_text("/sys/class/net/eth2/queues/rx-1/rps_cpus", "00000000,00000a00\n");
}

static void the_module_is_read_from_what_the_kernel_says(void)
{
	struct cap_pfring_module module;

	cap_pfring_module_read(root, &module);
	HOLDS(module.loaded && !strcmp(module.version, "8.8.0") && module.slots == 65536);
	HOLDS(!module.rebuilds_fragments && module.leaves_tags_out && module.locks_rings);
	cap_pfring_module_read("/nonexistent", &module);
	HOLDS(!module.loaded && !*module.version && !module.slots && !module.leaves_tags_out);
}

static void packets_that_are_handed_on_to_other_cpus_are_found(void)
{
	HOLDS(!cap_pfring_is_steered(root, "eth1", 7));
	HOLDS(cap_pfring_is_steered(root, "eth2", 8));
	/* The same name in another namespace. */
	HOLDS(!cap_pfring_is_steered(root, "eth2", 9));
	HOLDS(!cap_pfring_is_steered(root, "eth3", 8));
}

static void a_cluster_that_another_program_has_is_found(void)
{
	HOLDS(cap_pfring_cluster_holder(root, 4098) == 4242);
	HOLDS(cap_pfring_cluster_holder(root, 4099) == 0);
	HOLDS(cap_pfring_cluster_holder("/nonexistent", 4098) == 0);
}

/* The library leaves @p code, and the module's socket @p socket. */
static bool explains(int code, int socket, bool zc, uint32_t library, const char *version,
		     const char *words)
{
	struct cap_pfring_failure failure = { .interface = "eth1",
					      .code = code,
					      .socket = socket,
					      .zc = zc,
					      .library_version = library,
					      .caplen = 9022 };
	struct cap_pfring_module module = { .loaded = *version, .slots = 65536 };
	struct cap_error err;

	snprintf(module.version, sizeof(module.version), "%s", version);
	HOLDS(cap_pfring_explain(&failure, &module, &err) < 0);
	HOLDS(!strncmp(err.text, "eth1: pf_ring: ", strlen("eth1: pf_ring: ")));
	return strstr(err.text, words);
}

static void each_reason_has_a_sentence_of_its_own(void)
{
	HOLDS(explains(EPERM, 0, false, 0x080800, "8.8.0", "CAP_NET_ADMIN"));
	HOLDS(explains(ENODEV, 0, false, 0x090200, "8.8.0",
		       "the library is PF_RING 9.2.0 and the loaded module is 8.8.0"));
	HOLDS(explains(ENODEV, 0, false, 0x080801, "8.8.0", "cannot open it"));
	HOLDS(explains(ENODEV, 0, false, 0x080801, "8.8.0", "a ring of 65536 slots"));
	HOLDS(explains(ENODEV, 0, false, 0x080100, "8.10.0", "do not understand each other"));
	HOLDS(explains(ENOMEM, 0, false, 0x080800, "8.8.0",
		       "65536 slots for frames of 9022 bytes"));
	HOLDS(explains(EBUSY, 0, true, 0x080800, "8.8.0", "write zc: false"));
	HOLDS(explains(0, 0, false, 0x080800, "8.8.0", "cannot open it"));
}

static void what_the_library_leaves_untold_the_modules_socket_tells(void)
{
	HOLDS(explains(ENODEV, EAFNOSUPPORT, false, 0x080800, "", "modprobe pf_ring"));
	HOLDS(explains(ENODEV, EAFNOSUPPORT, true, 0x080800, "", "modprobe pf_ring"));
	HOLDS(explains(ENODEV, EAFNOSUPPORT, false, 0x080800, "8.8.0", "RestrictAddressFamilies"));
	HOLDS(explains(ENODEV, EPERM, false, 0x080800, "8.8.0", "CAP_NET_ADMIN"));
	HOLDS(explains(ENODEV, ENOMEM, false, 0x080800, "8.8.0", "no memory for a ring of 65536"));
}

static void a_host_without_the_module_gives_no_socket_of_it(void)
{
	struct cap_pfring_module module;

	cap_pfring_module_read(CAP_PFRING_ROOT, &module);
	HOLDS(module.loaded || cap_pfring_try_socket() != 0);
}

static void versions_are_read_from_their_bytes(void)
{
	char text[CAP_PFRING_VERSION_TEXT];

	cap_pfring_version_text(0x080601, text);
	HOLDS(!strcmp(text, "8.6.1"));
	cap_pfring_version_text(0x090a00, text);
	HOLDS(!strcmp(text, "9.10.0"));
}

static void what_is_no_library_is_refused_by_its_path(void)
{
	struct cap_pfring_library library;
	struct cap_error err;
	char path[256];

	HOLDS(cap_pfring_load(&library, "/nonexistent/libpfring.so", &err) == -ELIBACC);
	HOLDS(strstr(err.text, "/nonexistent/libpfring.so") && !library.handle);
	snprintf(path, sizeof(path), "%s/proc/net/pf_ring/info", root);
	HOLDS(cap_pfring_load(&library, path, &err) == -ELIBACC);
	/* Some library, and none of the vendor's. */
	HOLDS(cap_pfring_load(&library, "libm.so.6", &err) == -ELIBBAD);
	HOLDS(strstr(err.text, "pfring_open") && !library.handle);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
	(void)status;
	(void)kind;
	(void)at;
	return remove(path);
}

static void remove_module(void)
{
	HOLDS(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "good options have good defaults", good_options_have_good_defaults },
		{ "wrong options are told with their key", wrong_options_are_told_with_their_key },
		{ "each queue opens its own device", each_queue_opens_its_own_device },
		{ "every channel belongs to one queue", every_channel_belongs_to_one_queue },
		{ "the words of a cluster have the vendor's numbers",
		  the_words_of_a_cluster_have_the_vendors_numbers },
		{ "a ring holds what the files are to hold",
		  a_ring_holds_what_the_files_are_to_hold },
		{ "wire is what was put into the ring and what was not",
		  wire_is_what_was_put_into_the_ring_and_what_was_not },
		{ "counters begin where the NIC stands and never go back",
		  counters_begin_where_the_nic_stands_and_never_go_back },
		{ "a settled ring gives what waited in it and no more",
		  a_settled_ring_gives_what_waited_in_it_and_no_more },
		{ "a NIC's ring may give all its slots, and each counts",
		  a_nics_ring_may_give_all_its_slots_and_each_counts },
		{ "(a host with the module)", make_module },
		{ "the module is read from what the kernel says",
		  the_module_is_read_from_what_the_kernel_says },
		{ "packets that are handed on to other CPUs are found",
		  packets_that_are_handed_on_to_other_cpus_are_found },
		{ "a cluster that another program has is found",
		  a_cluster_that_another_program_has_is_found },
		{ "each reason has a sentence of its own", each_reason_has_a_sentence_of_its_own },
		{ "what the library leaves untold the module's socket tells",
		  what_the_library_leaves_untold_the_modules_socket_tells },
		{ "a host without the module gives no socket of it",
		  a_host_without_the_module_gives_no_socket_of_it },
		{ "versions are read from their bytes", versions_are_read_from_their_bytes },
		{ "what is no library is refused by its path",
		  what_is_no_library_is_refused_by_its_path },
		{ "(the host is removed)", remove_module },
	};

	return HOLD_ALL(sentences);
}
