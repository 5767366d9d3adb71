// SPDX-License-Identifier: Apache-2.0
#include "control.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* In place of an answer that cannot be written. It may be that of a change that was made. */
static const char no_answer[] =
	"{\"ok\":false,\"error\":\"the answer cannot be written: ask for status and targets to see what holds\"}\n";

struct client {
	int fd;	      /* -1: free */
	bool refused; /* gets one answer, that it is not permitted */
	struct ucred peer;
	int file;	 /* passed along with what was read last, or -1 */
	uint64_t ticket; /* of the request that is to be answered later; 0: there is none */
	uint64_t heard_ns;
	char line[CAP_CONTROL_LINE];
	size_t used;
};

struct cap_control {
	int listener, epoll;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	uid_t uid;
	gid_t gid;
	uint64_t last_ticket;
	bool left_over; /* some client's line may be whole, and unanswered */
	struct client clients[CAP_CONTROL_CLIENTS];
};

json_t *cap_control_error(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	cap_sentence(text, sizeof(text), format, args);
	va_end(args);
	return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

static bool somebody_listens(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool alive;

	if (fd < 0)
		return false;
	/* EAGAIN: it is alive, and too busy to accept. */
	alive = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
		errno == EAGAIN;
	close(fd);
	return alive;
}

static int watch(struct cap_control *control, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(control->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int listen_on(struct cap_control *control, const struct cap_config *config,
		     struct cap_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat there;
	mode_t before;
	int rc;

	memcpy(address.sun_path, control->path, sizeof(control->path));
	if (somebody_listens(&address))
		return cap_fail(err, EADDRINUSE,
				"control.path: an engine listens on %s already: stop it first",
				control->path);
	if (lstat(control->path, &there) == 0 && !S_ISSOCK(there.st_mode))
		return cap_fail(
			err, EEXIST,
			"control.path: %s is not a socket: move it away, or write another path",
			control->path);
	if (unlink(control->path) && errno != ENOENT)
		return cap_fail(err, errno, "control.path: %s cannot be replaced: %s",
				control->path, strerror(errno));
	control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Nobody can connect before listen; owner and mode are right by then, without following a link. */
	before = umask(0777 & ~config->control_mode);
	rc = control->listener < 0 ?
		     -1 :
		     bind(control->listener, (struct sockaddr *)&address, sizeof(address));
	if (rc)
		rc = errno;
	umask(before);
	if (rc == 0 &&
	    (lchown(control->path, control->uid, control->gid) ||
	     listen(control->listener, CAP_CONTROL_CLIENTS) || watch(control, control->listener)))
		rc = errno;
	return rc ? cap_fail(
			    err, rc,
			    "control.path: cannot listen on %s: %s: make its directory and let the engine's user write there",
			    control->path, strerror(rc)) :
		    0;
}

int cap_control_create(struct cap_control **out, const struct cap_config *config,
		       const struct cap_identity *identity, struct cap_error *err)
{
	struct cap_control *control = calloc(1, sizeof(*control));
	int rc = 0;

	if (!control)
		return cap_fail(err, ENOMEM, "out of memory");
	control->uid = identity->uid;
	control->gid = identity->gid;
	control->listener = -1;
	for (unsigned i = 0; i < CAP_CONTROL_CLIENTS; i++)
		control->clients[i].fd = control->clients[i].file = -1;
	control->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (control->epoll < 0)
		rc = cap_fail(err, errno, "epoll: %s", strerror(errno));
	if (rc == 0 && config->control_group) {
		const struct group *group = getgrnam(config->control_group);

		if (group)
			control->gid = group->gr_gid;
		else
			rc = cap_fail(err, ENOENT,
				      "control.group: there is no group \"%s\" on this host",
				      config->control_group);
	}
	if (rc == 0 && (size_t)snprintf(control->path, sizeof(control->path), "%s",
					config->control_path) >= sizeof(control->path))
		rc = cap_fail(err, ENAMETOOLONG,
			      "control.path: is longer than the %zu bytes of a socket's path",
			      sizeof(control->path) - 1);
	if (rc == 0)
		rc = listen_on(control, config, err);
	if (rc) {
		if (control->listener >= 0)
			close(control->listener);
		if (control->epoll >= 0)
			close(control->epoll);
		free(control);
		return rc;
	}
	*out = control;
	return 0;
}

int cap_control_fd(const struct cap_control *control)
{
	return control->epoll;
}

static void drop_file(struct client *client)
{
	if (client->file >= 0)
		close(client->file);
	client->file = -1;
}

static void drop_client(struct client *client)
{
	close(client->fd); /* leaves the epoll set by itself */
	client->fd = -1;
	client->used = 0;
	client->ticket = 0;
	drop_file(client);
}

/* What a client writes while an answer is owed to it stays where it is. */
static void listen_to(const struct cap_control *control, struct client *client, bool wanted)
{
	struct epoll_event event = { .events = wanted ? EPOLLIN : 0, .data.fd = client->fd };

	if (epoll_ctl(control->epoll, EPOLL_CTL_MOD, client->fd, &event))
		drop_client(client);
}

/*
 * A reply goes out at once or not at all: a client that does not read must not hold the engine up.
 * @param answer NULL: there was no memory for one, or it is no JSON
 */
static void reply(struct client *client, json_t *answer)
{
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	const char *line = text ? text : no_answer;
	size_t len = text ? strlen(text) + 1 : strlen(no_answer);

	if (text)
		text[len - 1] = '\n'; /* in place of the terminator */
	if (send(client->fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		drop_client(client);
	free(text);
	json_decref(answer);
}

static bool is_member(const struct cap_control *control, const struct ucred *peer, int fd)
{
	gid_t groups[64];
	socklen_t size = sizeof(groups);

	if (peer->uid == 0 || peer->uid == control->uid || peer->gid == control->gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size))
		return false;
	for (size_t i = 0; i < size / sizeof(groups[0]); i++)
		if (groups[i] == control->gid)
			return true;
	return false;
}

/* Those that wait for us are not idle. */
static bool is_staler(const struct client *a, const struct client *b)
{
	return !a->ticket != !b->ticket ? !a->ticket : a->heard_ns < b->heard_ns;
}

/* With every place taken the client that has been silent longest goes: idle ones lock nobody out. */
static struct client *free_place(struct cap_control *control)
{
	struct client *oldest = &control->clients[0];

	for (unsigned i = 0; i < CAP_CONTROL_CLIENTS; i++) {
		struct client *client = &control->clients[i];

		if (client->fd < 0)
			return client;
		if (is_staler(client, oldest))
			oldest = client;
	}
	drop_client(oldest);
	return oldest;
}

static void accept_client(struct cap_control *control)
{
	int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;
	socklen_t size = sizeof(client->peer);

	if (fd < 0)
		return;
	client = free_place(control);
	*client = (struct client){ .fd = fd, .file = -1, .heard_ns = cap_monotonic_ns() };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &client->peer, &size) ||
	    !is_member(control, &client->peer, fd)) {
		cap_warn(
			"control_refused",
			"control socket: uid %u is neither root, the engine's user nor in its group",
			client->peer.uid);
		client->refused = true;
	}
	if (watch(control, fd))
		drop_client(client);
}

static void answer_request(struct cap_control *control, struct client *client, json_t *request,
			   cap_control_handler handler, void *context)
{
	struct cap_control_call call = {
		.request = request,
		.uid = client->peer.uid,
		.pid = client->peer.pid,
		.file = client->file,
		.ticket = ++control->last_ticket,
	};
	json_t *answer;

	client->file = -1;
	answer = handler(context, &call);
	if (call.file >= 0)
		close(call.file);
	if (call.later) {
		client->ticket = call.ticket;
		listen_to(control, client, false);
	} else {
		reply(client, answer);
	}
}

static void answer_line(struct cap_control *control, struct client *client, const char *line,
			size_t len, cap_control_handler handler, void *context)
{
	json_error_t where;
	json_t *request;

	if (client->refused) {
		reply(client,
		      cap_control_error("not permitted: become root or join the engine's group"));
		if (client->fd >= 0)
			drop_client(client);
		return;
	}
	request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where);

	if (!json_is_object(request))
		reply(client,
		      cap_control_error(
			      "a request is one JSON object a line, such as {\"cmd\":\"status\"}"));
	else
		answer_request(control, client, request, handler, context);
	json_decref(request);
}

/* The lines that are there, until one is to be answered later. */
static void answer_lines(struct cap_control *control, struct client *client,
			 cap_control_handler handler, void *context)
{
	const char *end;

	while (client->fd >= 0 && !client->ticket &&
	       (end = memchr(client->line, '\n', client->used))) {
		size_t len = (size_t)(end - client->line);

		answer_line(control, client, client->line, len, handler, context);
		client->used = client->fd < 0 ? 0 : client->used - len - 1;
		memmove(client->line, end + 1, client->used);
	}
	if (client->fd >= 0 && !client->ticket && client->used == sizeof(client->line)) {
		reply(client,
		      cap_control_error("the request is longer than %d bytes", CAP_CONTROL_LINE));
		if (client->fd >= 0)
			drop_client(client);
	}
}

/* Of several the last one stays: the padding of the room for one may hold two. */
static void take_files(struct client *client, struct cmsghdr *header)
{
	const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < count; i++) {
		drop_file(client);
		memcpy(&client->file, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
	}
}

/* A file that is passed along stays until the request that it came with is read. */
static ssize_t receive(struct client *client)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control;
	struct iovec line = { client->line + client->used, sizeof(client->line) - client->used };
	struct msghdr message = { .msg_iov = &line,
				  .msg_iovlen = 1,
				  .msg_control = control.room,
				  .msg_controllen = sizeof(control.room) };
	ssize_t n = recvmsg(client->fd, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		take_files(client, header);
	return n;
}

static void read_client(struct cap_control *control, struct client *client,
			cap_control_handler handler, void *context)
{
	ssize_t n = receive(client);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			drop_client(client);
		return;
	}
	client->used += (size_t)n;
	client->heard_ns = cap_monotonic_ns();
	answer_lines(control, client, handler, context);
}

/* Lines that were read behind one whose answer has been given since. */
static void serve_left_over(struct cap_control *control, cap_control_handler handler, void *context)
{
	if (!control->left_over)
		return;
	control->left_over = false;
	for (unsigned k = 0; k < CAP_CONTROL_CLIENTS; k++)
		if (control->clients[k].fd >= 0)
			answer_lines(control, &control->clients[k], handler, context);
}

void cap_control_serve(struct cap_control *control, cap_control_handler handler, void *context)
{
	struct epoll_event events[CAP_CONTROL_CLIENTS + 1];
	int n = epoll_wait(control->epoll, events, CAP_CONTROL_CLIENTS + 1, 0);

	for (int i = 0; i < n; i++) {
		if (events[i].data.fd == control->listener) {
			accept_client(control);
			continue;
		}
		for (unsigned k = 0; k < CAP_CONTROL_CLIENTS; k++) {
			struct client *client = &control->clients[k];

			if (client->fd != events[i].data.fd)
				continue;
			/* Nothing is asked of one that is owed an answer: it has hung up. */
			if (client->ticket)
				drop_client(client);
			else
				read_client(control, client, handler, context);
		}
	}
	serve_left_over(control, handler, context);
}

void cap_control_answer(struct cap_control *control, uint64_t ticket, json_t *answer)
{
	for (unsigned k = 0; k < CAP_CONTROL_CLIENTS; k++) {
		struct client *client = &control->clients[k];

		if (client->fd < 0 || client->ticket != ticket)
			continue;
		client->ticket = 0;
		client->heard_ns = cap_monotonic_ns();
		listen_to(control, client, true);
		if (client->fd >= 0)
			reply(client, json_incref(answer));
		control->left_over = true;
	}
	json_decref(answer);
}

void cap_control_close(struct cap_control *control)
{
	if (!control)
		return;
	for (unsigned i = 0; i < CAP_CONTROL_CLIENTS; i++)
		if (control->clients[i].fd >= 0)
			drop_client(&control->clients[i]);
	close(control->listener);
	close(control->epoll);
	/* Its directory may belong to somebody else by now; a stale socket does no harm. */
	(void)unlink(control->path);
	free(control);
}
