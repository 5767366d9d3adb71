/* SPDX-License-Identifier: Apache-2.0 */
/** @file What the control socket answers about targets: their summary, and changes of them. */
#ifndef CAPSTAN_CONTROL_TARGETS_H
#define CAPSTAN_CONTROL_TARGETS_H

#include "control.h"
#include "target_force.h"

/** What is in force, for status. @param force NULL: everything is captured. @return new reference: an object, or null */
json_t *cap_targets_json(struct cap_target_force *force);

/** {"cmd": "targets"}. @return new reference */
json_t *cap_targets_answer(struct cap_target_force *force);

/**
 * {"cmd": "targets_change", ...}: with the change's own keys beside "cmd", or with "passed": true and the change in
 * the file that came with the request: one in memory (memfd_create), sealed against writing, shrinking and growing.
 * Answered when it is in force.
 *
 * @return a refusal; or nothing, and call->later: the answer comes by cap_targets_pass_answers
 */
json_t *cap_targets_change(struct cap_target_force *force, struct cap_control_call *call);

/** Give the answers that have come in to those who wait for them. */
void cap_targets_pass_answers(struct cap_target_force *force, struct cap_control *control);

#endif
