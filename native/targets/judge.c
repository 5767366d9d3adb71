// SPDX-License-Identifier: Apache-2.0
#include "judge.h"

#include <string.h>

static bool counts_side(const struct cap_target *target, enum cap_side side)
{
	return target->direction == CAP_DIRECTION_BOTH ||
	       target->direction == (side == CAP_FROM ? CAP_DIRECTION_FROM : CAP_DIRECTION_TO);
}

static enum cap_verdict judge_protocol(const struct cap_target *target, const struct cap_view *view)
{
	if (target->any_protocol)
		return CAP_HIS;
	if (view->protocol_is == CAP_UNKNOWN)
		return CAP_UNSURE;
	return view->protocol_is == CAP_KNOWN && view->protocol == target->protocol ? CAP_HIS :
										      CAP_NOT_HIS;
}

static enum cap_verdict judge_port(const struct cap_target *target, const struct cap_view *view,
				   enum cap_side side)
{
	if (!target->port_count)
		return CAP_HIS;
	if (view->port_is[side] != CAP_KNOWN)
		return view->port_is[side] == CAP_UNKNOWN ? CAP_UNSURE : CAP_NOT_HIS;
	for (unsigned i = 0; i < target->port_count; i++)
		if (target->ports[i].first <= view->port[side] &&
		    view->port[side] <= target->ports[i].last)
			return CAP_HIS;
	return CAP_NOT_HIS;
}

static enum cap_verdict judge_vlan(const struct cap_view *view, unsigned tag, const uint16_t *ids,
				   unsigned count)
{
	if (!count)
		return CAP_HIS;
	if (view->vlan_is[tag] != CAP_KNOWN)
		return view->vlan_is[tag] == CAP_UNKNOWN ? CAP_UNSURE : CAP_NOT_HIS;
	for (unsigned i = 0; i < count; i++)
		if (ids[i] == view->vlan[tag])
			return CAP_HIS;
	return CAP_NOT_HIS;
}

static enum cap_verdict judge_mac(const struct cap_target *target, const struct cap_view *view,
				  enum cap_side side)
{
	if (!target->mac_count)
		return CAP_HIS;
	for (unsigned i = 0; view->has_mac[side] && i < target->mac_count; i++)
		if (!memcmp(target->macs[i], view->mac[side], CAP_MAC_LEN))
			return CAP_HIS;
	return CAP_NOT_HIS;
}

static enum cap_verdict lesser(enum cap_verdict a, enum cap_verdict b)
{
	return a < b ? a : b;
}

enum cap_verdict cap_judge(const struct cap_target *target, const struct cap_view *view,
			   enum cap_side side, uint64_t timestamp_ns)
{
	enum cap_verdict verdict;

	if (!counts_side(target, side) || timestamp_ns < target->start_ns ||
	    timestamp_ns >= target->end_ns)
		return CAP_NOT_HIS;
	verdict = judge_protocol(target, view);
	if (verdict != CAP_NOT_HIS)
		verdict = lesser(verdict, judge_port(target, view, side));
	if (verdict != CAP_NOT_HIS)
		verdict = lesser(verdict, judge_vlan(view, 0, target->outer_vlans,
						     target->outer_vlan_count));
	if (verdict != CAP_NOT_HIS)
		verdict = lesser(verdict, judge_vlan(view, 1, target->inner_vlans,
						     target->inner_vlan_count));
	return verdict == CAP_NOT_HIS ? verdict : lesser(verdict, judge_mac(target, view, side));
}
