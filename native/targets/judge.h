/* SPDX-License-Identifier: Apache-2.0 */
/** @file One target against one side of one view: all that is named but the prefixes, which the index finds. */
#ifndef CAPSTAN_JUDGE_H
#define CAPSTAN_JUDGE_H

#include "frame_view.h"

enum cap_verdict {
	CAP_NOT_HIS,
	CAP_UNSURE, /**< something that is named cannot be known, and all else holds */
	CAP_HIS,
};

/** @param side which must have the address, the port and the MAC address */
enum cap_verdict cap_judge(const struct cap_target *target, const struct cap_view *view,
			   enum cap_side side, uint64_t timestamp_ns);

#endif
