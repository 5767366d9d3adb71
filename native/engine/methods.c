// SPDX-License-Identifier: Apache-2.0
#include "methods.h"

#include "driver.h"
#include "loadable.h"
#include "privileges.h"
#include "version.h"

static const struct {
	enum cap_feature feature;
	const char *name;
} features[] = {
	{ CAP_FEATURE_KERNEL_FILTER, "kernel_filter" },
	{ CAP_FEATURE_HARDWARE_TIME, "hardware_time" },
	{ CAP_FEATURE_ZERO_COPY, "zero_copy" },
	{ CAP_FEATURE_MULTI_QUEUE, "multi_queue" },
	{ CAP_FEATURE_PACED_BY_ENGINE, "paced_by_engine" },
	{ CAP_FEATURE_NETDEV, "netdev" },
};

#define N_FEATURES (sizeof(features) / sizeof(features[0]))

static void add_features(json_t *to, uint32_t mask)
{
	for (size_t f = 0; f < N_FEATURES; f++)
		json_object_set_new(to, features[f].name, json_boolean(mask & features[f].feature));
}

static json_t *modes_json(const struct cap_mode *modes)
{
	json_t *list = json_array();

	for (; modes->name; modes++) {
		json_t *mode = json_pack("{s:s, s:s, s:s, s:s}", "name", modes->name, "asked_by",
					 modes->asked_by, "queues", modes->queues, "time",
					 modes->time);

		add_features(mode, modes->features);
		json_array_append_new(list, mode);
	}
	return list;
}

static json_t *names_json(const char *const *names)
{
	json_t *list = json_array();

	for (; *names; names++)
		json_array_append_new(list, json_string(*names));
	return list;
}

/*
 * @param driver the whole of it, or NULL: it cannot be loaded here
 * @param why_not NULL when the method can be used on this host
 */
static json_t *method_json(const struct cap_driver *about, const struct cap_driver *driver,
			   const char *package, const char *why_not)
{
	json_t *method = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:s?, s:b, s:s?}", "name",
				   about->name, "summary", about->summary, "wire", about->wire,
				   "drop_counters", about->sees, "blind", about->blind, "needs",
				   about->needs, "package", package, "loadable", !why_not,
				   "why_not", why_not);

	json_object_set_new(method, "drops", names_json(about->drops));
	json_object_set_new(method, "privileges", cap_privilege_names(about->privileges));
	json_object_set_new(method, "modes", modes_json(about->modes));
	json_object_set_new(method, "kernel_targets",
			    driver ? json_boolean(driver->set_targets) : json_null());
	add_features(method, about->features);
	return method;
}

json_t *cap_methods(void)
{
	json_t *methods = json_array();
	struct cap_error err;

	for (unsigned i = 0; cap_drivers[i]; i++)
		json_array_append_new(methods,
				      method_json(cap_drivers[i], cap_drivers[i], NULL, NULL));
	for (const struct cap_loadable *other = cap_loadables; other->about; other++) {
		const struct cap_driver *driver = cap_loadable_load(other, &err);

		json_array_append_new(methods, method_json(other->about, driver, other->package,
							   driver ? NULL : err.text));
	}
	return json_pack("{s:s, s:o}", "version", CAP_VERSION, "methods", methods);
}

static void print_method(const struct cap_driver *about, FILE *out)
{
	fprintf(out, "%-10s %s\n           modes:", about->name, about->summary);
	for (const struct cap_mode *mode = about->modes; mode->name; mode++)
		fprintf(out, "%s %s", mode == about->modes ? "" : ",", mode->name);
	fprintf(out,
		"\n           wire is: %s\n           its drop counters see: %s\n           not: %s\n",
		about->wire, about->sees, about->blind);
	if (about->needs)
		fprintf(out, "           the host needs: %s\n", about->needs);
}

void cap_methods_print(FILE *out)
{
	struct cap_error err;

	for (unsigned i = 0; cap_drivers[i]; i++)
		print_method(cap_drivers[i], out);
	for (const struct cap_loadable *other = cap_loadables; other->about; other++) {
		print_method(other->about, out);
		if (!cap_loadable_load(other, &err))
			fprintf(out, "           not on this host: %s\n", err.text);
	}
}
