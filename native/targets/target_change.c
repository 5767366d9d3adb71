// SPDX-License-Identifier: Apache-2.0
#include "target_change.h"

#include "target_document.h"
#include "target_read.h"
#include "target_words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 16U

/* Why a change of one origin leaves the other's alone. */
static const char *const owners[] = {
	[CAP_ORIGIN_RUNTIME] = "was added at run time: remove it there first",
	[CAP_ORIGIN_INVENTORY] =
		"is the inventory's: change it in capture_targets and deploy, or in the settings' targets",
};

struct reading {
	struct cap_target_change *change;
	enum cap_change_form form;
};

static int take_added(void *context, const char *list, size_t index, json_t *value,
		      struct cap_error *err)
{
	struct reading *in = context;
	char where[48];

	snprintf(where, sizeof(where), "%s[%zu]", list, index);
	return cap_target_read(&in->change->add, value, CAP_TARGET_IN_CHANGE, where, err);
}

static int take_removed(void *context, const char *list, size_t index, json_t *value,
			struct cap_error *err)
{
	struct cap_target_change *change = ((struct reading *)context)->change;
	const char *text = json_string_value(value);

	if (change->remove_count == CAP_MAX_TARGETS)
		return cap_fail(err, E2BIG, "%s: has more than %u ids: split the change", list,
				CAP_MAX_TARGETS);
	if (change->remove_count == change->remove_room) {
		const unsigned room = change->remove_room ? 2 * change->remove_room : FIRST_ROOM;
		void *grown = reallocarray(change->remove, room, sizeof(*change->remove));

		if (!grown)
			return cap_fail(err, ENOMEM, "out of memory");
		change->remove = grown;
		change->remove_room = room;
	}
	if (!text || !cap_target_id_read(text, change->remove[change->remove_count]))
		return cap_fail(
			err, EINVAL,
			"%s[%zu]: must be a UUID such as \"01234567-89ab-cdef-0123-456789abcdef\"",
			list, index);
	change->remove_count++;
	return 0;
}

static int take_who(struct cap_target_change *change, json_t *value, struct cap_error *err)
{
	const size_t len = json_string_length(value);

	if (!json_is_string(value) || len == 0 || len >= sizeof(change->who))
		return cap_fail(err, EINVAL, "who: must be text of 1 to %zu bytes",
				sizeof(change->who) - 1);
	memcpy(change->who, json_string_value(value), len + 1);
	return 0;
}

static int take_origin(struct cap_target_change *change, json_t *value, struct cap_error *err)
{
	const char *text = json_is_string(value) ? json_string_value(value) : "";

	if (!strcmp(text, "inventory"))
		change->origin = CAP_ORIGIN_INVENTORY;
	else if (strcmp(text, "runtime") != 0)
		return cap_fail(err, EINVAL, "origin: must be one of: runtime, inventory");
	return 0;
}

static int take_flag(const char *key, json_t *value, bool *flag, struct cap_error *err)
{
	if (!json_is_boolean(value))
		return cap_fail(err, EINVAL, "%s: must be true or false", key);
	*flag = json_is_true(value);
	return 0;
}

/* @return 1 when the key is none of a log's own */
static int take_logged(struct cap_target_change *change, const char *key, json_t *value)
{
	static const char *const passed_over[] = { "time", "uid", "user", "pid" };

	if (!strcmp(key, "serial") && json_is_integer(value) && json_integer_value(value) >= 0) {
		change->serial = (uint64_t)json_integer_value(value);
		return 0;
	}
	for (size_t i = 0; i < sizeof(passed_over) / sizeof(passed_over[0]); i++)
		if (!strcmp(key, passed_over[i]))
			return 0;
	return 1;
}

static int take_scalar(struct reading *in, const char *key, json_t *value, struct cap_error *err)
{
	struct cap_target_change *change = in->change;

	if (!strcmp(key, "who"))
		return json_is_null(value) ? 0 : take_who(change, value, err);
	if (!strcmp(key, "origin"))
		return take_origin(change, value, err);
	if (in->form == CAP_CHANGE_LOGGED && take_logged(change, key, value) == 0)
		return 0;
	if (in->form == CAP_CHANGE_ASKED && !strcmp(key, "cmd"))
		return 0;
	if (in->form == CAP_CHANGE_ASKED && !strcmp(key, "replace"))
		return take_flag(key, value, &change->replace, err);
	if (in->form == CAP_CHANGE_ASKED && !strcmp(key, "dry_run"))
		return take_flag(key, value, &change->dry_run, err);
	return cap_fail(
		err, EINVAL,
		"unknown key \"%.64s\": write some of add, remove, replace, origin, who, dry_run",
		key);
}

static int take_key(void *context, const char *key, struct cap_document *document,
		    struct cap_error *err)
{
	struct reading *in = context;
	const bool logged = in->form == CAP_CHANGE_LOGGED;
	json_t *value;
	int rc;

	if (!strcmp(key, logged ? "added" : "add"))
		return cap_document_list(document, key, take_added, in, err);
	if (!strcmp(key, logged ? "removed" : "remove"))
		return cap_document_list(document, key, take_removed, in, err);
	rc = cap_document_value(document, &value, err);
	if (rc)
		return rc;
	rc = take_scalar(in, key, value, err);
	json_decref(value);
	return rc;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, CAP_TARGET_ID_LEN);
}

static int order(struct cap_target_change *change, struct cap_error *err)
{
	char id[CAP_TARGET_ID_TEXT];

	if (change->remove_count)
		qsort(change->remove, change->remove_count, sizeof(*change->remove), by_bytes);
	for (unsigned i = 1; i < change->remove_count; i++) {
		if (by_bytes(change->remove[i - 1], change->remove[i]))
			continue;
		cap_target_id_text(change->remove[i], id);
		return cap_fail(err, EEXIST, "remove: %s is there twice: write it once", id);
	}
	for (unsigned i = 0; i < change->add.count; i++)
		change->add.targets[i].origin = change->origin;
	return cap_target_list_sort(&change->add, err);
}

int cap_target_change_read(const char *text, size_t len, enum cap_change_form form,
			   struct cap_target_change *change, struct cap_error *err)
{
	struct cap_document document = { .text = text, .len = len };
	struct reading in = { .change = change, .form = form };
	int rc = cap_document_read(&document, take_key, &in, err);

	if (rc == 0 && change->replace && change->remove_count)
		rc = cap_fail(
			err, EINVAL,
			"remove: does not go with replace, which removes what is not in add: leave one of them out");
	return rc ? rc : order(change, err);
}

void cap_target_change_free(struct cap_target_change *change)
{
	cap_target_list_free(&change->add);
	free(change->remove);
	*change = (struct cap_target_change){ 0 };
}

/* What becomes of one target of the set before. */
struct fate {
	const struct cap_target *was, *is; /* NULL: there was none, it goes */
};

static int carry_out(struct cap_target_outcome *outcome, const struct fate *fate,
		     struct cap_target_list *list, struct cap_error *err)
{
	const bool changed = fate->was && fate->is && !cap_target_same(fate->was, fate->is);

	if (fate->was && (!fate->is || changed))
		outcome->removed[outcome->removed_count++] = fate->was;
	if (fate->is && (!fate->was || changed))
		outcome->added[outcome->added_count++] = fate->is;
	outcome->changed += changed;
	return list && fate->is ? cap_target_list_add(list, fate->is, err) : 0;
}

static int refuse(const uint8_t *id, const char *what, struct cap_error *err)
{
	char text[CAP_TARGET_ID_TEXT];

	cap_target_id_text(id, text);
	return cap_fail(err, EINVAL, "target %s: %s", text, what);
}

/* @param added,removed whether the change adds the id, and names it in `remove` */
static int judge(const struct cap_target_change *change, const struct cap_target *was,
		 const struct cap_target *added, bool removed, struct fate *fate,
		 struct cap_error *err)
{
	*fate = (struct fate){ was, was };
	if (!added && !removed) {
		if (change->replace && was->origin == change->origin)
			fate->is = NULL;
		return 0;
	}
	if (was && was->origin != change->origin)
		return refuse(was->id, owners[was->origin], err);
	if (was && !removed && !change->replace)
		return refuse(
			was->id,
			"is in force already: give the new one another id, or remove the old one in the same change",
			err);
	fate->is = added;
	return 0;
}

static int make_room(struct cap_target_outcome *outcome, const struct cap_target_change *change,
		     const struct cap_target_walk *before, struct cap_error *err)
{
	const size_t gone = change->replace ? before->count + before->added_count :
					      change->remove_count;

	outcome->added = calloc(change->add.count + 1UL, sizeof(*outcome->added));
	outcome->removed = calloc(gone + 1UL, sizeof(*outcome->removed));
	return outcome->added && outcome->removed ? 0 : cap_fail(err, ENOMEM, "out of memory");
}

/* How many there are afterwards, and of how many terms. */
static int count_outcome(struct cap_target_outcome *outcome, const struct cap_target_walk *before,
			 struct cap_error *err)
{
	uint64_t terms = before->terms;

	for (unsigned i = 0; i < outcome->added_count; i++)
		terms += cap_target_terms(outcome->added[i]);
	for (unsigned i = 0; i < outcome->removed_count; i++)
		terms -= cap_target_terms(outcome->removed[i]);
	outcome->count = before->total + outcome->added_count - outcome->removed_count;
	return cap_target_list_check(outcome->count, terms, err);
}

int cap_target_change_apply(const struct cap_target_change *change, struct cap_target_walk before,
			    struct cap_target_outcome *outcome, struct cap_target_list *list,
			    struct cap_error *err)
{
	const struct cap_target_list *add = &change->add;
	const bool all = change->replace ||
			 list; /* else what a change does not name is nothing to it */
	const struct cap_target *b = NULL;
	unsigned a = 0, r = 0;
	int rc;

	*outcome = (struct cap_target_outcome){ 0 };
	rc = make_room(outcome, change, &before, err);
	if (rc == 0 && all)
		b = cap_target_walk_next(&before);
	/* Three lists in one order: the smallest id of all of them is next. */
	while (rc == 0 && (b || a < add->count || r < change->remove_count)) {
		const uint8_t *next = b ? b->id : NULL;
		const struct cap_target *was = NULL, *added;
		struct fate fate = { 0 };
		bool removed;

		if (a < add->count && (!next || by_bytes(add->targets[a].id, next) < 0))
			next = add->targets[a].id;
		if (r < change->remove_count && (!next || by_bytes(change->remove[r], next) < 0))
			next = change->remove[r];
		if (!all) {
			was = cap_target_walk_find(before, next);
		} else if (b && !by_bytes(b->id, next)) {
			was = b;
			b = cap_target_walk_next(&before);
		}
		added = a < add->count && !by_bytes(add->targets[a].id, next) ? &add->targets[a++] :
										NULL;
		removed = r < change->remove_count && !by_bytes(change->remove[r], next);
		r += removed;
		if (removed && !was)
			rc = refuse(next, "is not in force: see capstan targets list", err);
		else
			rc = judge(change, was, added, removed, &fate, err);
		if (rc == 0)
			rc = carry_out(outcome, &fate, list, err);
	}
	if (rc == 0)
		rc = count_outcome(outcome, &before, err);
	if (rc)
		cap_target_outcome_free(outcome);
	return rc;
}

void cap_target_outcome_free(struct cap_target_outcome *outcome)
{
	free(outcome->added);
	free(outcome->removed);
	*outcome = (struct cap_target_outcome){ 0 };
}
