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
static bool take_file(struct cap_control_call *call, struct cap_target_job *job, json_t **refusal)
{
	int seals;

	if (call->file < 0) {
		*refusal = cap_control_error(
			"passed: no file came with the request: pass its descriptor along (SCM_RIGHTS)");
		return false;
	}
	seals = fcntl(call->file, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS) {
		*refusal = cap_control_error(
			"passed: what came with the request is no sealed file in memory: pass one of memfd_create with F_SEAL_WRITE, F_SEAL_SHRINK and F_SEAL_GROW");
		return false;
	}
	job->fd = call->file;
	return true;
}

/* @return true with the change in @p job */
static bool take_change(struct cap_control_call *call, struct cap_target_job *job, json_t **refusal)
{
	json_t *passed = json_object_get(call->request, "passed");

	if (passed && (!json_is_true(passed) || json_object_size(call->request) != 2)) {
		*refusal = cap_control_error(
			"passed: write true beside cmd and nothing else: the change is in the file that comes along");
		return false;
	}
	if (passed)
		return take_file(call, job, refusal);
	job->text = json_dumps(call->request, JSON_COMPACT);
	if (!job->text) {
		*refusal = cap_control_error("out of memory");
		return false;
	}
	job->len = strlen(job->text);
	return true;
}

json_t *cap_targets_change(struct cap_target_force *force, struct cap_control_call *call)
{
	struct cap_target_job job = { .ticket = call->ticket,
				      .peer = { .uid = call->uid, .pid = call->pid },
				      .fd = -1 };
	json_t *refusal = NULL;
	struct cap_error err;

	if (!force)
		return cap_control_error("%s", no_targets);
	if (!take_change(call, &job, &refusal))
		return refusal;
	if (cap_target_force_ask(force, &job, &err)) {
		free(job.text);
		return cap_control_error("%s", err.text);
	}
	if (job.fd >= 0)
		call->file = -1;
	call->later = true;
	return NULL;
}

void cap_targets_pass_answers(struct cap_target_force *force, struct cap_control *control)
{
	json_t *answer;
	uint64_t ticket;

	while (force && cap_target_force_answer(force, &ticket, &answer))
		cap_control_answer(control, ticket, answer);
}
