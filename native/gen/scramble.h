/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAPSTAN_GEN_SCRAMBLE_H
#define CAPSTAN_GEN_SCRAMBLE_H

#include <stdint.h>

/** A bijection of 64 bits without visible pattern (the finaliser of SplitMix64, Steele et al.). */
static inline uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

#endif
