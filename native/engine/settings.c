// SPDX-License-Identifier: Apache-2.0
#include "settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cap_settings_open(struct cap_settings *in, json_t *object, struct cap_error *err,
		      const char *where, ...)
{
	va_list args;

	va_start(args, where);
	vsnprintf(in->where, sizeof(in->where), where, args);
	va_end(args);
	in->object = in->taken = NULL;
	if (object && !json_is_object(object))
		return cap_fail(err, EINVAL, "%s: must be an object {...}", in->where);
	in->object = object ? json_copy(object) : json_object();
	in->taken = json_array();
	if (!in->object || !in->taken)
		return cap_fail(err, ENOMEM, "%s: out of memory", in->where);
	return 0;
}

int cap_settings_close(struct cap_settings *in, int rc, struct cap_error *err)
{
	const char *key;
	json_t *value;

	if (rc == 0) {
		json_object_foreach(in->object, key, value) {
			rc = cap_fail(err, EINVAL,
				      "%s: unknown key \"%s\": remove it or correct its spelling",
				      in->where, key);
			break;
		}
	}
	json_decref(in->object);
	json_decref(in->taken);
	in->object = in->taken = NULL;
	return rc;
}

json_t *cap_settings_take(struct cap_settings *in, const char *key)
{
	json_t *value = json_object_get(in->object, key);

	if (!value)
		return NULL;
	json_array_append(in->taken, value);
	json_object_del(in->object, key);
	return json_is_null(value) ? NULL : value;
}

int cap_settings_int(struct cap_settings *in, const char *key, int64_t least, int64_t most,
		     int64_t *value, struct cap_error *err)
{
	json_t *found = cap_settings_take(in, key);

	if (!found)
		return 0;
	if (!json_is_integer(found) || json_integer_value(found) < least ||
	    json_integer_value(found) > most)
		return cap_fail(err, EINVAL, "%s.%s: must be a whole number from %lld to %lld",
				in->where, key, (long long)least, (long long)most);
	*value = json_integer_value(found);
	return 0;
}

int cap_settings_bool(struct cap_settings *in, const char *key, bool *value, struct cap_error *err)
{
	json_t *found = cap_settings_take(in, key);

	if (!found)
		return 0;
	if (!json_is_boolean(found))
		return cap_fail(err, EINVAL, "%s.%s: must be true or false", in->where, key);
	*value = json_is_true(found);
	return 0;
}

int cap_settings_text(struct cap_settings *in, const char *key, char **value, struct cap_error *err)
{
	json_t *found = cap_settings_take(in, key);

	if (!found)
		return 0;
	if (!json_is_string(found) || !json_string_length(found) ||
	    strlen(json_string_value(found)) != json_string_length(found))
		return cap_fail(err, EINVAL, "%s.%s: must be text and not empty", in->where, key);
	char *copy = strdup(json_string_value(found));

	if (!copy)
		return cap_fail(err, ENOMEM, "%s: out of memory", in->where);
	free(*value);
	*value = copy;
	return 0;
}

int cap_settings_word(struct cap_settings *in, const char *key, const char *const *words,
		      int *value, struct cap_error *err)
{
	json_t *found = cap_settings_take(in, key);
	char list[256] = "";
	size_t used = 0;

	if (!found)
		return 0;
	for (int i = 0; words[i]; i++) {
		if (json_is_string(found) && !strcmp(words[i], json_string_value(found))) {
			*value = i;
			return 0;
		}
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
					 words[i]);
		if (used >= sizeof(list))
			break;
	}
	return cap_fail(err, EINVAL, "%s.%s: must be one of: %s", in->where, key, list);
}
