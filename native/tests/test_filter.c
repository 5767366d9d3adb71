// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's filter against libpcap's, which is the reference: the same programs over the same
 * generated frames. The kernel's runs by BPF_PROG_TEST_RUN, whose frames carry no tag beside them; the
 * tagged view is held true on a live socket by the integration tests.
 */
#include "bpf_run.h"
#include "filter.h"
#include "kernel_filter.h"
#include "sentence.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FRAMES 400
#define LARGEST 200

/* Programs with every class of instruction: loads of all sizes, arithmetic, tables of ports, payloads. */
static const char *const expressions[] = {
	"ip",
	"not ip",
	"ip6",
	"arp or rarp",
	"tcp port 80",
	"udp src port 53 or udp dst portrange 1000-2000",
	"host 10.0.0.1",
	"net 10.0.0.0/8 and not host 10.0.0.3",
	"ip6 host 2001:db8::1",
	"ether host 02:00:00:00:00:01",
	"ether broadcast",
	"less 100",
	"greater 100",
	"vlan",
	"vlan 5",
	"vlan 5 and udp",
	"ip[8] < 5",
	"ip[2:2] - ((ip[0] & 0xf) << 2) > 40",
	"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
	"ip[6:2] & 0x1fff != 0",
	"len / 2 > 30",
	"ether[12:2] * 3 > 100 and ether[0] | 1 = 3",
	"ip[9] % 4 = 1",
	"ip proto 17 and udp[4:2] > 20",
	"mpls",
	"(1 << ether[15]) = 0",
	"0x80000000 >> ether[14] < 16",
	"pppoes",
};

#define EXPRESSIONS (sizeof(expressions) / sizeof(expressions[0]))

/* Small, fixed, and the same on every machine: a failure can be looked at again. */
static uint32_t random_state = 2463534242U;

static uint32_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

/* A frame that often looks like something, and often does not quite. */
static uint32_t make_frame(uint8_t *frame)
{
	static const uint8_t types[][2] = { { 8, 0 },	 { 0x86, 0xdd }, { 8, 6 },
					    { 0x81, 0 }, { 0x88, 0x47 }, { 0x88, 0x64 } };
	uint32_t len = 14 + next_random() % (LARGEST - 14);
	uint8_t *ip = frame + 14;

	for (uint32_t i = 0; i < LARGEST; i++)
		frame[i] = (uint8_t)(next_random() % 7 ? next_random() % 8 : next_random());
	memcpy(frame, next_random() % 4 ? "\2\0\0\0\0\1" : "\377\377\377\377\377\377", 6);
	memcpy(frame + 12, types[next_random() % 6], 2);
	if (frame[12] == 0x81) {
		frame[14] = (uint8_t)(next_random() % 2 ? 0xe0 : 0);
		frame[15] = (uint8_t)(4 + next_random() % 3);
		memcpy(frame + 16, types[next_random() % 2], 2);
		ip += 4;
	}
	ip[0] = next_random() % 8 ? 0x45 : 0x47;
	ip[9] = next_random() % 2 ? 17 : 6;
	memcpy(ip + 12, "\12\0\0", 3);
	ip[20] = 0;
	ip[21] = next_random() % 2 ? 53 : 80;
	return len;
}

static bool kernel_accepts(int program, const uint8_t *frame, uint32_t len)
{
	int64_t verdict = bpf_run(program, frame, len);

	HOLDS(verdict >= 0);
	return verdict != 0;
}

static void kernel_and_libpcap_agree_on_every_frame(void)
{
	for (size_t e = 0; e < EXPRESSIONS; e++) {
		struct cap_kernel_filter *loaded;
		uint64_t seen, accepted, expected = 0;
		struct cap_filter *filter;
		struct cap_error err;

		HOLDS(cap_filter_compile(expressions[e], 1, &filter, &err) == 0);
		if (cap_filter_load(filter, &loaded, &err)) {
			fprintf(stderr, "%s: %s\n", expressions[e], err.text);
			exit(1);
		}
		for (unsigned i = 0; i < FRAMES; i++) {
			uint8_t frame[LARGEST];
			uint32_t len = make_frame(frame);
			bool wanted = cap_filter_match(filter, frame, len, len);

			expected += wanted;
			if (kernel_accepts(cap_kernel_filter_fd(loaded), frame, len) != wanted) {
				fprintf(stderr,
					"frame %u: the kernel and libpcap differ on \"%s\"\n", i,
					expressions[e]);
				exit(1);
			}
		}
		cap_kernel_filter_counters(loaded, &seen, &accepted);
		HOLDS(seen == FRAMES && accepted == expected);
		cap_kernel_filter_free(loaded);
		cap_filter_free(filter);
	}
}

static void a_bad_expression_is_told_with_its_text(void)
{
	struct cap_filter *filter = NULL;
	struct cap_error err;

	HOLDS(cap_filter_compile("tcp prot 80", 1, &filter, &err) == -EINVAL);
	HOLDS(filter == NULL);
	HOLDS(strstr(err.text, "\"tcp prot 80\""));
}

static void a_load_across_the_tag_is_left_to_the_engine(void)
{
	struct cap_kernel_filter *loaded = NULL;
	struct cap_filter *filter;
	struct cap_error err;

	HOLDS(cap_filter_compile("ether[10:4] = 5", 1, &filter, &err) == 0);
	HOLDS(cap_filter_load(filter, &loaded, &err) == -ENOTSUP);
	HOLDS(loaded == NULL);
	cap_filter_free(filter);
}

static void a_hundred_hosts_fit_the_kernel(void)
{
	static char text[4000];
	struct cap_kernel_filter *loaded;
	struct cap_filter *filter;
	struct cap_error err;
	size_t used = 0;

	for (unsigned i = 0; i < 100; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%shost 10.1.%u.%u",
					 i ? " or " : "", i / 10, i % 10);
	HOLDS(cap_filter_compile(text, 1, &filter, &err) == 0);
	HOLDS(cap_filter_load(filter, &loaded, &err) == 0);
	cap_kernel_filter_free(loaded);
	cap_filter_free(filter);
}

int main(void)
{
	static const struct sentence needs_bpf[] = {
		{ "kernel and libpcap agree on every frame",
		  kernel_and_libpcap_agree_on_every_frame },
		{ "a load across the tag is left to the engine",
		  a_load_across_the_tag_is_left_to_the_engine },
		{ "a hundred hosts fit the kernel", a_hundred_hosts_fit_the_kernel },
	};
	static const struct sentence sentences[] = {
		{ "a bad expression is told with its text",
		  a_bad_expression_is_told_with_its_text },
	};

	HOLD_ALL(sentences);
	if (geteuid() != 0) {
		puts("skipped: loading BPF programs needs root");
		return 77;
	}
	return HOLD_ALL(needs_bpf);
}
