// SPDX-License-Identifier: Apache-2.0
/* ERF records, built here byte by byte after the format's reference. */
#include "compression.h"
#include "erf_file.h"
#include "erf_tally.h"
#include "sentence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS UINT64_C(1000000000)

/* A record to be built; what is not said is 0. */
struct plan {
	uint64_t stamp;
	uint8_t type, flags;
	uint16_t lctr, wlen;
	unsigned extensions;
	uint16_t payload; /* bytes behind the extension headers, the pad of Ethernet included */
	uint16_t rlen;	  /* 0: as it comes */
};

/* @return the bytes of a record in memory of exactly that size: a sanitizer sees every byte too far */
static uint8_t *build(const struct plan *plan, size_t *size)
{
	uint16_t rlen = (uint16_t)(16 + 8 * plan->extensions + plan->payload);
	uint8_t *at = calloc(1, rlen);

	HOLDS(at);
	*size = rlen;
	if (plan->rlen)
		rlen = plan->rlen;
	for (unsigned i = 0; i < 8; i++)
		at[i] = (uint8_t)(plan->stamp >> 8 * i);
	at[8] = (uint8_t)(plan->type | (plan->extensions ? 0x80 : 0));
	at[9] = plan->flags;
	at[10] = (uint8_t)(rlen >> 8);
	at[11] = (uint8_t)rlen;
	at[12] = (uint8_t)(plan->lctr >> 8);
	at[13] = (uint8_t)plan->lctr;
	at[14] = (uint8_t)(plan->wlen >> 8);
	at[15] = (uint8_t)plan->wlen;
	for (unsigned i = 0; i < plan->extensions; i++)
		at[16 + 8 * i] = (uint8_t)(16 | (i + 1 < plan->extensions ? 0x80 : 0));
	for (unsigned i = 0; i < plan->payload; i++)
		at[16 + 8 * plan->extensions + i] = (uint8_t)i;
	return at;
}

static int read_plan(const struct plan *plan, enum cap_erf_fcs fcs, struct cap_erf_record *record,
		     struct cap_error *err)
{
	size_t size;
	uint8_t *bytes = build(plan, &size);
	int rc = cap_erf_read(bytes, size, fcs, record, err);

	/* The pointer goes with its memory; where it pointed to is what matters. */
	if (record->frame)
		record->frame = (const uint8_t *)(uintptr_t)(record->frame - bytes);
	free(bytes);
	return rc;
}

static void every_ethernet_type_gives_its_frame(void)
{
	static const uint8_t types[] = { 2, 11, 16, 20 };

	for (size_t i = 0; i < sizeof(types); i++) {
		const struct plan plan = {
			.type = types[i], .wlen = 64, .payload = 2 + 64 + 6, .lctr = 0x1234
		};
		struct cap_erf_record record;
		struct cap_error err;

		HOLDS(read_plan(&plan, CAP_ERF_FCS_STRIP, &record, &err) == 0);
		HOLDS(record.kind == CAP_ERF_FRAME && record.type == types[i]);
		HOLDS(record.size == 88 && (uintptr_t)record.frame == 18);
		HOLDS(record.captured == 60 && record.wire == 60);
		HOLDS(record.coloured == (types[i] != 2));
		HOLDS(record.colour == (types[i] == 2 ? 0 : 0x1234));
		HOLDS(record.lost == (types[i] == 2 ? 0x1234 : 0));
	}
}

static void the_fcs_goes_as_the_setting_says(void)
{
	const struct plan plan = { .type = 2, .wlen = 64, .payload = 66 };
	const struct plan cut = { .type = 2, .wlen = 1518, .payload = 2 + 100 };
	const struct plan runt = { .type = 2, .wlen = 3, .payload = 2 + 3 };
	struct cap_erf_record record;
	struct cap_error err;

	HOLDS(read_plan(&plan, CAP_ERF_FCS_STRIP, &record, &err) == 0);
	HOLDS(record.wire == 60 && record.captured == 60);
	HOLDS(read_plan(&plan, CAP_ERF_FCS_KEEP, &record, &err) == 0);
	HOLDS(record.wire == 64 && record.captured == 64);
	HOLDS(read_plan(&plan, CAP_ERF_FCS_NONE, &record, &err) == 0);
	HOLDS(record.wire == 64 && record.captured == 64);
	/* A frame that the card cut has no FCS left to be taken off. */
	HOLDS(read_plan(&cut, CAP_ERF_FCS_STRIP, &record, &err) == 0);
	HOLDS(record.wire == 1514 && record.captured == 100);
	/* One that is shorter than its FCS has no byte of its own. */
	HOLDS(read_plan(&runt, CAP_ERF_FCS_STRIP, &record, &err) == 0);
	HOLDS(record.wire == 0 && record.captured == 0);
}

static void extension_headers_are_passed_over_however_many(void)
{
	for (unsigned n = 0; n < 40; n++) {
		const struct plan plan = { .type = 2, .wlen = 64, .payload = 66, .extensions = n };
		struct cap_erf_record record;
		struct cap_error err;

		HOLDS(read_plan(&plan, CAP_ERF_FCS_KEEP, &record, &err) == 0);
		HOLDS(record.extensions == n && record.type == 2);
		HOLDS((uintptr_t)record.frame == 18 + 8 * n && record.captured == 64);
	}
}

static void flags_are_told_apart(void)
{
	struct plan plan = { .type = 2, .wlen = 64, .payload = 66 };
	struct cap_erf_record record;
	struct cap_error err;

	for (unsigned port = 0; port < 8; port++) {
		plan.flags = (uint8_t)(0x04 | (port & 3) | (port & 4) << 4);
		HOLDS(read_plan(&plan, CAP_ERF_FCS_STRIP, &record, &err) == 0);
		HOLDS(record.interface == port);
	}
	plan.flags = 0x38;
	HOLDS(read_plan(&plan, CAP_ERF_FCS_STRIP, &record, &err) == 0);
	HOLDS(record.interface == 0 && record.flags & CAP_ERF_FLAG_TRUNCATED &&
	      record.flags & CAP_ERF_FLAG_RX_ERROR && record.flags & CAP_ERF_FLAG_DS_ERROR);
}

static void times_are_rounded_to_the_nearest_nanosecond(void)
{
	HOLDS(cap_erf_ns(0) == 0);
	HOLDS(cap_erf_ns(UINT64_C(1) << 32) == NS);
	HOLDS(cap_erf_ns(UINT64_C(1) << 31) == NS / 2);
	/* 1, 2, 3, ... units of 232.83 ps: 0.23, 0.47, 0.70, 0.93, 1.16, ... 6.52 ns. */
	HOLDS(cap_erf_ns(1) == 0 && cap_erf_ns(2) == 0 && cap_erf_ns(3) == 1);
	HOLDS(cap_erf_ns(6) == 1 && cap_erf_ns(7) == 2 && cap_erf_ns(28) == 7);
	/* 2^23 units are 1953125 ns, so 2^22 are 976562.5: a half goes up. */
	HOLDS(cap_erf_ns(UINT64_C(1) << 23) == 1953125);
	HOLDS(cap_erf_ns(UINT64_C(1) << 22) == 976563);
	/* The last unit of a second is nearer to the next one. */
	HOLDS(cap_erf_ns(UINT32_MAX) == NS);
	HOLDS(cap_erf_ns(UINT64_MAX) == (UINT64_C(1) << 32) * NS);
}

/* Marsaglia's xorshift64: the same numbers in every run. */
static uint64_t random_from(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

static void a_nanosecond_survives_the_way_there_and_back(void)
{
	uint64_t state = 88172645463325252U;

	for (unsigned i = 0; i < 100000; i++) {
		uint64_t ns = random_from(&state) % (UINT64_C(4294967295) * NS);
		uint64_t stamp = random_from(&state);
		uint64_t back = cap_erf_stamp(cap_erf_ns(stamp));

		HOLDS(cap_erf_ns(cap_erf_stamp(ns)) == ns);
		/* And a stamp comes back within half a nanosecond: three units of 233 ps. */
		HOLDS(back - stamp + 3 <= 6 || stamp >> 32 == UINT32_MAX);
	}
	for (uint64_t ns = 0; ns < 300000; ns++)
		HOLDS(cap_erf_ns(cap_erf_stamp(1767225600 * NS + ns)) == 1767225600 * NS + ns);
	HOLDS(cap_erf_ns(cap_erf_stamp(1767225600 * NS + 999999999)) ==
	      1767225600 * NS + 999999999);
}

static void a_record_says_when_the_packet_came(void)
{
	const struct plan plan = { .type = 2,
				   .wlen = 64,
				   .payload = 66,
				   .stamp = UINT64_C(1767225600) << 32 | 0x40000000 };
	struct cap_erf_record record;
	struct cap_error err;

	HOLDS(read_plan(&plan, CAP_ERF_FCS_STRIP, &record, &err) == 0);
	HOLDS(record.timestamp_ns == 1767225600 * NS + 250000000);
}

static void other_types_are_told_by_kind_and_name(void)
{
	char room[CAP_ERF_NAME];

	for (unsigned type = 1; type < CAP_ERF_TYPES; type++) {
		const struct plan plan = { .type = (uint8_t)type, .wlen = 20, .payload = 20 };
		struct cap_erf_record record;
		struct cap_error err;

		HOLDS(read_plan(&plan, CAP_ERF_FCS_STRIP, &record, &err) == 0);
		HOLDS(record.kind == cap_erf_kind_of((uint8_t)type));
		HOLDS((record.frame != NULL) == (record.kind == CAP_ERF_FRAME));
		HOLDS(*cap_erf_type_name((uint8_t)type, room));
	}
	HOLDS(cap_erf_kind_of(CAP_ERF_PAD) == CAP_ERF_NO_PACKET);
	HOLDS(cap_erf_kind_of(CAP_ERF_META) == CAP_ERF_NO_PACKET);
	HOLDS(cap_erf_kind_of(CAP_ERF_HDLC_POS) == CAP_ERF_OTHER_LINK);
	HOLDS(cap_erf_kind_of(22) == CAP_ERF_OTHER_LINK);
	HOLDS(cap_erf_kind_of(40) == CAP_ERF_OTHER_LINK);
	HOLDS(!strcmp(cap_erf_type_name(2, room), "TYPE_ETH"));
	HOLDS(!strcmp(cap_erf_type_name(20, room), "TYPE_COLOR_HASH_ETH"));
	HOLDS(!strcmp(cap_erf_type_name(48, room), "TYPE_PAD"));
	HOLDS(!strcmp(cap_erf_type_name(26, room), "type 26"));
	HOLDS(!strcmp(cap_erf_type_name(127, room), "type 127"));
}

static void a_record_that_is_not_all_there_is_waited_for(void)
{
	const struct plan plan = { .type = 11, .wlen = 64, .payload = 66, .extensions = 2 };
	size_t size;
	uint8_t *whole = build(&plan, &size);

	for (size_t len = 0; len < size; len++) {
		struct cap_erf_record record;
		struct cap_error err;
		uint8_t *part = malloc(len + 1);

		memcpy(part, whole, len);
		part = realloc(part, len ? len : 1);
		HOLDS(cap_erf_read(part, len, CAP_ERF_FCS_STRIP, &record, &err) == -EAGAIN);
		HOLDS(record.size == (len < 16 ? 0 : size) && !record.frame);
		free(part);
	}
	free(whole);
}

static void what_is_no_record_is_refused_in_a_sentence(void)
{
	const struct plan legacy = { .type = 0, .payload = 48 };
	const struct plan tiny = { .type = 2, .rlen = 15, .payload = 48 };
	struct cap_erf_record record;
	struct cap_error err;

	HOLDS(read_plan(&legacy, CAP_ERF_FCS_STRIP, &record, &err) == -EBADMSG);
	HOLDS(strstr(err.text, "type 0"));
	HOLDS(read_plan(&tiny, CAP_ERF_FCS_STRIP, &record, &err) == -EBADMSG);
	HOLDS(strstr(err.text, "15 bytes"));
}

static void a_record_that_contradicts_itself_can_be_passed_over(void)
{
	const struct plan no_pad = { .type = 2, .wlen = 64, .payload = 1 };
	const struct plan nothing = { .type = 16, .wlen = 64 };
	struct cap_erf_record record;
	struct cap_error err;
	uint8_t endless[40] = { [8] = 0x82, [11] = 40, [16] = 0x90, [24] = 0x90, [32] = 0x90 };
	uint8_t none[16] = { [8] = 0x82, [11] = 16 };

	HOLDS(read_plan(&no_pad, CAP_ERF_FCS_STRIP, &record, &err) == -EILSEQ);
	HOLDS(record.size == 17 && strstr(err.text, "17 bytes"));
	HOLDS(read_plan(&nothing, CAP_ERF_FCS_STRIP, &record, &err) == -EILSEQ);
	HOLDS(record.size == 16);
	HOLDS(cap_erf_read(endless, sizeof(endless), CAP_ERF_FCS_STRIP, &record, &err) == -EILSEQ);
	HOLDS(record.size == 40 && strstr(err.text, "extension headers"));
	HOLDS(cap_erf_read(none, sizeof(none), CAP_ERF_FCS_STRIP, &record, &err) == -EILSEQ);
}

/* @return the counter of that name, or UINT64_MAX where there is none */
static uint64_t told_of(const struct cap_device_counter *told, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(told[i].name, name))
			return told[i].value;
	return UINT64_MAX;
}

static void losses_are_summed_and_a_full_counter_is_told(void)
{
	static struct cap_erf_tally tally, sum;
	static struct cap_device_counter told[40];
	const uint16_t counters[] = { 0, 3, 65535, 0, 7 };
	struct cap_erf_record record;
	struct cap_error err;
	unsigned n;

	for (unsigned i = 0; i < 5; i++) {
		const struct plan plan = {
			.type = 2, .wlen = 64, .payload = 66, .lctr = counters[i]
		};

		HOLDS(read_plan(&plan, CAP_ERF_FCS_STRIP, &record, &err) == 0);
		HOLDS(cap_erf_count(&tally, &record) == (i == 0));
	}
	const struct plan coloured = { .type = 11, .wlen = 64, .payload = 66, .lctr = 999 };
	const struct plan other = { .type = 1, .wlen = 64, .payload = 66, .lctr = 5 };

	HOLDS(read_plan(&coloured, CAP_ERF_FCS_STRIP, &record, &err) == 0);
	cap_erf_count(&tally, &record);
	HOLDS(read_plan(&other, CAP_ERF_FCS_STRIP, &record, &err) == 0);
	cap_erf_count(&tally, &record);
	HOLDS(tally.lost == 3 + 65535 + 7 + 5 && tally.saturated == 1);
	HOLDS(tally.other_links == 1);
	cap_erf_add(&sum, &tally);
	cap_erf_add(&sum, &tally);
	n = cap_erf_counters(&sum, told, 40);
	HOLDS(told_of(told, n, "TYPE_ETH") == 10 && told_of(told, n, "TYPE_COLOR_ETH") == 2);
	HOLDS(told_of(told, n, "TYPE_HDLC_POS") == 2);
	HOLDS(told_of(told, n, "lost_before_records") == 2 * 65550);
	HOLDS(told_of(told, n, "lost_counter_full") == 2 && told_of(told, n, "rx_errors") == 0);
	HOLDS(told_of(told, n, "TYPE_PAD") == UINT64_MAX);
	HOLDS(cap_erf_counters(&sum, told, 3) == 3);
}

static void a_note_tells_what_the_frame_has_no_place_for(void)
{
	struct cap_erf_record record = { .type = 2, .flags = 0x04 };
	char room[CAP_ERF_NOTE];
	uint32_t len;

	HOLDS(cap_erf_note(&record, room) == 0);
	record.interface = 5;
	len = cap_erf_note(&record, room);
	HOLDS(len == 16 && !memcmp(room, "erf: interface 5", len));
	record = (struct cap_erf_record){ .coloured = true, .colour = 0x0a2f };
	len = cap_erf_note(&record, room);
	HOLDS(len == 18 && !memcmp(room, "erf: colour 0x0a2f", len));
	record.interface = 7;
	record.flags = 0x38;
	len = cap_erf_note(&record, room);
	HOLDS(len < CAP_ERF_NOTE);
	HOLDS(!memcmp(room, "erf: interface 7, colour 0x0a2f, rx error, ds error, truncated", len));
}

/* A file of @p len bytes, whose name is in @p path. */
static void put_file(char *path, const void *bytes, size_t len)
{
	int fd = mkstemps(path, strrchr(path, '.') ? (int)strlen(strrchr(path, '.')) : 0);

	HOLDS(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

/* @return bytes of @p count records of growing length, to be freed */
static uint8_t *many(unsigned count, size_t *len)
{
	uint8_t *all = NULL;

	*len = 0;
	for (unsigned i = 0; i < count; i++) {
		const struct plan plan = { .type = 2,
					   .wlen = (uint16_t)(60 + i),
					   .payload = (uint16_t)(62 + i),
					   .stamp = (UINT64_C(1767225600) << 32) + i * 10000 };
		size_t size;
		uint8_t *one = build(&plan, &size);

		all = realloc(all, *len + size);
		memcpy(all + *len, one, size);
		*len += size;
		free(one);
	}
	return all;
}

static void a_file_gives_its_records_one_by_one(void)
{
	char path[] = "/tmp/capstan-test-XXXXXX";
	struct cap_erf_record record;
	struct cap_erf_file *file;
	struct cap_error err;
	size_t len;
	uint8_t *bytes = many(3000, &len);

	put_file(path, bytes, len);
	HOLDS(cap_erf_is_file(path));
	HOLDS(cap_erf_file_open(path, &file, &err) == 0);
	for (unsigned i = 0; i < 3000; i++) {
		HOLDS(cap_erf_file_next(file, CAP_ERF_FCS_NONE, &record, &err) == 1);
		HOLDS(record.captured == 60 + i && record.frame[0] == 2 && record.frame[1] == 3);
	}
	HOLDS(cap_erf_file_next(file, CAP_ERF_FCS_NONE, &record, &err) == 0);
	HOLDS(cap_erf_file_next(file, CAP_ERF_FCS_NONE, &record, &err) == 0);
	cap_erf_file_close(file);
	unlink(path);
	free(bytes);
}

static void a_file_that_was_cut_gives_what_is_whole_and_says_so(void)
{
	size_t len, whole = 0;
	uint8_t *bytes = many(3, &len);

	for (size_t cut = 1; cut < len; cut++) {
		char path[] = "/tmp/capstan-test-XXXXXX.erf";
		struct cap_erf_record record;
		struct cap_erf_file *file;
		struct cap_error err;
		unsigned n = 0;
		int rc;

		whole = cut < 78 ? 0 : cut < 78 + 79 ? 1 : 2;
		put_file(path, bytes, cut);
		HOLDS(cap_erf_file_open(path, &file, &err) == 0);
		while ((rc = cap_erf_file_next(file, CAP_ERF_FCS_NONE, &record, &err)) == 1)
			n++;
		HOLDS(n == whole);
		if (cut == 78 || cut == 78 + 79)
			HOLDS(rc == 0);
		else
			HOLDS(rc == -EBADMSG && strstr(err.text, "it ends after"));
		cap_erf_file_close(file);
		unlink(path);
	}
	free(bytes);
}

static void a_file_goes_on_behind_a_record_that_contradicts_itself(void)
{
	static const uint8_t no_room[17] = { [8] = 2, [11] = 17, [15] = 64 };
	char path[] = "/tmp/capstan-test-XXXXXX.erf";
	struct cap_erf_record record;
	struct cap_erf_file *file;
	struct cap_error err;
	size_t len;
	uint8_t *bytes = many(2, &len), *all = malloc(len + sizeof(no_room) + 1);

	/* The first record of many() has 78 bytes. */
	memcpy(all, bytes, 78);
	memcpy(all + 78, no_room, sizeof(no_room));
	memcpy(all + 78 + sizeof(no_room), bytes + 78, len - 78);
	all[len + sizeof(no_room)] = 0;
	put_file(path, all, len + sizeof(no_room) + 1);
	HOLDS(cap_erf_file_open(path, &file, &err) == 0);
	HOLDS(cap_erf_file_next(file, CAP_ERF_FCS_NONE, &record, &err) == 1);
	HOLDS(record.captured == 60);
	HOLDS(cap_erf_file_next(file, CAP_ERF_FCS_NONE, &record, &err) == -EILSEQ);
	HOLDS(record.size == sizeof(no_room) && strstr(err.text, "17 bytes"));
	HOLDS(cap_erf_file_next(file, CAP_ERF_FCS_NONE, &record, &err) == 1);
	HOLDS(record.captured == 61);
	HOLDS(cap_erf_file_next(file, CAP_ERF_FCS_NONE, &record, &err) == -EBADMSG);
	HOLDS(strstr(err.text, "it ends after 1 of"));
	cap_erf_file_close(file);
	unlink(path);
	free(all);
	free(bytes);
}

static void what_is_erf_is_known_by_content_and_by_name(void)
{
	static const uint8_t pcap[24] = { 0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4 };
	static const char text[] = "Dear diary, today I captured nothing at all, as every day.";
	static const uint8_t zeros[4096];
	char nothing[] = "/tmp/capstan-test-XXXXXX", named[] = "/tmp/capstan-test-XXXXXX.erf";
	char misnamed[] = "/tmp/capstan-test-XXXXXX.erf", words[] = "/tmp/capstan-test-XXXXXX";
	size_t len;
	uint8_t *bytes = many(1, &len);

	HOLDS(cap_erf_looks_like(bytes, len));
	HOLDS(!cap_erf_looks_like(bytes, len - 1));
	HOLDS(!cap_erf_looks_like(zeros, sizeof(zeros)));
	HOLDS(!cap_erf_looks_like((const uint8_t *)text, sizeof(text)));
	put_file(nothing, "", 0);
	HOLDS(!cap_erf_is_file(nothing));
	put_file(named, "", 0);
	HOLDS(cap_erf_is_file(named));
	put_file(misnamed, pcap, sizeof(pcap));
	HOLDS(!cap_erf_is_file(misnamed));
	put_file(words, text, sizeof(text));
	HOLDS(!cap_erf_is_file(words));
	HOLDS(!cap_erf_is_file("/tmp/capstan-test-nowhere"));
	HOLDS(cap_erf_is_file("/tmp/capstan-test-nowhere.erf"));
	unlink(nothing);
	unlink(named);
	unlink(misnamed);
	unlink(words);
	free(bytes);
}

/* @return whether records of these types, ended by 0 and a millisecond apart, look like a file of ERF */
static bool look_like_erf(const uint8_t *types)
{
	uint8_t all[32 * 82];
	size_t len = 0;

	for (unsigned i = 0; types[i]; i++) {
		const struct plan plan = { .type = types[i],
					   .wlen = 64,
					   .payload = 66,
					   .stamp = (UINT64_C(1767225600) << 32) + i * 4294967 };
		size_t size;
		uint8_t *one = build(&plan, &size);

		memcpy(all + len, one, size);
		len += size;
		free(one);
	}
	return cap_erf_looks_like(all, len);
}

static void among_documented_types_a_file_may_have_some_that_are_not(void)
{
	HOLDS(look_like_erf((const uint8_t[]){ 2, 2, 31, 2, 26, 2, 100, 2, 127, 2, 0 }));
	HOLDS(look_like_erf((const uint8_t[]){ 2, 48, 31, 0 }));
	HOLDS(!look_like_erf((const uint8_t[]){ 31, 2, 2, 2, 0 }));
	HOLDS(!look_like_erf((const uint8_t[]){ 2, 31, 0 }));
	HOLDS(!look_like_erf((const uint8_t[]){ 2, 2, 31, 31, 31, 0 }));
}

static void what_is_compressed_is_no_erf_whatever_its_name(void)
{
	static const struct {
		const char *name;
		uint8_t bytes[16];
	} files[] = {
		{ "gzip", { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0, 200 } },
		{ "zstd", { 0x28, 0xb5, 0x2f, 0xfd, 4, 0, 0, 0, 2, 3, 0, 200 } },
		{ "xz", { 0xfd, '7', 'z', 'X', 'Z', 0, 0, 4, 2, 3, 0, 200 } },
	};
	char cut[] = "/tmp/capstan-test-XXXXXX.erf";

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[] = "/tmp/capstan-test-XXXXXX.erf";

		put_file(path, files[i].bytes, sizeof(files[i].bytes));
		HOLDS(!cap_erf_is_file(path));
		HOLDS(!strcmp(cap_compression_of_file(path)->name, files[i].name));
		unlink(path);
	}
	/* Too short to tell. */
	put_file(cut, files[2].bytes, 5);
	HOLDS(!cap_compression_of_file(cut) && cap_erf_is_file(cut));
	unlink(cut);
	HOLDS(!cap_compression_of_file(cut) && !cap_compression_of_file("/tmp"));
}

/* Were it opened, it would have to be read by whoever writes into it. */
static void a_fifo_is_judged_by_its_name_alone(void)
{
	char folder[] = "/tmp/capstan-test-XXXXXX", path[64];
	static const char *const names[] = { "fifo", "fifo.erf" };

	HOLDS(mkdtemp(folder));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		HOLDS(mkfifo(path, 0600) == 0);
		HOLDS(cap_erf_is_file(path) == (i == 1));
		HOLDS(unlink(path) == 0);
	}
	HOLDS(rmdir(folder) == 0);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "every Ethernet type gives its frame", every_ethernet_type_gives_its_frame },
		{ "the FCS goes as the setting says", the_fcs_goes_as_the_setting_says },
		{ "extension headers are passed over, however many",
		  extension_headers_are_passed_over_however_many },
		{ "flags are told apart", flags_are_told_apart },
		{ "times are rounded to the nearest nanosecond",
		  times_are_rounded_to_the_nearest_nanosecond },
		{ "a nanosecond survives the way there and back",
		  a_nanosecond_survives_the_way_there_and_back },
		{ "a record says when the packet came", a_record_says_when_the_packet_came },
		{ "other types are told by kind and name", other_types_are_told_by_kind_and_name },
		{ "a record that is not all there is waited for",
		  a_record_that_is_not_all_there_is_waited_for },
		{ "what is no record is refused in a sentence",
		  what_is_no_record_is_refused_in_a_sentence },
		{ "a record that contradicts itself can be passed over",
		  a_record_that_contradicts_itself_can_be_passed_over },
		{ "losses are summed, and a full counter is told",
		  losses_are_summed_and_a_full_counter_is_told },
		{ "a note tells what the frame has no place for",
		  a_note_tells_what_the_frame_has_no_place_for },
		{ "a file gives its records one by one", a_file_gives_its_records_one_by_one },
		{ "a file that was cut gives what is whole, and says so",
		  a_file_that_was_cut_gives_what_is_whole_and_says_so },
		{ "a file goes on behind a record that contradicts itself",
		  a_file_goes_on_behind_a_record_that_contradicts_itself },
		{ "what is ERF is known by content and by name",
		  what_is_erf_is_known_by_content_and_by_name },
		{ "among documented types a file may have some that are not",
		  among_documented_types_a_file_may_have_some_that_are_not },
		{ "what is compressed is no ERF, whatever its name",
		  what_is_compressed_is_no_erf_whatever_its_name },
		{ "a FIFO is judged by its name alone", a_fifo_is_judged_by_its_name_alone },
	};

	return HOLD_ALL(sentences);
}
