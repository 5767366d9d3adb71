// SPDX-License-Identifier: Apache-2.0
#include "stream_file.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file's own pages: head, trailer, gap. */
#define FILE_PAGES 3UL

int cap_files_open(struct cap_files *files, const struct cap_config *config,
		   struct cap_output *output, struct cap_error *err)
{
	int rc;

	*files = (struct cap_files){ .config = config, .output = output };
	pthread_mutex_init(&files->names_lock, NULL);
	if (config->output.sink == CAP_SINK_NULL)
		return 0;
	files->backend = config->io == CAP_IO_PWRITE ? &cap_io_pwrite : &cap_io_uring;
	rc = files->backend->open(&files->io, err);
	if (rc && config->io == CAP_IO_AUTO) {
		cap_warn("no_io_uring", "writing with pwrite: %s", err->text);
		files->backend = &cap_io_pwrite;
		rc = files->backend->open(&files->io, err);
	}
	if (rc)
		files->backend = NULL;
	return rc;
}

void cap_files_close(struct cap_files *files)
{
	if (files->backend)
		files->backend->close(files->io);
	pthread_mutex_destroy(&files->names_lock);
}

static void free_file(struct cap_stream_file *file)
{
	free(file->pages);
	free(file);
}

static void remember_open(struct cap_files *files, struct cap_stream_file *file,
			  struct cap_stream_file **holder)
{
	pthread_mutex_lock(&files->names_lock);
	file->holder = holder;
	*holder = file;
	file->older = files->newest;
	if (files->newest)
		files->newest->newer = file;
	else
		files->oldest = file;
	files->newest = file;
	files->open++;
	pthread_mutex_unlock(&files->names_lock);
}

static void forget_open(struct cap_files *files, struct cap_stream_file *file)
{
	pthread_mutex_lock(&files->names_lock);
	*file->holder = NULL;
	file->holder = NULL;
	*(file->older ? &file->older->newer : &files->oldest) = file->newer;
	*(file->newer ? &file->newer->older : &files->newest) = file->older;
	file->older = file->newer = NULL;
	files->open--;
	pthread_mutex_unlock(&files->names_lock);
}

static void remember_whole(struct cap_files *files, const char *name)
{
	pthread_mutex_lock(&files->names_lock);
	snprintf(files->whole[files->whole_count++ % CAP_RECENT_FILES], sizeof(files->whole[0]),
		 "%s", name);
	pthread_mutex_unlock(&files->names_lock);
}

int cap_file_begin(struct cap_files *files, const struct cap_stream_source *from,
		   const char *target, uint32_t *sequence, struct cap_stream_file **holder)
{
	struct cap_port_facts facts;
	const struct cap_pcapng_interface interface = {
		.name = from->port->interface,
		.description = facts.effective_mode,
		.filter = from->port->filter,
		.link_type = from->facts->link_type, /* the same at every opening */
		.snaplen = from->facts->snaplen,
		.fcs_len = from->facts->fcs_len,
		.target = target,
	};
	struct cap_stream_file *file = calloc(1, sizeof(*file));
	int rc;

	if (!file || posix_memalign((void **)&file->pages, CAP_PAGE, FILE_PAGES * CAP_PAGE)) {
		free(file);
		return -ENOMEM;
	}
	rc = cap_output_create(files->output, target, from->port->interface, from->queue,
			       *sequence + 1, &file->out);
	if (rc) {
		free_file(file);
		return rc;
	}
	pthread_mutex_lock(from->facts_lock);
	facts = *from->facts;
	pthread_mutex_unlock(from->facts_lock);
	if (cap_pcapng_head(file->pages, &interface))
		cap_warn(
			"filter_not_in_file",
			"%s: the filter is too long for the file's header; it applies all the same",
			file->out.name);
	file->op.fd = file->out.fd;
	file->op.at_once = files->at_once;
	file->from = from;
	file->target = target;
	file->sequence = sequence;
	++*sequence;
	file->opened_ns = cap_monotonic_ns();
	remember_open(files, file, holder);
	cap_count(&from->ledger->writer.files_opened, 1);
	return 0;
}

bool cap_files_have_room(const struct cap_files *files)
{
	return !files->most_open || files->open + files->closing < files->most_open;
}

bool cap_files_end_least_used(struct cap_files *files)
{
	struct cap_stream_file *least = NULL;

	for (struct cap_stream_file *file = files->oldest; file; file = file->newer)
		if (!file->busy && (!least || file->last_use < least->last_use))
			least = file;
	if (!least)
		return false;
	cap_count(&least->from->ledger->writer.files_early, 1);
	cap_file_end(files, least);
	return true;
}

void cap_files_end_all(struct cap_files *files, const struct cap_stream_source *from)
{
	struct cap_stream_file *file, *newer;

	for (file = files->oldest; file; file = newer) {
		newer = file->newer;
		if (file->from == from)
			cap_file_end(files, file);
	}
}

void cap_files_end_old(struct cap_files *files, uint64_t now)
{
	uint64_t limit = files->config->output.rotate_seconds * CAP_NS_PER_S;
	struct cap_stream_file *file, *newer;

	if (!limit)
		return;
	for (file = files->oldest; file && now > file->opened_ns && now - file->opened_ns >= limit;
	     file = newer) {
		newer = file->newer;
		if (!file->busy)
			cap_file_end(files, file);
	}
}

uint64_t cap_files_old_in(const struct cap_files *files, uint64_t now)
{
	const uint64_t limit = files->config->output.rotate_seconds * CAP_NS_PER_S;
	uint64_t end;

	if (!limit || !files->oldest)
		return UINT64_MAX;
	end = files->oldest->opened_ns + limit;
	return end > now ? end - now : 0;
}

/* The last page of a file: the ledger as it stands, for people in the comment as well. */
static void submit_trailer(struct cap_files *files, struct cap_stream_file *file)
{
	uint8_t *page = file->pages + CAP_PAGE;
	json_t *causes = cap_ledger_causes(file->from->ledger);
	char *text = json_dumps(causes, JSON_COMPACT | JSON_SORT_KEYS);
	struct cap_pcapng_statistics figures;
	char comment[1024];
	int len;

	cap_ledger_figures(file->from->header, file->from->ledger, cap_realtime_ns(), &figures);
	len = snprintf(comment, sizeof(comment),
		       "capstan ledger: wire %llu, delivered %llu, filtered %llu, dropped %s",
		       (unsigned long long)figures.ifrecv, (unsigned long long)figures.usrdeliv,
		       (unsigned long long)(figures.ifrecv - figures.ifdrop - figures.filteraccept),
		       text ? text : "?");
	if (file->target && len > 0 && (size_t)len < sizeof(comment))
		snprintf(comment + len, sizeof(comment) - (size_t)len,
			 "; here %llu packets of target %s", (unsigned long long)file->packets,
			 file->target);
	cap_pcapng_statistics(page, CAP_PAGE, &figures, comment);
	free(text);
	json_decref(causes);

	file->state = CAP_FILE_TRAILER;
	file->op.kind = CAP_IO_WRITE;
	file->op.offset = file->offset;
	file->op.count = 1;
	file->op.vectors[0] = (struct iovec){ page, CAP_PAGE };
	files->backend->submit(files->io, &file->op);
}

void cap_file_end(struct cap_files *files, struct cap_stream_file *file)
{
	forget_open(files, file);
	if (file->offset == 0) {
		cap_output_discard(files->output, &file->out);
		--*file->sequence;
		free_file(file);
		return;
	}
	files->closing++;
	submit_trailer(files, file);
}

void cap_file_prepare(struct cap_stream_file *file)
{
	file->op.kind = CAP_IO_WRITE;
	file->op.offset = file->offset;
	file->op.count = 0;
	if (file->offset == 0)
		file->op.vectors[file->op.count++] = (struct iovec){ file->pages, CAP_PAGE };
}

void cap_file_tell_gap(struct cap_stream_file *file, uint64_t lost, const char *cause)
{
	uint8_t *page = file->pages + 2UL * CAP_PAGE;
	struct cap_pcapng_statistics figures;
	char comment[128];

	cap_ledger_figures(file->from->header, file->from->ledger, cap_realtime_ns(), &figures);
	snprintf(comment, sizeof(comment), "capstan: %llu packets were lost here: %s",
		 (unsigned long long)lost, cause);
	cap_pcapng_statistics(page, CAP_PAGE, &figures, comment);
	file->op.vectors[file->op.count++] = (struct iovec){ page, CAP_PAGE };
}

void cap_file_submit(struct cap_files *files, struct cap_stream_file *file)
{
	file->busy = true;
	file->last_use = ++files->uses;
	files->backend->submit(files->io, &file->op);
}

void cap_files_start(struct cap_files *files)
{
	if (files->backend->start)
		files->backend->start(files->io);
}

void cap_file_cut(const struct cap_stream_file *file)
{
	if (ftruncate(file->op.fd, file->offset))
		cap_alert("file_not_cut", "%s: cannot be cut to its last whole block: %s",
			  file->out.name, strerror(errno));
}

static void submit_sync(struct cap_files *files, struct cap_stream_file *file,
			enum cap_file_state state)
{
	file->state = state;
	file->op.kind = CAP_IO_SYNC;
	files->backend->submit(files->io, &file->op);
}

static void forget(struct cap_files *files, struct cap_stream_file *file)
{
	free_file(file);
	files->closing--;
}

/* @param rc of the name's sync. What is in the file is safe: without its name it would be found, and recovered */
static void named(struct cap_files *files, struct cap_stream_file *file, int rc)
{
	struct cap_ledger_writer *ledger = &file->from->ledger->writer;

	if (rc) {
		cap_count(&ledger->write_errors, 1);
		cap_alert(
			"name_not_synced",
			"%s: the disk did not confirm its name: %s: a power cut may hide it again",
			file->out.name, strerror(-rc));
	}
	cap_count(&ledger->files_whole, 1);
	remember_whole(files, file->out.name);
	cap_info("file_whole", "%s: %lld bytes", file->out.name, (long long)file->offset);
	forget(files, file);
}

static void commit(struct cap_files *files, struct cap_stream_file *file)
{
	int rc = cap_output_commit(files->output, &file->out), place;

	if (rc) {
		cap_count(&file->from->ledger->writer.write_errors, 1);
		cap_alert(
			"file_not_committed",
			"%s: cannot be given its name: %s: its packets stay in the hidden .part file",
			file->out.name, strerror(-rc));
		forget(files, file);
		return;
	}
	place = cap_output_open_place(files->output, file->out.name);
	if (place < 0) {
		named(files, file, place);
		return;
	}
	file->op.fd = place;
	submit_sync(files, file, CAP_FILE_NAME);
}

static void name_done(struct cap_files *files, struct cap_stream_file *file)
{
	close(file->op.fd);
	named(files, file, (int)file->op.result);
}

/* A name says that a file is whole; one that the disk did not confirm does not get it. */
static void leave_unsynced(struct cap_files *files, struct cap_stream_file *file, int rc)
{
	struct cap_ledger_writer *ledger = &file->from->ledger->writer;

	cap_count(&ledger->write_errors, 1);
	cap_count(&ledger->unsynced_packets, file->packets);
	cap_alert(
		"sync_failed",
		"%s: the disk did not confirm its %llu packets: %s: it stays hidden, and the next start recovers what is there",
		file->out.name, (unsigned long long)file->packets, strerror(-rc));
	cap_output_abandon(&file->out);
	forget(files, file);
}

static void trailer_done(struct cap_files *files, struct cap_stream_file *file)
{
	if (file->op.result == CAP_PAGE) {
		file->offset += CAP_PAGE;
		cap_count(&file->from->ledger->writer.written_bytes, CAP_PAGE);
	} else {
		cap_file_cut(file);
	}
	submit_sync(files, file, CAP_FILE_SYNC);
}

struct cap_stream_file *cap_files_written(struct cap_files *files, bool *any)
{
	struct cap_io_op *op;

	while (files->backend && (op = files->backend->completed(files->io))) {
		struct cap_stream_file *file = (struct cap_stream_file *)(void *)op;

		*any = true;
		if (file->state == CAP_FILE_WRITING) {
			file->busy = false;
			return file;
		}
		if (file->state == CAP_FILE_TRAILER)
			trailer_done(files, file);
		else if (file->state == CAP_FILE_NAME)
			name_done(files, file);
		else if (op->result < 0)
			leave_unsynced(files, file, (int)op->result);
		else
			commit(files, file);
	}
	return NULL;
}

json_t *cap_files_open_names(struct cap_files *files)
{
	const struct cap_stream_file *file;
	json_t *names = json_array();
	unsigned told = 1;

	pthread_mutex_lock(&files->names_lock);
	for (file = files->newest; file && file->older && told < CAP_RECENT_FILES; told++)
		file = file->older;
	for (; file; file = file->newer)
		json_array_append_new(names, json_string(file->out.name));
	pthread_mutex_unlock(&files->names_lock);
	return names;
}

unsigned cap_files_open_count(struct cap_files *files)
{
	unsigned count;

	pthread_mutex_lock(&files->names_lock);
	count = files->open;
	pthread_mutex_unlock(&files->names_lock);
	return count;
}

json_t *cap_files_whole_names(struct cap_files *files)
{
	json_t *names = json_array();
	unsigned count, first;

	pthread_mutex_lock(&files->names_lock);
	count = files->whole_count;
	first = count > CAP_RECENT_FILES ? count - CAP_RECENT_FILES : 0;
	for (unsigned i = first; i < count; i++)
		json_array_append_new(names, json_string(files->whole[i % CAP_RECENT_FILES]));
	pthread_mutex_unlock(&files->names_lock);
	return names;
}
