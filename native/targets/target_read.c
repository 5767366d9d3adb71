// SPDX-License-Identifier: Apache-2.0
#include "target_read.h"

#include "frame_view.h"
#include "target_words.h"

#include <errno.h>
#include <string.h>

#define LAST_VLAN 4095

/* A target while it is read. */
struct reading {
	struct cap_target_list *list;
	struct cap_target target;
	const char *where;
	const char *key;
	char id[CAP_TARGET_ID_TEXT]; /* empty until it is known */
	struct cap_error *err;
};

/* Put place, id and key in front of the clause in err. */
static int complain(struct reading *in, int rc)
{
	return cap_fail_in(in->err, rc, "%s%s%s%s%s%s", in->where, *in->id ? " (" : "", in->id,
			   *in->id ? ")" : "", in->key ? "." : "", in->key ? in->key : "");
}

static int refuse(struct reading *in, const char *clause)
{
	cap_fail(in->err, EINVAL, "%s", clause);
	return complain(in, -EINVAL);
}

/* A clause about element @p i of the list at hand. */
static int complain_of(struct reading *in, size_t i, int rc)
{
	cap_fail_in(in->err, rc, "entry %zu", i);
	return complain(in, rc);
}

/* @return 0 with room for each element at *room */
static int open_list(struct reading *in, json_t *value, size_t size, void **room, uint16_t *count)
{
	const size_t entries = json_array_size(value);

	if (!json_is_array(value))
		return refuse(in, "must be a list [...]");
	if (entries == 0)
		return refuse(in, "is empty: remove the key, or write what belongs there");
	if (entries > UINT16_MAX)
		return refuse(in, "has more than 65535 entries: make several targets of it");
	*room = cap_target_list_alloc(in->list, entries * size);
	if (!*room)
		return refuse(in, "out of memory");
	*count = (uint16_t)entries;
	return 0;
}

static int read_prefixes(struct reading *in, json_t *value)
{
	struct cap_target *target = &in->target;
	void *room;
	int rc = open_list(in, value, sizeof(*target->prefixes), &room, &target->prefix_count);

	if (rc)
		return rc;
	target->prefixes = room;
	for (uint16_t i = 0; i < target->prefix_count; i++) {
		const char *text = json_string_value(json_array_get(value, i));

		if (!text)
			rc = cap_fail(
				in->err, EINVAL,
				"must be text: write an address or prefix such as \"192.0.2.1\" or \"2001:db8::/48\"");
		else
			rc = cap_prefix_read(text, &target->prefixes[i], in->err);
		if (rc)
			return complain_of(in, i, rc);
	}
	return 0;
}

static int read_ports(struct reading *in, json_t *value)
{
	struct cap_target *target = &in->target;
	void *room;
	int rc = open_list(in, value, sizeof(*target->ports), &room, &target->port_count);

	if (rc)
		return rc;
	target->ports = room;
	for (uint16_t i = 0; i < target->port_count; i++) {
		json_t *entry = json_array_get(value, i);
		const json_int_t number = json_is_integer(entry) ? json_integer_value(entry) : -1;

		if (json_is_string(entry))
			rc = cap_ports_read(json_string_value(entry), &target->ports[i], in->err);
		else if (number >= 0 && number <= UINT16_MAX)
			target->ports[i] =
				(struct cap_port_range){ (uint16_t)number, (uint16_t)number };
		else
			rc = cap_fail(
				in->err, EINVAL,
				"is no port or range of ports from 0 to 65535: write \"443\" or \"1024-2047\"");
		if (rc)
			return complain_of(in, i, rc);
	}
	return 0;
}

static int read_macs(struct reading *in, json_t *value)
{
	struct cap_target *target = &in->target;
	void *room;
	int rc = open_list(in, value, sizeof(*target->macs), &room, &target->mac_count);

	if (rc)
		return rc;
	target->macs = room;
	for (uint16_t i = 0; i < target->mac_count; i++) {
		const char *text = json_string_value(json_array_get(value, i));

		if (text && cap_mac_read(text, target->macs[i]))
			continue;
		cap_fail(in->err, EINVAL,
			 "is no MAC address: write one in quotes such as \"52:54:00:00:00:01\"");
		return complain_of(in, i, -EINVAL);
	}
	return 0;
}

static int read_vlan_list(struct reading *in, json_t *value, uint16_t **vlans, uint16_t *count)
{
	void *room;
	int rc = open_list(in, value, sizeof(**vlans), &room, count);

	if (rc)
		return rc;
	*vlans = room;
	for (uint16_t i = 0; i < *count; i++) {
		json_t *entry = json_array_get(value, i);
		const json_int_t number = json_is_integer(entry) ? json_integer_value(entry) : -1;

		if (number < 0 || number > LAST_VLAN) {
			cap_fail(in->err, EINVAL,
				 "is no VLAN id: write a number from 0 to 4095 without quotes");
			return complain_of(in, i, -EINVAL);
		}
		(*vlans)[i] = (uint16_t)number;
	}
	return 0;
}

static int read_vlans(struct reading *in, json_t *value)
{
	return read_vlan_list(in, value, &in->target.outer_vlans, &in->target.outer_vlan_count);
}

static int read_inner_vlans(struct reading *in, json_t *value)
{
	return read_vlan_list(in, value, &in->target.inner_vlans, &in->target.inner_vlan_count);
}

static int read_protocol(struct reading *in, json_t *value)
{
	const json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;

	if (number >= 0 && number <= UINT8_MAX)
		in->target.protocol = (uint8_t)number;
	else if (!json_is_string(value) ||
		 !cap_protocol_read(json_string_value(value), &in->target.protocol))
		return refuse(
			in,
			"is no protocol: write a name such as \"tcp\", \"udp\", \"sctp\" or \"icmp\", or a number from 0 to 255");
	in->target.any_protocol = false;
	return 0;
}

static int read_direction(struct reading *in, json_t *value)
{
	static const char *const words[] = {
		[CAP_DIRECTION_BOTH] = "both", [CAP_DIRECTION_FROM] = "from", [CAP_DIRECTION_TO] = "to"
	};

	for (unsigned i = 0; json_is_string(value) && i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(words[i], json_string_value(value))) {
			in->target.direction = (uint8_t)i;
			return 0;
		}
	return refuse(in, "must be one of: both, from, to");
}

static int read_origin(struct reading *in, json_t *value)
{
	static const char *const words[] = {
		[CAP_ORIGIN_RUNTIME] = "runtime", [CAP_ORIGIN_INVENTORY] = "inventory"
	};

	for (unsigned i = 0; json_is_string(value) && i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(words[i], json_string_value(value))) {
			in->target.origin = (uint8_t)i;
			return 0;
		}
	return refuse(in, "must be one of: runtime, inventory");
}

static int read_time(struct reading *in, json_t *value, uint64_t *ns)
{
	if (json_is_string(value) && cap_time_read(json_string_value(value), ns))
		return 0;
	return refuse(
		in,
		"is no time from 1970 to 2261: write one such as \"2026-12-01T00:00:00Z\" or \"2026-12-01T01:00:00+01:00\"");
}

static int read_start(struct reading *in, json_t *value)
{
	return read_time(in, value, &in->target.start_ns);
}

static int read_end(struct reading *in, json_t *value)
{
	return read_time(in, value, &in->target.end_ns);
}

static int read_note(struct reading *in, json_t *value)
{
	const char *text = json_string_value(value);
	const size_t len = json_string_length(value);

	if (!text || len == 0 || len >= CAP_TARGET_NOTE_LEN)
		return refuse(in, "must be text of 1 to 255 bytes");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return refuse(in,
				      "holds a line break or another control character: remove it");
	in->target.note = cap_target_list_alloc(in->list, len + 1);
	if (!in->target.note)
		return refuse(in, "out of memory");
	memcpy(in->target.note, text, len + 1);
	return 0;
}

static const struct {
	const char *name;
	int (*read)(struct reading *in, json_t *value);
} keys[] = {
	{ "id", NULL }, /* before all others, for their sentences */
	{ "origin", read_origin },
	{ "prefixes", read_prefixes },
	{ "protocol", read_protocol },
	{ "ports", read_ports },
	{ "vlans", read_vlans },
	{ "inner_vlans", read_inner_vlans },
	{ "macs", read_macs },
	{ "direction", read_direction },
	{ "start", read_start },
	{ "end", read_end },
	{ "note", read_note },
};

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

static int read_key(struct reading *in, const char *name, json_t *value, enum cap_target_form form)
{
	in->key = name;
	for (size_t i = 0; i < N_KEYS; i++) {
		if (strcmp(keys[i].name, name))
			continue;
		if (keys[i].read == read_origin && form == CAP_TARGET_IN_CHANGE)
			return refuse(in, "is the change's to say: remove it");
		return keys[i].read && !json_is_null(value) ? keys[i].read(in, value) : 0;
	}
	in->key = NULL;
	cap_fail(
		in->err, EINVAL,
		"unknown key \"%.64s\": write some of id, prefixes, protocol, ports, vlans, inner_vlans, macs, direction, start, end, note",
		name);
	return complain(in, -EINVAL);
}

/* What is right alone and wrong together. */
static int judge(struct reading *in)
{
	const struct cap_target *target = &in->target;

	in->key = NULL;
	if (cap_target_terms(target) == 0)
		return refuse(
			in,
			"names nothing that a packet could be told by: write prefixes, ports, macs, vlans or inner_vlans");
	in->key = "ports";
	if (target->port_count && !target->any_protocol &&
	    !cap_protocol_has_ports(target->protocol))
		return refuse(
			in,
			"belong to tcp, udp, udplite, sctp and dccp: remove them, or write one of these as protocol");
	in->key = "end";
	if (target->end_ns <= target->start_ns)
		return refuse(in,
			      "is not behind its start: write a later end, or an earlier start");
	return 0;
}

int cap_target_read(struct cap_target_list *list, json_t *object, enum cap_target_form form,
		    const char *where, struct cap_error *err)
{
	struct reading in = { .list = list,
			      .target = { .any_protocol = true, .end_ns = UINT64_MAX },
			      .where = where,
			      .err = err };
	const char *key, *id = json_string_value(json_object_get(object, "id"));
	json_t *value;
	int rc = 0;

	if (!json_is_object(object))
		return refuse(&in,
			      "must be an object {...} such as {\"id\": ..., \"prefixes\": [...]}");
	in.key = "id";
	if (!id || !cap_target_id_read(id, in.target.id))
		return refuse(&in,
			      "must be a UUID such as \"01234567-89ab-cdef-0123-456789abcdef\"");
	cap_target_id_text(in.target.id, in.id);
	json_object_foreach(object, key, value) {
		rc = read_key(&in, key, value, form);
		if (rc)
			return rc;
	}
	rc = judge(&in);
	if (rc == 0) {
		in.key = NULL;
		rc = cap_target_list_add(list, &in.target, err);
		if (rc)
			complain(&in, rc);
	}
	return rc;
}

void cap_text_write(FILE *out, const char *text)
{
	putc_unlocked('"', out);
	for (const char *c = text; *c; c++) {
		if (*c == '"' || *c == '\\')
			putc_unlocked('\\', out);
		if ((unsigned char)*c < ' ')
			fprintf(out, "\\u%04x", *c);
		else
			putc_unlocked(*c, out);
	}
	putc_unlocked('"', out);
}

static void write_vlans(FILE *out, const char *key, const uint16_t *vlans, unsigned count)
{
	if (!count)
		return;
	fprintf(out, ",\"%s\":[", key);
	for (unsigned i = 0; i < count; i++)
		fprintf(out, "%s%u", i ? "," : "", vlans[i]);
	putc_unlocked(']', out);
}

static void write_terms(FILE *out, const struct cap_target *target)
{
	char text[CAP_PREFIX_TEXT];

	if (target->prefix_count)
		fputs_unlocked(",\"prefixes\":[", out);
	for (unsigned i = 0; i < target->prefix_count; i++) {
		cap_prefix_text(&target->prefixes[i], text);
		fprintf(out, "%s\"%s\"", i ? "," : "", text);
	}
	if (target->prefix_count)
		putc_unlocked(']', out);
	if (!target->any_protocol) {
		const char *name = cap_protocol_name(target->protocol);

		if (name)
			fprintf(out, ",\"protocol\":\"%s\"", name);
		else
			fprintf(out, ",\"protocol\":%u", target->protocol);
	}
	if (target->port_count)
		fputs_unlocked(",\"ports\":[", out);
	for (unsigned i = 0; i < target->port_count; i++) {
		cap_ports_text(&target->ports[i], text);
		fprintf(out, "%s\"%s\"", i ? "," : "", text);
	}
	if (target->port_count)
		putc_unlocked(']', out);
	write_vlans(out, "vlans", target->outer_vlans, target->outer_vlan_count);
	write_vlans(out, "inner_vlans", target->inner_vlans, target->inner_vlan_count);
	if (target->mac_count)
		fputs_unlocked(",\"macs\":[", out);
	for (unsigned i = 0; i < target->mac_count; i++) {
		cap_mac_text(target->macs[i], text);
		fprintf(out, "%s\"%s\"", i ? "," : "", text);
	}
	if (target->mac_count)
		putc_unlocked(']', out);
}

void cap_target_write(FILE *out, const struct cap_target *target, enum cap_target_form form)
{
	static const char *const directions[] = {
		[CAP_DIRECTION_FROM] = "from", [CAP_DIRECTION_TO] = "to"
	};
	char text[CAP_TARGET_ID_TEXT];

	cap_target_id_text(target->id, text);
	fprintf(out, "{\"id\":\"%s\"", text);
	if (form == CAP_TARGET_IN_FILE)
		fprintf(out, ",\"origin\":\"%s\"",
			target->origin == CAP_ORIGIN_INVENTORY ? "inventory" : "runtime");
	write_terms(out, target);
	if (target->direction != CAP_DIRECTION_BOTH)
		fprintf(out, ",\"direction\":\"%s\"", directions[target->direction]);
	if (target->start_ns) {
		cap_time_text(target->start_ns, text);
		fprintf(out, ",\"start\":\"%s\"", text);
	}
	if (target->end_ns != UINT64_MAX) {
		cap_time_text(target->end_ns, text);
		fprintf(out, ",\"end\":\"%s\"", text);
	}
	if (target->note) {
		fputs_unlocked(",\"note\":", out);
		cap_text_write(out, target->note);
	}
	putc_unlocked('}', out);
}
