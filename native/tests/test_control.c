// SPDX-License-Identifier: Apache-2.0
#include "control.h"
#include "sentence.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A client of a control socket, in one process with it. */
struct bench {
	char place[64], path[96];
	struct cap_control *control;
	int client;
};

static void set_up(struct bench *bench)
{
	const struct cap_identity identity = { .uid = getuid(), .gid = getgid() };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct cap_config config = { .control_mode = 0600 };
	struct cap_error err = { "" };

	snprintf(bench->place, sizeof(bench->place), "/tmp/capstan-control-XXXXXX");
	HOLDS(mkdtemp(bench->place));
	snprintf(bench->path, sizeof(bench->path), "%s/socket", bench->place);
	config.control_path = bench->path;
	HOLDS(cap_control_create(&bench->control, &config, &identity, &err) == 0);
	memcpy(address.sun_path, bench->path, sizeof(bench->path));
	bench->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	HOLDS(connect(bench->client, (struct sockaddr *)&address, sizeof(address)) == 0);
}

static void tear_down(struct bench *bench)
{
	close(bench->client);
	cap_control_close(bench->control);
	HOLDS(rmdir(bench->place) == 0);
}

/* @return the line that comes back; empty: there is none yet */
static const char *ask(struct bench *bench, const char *line, cap_control_handler handler,
		       void *context)
{
	static char answer[4096];
	ssize_t n;

	HOLDS(send(bench->client, line, strlen(line), 0) == (ssize_t)strlen(line));
	cap_control_serve(bench->control, handler, context); /* takes the client */
	cap_control_serve(bench->control, handler, context);
	n = recv(bench->client, answer, sizeof(answer) - 1, MSG_DONTWAIT);
	answer[n > 0 ? n : 0] = '\0';
	return answer;
}

static json_t *say_nothing(void *context, struct cap_control_call *call)
{
	(void)context;
	(void)call;
	return NULL;
}

static void an_answer_that_cannot_be_written_is_told(void)
{
	struct bench bench;
	const char *line;
	json_t *answer;

	set_up(&bench);
	for (unsigned i = 0; i < 2; i++) { /* the client goes on */
		line = ask(&bench, "{\"cmd\":\"x\"}\n", say_nothing, NULL);
		answer = json_loads(line, 0, NULL);
		HOLDS(json_is_false(json_object_get(answer, "ok")));
		HOLDS(strstr(line, "cannot be written") && line[strlen(line) - 1] == '\n');
		json_decref(answer);
	}
	tear_down(&bench);
}

static json_t *put_off(void *context, struct cap_control_call *call)
{
	*(uint64_t *)context = call->ticket;
	call->later = true;
	return NULL;
}

static void an_answer_comes_later_also_when_there_are_no_words_for_it(void)
{
	struct bench bench;
	uint64_t ticket = 0;

	set_up(&bench);
	HOLDS(!*ask(&bench, "{\"cmd\":\"x\"}\n", put_off, &ticket) && ticket);
	cap_control_answer(bench.control, ticket, json_pack("{s:b}", "ok", 1));
	HOLDS(!strcmp(ask(&bench, "{\"cmd\":\"x\"}\n", put_off, &ticket), "{\"ok\":true}\n"));
	cap_control_answer(bench.control, ticket, NULL);
	HOLDS(strstr(ask(&bench, "\n", say_nothing, NULL), "cannot be written"));
	tear_down(&bench);
}

static json_t *refuse(void *context, struct cap_control_call *call)
{
	(void)context;
	return cap_control_error("%s%0500d",
				 json_string_value(json_object_get(call->request, "cmd")), 0);
}

static json_t *repeat(void *context, struct cap_control_call *call)
{
	(void)context;
	return cap_control_error("%.5s: and %s",
				 json_string_value(json_object_get(call->request, "cmd")),
				 json_string_value(json_object_get(call->request, "more")));
}

static void a_refusal_that_is_cut_within_a_character_is_told(void)
{
	char line[2048] = "{\"cmd\":\"\303\244\303\244\303\244\",\"more\":\"";
	struct bench bench;
	const char *told;

	for (unsigned i = 0; i < 400; i++)
		strcat(line, "\303\244");
	strcat(line, "\"}\n");
	set_up(&bench);
	told = ask(&bench, line, repeat, NULL);
	HOLDS(strstr(told, "\"\303\244\303\244?: and \303\244"));
	told = ask(&bench, line, refuse, NULL);
	HOLDS(strstr(told, "\"\303\244\303\244\303\2440000"));
	tear_down(&bench);
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "an answer that cannot be written is told",
		  an_answer_that_cannot_be_written_is_told },
		{ "an answer comes later, also when there are no words for it",
		  an_answer_comes_later_also_when_there_are_no_words_for_it },
		{ "a refusal that is cut within a character is told",
		  a_refusal_that_is_cut_within_a_character_is_told },
	};

	return HOLD_ALL(sentences);
}
