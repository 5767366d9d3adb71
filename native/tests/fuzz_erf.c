// SPDX-License-Identifier: Apache-2.0
/*
 * Hostile ERF: random bytes, and records damaged at random, given to the decoder in memory of exactly
 * their size, so that a sanitizer sees every byte read beyond. fuzz_erf [ROUNDS [SEED]]
 *
 * Built with -DCAP_LIBFUZZER and -fsanitize=fuzzer it is a target of libFuzzer.
 */
#include "erf_tally.h"
#include "sentence.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Walk through @p len bytes as a driver walks through a stream. */
static void walk(const uint8_t *bytes, size_t len, enum cap_erf_fcs fcs)
{
	static struct cap_erf_tally tally;
	const uint8_t *end = bytes + len;

	while (bytes < end) {
		struct cap_erf_record record;
		char note[CAP_ERF_NOTE];
		struct cap_error err;
		uint8_t sum = 0;
		int rc = cap_erf_read(bytes, (size_t)(end - bytes), fcs, &record, &err);

		HOLDS(rc == 0 || rc == -EAGAIN || rc == -EILSEQ || rc == -EBADMSG);
		if (rc == -EAGAIN || rc == -EBADMSG)
			return;
		HOLDS(record.size >= CAP_ERF_HEADER && record.size <= (size_t)(end - bytes));
		if (rc == -EILSEQ) {
			HOLDS(!record.frame && *err.text);
			cap_erf_count_damaged(&tally, &record);
		} else {
			HOLDS((record.kind == CAP_ERF_FRAME) == (record.frame != NULL));
			HOLDS(record.captured <= record.wire);
			cap_erf_count(&tally, &record);
			HOLDS(cap_erf_note(&record, note) <= CAP_ERF_NOTE);
			for (uint32_t i = 0; i < record.captured; i++)
				sum ^= record.frame[i];
			HOLDS(!record.frame ||
			      record.frame + record.captured <= bytes + record.size);
		}
		/* What was read is used, so that it is read. */
		__asm__ volatile("" : : "r"(sum));
		bytes += record.size;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);

	memcpy(exact, bytes, len);
	for (int fcs = CAP_ERF_FCS_STRIP; fcs <= CAP_ERF_FCS_NONE; fcs++)
		walk(exact, len, (enum cap_erf_fcs)fcs);
	cap_erf_looks_like(exact, len);
	free(exact);
	return 0;
}

#ifndef CAP_LIBFUZZER
#define ROUNDS 200000UL
#define LONGEST 512U

static uint64_t random_from(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

/* One to four records that could be, one after the other. @return bytes */
static size_t plausible(uint8_t *bytes, uint64_t *state)
{
	static const uint8_t types[] = { 2, 11, 16, 20, 1, 27, 48, 22, 30 };
	size_t used = 0;

	for (uint64_t n = random_from(state) % 4 + 1; n; n--) {
		uint64_t dice = random_from(state);
		unsigned extensions = dice % 4, rlen = 18 + 8 * extensions + dice / 4 % 64;

		if (used + rlen > LONGEST)
			break;
		for (unsigned i = 0; i < rlen; i++)
			bytes[used + i] = (uint8_t)random_from(state);
		bytes[used + 8] =
			(uint8_t)(types[dice / 256 % sizeof(types)] | (extensions ? 0x80 : 0));
		bytes[used + 10] = 0;
		bytes[used + 11] = (uint8_t)rlen;
		for (unsigned i = 0; i < extensions; i++)
			bytes[used + 16 + 8 * i] = (uint8_t)(i + 1 < extensions ? 0x90 : 0x10);
		used += rlen;
	}
	return used;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
	uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	state = state ? state : 1;
	for (unsigned long i = 0; i < rounds; i++) {
		uint8_t bytes[LONGEST];
		size_t len = plausible(bytes, &state);

		if (i % 8 == 0) {
			len = random_from(&state) % LONGEST;
			for (size_t k = 0; k < len; k++)
				bytes[k] = (uint8_t)random_from(&state);
		}
		for (uint64_t flips = random_from(&state) % 4; len && flips; flips--)
			bytes[random_from(&state) % len] = (uint8_t)random_from(&state);
		if (len && i % 3 == 0)
			len = random_from(&state) % (len + 1);
		LLVMFuzzerTestOneInput(bytes, len);
	}
	printf("%lu rounds\n", rounds);
	return 0;
}
#endif
