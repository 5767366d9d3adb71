// SPDX-License-Identifier: Apache-2.0
#include "sentence.h"
#include "xdp/redirect.h"

static void drivers_that_throw_redirected_frames_away_are_known(void)
{
	HOLDS(!cap_xdp_redirects("ixgbevf", false) && !cap_xdp_redirects("ixgbevf", true));
	HOLDS(!cap_xdp_redirects("nicvf", false) && !cap_xdp_redirects("nicvf", true));
}

static void one_may_redirect_without_a_copy_alone(void)
{
	HOLDS(!cap_xdp_redirects("nfp", false) && cap_xdp_redirects("nfp", true));
}

static void all_others_are_tried(void)
{
	HOLDS(cap_xdp_redirects("ixgbe", false) && cap_xdp_redirects("ixgbe", true));
	HOLDS(cap_xdp_redirects("veth", false) && cap_xdp_redirects("", false));
}

static const struct sentence sentences[] = {
	{ "drivers that throw redirected frames away are known",
	  drivers_that_throw_redirected_frames_away_are_known },
	{ "one may redirect without a copy alone", one_may_redirect_without_a_copy_alone },
	{ "all others are tried", all_others_are_tried },
};

int main(void)
{
	return hold_all(sentences, sizeof(sentences) / sizeof(sentences[0]));
}
