// SPDX-License-Identifier: Apache-2.0
/* The probes of probes_plain.c with four addresses at a time. Compiled for any x86-64; asked for at run time. */
#ifdef __x86_64__
#include "scan.h"

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

/* What the lanes of one probe share. */
struct shared {
	const long long *words;
	__m256i count, odd, six_bits, one;
};

AVX2 static inline struct shared share(const struct cap_prefix_filter *filter,
				       const struct cap_seed *seed)
{
	return (struct shared){
		.words = (const long long *)filter->words,
		.count = _mm256_set1_epi64x(filter->word_count),
		.odd = _mm256_set1_epi64x(seed->odd),
		.six_bits = _mm256_set1_epi64x(63),
		.one = _mm256_set1_epi64x(1),
	};
}

AVX2 static inline __m256i bit(const struct shared *shared, __m256i upper, int from)
{
	return _mm256_sllv_epi64(shared->one, _mm256_and_si256(_mm256_srli_epi64(upper, from),
							       shared->six_bits));
}

/* @param folded names in the lower half of each lane. @return lanes of ones where the filter has them */
AVX2 static inline __m256i has(const struct shared *shared, __m256i folded)
{
	const __m256i hash = _mm256_mul_epu32(folded, shared->odd);
	const __m256i upper = _mm256_srli_epi64(hash, 32);
	const __m256i place = _mm256_srli_epi64(_mm256_mul_epu32(hash, shared->count), 32);
	const __m256i word = _mm256_i64gather_epi64(shared->words, place, 8);
	const __m256i bits = _mm256_or_si256(_mm256_or_si256(bit(shared, upper, 0),
							     bit(shared, upper, CAP_FILTER_SECOND)),
					     bit(shared, upper, CAP_FILTER_THIRD));

	return _mm256_cmpeq_epi64(_mm256_and_si256(word, bits), bits);
}

AVX2 static inline __m256i set1(uint64_t number)
{
	return _mm256_set1_epi64x((long long)number);
}

/* Four packets a time: the lower half of each lane is a source, the upper half its destination. */
AVX2 static uint64_t probe_four(const struct cap_scan *scan, const struct cap_prefix_filter *filter,
				const struct cap_seed *seed)
{
	const struct shared shared = share(filter, seed);
	uint64_t found = 0;

	for (uint32_t k = 0; k < scan->count4; k += 4) {
		const __m256i both = _mm256_loadu_si256((const __m256i *)scan->four[k]);
		__m256i hits = _mm256_setzero_si256();

		for (uint32_t level = 0; level < filter->levels; level++) {
			const int mask = (int)filter->masks[level];
			const int word = (int)seed->words[level];
			const __m256i names =
				_mm256_add_epi32(_mm256_and_si256(both, _mm256_set1_epi32(mask)),
						 _mm256_set1_epi32(word));

			hits = _mm256_or_si256(hits, has(&shared, names));
			hits = _mm256_or_si256(hits, has(&shared, _mm256_srli_epi64(names, 32)));
		}
		found |= (uint64_t)_mm256_movemask_pd(_mm256_castsi256_pd(hits)) << k;
	}
	return found & ~0ULL >> (CAP_BURST - scan->count4);
}

AVX2 static inline __m256i nh64(__m256i names, __m256i words)
{
	const __m256i sums = _mm256_add_epi32(names, words);

	return _mm256_mul_epu32(sums, _mm256_srli_epi64(sums, 32));
}

AVX2 static inline __m256i fold(__m256i nh)
{
	return _mm256_xor_si256(nh, _mm256_srli_epi64(nh, 32));
}

AVX2 static inline __m256i words_at(const struct cap_seed *seed, unsigned at)
{
	return set1((uint64_t)seed->words[at + 1] << 32 | seed->words[at]);
}

/* Lanes by turns of source and destination, those of two packets. @return a bit for each of the two */
AVX2 static inline uint64_t either(__m256i hits)
{
	const uint64_t lanes = (uint64_t)_mm256_movemask_pd(_mm256_castsi256_pd(hits));
	const uint64_t pairs = lanes | lanes >> 1;

	return (pairs & 1) | (pairs >> 1 & 2);
}

AVX2 static uint64_t probe_six(const struct cap_scan *scan, const struct cap_prefix_filter *filter,
			       const struct cap_seed *seed)
{
	const struct shared shared = share(filter, seed);
	uint64_t found = 0;

	for (uint32_t k = 0; k < scan->count6; k += 2) {
		const __m256i upper = _mm256_loadu_si256((const __m256i *)scan->six_upper[k]);
		__m256i hits = _mm256_setzero_si256();

		for (uint32_t level = 0; level < filter->levels; level++) {
			const __m256i names = _mm256_and_si256(upper, set1(filter->masks[level]));

			hits = _mm256_or_si256(
				hits, has(&shared, fold(nh64(names, words_at(seed, 2 * level)))));
		}
		found |= either(hits) << k;
	}
	return found & ~0ULL >> (CAP_BURST - scan->count6);
}

AVX2 static uint64_t probe_six_hosts(const struct cap_scan *scan,
				     const struct cap_prefix_filter *filter,
				     const struct cap_seed *seed)
{
	const struct shared shared = share(filter, seed);
	const __m256i words_upper = words_at(seed, 0), words_lower = words_at(seed, 2);
	uint64_t found = 0;

	for (uint32_t k = 0; k < scan->count6; k += 2) {
		const __m256i upper = _mm256_loadu_si256((const __m256i *)scan->six_upper[k]);
		const __m256i lower = _mm256_loadu_si256((const __m256i *)scan->six_lower[k]);
		const __m256i nh =
			_mm256_add_epi64(nh64(upper, words_upper), nh64(lower, words_lower));

		found |= either(has(&shared, fold(nh))) << k;
	}
	return found & ~0ULL >> (CAP_BURST - scan->count6);
}

const struct cap_probes cap_probes_avx2 = { probe_four, probe_six, probe_six_hosts };
#endif
