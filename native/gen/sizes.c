// SPDX-License-Identifier: Apache-2.0
#include "sizes.h"

#include <stdio.h>
#include <string.h>

#include "number.h"
#include "scramble.h"

/* The "simple IMIX" proportions with Ethernet frame sizes, interleaved so that no size clusters. */
static const struct size_mix imix = {
	.count = 12,
	.cycle = { 64, 570, 64, 64, 570, 64, 1514, 64, 570, 64, 570, 64 },
	.smallest = 64,
	.largest = 1514,
	.may_grow = true,
};

static int parse_size(const char *text, uint16_t *out, struct fault *fault)
{
	uint64_t size;

	if (number_parse("--size", text, 1, FRAME_MAX, &size, fault))
		return -1;
	*out = (uint16_t)size;
	return 0;
}

static int parse_range(char *text, char *dash, struct size_mix *mix, struct fault *fault)
{
	*dash = '\0';
	if (parse_size(text, &mix->smallest, fault) || parse_size(dash + 1, &mix->largest, fault))
		return -1;
	if (mix->smallest > mix->largest)
		return fault_set(fault, "--size: the range %s-%s runs backwards; write %s-%s.",
				 text, dash + 1, dash + 1, text);
	return 0;
}

static int parse_list(char *text, struct size_mix *mix, struct fault *fault)
{
	char *rest = text, *item;

	mix->smallest = FRAME_MAX;
	while ((item = strsep(&rest, ","))) {
		uint16_t size;

		if (mix->count == SIZES_MAX)
			return fault_set(fault, "--size: more than %d sizes in the list.",
					 SIZES_MAX);
		if (parse_size(item, &size, fault))
			return -1;
		mix->cycle[mix->count++] = size;
		if (size < mix->smallest)
			mix->smallest = size;
		if (size > mix->largest)
			mix->largest = size;
	}
	return 0;
}

int size_mix_parse(const char *text, struct size_mix *mix, struct fault *fault)
{
	char copy[SIZES_MAX * 6];
	char *dash;

	if (strcmp(text, "imix") == 0) {
		*mix = imix;
		return 0;
	}
	if (strlen(text) >= sizeof(copy))
		return fault_set(fault, "--size: the list is too long.");
	snprintf(copy, sizeof(copy), "%s", text);
	memset(mix, 0, sizeof(*mix));
	dash = strchr(copy, '-');
	return dash ? parse_range(copy, dash, mix, fault) : parse_list(copy, mix, fault);
}

void size_mix_raise(struct size_mix *mix, uint16_t minimum)
{
	for (unsigned int i = 0; i < mix->count; i++)
		if (mix->cycle[i] < minimum)
			mix->cycle[i] = minimum;
	if (mix->smallest < minimum)
		mix->smallest = minimum;
	if (mix->largest < minimum)
		mix->largest = minimum;
}

uint16_t size_mix_at(const struct size_mix *mix, uint64_t number)
{
	if (mix->count == 1)
		return mix->cycle[0];
	if (mix->count)
		return mix->cycle[number % mix->count];
	return (uint16_t)(mix->smallest + scramble(number) % (mix->largest - mix->smallest + 1u));
}
