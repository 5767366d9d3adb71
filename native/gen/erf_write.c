// SPDX-License-Identifier: Apache-2.0
#include "erf_write.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bytes.h"
#include "capture_file.h"
#include "crc32.h"
#include "drivers/erf.h"
#include "number.h"

/* What a record that is not Ethernet holds. */
#define FILLER_BYTES 40

/* Extension headers that say who captured a packet (host id), what flow it is of (flow id), and others. */
static const uint8_t extension_types[] = { 17, 16, 3, 4, 14 };

/* "A[:EVERY]" */
static int parse_every(const char *option, const char *text, uint64_t most, uint64_t *value,
		       uint64_t *every, struct fault *fault)
{
	char copy[64], *colon, *end;

	snprintf(copy, sizeof(copy), "%s", text);
	colon = strchr(copy, ':');
	*every = 1;
	if (colon) {
		*colon = '\0';
		if (number_parse(option, colon + 1, 1, UINT32_MAX, every, fault))
			return -1;
	}
	*value = strtoull(copy, &end, 0);
	if (end == copy || *end || *value > most)
		return fault_set(fault, "%s: '%s' is not a number from 0 to %llu.", option, copy,
				 (unsigned long long)most);
	return 0;
}

/* "color_eth" for TYPE_COLOR_ETH, or its number. */
static int parse_type(const char *word, uint8_t *type, struct fault *fault)
{
	uint64_t number;

	for (unsigned int i = 1; i < CAP_ERF_TYPES; i++) {
		char room[CAP_ERF_NAME];
		const char *name = cap_erf_type_name((uint8_t)i, room);

		if (!strncmp(name, "TYPE_", 5) && !strcasecmp(name + 5, word)) {
			*type = (uint8_t)i;
			return 0;
		}
	}
	if (number_parse("--erf-types", word, 1, CAP_ERF_TYPES - 1, &number, fault))
		return fault_set(
			fault,
			"--erf-types: '%s' is no type; names are such as eth, color_eth, pad, or numbers to %u.",
			word, CAP_ERF_TYPES - 1);
	*type = (uint8_t)number;
	return 0;
}

static int parse_types(const char *list, struct erf_look *look, struct fault *fault)
{
	char copy[256], *rest = copy, *word;
	int any_frame = 0;

	if (strlen(list) >= sizeof(copy))
		return fault_set(fault, "--erf-types: the list is too long.");
	strcpy(copy, list);
	look->type_count = 0;
	while ((word = strsep(&rest, ","))) {
		if (look->type_count == ERF_TYPES_MAX)
			return fault_set(fault, "--erf-types: at most %d types.", ERF_TYPES_MAX);
		if (parse_type(word, &look->types[look->type_count], fault))
			return -1;
		any_frame |= cap_erf_kind_of(look->types[look->type_count++]) == CAP_ERF_FRAME;
	}
	if (!any_frame)
		return fault_set(fault,
				 "--erf-types: name at least one Ethernet type, such as eth.");
	return 0;
}

int erf_look_parse(const struct erf_words *words, struct erf_look *look, struct fault *fault)
{
	uint64_t extensions = 0, interfaces = 1, colour = 1, lost = 0, flags = 0, every;

	*look = (struct erf_look){ .type_count = 1,
				   .types = { CAP_ERF_ETH },
				   .lost_every = 1,
				   .flags_every = 1,
				   .no_fcs = words->no_fcs };
	if ((words->types && parse_types(words->types, look, fault)) ||
	    (words->extensions && number_parse("--erf-extensions", words->extensions, 0,
					       ERF_EXTENSIONS_MAX, &extensions, fault)) ||
	    (words->interfaces &&
	     number_parse("--erf-interfaces", words->interfaces, 1, 8, &interfaces, fault)) ||
	    (words->colour &&
	     parse_every("--erf-colour", words->colour, UINT16_MAX, &colour, &every, fault)) ||
	    (words->lost &&
	     parse_every("--erf-lost", words->lost, UINT16_MAX, &lost, &look->lost_every, fault)) ||
	    (words->flags && parse_every("--erf-flags", words->flags, UINT8_MAX, &flags,
					 &look->flags_every, fault)))
		return -1;
	look->extensions = (unsigned int)extensions;
	look->interfaces = (unsigned int)interfaces;
	look->colour = (uint16_t)colour;
	look->lost = (uint16_t)lost;
	look->flags = (uint8_t)flags;
	return 0;
}

/* The header, and the extension headers behind it. */
static void write_head(FILE *out, const struct captured *frame, uint8_t type, uint64_t written,
		       uint32_t payload, uint32_t wire)
{
	const struct erf_look *look = frame->erf;
	uint64_t stamp = htole64(cap_erf_stamp(frame->time_ns));
	unsigned int port = (unsigned int)(frame->sequence % look->interfaces);
	uint8_t head[CAP_ERF_HEADER] = { 0 };

	memcpy(head, &stamp, sizeof(stamp));
	head[8] = (uint8_t)(type | (look->extensions ? 0x80 : 0));
	head[9] = (uint8_t)(CAP_ERF_FLAG_VARYING | (port & 3) | (port & 4) << 4);
	if (frame->sequence % look->flags_every == look->flags_every - 1)
		head[9] |= look->flags;
	put16(head + 10,
	      (uint16_t)(CAP_ERF_HEADER + CAP_ERF_EXTENSION * look->extensions + payload));
	if (cap_erf_is_coloured(type))
		put16(head + 12, (uint16_t)(look->colour + written));
	else if (frame->sequence % look->lost_every == look->lost_every - 1)
		put16(head + 12, look->lost);
	put16(head + 14, (uint16_t)wire);
	fwrite(head, sizeof(head), 1, out);
	for (unsigned int i = 0; i < look->extensions; i++) {
		uint8_t extension[CAP_ERF_EXTENSION] = { 0 };

		put32(extension + 4, (uint32_t)written);
		extension[0] = (uint8_t)(extension_types[i % sizeof(extension_types)] |
					 (i + 1 < look->extensions ? 0x80 : 0));
		fwrite(extension, sizeof(extension), 1, out);
	}
}

static uint8_t type_due(const struct erf_look *look, uint64_t written)
{
	return look->types[written % look->type_count];
}

void erf_write_others(FILE *out, const struct captured *frame, uint64_t *written)
{
	static const uint8_t filler[FILLER_BYTES];

	while (cap_erf_kind_of(type_due(frame->erf, *written)) != CAP_ERF_FRAME) {
		write_head(out, frame, type_due(frame->erf, *written), *written, FILLER_BYTES,
			   FILLER_BYTES);
		fwrite(filler, FILLER_BYTES, 1, out);
		++*written;
	}
}

void erf_write_frame(FILE *out, const struct captured *frame, uint64_t *written)
{
	static const uint8_t zeros[CAP_ERF_EXTENSION];
	const uint32_t fcs = htole32(crc32_update(0, frame->bytes, frame->length));
	const uint32_t fcs_len = frame->erf->no_fcs ? 0 : CAP_ETHERNET_FCS;
	const bool whole = frame->kept == frame->length;
	uint32_t payload = CAP_ERF_ETHERNET_PAD + frame->kept, fill = 0;

	/* A card fills a record up to 8 bytes; what it cuts, it cuts there, with nothing to fill. */
	if (whole) {
		payload += fcs_len;
		fill = -payload & (CAP_ERF_EXTENSION - 1);
	}
	write_head(out, frame, type_due(frame->erf, *written), *written, payload + fill,
		   frame->length + fcs_len);
	fwrite(zeros, CAP_ERF_ETHERNET_PAD, 1, out);
	fwrite(frame->bytes, 1, frame->kept, out);
	if (whole)
		fwrite(&fcs, 1, fcs_len, out);
	fwrite(zeros, 1, fill, out);
	++*written;
}
