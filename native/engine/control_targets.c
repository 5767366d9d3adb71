// SPDX-License-Identifier: Apache-2.0
#include "control_targets.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Then nobody can alter what is read. */
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

static const char no_targets[] =
	"everything is captured here: write targets (a list, which may be empty) into the settings and start again";

json_t *cap_targets_json(struct cap_target_force *force)
{
	struct cap_target_summary summary;
	char since[CAP_RFC3339_LEN];

	if (!force)
		return json_null();
	cap_target_force_summary(force, &summary);
	cap_rfc3339(summary.since_ns, since);
	return json_pack("{s:i, s:i, s:i, s:i, s:I, s:s, s:I, s:b, s:b}", "count",
			 (int)summary.count, "active", (int)summary.active, "runtime",
			 (int)summary.runtime, "inventory", (int)summary.inventory, "serial",
			 (json_int_t)summary.serial, "since", since, "memory_bytes",
			 (json_int_t)summary.memory, "changeable", summary.changeable,
			 "file_is_behind", summary.behind);
}

json_t *cap_targets_answer(struct cap_target_force *force)
{
	return json_pack("{s:b, s:o}", "ok", 1, "targets", cap_targets_json(force));
}

/*
 * Only memory is read without waiting for anybody: a pipe's writer, a server far away or a file system's process could
 * keep the thread, and with it the engine's end, for as long as they like. Only files in memory have seals.
 */
static json_t *take_file(struct cap_control_call *call, struct cap_target_job *job)
{
	int seals;

	if (call->file < 0)
		return cap_control_error(
			"passed: no file came with the request: pass its descriptor along (SCM_RIGHTS)");
	seals = fcntl(call->file, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS)
		return cap_control_error(
			"passed: what came with the request is no sealed file in memory: pass one of memfd_create with F_SEAL_WRITE, F_SEAL_SHRINK and F_SEAL_GROW");
	job->fd = call->file;
	return NULL;
}

/* @return a refusal, or NULL with the change in @p job */
static json_t *take_change(struct cap_control_call *call, struct cap_target_job *job)
{
	json_t *passed = json_object_get(call->request, "passed");

	if (passed && (!json_is_true(passed) || json_object_size(call->request) != 2))
		return cap_control_error(
			"passed: write true beside cmd and nothing else: the change is in the file that comes along");
	if (passed)
		return take_file(call, job);
	job->text = json_dumps(call->request, JSON_COMPACT);
	if (!job->text)
		return cap_control_error("out of memory");
	job->len = strlen(job->text);
	return NULL;
}

json_t *cap_targets_change(struct cap_target_force *force, struct cap_control_call *call)
{
	struct cap_target_job job = { .ticket = call->ticket,
				      .peer = { .uid = call->uid, .pid = call->pid },
				      .fd = -1 };
	struct cap_error err;
	json_t *refusal;

	if (!force)
		return cap_control_error("%s", no_targets);
	refusal = take_change(call, &job);
	if (refusal)
		return refusal;
	if (cap_target_force_ask(force, &job, &err)) {
		free(job.text);
		return cap_control_error("%s", err.text);
	}
	if (job.fd >= 0)
		call->file = -1;
	return NULL;
}

void cap_targets_pass_answers(struct cap_target_force *force, struct cap_control *control)
{
	json_t *answer;
	uint64_t ticket;

	while (force && cap_target_force_answer(force, &ticket, &answer))
		cap_control_answer(control, ticket, answer);
}
