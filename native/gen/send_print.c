// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "number.h"
#include "send.h"

static double per_second(double amount, double seconds)
{
	return seconds > 0 ? amount / seconds : 0;
}

static void print_json(const struct send_order *order, const struct send_result *result)
{
	const struct link_counters *link = &result->counters;
	json_t *root = json_pack(
		"{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:b, s:b,"
		" s:{s:I, s:I, s:I, s:I}}",
		"method", result->method, "interface", order->link.name, "frames",
		(json_int_t)result->frames, "accepted", (json_int_t)result->accepted, "refused",
		(json_int_t)result->refused, "bytes", (json_int_t)result->bytes, "seconds",
		result->elapsed, "pps", per_second((double)result->frames, result->elapsed),
		"first", (json_int_t)order->first, "next",
		(json_int_t)(order->first + result->frames), "stream",
		(json_int_t)order->traffic.stream, "interrupted", result->interrupted, "disturbed",
		result->disturbed, "counters", "tx_packets", (json_int_t)link->tx_packets,
		"tx_dropped", (json_int_t)link->tx_dropped, "tx_errors",
		(json_int_t)link->tx_errors, "xdp_xmit_errors", (json_int_t)link->xdp_xmit_errors);

	json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(root);
}

static void print_text(const struct send_order *order, const struct send_result *result)
{
	char a[NUMBER_TEXT], b[NUMBER_TEXT];
	double seconds = result->elapsed;

	printf("%s on %s%s\n", result->method, order->link.name,
	       result->interrupted ? " (interrupted)" : "");
	printf("  sent      %s frames, %s bytes in %.3f s\n", number_group(result->frames, a),
	       number_group(result->bytes, b), seconds);
	printf("  rate      %s frames/s, %.1f Mbit/s\n",
	       number_group((uint64_t)per_second((double)result->frames, seconds), a),
	       per_second((double)result->bytes * 8e-6, seconds));
	printf("  accepted  %s by the link", number_group(result->accepted, a));
	if (result->refused)
		printf(", refused %s", number_group(result->refused, a));
	putchar('\n');
	if (result->frames)
		printf("  numbers   %" PRIu64 " to %" PRIu64
		       " of stream %u; go on with --first %" PRIu64 "\n",
		       order->first, order->first + result->frames - 1, order->traffic.stream,
		       order->first + result->frames);
	if (result->disturbed)
		printf("  note      the link counted more frames than these: others used it meanwhile\n");
}

void send_print(const struct send_order *order, const struct send_result *result, bool json)
{
	if (json)
		print_json(order, result);
	else
		print_text(order, result);
}
