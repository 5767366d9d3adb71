// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include "erf.h"
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Set by the build where the vendor's header was there to ask. */
#ifndef CAP_DAG_DROP_CODE
#define CAP_DAG_DROP_CODE CAP_DAG_NO_CODE
#endif

const char *const cap_dag_idle_words[] = { "sleep", "poll", NULL };

static int read_streams(struct cap_settings *in, struct cap_dag_options *options,
			struct cap_error *err)
{
	json_t *list = cap_settings_take(in, "streams"), *item;
	size_t i;

	if (!list)
		return 0;
	if (!json_is_array(list) || !json_array_size(list) ||
	    json_array_size(list) > CAP_MAX_QUEUES)
		return cap_fail(
			err, EINVAL,
			"%s.streams: must be a list of 1 to %d stream numbers, such as [0, 2]",
			in->where, CAP_MAX_QUEUES);
	json_array_foreach(list, i, item) {
		json_int_t stream = json_integer_value(item);

		if (!json_is_integer(item) || stream < 0 || stream >= CAP_DAG_STREAMS)
			return cap_fail(err, EINVAL,
					"%s.streams[%zu]: must be a stream's number from 0 to %d",
					in->where, i, CAP_DAG_STREAMS - 2);
		if (stream % 2)
			return cap_fail(
				err, EINVAL,
				"%s.streams[%zu]: is %lld, and odd streams transmit: receive streams are even",
				in->where, i, (long long)stream);
		for (size_t k = 0; k < i; k++)
			if (options->streams[k] == stream)
				return cap_fail(
					err, EINVAL,
					"%s.streams[%zu]: is %lld again: name each stream once",
					in->where, i, (long long)stream);
		options->streams[i] = (int)stream;
		options->stream_count = (unsigned)i + 1;
	}
	return 0;
}

/* Its number is one of the vendor's header, and another one in another release of it. */
static int read_drop_attribute(struct cap_settings *in, struct cap_dag_options *options,
			       struct cap_error *err)
{
	json_t *value = cap_settings_take(in, "drop_attribute");

	if (!value)
		return 0;
	options->drop_asked = true;
	free(options->drop_name);
	options->drop_name = NULL;
	if (json_is_integer(value) && json_integer_value(value) >= 0 &&
	    json_integer_value(value) <= INT32_MAX) {
		options->drop_code = json_integer_value(value);
		return 0;
	}
	if (!json_is_string(value) || !json_string_length(value))
		return cap_fail(
			err, EINVAL,
			"%s.drop_attribute: must be an attribute's name, or its number in the vendor's header",
			in->where);
	options->drop_code = CAP_DAG_NO_CODE;
	options->drop_name = strdup(json_string_value(value));
	return options->drop_name ? 0 : cap_fail(err, ENOMEM, "out of memory");
}

int cap_dag_parse_options(json_t *object, void **out, struct cap_error *err)
{
	struct cap_dag_options *options = malloc(sizeof(*options));
	struct cap_settings in;
	int rc;

	if (!options)
		return cap_fail(err, ENOMEM, "out of memory");
	*options = (struct cap_dag_options){ .drop_code = CAP_DAG_DROP_CODE,
					     .drop_name = strdup(CAP_DAG_DROP_NAME) };
	rc = cap_settings_open(&in, object, err, "options");
	if (rc == 0 && !options->drop_name)
		rc = cap_fail(err, ENOMEM, "out of memory");
	if (rc == 0)
		rc = cap_settings_text(&in, "library", &options->library, err);
	if (rc == 0 && options->library && *options->library != '/')
		rc = cap_fail(
			err, EINVAL,
			"options.library: must be an absolute path, such as /opt/dag/lib/libdag.so");
	if (rc == 0)
		rc = read_streams(&in, options, err);
	if (rc == 0)
		rc = cap_settings_word(&in, "fcs", cap_erf_fcs_words, &options->fcs, err);
	if (rc == 0)
		rc = cap_settings_word(&in, "idle", cap_dag_idle_words, &options->idle, err);
	if (rc == 0)
		rc = read_drop_attribute(&in, options, err);
	rc = cap_settings_close(&in, rc, err);
	if (rc)
		cap_dag_free_options(options);
	else
		*out = options;
	return rc;
}

void cap_dag_free_options(void *opaque)
{
	struct cap_dag_options *options = opaque;

	free(options->library);
	free(options->drop_name);
	free(options);
}
