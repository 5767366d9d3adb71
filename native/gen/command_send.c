// SPDX-License-Identifier: Apache-2.0
#include "command.h"
#include "send.h"

static int parse(int argc, char **argv, struct send_order *order, int *json, struct fault *fault)
{
	const char *interface = NULL, *netns = NULL;
	struct traffic_words traffic = { 0 };
	struct span_words span_words = { 0 };
	struct span span;
	int rest;
	const struct command_option options[] = {
		{ "interface", "DEV", "send through DEV", &interface, NULL },
		{ "netns", "NAME", "of this network namespace (a name or a path)", &netns, NULL },
		{ "method", "METHOD", "auto | af_packet | xdp (auto)", &order->method, NULL },
		SPAN_OPTIONS(span_words),
		TRAFFIC_OPTIONS(traffic),
		{ "json", NULL, "one JSON object on stdout", NULL, json },
		{ NULL, NULL, NULL, NULL, NULL },
	};

	order->method = "auto";
	if (command_line(argc, argv, "send --interface DEV (--count N | --seconds S) [options]",
			 options, &rest, fault))
		return -1;
	if (rest < argc)
		return fault_set(fault, "'%s' is left over; --help explains.", argv[rest]);
	if (!interface)
		return fault_set(fault, "Through which interface? Give --interface DEV.");
	if (span_parse(&span_words, &span, fault) ||
	    traffic_parse(&traffic, &order->traffic, fault) ||
	    (netns && netns_enter(netns, fault)) || link_open(interface, &order->link, fault))
		return -1;
	order->first = span.first;
	order->count = span.count;
	order->seconds = span.seconds;
	order->rate = span.rate;
	return 0;
}

int command_send(int argc, char **argv)
{
	struct send_order order = { 0 };
	struct send_result result;
	struct fault fault;
	int json = 0;

	if (parse(argc, argv, &order, &json, &fault) || send_run(&order, &result, &fault))
		return command_failed("send", &fault);
	send_print(&order, &result, json);
	return EXIT_WELL;
}
