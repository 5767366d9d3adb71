// SPDX-License-Identifier: Apache-2.0
#include "sentence.h"
#include "target_document.h"
#include "target_file.h"
#include "target_words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ID "01234567-89ab-cdef-0123-456789abcdef"
#define OTHER "01234567-89ab-cdef-0123-456789abcd00"
#define FILE_OF(targets) "{\"version\":1,\"serial\":7,\"targets\":[" targets "]}"
#define WITH(terms) FILE_OF("{\"id\":\"" ID "\"," terms "}")

static int scratch(const char *text, size_t len)
{
	char name[] = "/tmp/capstan-targets-XXXXXX";
	int fd = mkstemp(name);

	HOLDS(fd >= 0 && write(fd, text, len) == (ssize_t)len);
	unlink(name);
	return fd;
}

static int read_text(const char *text, struct cap_target_list *list, uint64_t *serial,
		     struct cap_error *err)
{
	int fd = scratch(text, strlen(text)), rc;

	*list = (struct cap_target_list){ 0 };
	rc = cap_target_file_read(fd, list, serial, err);
	close(fd);
	return rc;
}

static void everything_that_a_target_can_say_is_read(void)
{
	struct cap_target_list list;
	const struct cap_target *target;
	struct cap_error err;
	uint64_t serial;

	HOLDS(read_text(
		      WITH("\"origin\":\"inventory\",\"prefixes\":[\"192.0.2.1\",\"2001:db8::/48\"],"
			   "\"protocol\":\"sctp\",\"ports\":[\"443\",80,\"1024-2047\"],\"vlans\":[0,4095],"
			   "\"inner_vlans\":[7],\"macs\":[\"52:54:00:00:00:0A\",\"52-54-00-00-00-0b\"],"
			   "\"direction\":\"to\",\"start\":\"2026-12-01T00:00:00Z\","
			   "\"end\":\"2026-12-01T01:00:00+01:00\",\"note\":\"a \\\"quoted\\\" one\""),
		      &list, &serial, &err) < 0);
	HOLDS(strstr(err.text, "end"));
	cap_target_list_free(&list);
	HOLDS(read_text(
		      WITH("\"origin\":\"inventory\",\"prefixes\":[\"192.0.2.1\",\"2001:db8::/48\"],"
			   "\"protocol\":\"sctp\",\"ports\":[\"443\",80,\"1024-2047\"],\"vlans\":[0,4095],"
			   "\"inner_vlans\":[7],\"macs\":[\"52:54:00:00:00:0A\",\"52-54-00-00-00-0b\"],"
			   "\"direction\":\"to\",\"start\":\"2026-12-01T00:00:00Z\","
			   "\"end\":\"2026-12-01T01:30:00.25+01:00\",\"note\":\"a \\\"quoted\\\" one\""),
		      &list, &serial, &err) == 0);
	HOLDS(serial == 7 && list.count == 1 && list.terms == 10);
	target = list.targets;
	HOLDS(target->origin == CAP_ORIGIN_INVENTORY && target->direction == CAP_DIRECTION_TO);
	HOLDS(target->prefix_count == 2 && target->prefixes[0].family == 4);
	HOLDS(target->prefixes[0].length == 32 && target->prefixes[1].length == 48);
	HOLDS(!target->any_protocol && target->protocol == 132);
	HOLDS(target->port_count == 3 && target->ports[1].first == 80 &&
	      target->ports[1].last == 80);
	HOLDS(target->ports[2].first == 1024 && target->ports[2].last == 2047);
	HOLDS(target->outer_vlan_count == 2 && target->outer_vlans[1] == 4095);
	HOLDS(target->inner_vlan_count == 1 && target->inner_vlans[0] == 7);
	HOLDS(target->mac_count == 2 && target->macs[1][5] == 0x0b);
	HOLDS(target->start_ns == UINT64_C(1796083200) * 1000000000);
	HOLDS(target->end_ns == UINT64_C(1796085000) * 1000000000 + 250000000);
	HOLDS(!strcmp(target->note, "a \"quoted\" one"));
	cap_target_list_free(&list);
}

static void the_least_target_holds_always_and_both_ways(void)
{
	struct cap_target_list list;
	struct cap_error err;
	uint64_t serial;

	HOLDS(read_text(WITH("\"vlans\":[1],\"note\":null"), &list, &serial, &err) == 0);
	HOLDS(list.targets[0].any_protocol && list.targets[0].start_ns == 0);
	HOLDS(list.targets[0].end_ns == UINT64_MAX && !list.targets[0].note);
	HOLDS(list.targets[0].direction == CAP_DIRECTION_BOTH);
	cap_target_list_free(&list);
	HOLDS(read_text(FILE_OF(""), &list, &serial, &err) == 0 && list.count == 0);
	cap_target_list_free(&list);
}

/* What is wrong, and what the sentence must hold: the place, and what to write. */
static const struct {
	const char *text, *place, *remedy;
} wrong[] = {
	{ "", "", "JSON object" },
	{ "[]", "", "JSON object" },
	{ "{", "line 1", "key" },
	{ "{\"version\":1,\"version\":1,\"targets\":[]}", "version", "twice" },
	{ "{\"targets\":[]}", "version", "write 1" },
	{ "{\"version\":2,\"targets\":[]}", "version", "must be 1" },
	{ "{\"version\":1}", "targets", "list" },
	{ "{\"version\":1,\"targets\":{}}", "targets", "list" },
	{ "{\"version\":1,\"serial\":-1,\"targets\":[]}", "serial", "from 0 up" },
	{ "{\"version\":1,\"targets\":[],\"colour\":1}", "colour", "write version" },
	{ "{\"version\":1,\"targets\":[]} x", "line 1", "behind the end" },
	{ "{\"version\":1,\n\"targets\":[\n{]}", "line 3", "JSON" },
	{ FILE_OF("7"), "targets[0]", "object" },
	{ FILE_OF("{\"prefixes\":[\"192.0.2.1\"]}"), "targets[0].id", "UUID" },
	{ FILE_OF("{\"id\":\"0123\"}"), "targets[0].id", "UUID" },
	{ FILE_OF("{\"id\":\"" ID "\"}"), ID, "write prefixes" },
	{ FILE_OF("{\"id\":\"" ID "\",\"id\":\"" ID "\"}"), "line 1", "duplicate" },
	{ WITH("\"protocol\":\"tcp\",\"start\":\"2026-12-01T00:00:00Z\""), ID, "write prefixes" },
	{ WITH("\"prefix\":[\"192.0.2.1\"]"), "targets[0] (" ID ")", "\"prefix\": write some of" },
	{ WITH("\"prefixes\":\"192.0.2.1\""), ID ").prefixes", "list" },
	{ WITH("\"prefixes\":[]"), ".prefixes", "is empty" },
	{ WITH("\"prefixes\":[1]"), ".prefixes: entry 0", "must be text" },
	{ WITH("\"prefixes\":[\"192.0.2.1\",\"192.0.2.1/24\"]"), ".prefixes: entry 1",
	  "write 192.0.2.0/24 for the network, or 192.0.2.1 for the host" },
	{ WITH("\"prefixes\":[\"2001:db8::1/32\"]"), ".prefixes", "write 2001:db8::/32" },
	{ WITH("\"prefixes\":[\"192.0.2.0/33\"]"), ".prefixes", "write 192.0.2.0/32" },
	{ WITH("\"prefixes\":[\"192.0.2.0/\"]"), ".prefixes", "prefix length" },
	{ WITH("\"prefixes\":[\"192.0.2.0/024\"]"), ".prefixes", "prefix length" },
	{ WITH("\"prefixes\":[\"192.0.2.0/255.255.255.0\"]"), ".prefixes", "prefix length" },
	{ WITH("\"prefixes\":[\"192.0.2\"]"), ".prefixes", "no address" },
	{ WITH("\"prefixes\":[\"192.0.2.01\"]"), ".prefixes", "no address" },
	{ WITH("\"prefixes\":[\" 192.0.2.1\"]"), ".prefixes", "no address" },
	{ WITH("\"prefixes\":[\"fe80::1%eth0\"]"), ".prefixes", "no address" },
	{ WITH("\"prefixes\":[\"::ffff:192.0.2.7\"]"), ".prefixes", "write 192.0.2.7/32" },
	{ WITH("\"prefixes\":[\"host.example\"]"), ".prefixes", "no address" },
	{ WITH("\"ports\":[65536]"), ".ports", "0 to 65535" },
	{ WITH("\"ports\":[\"80-\"]"), ".ports", "0 to 65535" },
	{ WITH("\"ports\":[\"90-80\"]"), ".ports", "write \"80-90\"" },
	{ WITH("\"ports\":[\" 80\"]"), ".ports", "0 to 65535" },
	{ WITH("\"ports\":[80.0]"), ".ports", "0 to 65535" },
	{ WITH("\"ports\":[80],\"protocol\":\"icmp\""), ".ports", "belong to tcp" },
	{ WITH("\"vlans\":[4096]"), ".vlans", "0 to 4095" },
	{ WITH("\"vlans\":[\"7\"]"), ".vlans", "without quotes" },
	{ WITH("\"inner_vlans\":[-1]"), ".inner_vlans", "0 to 4095" },
	{ WITH("\"macs\":[\"52:54:00:00:00\"]"), ".macs", "in quotes" },
	{ WITH("\"macs\":[11410]"), ".macs", "in quotes" },
	{ WITH("\"vlans\":[1],\"protocol\":\"TCP\""), ".protocol", "\"tcp\"" },
	{ WITH("\"vlans\":[1],\"protocol\":256"), ".protocol", "0 to 255" },
	{ WITH("\"vlans\":[1],\"direction\":\"in\""), ".direction", "both, from, to" },
	{ WITH("\"vlans\":[1],\"origin\":\"me\""), ".origin", "runtime, inventory" },
	{ WITH("\"vlans\":[1],\"start\":\"2026-12-01\""), ".start", "2026-12-01T00:00:00Z" },
	{ WITH("\"vlans\":[1],\"start\":\"2026-12-01T00:00:00\""), ".start", "write one such as" },
	{ WITH("\"vlans\":[1],\"start\":\"2026-02-29T00:00:00Z\""), ".start", "write one such as" },
	{ WITH("\"vlans\":[1],\"end\":\"2026-12-01T24:00:00Z\""), ".end", "write one such as" },
	{ WITH("\"vlans\":[1],\"end\":1796083200"), ".end", "write one such as" },
	{ WITH("\"vlans\":[1],\"end\":\"2500-01-01T00:00:00Z\""), ".end", "1970 to 2261" },
	{ WITH("\"vlans\":[1],\"start\":\"2026-12-02T00:00:00Z\",\"end\":\"2026-12-01T00:00:00Z\""),
	  ".end", "write a later end" },
	{ WITH("\"vlans\":[1],\"note\":\"\""), ".note", "1 to 255 bytes" },
	{ WITH("\"vlans\":[1],\"note\":\"a\\nb\""), ".note", "line break" },
	{ FILE_OF("{\"id\":\"" ID "\",\"vlans\":[1]},{\"id\":\"" ID "\",\"vlans\":[2]}"), ID,
	  "twice" },
};

static void each_mistake_is_told_with_its_place_and_what_to_write(void)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct cap_error err = { "" };
		struct cap_target_list list;
		uint64_t serial;
		int rc = read_text(wrong[i].text, &list, &serial, &err);

		cap_target_list_free(&list);
		if (rc < 0 && strstr(err.text, wrong[i].place) &&
		    strstr(err.text, wrong[i].remedy) && !strchr(err.text, '\n'))
			continue;
		fprintf(stderr, "%s\n-> %d: %s\n", wrong[i].text, rc, err.text);
		exit(1);
	}
}

/* @param shape 0: hosts of IPv4; 1: everything else that a target can say */
static char *many(unsigned count, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	fputs("{\"version\":1,\"targets\":[", out);
	for (unsigned i = 0; i < count; i++)
		fprintf(out,
			"%s{\"id\":\"%08x-0000-4000-8000-%012x\",\"prefixes\":[\"10.%u.%u.%u/32\"],\"note\":\"warrant %u\"}",
			i ? ",\n" : "", i * 2654435761U, i, i >> 16 & 255, i >> 8 & 255, i & 255,
			i);
	fputs("]}", out);
	fclose(out);
	return text;
}

static void what_was_written_is_read_as_it_was(void)
{
	char name[] = "/tmp/capstan-targets-XXXXXX", path[64];
	struct cap_target_list list, again = { 0 };
	struct cap_error err;
	uint64_t serial;
	int directory;

	HOLDS(mkdtemp(name));
	directory = open(name, O_RDONLY | O_DIRECTORY);
	HOLDS(read_text(
		      FILE_OF("{\"id\":\"" OTHER
			      "\",\"protocol\":47,\"macs\":[\"52:54:00:00:00:01\"]},"
			      "{\"id\":\"" ID
			      "\",\"origin\":\"inventory\",\"prefixes\":[\"0.0.0.0/0\",\"::/0\"],"
			      "\"protocol\":200,\"vlans\":[1,2],\"inner_vlans\":[3],\"direction\":\"from\","
			      "\"start\":\"1970-01-01T00:00:00.000000001Z\",\"end\":\"2261-12-31T23:59:59Z\","
			      "\"note\":\"Z\xc3\xbcrich \\\\ \\\"7\\\"\"},"
			      "{\"id\":\"ffffffff-ffff-ffff-ffff-ffffffffffff\",\"ports\":[\"0-65535\",7]}"),
		      &list, &serial, &err) == 0);
	HOLDS(cap_target_file_write(directory, cap_target_list_walk(&list), 8, &err) == 0);
	snprintf(path, sizeof(path), "%s/" CAP_TARGET_FILE_NAME, name);
	HOLDS(cap_target_file_load(path, &again, &serial, &err) == 0);
	HOLDS(serial == 8 && again.count == list.count);
	for (unsigned i = 0; i < list.count; i++)
		HOLDS(cap_target_same(&list.targets[i], &again.targets[i]));
	HOLDS(!memcmp(list.targets[0].id + 15, "\0", 1)); /* OTHER comes first */
	cap_target_list_free(&list);
	cap_target_list_free(&again);
	HOLDS(unlink(path) == 0 && rmdir(name) == 0); /* nothing else was left there */
	close(directory);
}

static void a_directory_without_room_keeps_its_file(void)
{
	struct cap_target_list list;
	struct cap_error err = { "" };
	uint64_t serial;
	int directory = open("/proc", O_RDONLY | O_DIRECTORY);

	HOLDS(read_text(FILE_OF("{\"id\":\"" ID "\",\"vlans\":[1]}"), &list, &serial, &err) == 0);
	HOLDS(cap_target_file_write(directory, cap_target_list_walk(&list), 8, &err) < 0);
	HOLDS(strstr(err.text, CAP_TARGET_FILE_NAME));
	cap_target_list_free(&list);
	close(directory);
}

static void a_million_targets_are_too_many_and_said_so(void)
{
	struct cap_target_list list = { 0 };
	struct cap_error err = { "" };
	uint64_t serial;
	size_t len;
	char *text = many(1000000, &len);
	int fd = scratch(text, len);

	HOLDS(cap_target_file_read(fd, &list, &serial, &err) == -E2BIG);
	HOLDS(strstr(err.text, "more than 262144 targets") && strstr(err.text, "targets[262144]"));
	cap_target_list_free(&list);
	close(fd);
	free(text);
}

static void as_many_as_are_allowed_are_read_in_any_order(void)
{
	struct cap_target_list list = { 0 };
	struct cap_error err = { "" };
	uint64_t serial;
	size_t len;
	char *text = many(CAP_MAX_TARGETS, &len);
	int fd = scratch(text, len);

	HOLDS(cap_target_file_read(fd, &list, &serial, &err) == 0);
	HOLDS(list.count == CAP_MAX_TARGETS);
	for (unsigned i = 1; i < list.count; i++)
		HOLDS(memcmp(list.targets[i - 1].id, list.targets[i].id, CAP_TARGET_ID_LEN) < 0);
	cap_target_list_free(&list);
	close(fd);
	free(text);
}

/* Cut, doubled and changed bytes: an answer or a sentence, and never more than the text has. */
static void damaged_files_are_told_or_read(void)
{
	static const char whole[] =
		FILE_OF("{\"id\":\"" ID "\",\"prefixes\":[\"192.0.2.1/32\"],\"ports\":[\"1-2\",3]},"
			"{\"id\":\"" OTHER
			"\",\"macs\":[\"52:54:00:00:00:01\"],\"end\":\"2026-12-01T00:00:00Z\"}");
	unsigned seed = 1;

	for (unsigned round = 0; round < 20000; round++) {
		struct cap_error err = { "" };
		struct cap_target_list list = { 0 };
		char text[sizeof(whole)];
		uint64_t serial;
		size_t len = sizeof(whole) - 1;
		int fd, rc;

		memcpy(text, whole, sizeof(whole));
		for (unsigned i = 0; i < 1 + round % 3; i++) {
			seed = seed * 1664525U + 1013904223U;
			text[(seed >> 8) % len] = (char)(seed >> 24);
		}
		if (round % 4 == 0)
			len = (seed >> 4) % len;
		fd = scratch(text, len);
		rc = cap_target_file_read(fd, &list, &serial, &err);
		HOLDS(rc == 0 || (rc < 0 && *err.text));
		cap_target_list_free(&list);
		close(fd);
	}
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "everything that a target can say is read",
		  everything_that_a_target_can_say_is_read },
		{ "the least target holds always and both ways",
		  the_least_target_holds_always_and_both_ways },
		{ "each mistake is told with its place and what to write",
		  each_mistake_is_told_with_its_place_and_what_to_write },
		{ "what was written is read as it was", what_was_written_is_read_as_it_was },
		{ "a directory without room keeps its file",
		  a_directory_without_room_keeps_its_file },
		{ "a million targets are too many, and said so",
		  a_million_targets_are_too_many_and_said_so },
		{ "as many as are allowed are read in any order",
		  as_many_as_are_allowed_are_read_in_any_order },
		{ "damaged files are told or read", damaged_files_are_told_or_read },
	};

	return HOLD_ALL(sentences);
}
