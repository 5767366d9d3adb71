// SPDX-License-Identifier: Apache-2.0
#include "target_force.h"

#include "clock.h"
#include "log.h"
#include "target_document.h"
#include "target_file.h"
#include "target_settle.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A worker that looks for packets passes within some 20 ms; one that waits for the disk, when it has it. */
#define RETIRE_NS (10 * CAP_NS_PER_MS)
#define MOST_RETIRED 8U

/* Then there is one that waits for its disk. */
#define PATIENCE_NS (2 * CAP_NS_PER_S)
#define LOOK_NS 1000000L

/* How long what follows a change may wait for more of them; the log has them. */
#define SETTLE_LAG_NS CAP_NS_PER_S

/*
 * Most targets of a set's second part, and most that are gone from the first: to index so many takes 2 ms, and packets
 * look through few. A set of few is as quickly built anew.
 */
#define MOST_ASIDE 4096U
#define FEW_TARGETS 4096U

/* What cannot be written now may be later. */
#define RETRY_NS (5 * CAP_NS_PER_S)

/*
 * How long before its start what matches before the engine learns of a target: longer than anything that keeps this
 * thread busy. A packet that is let through early costs a look of the engine, one that is kept back is lost.
 */
#define LEAD_NS (120 * CAP_NS_PER_S)

/* And for how long behind its end: packets' times and this thread's clock are not the same to the nanosecond. */
#define LAG_NS (2 * CAP_NS_PER_S)

/* The longest that the thread sleeps: the real-time clock may be set meanwhile, back or forward. */
#define LONGEST_NS CAP_NS_PER_S

/* By the real-time clock: from one moment in which something changes to just before the next. */
struct span {
	uint64_t from, until;
};

struct answer {
	uint64_t ticket;
	json_t *answer;
};

struct cap_target_force {
	const struct cap_targets_config *config;
	struct cap_target_store store;
	struct cap_target_current current;
	struct cap_target_set *set; /* the same as current has, ours to free */
	struct cap_target_set *retired[MOST_RETIRED];
	unsigned retired_count;
	struct cap_target_reader **readers;
	unsigned reader_count;
	struct cap_target_settling settling;
	uint64_t settle_at; /* when it is due, by the monotonic clock; 0: the set is merged, and targets.json has it */
	bool write_failed;

	pthread_mutex_t active_lock; /* held while a hook runs */
	const struct cap_target **active;
	unsigned active_count;
	struct span told;    /* the list above holds */
	struct span counted; /* summary.active holds */
	cap_target_active_hook hook;
	void *context;

	pthread_mutex_t lock; /* of what follows; never held for long */
	pthread_cond_t wake;
	struct cap_target_job jobs[CAP_TARGET_JOBS];
	unsigned first_job, job_count;
	unsigned in_hand; /* 1: the thread has a job, which will need room for its answer */
	struct answer answers[CAP_TARGET_JOBS];
	unsigned first_answer, answer_count;
	struct cap_target_summary summary;
	bool stopping;

	int event;
	pthread_t thread;
	bool started;
};

static unsigned count_inventory(const struct cap_target *const *targets, unsigned count)
{
	unsigned found = 0;

	for (unsigned i = 0; i < count; i++)
		found += targets[i]->origin == CAP_ORIGIN_INVENTORY;
	return found;
}

/* @param outcome of the change that the set came by, or NULL: it is the first */
static void count_origins(struct cap_target_summary *summary, const struct cap_target_set *set,
			  const struct cap_target_outcome *outcome)
{
	struct cap_target_walk walk = cap_target_set_walk(set);
	const struct cap_target *target;

	if (outcome) {
		summary->inventory += count_inventory(outcome->added, outcome->added_count);
		summary->inventory -= count_inventory(outcome->removed, outcome->removed_count);
	}
	while (!outcome && (target = cap_target_walk_next(&walk)))
		summary->inventory += target->origin == CAP_ORIGIN_INVENTORY;
	summary->count = cap_target_set_count(set);
	summary->runtime = summary->count - summary->inventory;
	summary->memory = cap_target_set_memory(set);
}

/* Before there is no way back: afterwards the list of who is active cannot fail. */
static bool make_room(struct cap_target_force *force, unsigned count)
{
	const struct cap_target **active;

	pthread_mutex_lock(&force->active_lock);
	active = reallocarray(force->active, count + 1UL, sizeof(*active));
	if (active)
		force->active = active;
	pthread_mutex_unlock(&force->active_lock);
	return active;
}

static bool lies_in(uint64_t moment, const struct span *span)
{
	return moment >= span->from && moment < span->until;
}

static void end_span_at(struct span *span, uint64_t now, uint64_t moment)
{
	if (moment <= now && moment > span->from)
		span->from = moment;
	if (moment > now && moment < span->until)
		span->until = moment;
}

static struct span time_of(const struct cap_target *target, uint64_t lead, uint64_t lag)
{
	return (struct span){
		target->start_ns > lead ? target->start_ns - lead : 0,
		target->end_ns < UINT64_MAX - lag ? target->end_ns + lag : UINT64_MAX,
	};
}

/* Who is active now: by their start and end, and as what matches before the engine is told. With active_lock. */
static void find_active(struct cap_target_force *force, uint64_t now)
{
	struct cap_target_walk walk = cap_target_set_walk(force->set);
	const struct cap_target *target;
	unsigned active = 0, told = 0;

	force->counted = force->told = (struct span){ 0, UINT64_MAX };
	while ((target = cap_target_walk_next(&walk))) {
		const struct span own = time_of(target, 0, 0);
		const struct span wide = time_of(target, LEAD_NS, LAG_NS);

		active += lies_in(now, &own);
		if (lies_in(now, &wide))
			force->active[told++] = target;
		end_span_at(&force->counted, now, own.from);
		end_span_at(&force->counted, now, own.until);
		end_span_at(&force->told, now, wide.from);
		end_span_at(&force->told, now, wide.until);
	}
	force->active_count = told;
	pthread_mutex_lock(&force->lock);
	force->summary.active = active;
	pthread_mutex_unlock(&force->lock);
}

/* @return how many of @p targets are active @p now */
static unsigned choose_active(const struct cap_target *const *targets, unsigned count, uint64_t now,
			      const struct cap_target **active)
{
	unsigned found = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct span time = time_of(targets[i], LEAD_NS, LAG_NS);

		if (lies_in(now, &time))
			active[found++] = targets[i];
	}
	return found;
}

/**
 * Tell who is active, with active_lock.
 *
 * @param outcome of the change since the last time, where nothing but that can have changed; or NULL
 */
static void tell_hook(struct cap_target_force *force, uint64_t now,
		      const struct cap_target_outcome *outcome)
{
	struct cap_active_targets active = { .targets = force->active,
					     .count = force->active_count };

	if (outcome && outcome->added_count <= CAP_MOST_STEP &&
	    outcome->removed_count <= CAP_MOST_STEP) {
		active.is_step = true;
		active.added_count =
			choose_active(outcome->added, outcome->added_count, now, active.added);
		active.removed_count = choose_active(outcome->removed, outcome->removed_count, now,
						     active.removed);
	}
	if (force->hook)
		force->hook(force->context, &active);
}

/**
 * Look who is active now, and tell who ought to know.
 *
 * @param news the set is another one than at the last look
 * @param outcome of the change that it came by, or NULL
 */
static void look_at_active(struct cap_target_force *force, bool news,
			   const struct cap_target_outcome *outcome)
{
	uint64_t now;
	bool by_time;

	pthread_mutex_lock(&force->active_lock);
	now = cap_realtime_ns();
	by_time = !lies_in(now, &force->told);
	find_active(force, now);
	if (news || by_time)
		tell_hook(force, now, by_time ? NULL : outcome);
	pthread_mutex_unlock(&force->active_lock);
}

void cap_target_force_tell(struct cap_target_force *force, cap_target_active_hook hook,
			   void *context)
{
	struct cap_active_targets active = { .is_step = false };

	pthread_mutex_lock(&force->active_lock);
	active.targets = force->active;
	active.count = force->active_count;
	hook(context, &active);
	pthread_mutex_unlock(&force->active_lock);
}

static bool all_passed(const struct cap_target_force *force)
{
	for (unsigned i = 0; i < force->reader_count; i++)
		if (!cap_target_passed(force->readers[i]))
			return false;
	return true;
}

/* Sets that a worker may look at still are kept, and the one that is being settled. */
static void free_retired(struct cap_target_force *force)
{
	unsigned kept = 0;

	if (!force->retired_count || !all_passed(force))
		return;
	for (unsigned i = 0; i < force->retired_count; i++) {
		if (force->retired[i] == force->settling.set)
			force->retired[kept++] = force->retired[i];
		else
			cap_target_set_free(force->retired[i]);
	}
	force->retired_count = kept;
}

/* @return false: no worker has passed for long, and there is no room to keep another set for it */
static bool await_room(struct cap_target_force *force)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	const uint64_t deadline = cap_monotonic_ns() + PATIENCE_NS;

	for (;;) {
		free_retired(force);
		if (force->retired_count < MOST_RETIRED)
			return true;
		if (cap_monotonic_ns() > deadline)
			return false;
		nanosleep(&pause, NULL);
	}
}

/* From here on packets are matched against @p set. The caller has seen that there is room for the one before. */
static void put_in_force(struct cap_target_force *force, struct cap_target_set *set)
{
	if (force->set)
		force->retired[force->retired_count++] = force->set;
	pthread_mutex_lock(&force->active_lock);
	force->set = set;
	pthread_mutex_unlock(&force->active_lock);
	cap_target_publish(&force->current, set);
}

/* @param outcome of the change, or NULL: the first set */
static void publish(struct cap_target_force *force, struct cap_target_set *set,
		    const struct cap_target_outcome *outcome)
{
	put_in_force(force, set);
	look_at_active(force, true,
		       outcome); /* the list of the active ones leaves the set before */
	pthread_mutex_lock(&force->lock);
	count_origins(&force->summary, set, outcome);
	force->summary.serial = force->store.serial;
	force->summary.since_ns = cap_realtime_ns();
	pthread_mutex_unlock(&force->lock);
}

/* The same targets in a set of one part: nothing is told but where the active ones lie now. */
static void publish_merged(struct cap_target_force *force, struct cap_target_set *merged)
{
	put_in_force(force, merged);
	look_at_active(force, false, NULL);
	pthread_mutex_lock(&force->lock);
	force->summary.memory = cap_target_set_memory(merged);
	pthread_mutex_unlock(&force->lock);
}

/* The set in force is safe in the log meanwhile, so nobody waits for this. */
static void note_written(struct cap_target_force *force, int rc, const struct cap_error *why)
{
	const bool failed = rc != 0;

	if (failed && !force->write_failed)
		cap_alert("targets_not_written", "%s; the change is in force, and safe in the log",
			  why->text);
	else if (!failed && force->write_failed)
		cap_info("targets_written", "targets: targets.json is written again");
	force->write_failed = failed;
	pthread_mutex_lock(&force->lock);
	force->summary.behind = failed;
	pthread_mutex_unlock(&force->lock);
}

static void wake_thread(void *context)
{
	struct cap_target_force *force = context;

	pthread_mutex_lock(&force->lock);
	pthread_cond_signal(&force->wake);
	pthread_mutex_unlock(&force->lock);
}

static void begin_settling(struct cap_target_force *force)
{
	if (cap_target_settle_begin(&force->settling, force->set, &force->store,
				    force->store.serial, wake_thread, force))
		force->settle_at = cap_monotonic_ns() + RETRY_NS;
}

/* Wait for what is being settled, and take it. What was changed meanwhile is to be settled next. */
static void end_settling(struct cap_target_force *force)
{
	struct cap_target_settling *settling = &force->settling;
	const struct cap_target_set *settled = settling->set;

	cap_target_settle_end(settling);
	note_written(force, settling->write_error, &settling->why);
	free_retired(force);
	if (settling->merge_error || settling->write_error)
		force->settle_at = cap_monotonic_ns() + RETRY_NS;
	else
		force->settle_at = settled == force->set ? 0 : cap_monotonic_ns();
	if (!settling->merged)
		return;
	if (settled == force->set && force->retired_count < MOST_RETIRED)
		publish_merged(force, settling->merged);
	else
		cap_target_set_free(settling->merged);
}

static int tell_outcome(const struct cap_target_change *change,
			const struct cap_target_outcome *outcome, uint64_t serial, json_t **answer,
			struct cap_error *err)
{
	*answer = json_pack("{s:b, s:b, s:I, s:i, s:i, s:i, s:i}", "ok", 1, "dry_run",
			    change->dry_run, "serial", (json_int_t)serial, "count",
			    (int)outcome->count, "added",
			    (int)(outcome->added_count - outcome->changed), "removed",
			    (int)(outcome->removed_count - outcome->changed), "changed",
			    (int)outcome->changed);
	return *answer ?
		       0 :
		       cap_fail(
			       err, ENOMEM,
			       "out of memory for the answer: see capstan targets list for what is in force");
}

static bool is_nothing(const struct cap_target_outcome *outcome)
{
	return !outcome->added_count && !outcome->removed_count;
}

/* Build first, then the record, then publish: what fails before the record leaves all as it was. */
static int carry_out(struct cap_target_force *force, const struct cap_target_change *change,
		     const struct cap_target_outcome *outcome, const struct cap_target_peer *peer,
		     struct cap_error *err)
{
	const unsigned most = cap_target_set_count(force->set) > FEW_TARGETS ? MOST_ASIDE : 0;
	struct cap_target_set *set;
	int rc;

	if (!await_room(force))
		return cap_fail(
			err, EAGAIN,
			"%u earlier changes are not through yet, because a source waits for the disk: try again later",
			MOST_RETIRED);
	if (!make_room(force, outcome->count))
		return cap_fail(err, ENOMEM, "out of memory for %u targets", outcome->count);
	rc = cap_target_set_change(force->set, outcome->added, outcome->added_count,
				   outcome->removed, outcome->removed_count, most, &set, err);
	if (rc)
		return rc;
	rc = cap_target_store_commit(&force->store, change, outcome, peer, err);
	if (rc) {
		cap_target_set_free(set);
		return rc;
	}
	publish(force, set, outcome);
	if (!force->settle_at)
		force->settle_at = cap_monotonic_ns();
	cap_info("targets_changed",
		 "targets: serial %llu by uid %u: %u added, %u removed, %u changed, %u in force",
		 (unsigned long long)force->store.serial, peer->uid,
		 outcome->added_count - outcome->changed, outcome->removed_count - outcome->changed,
		 outcome->changed, outcome->count);
	return 0;
}

static int load_text(struct cap_target_job *job, struct cap_error *err)
{
	int rc;

	if (job->text)
		return 0;
	rc = cap_document_load(job->fd, &job->text, &job->len, err);
	return rc ? cap_fail_in(err, rc, "the change") : 0;
}

static void end_job(struct cap_target_job *job)
{
	if (job->fd >= 0)
		close(job->fd);
	free(job->text);
}

static json_t *do_job(struct cap_target_force *force, struct cap_target_job *job)
{
	struct cap_target_outcome outcome = { 0 };
	struct cap_target_change change = { 0 };
	json_t *answer = NULL;
	struct cap_error err;
	int rc = load_text(job, &err);

	if (rc == 0)
		rc = cap_target_change_read(job->text, job->len, CAP_CHANGE_ASKED, &change, &err);
	free(job->text); /* as long as all the rest of a large change */
	job->text = NULL;
	if (rc == 0)
		rc = cap_target_change_apply(&change, cap_target_set_walk(force->set), &outcome,
					     NULL, &err);
	if (rc == 0 && !change.dry_run && !is_nothing(&outcome))
		rc = carry_out(force, &change, &outcome, &job->peer, &err);
	if (rc)
		/* The sentence may name an address: it is for who asked, and not for the log. */
		cap_warn("targets_refused", "targets: a change by uid %u, pid %d was refused",
			 job->peer.uid, job->peer.pid);
	else
		rc = tell_outcome(&change, &outcome, force->store.serial, &answer, &err);
	if (rc)
		answer = json_pack("{s:b, s:s%}", "ok", 0, "error", err.text, strlen(err.text));
	cap_target_outcome_free(&outcome);
	cap_target_change_free(&change);
	end_job(job);
	return answer;
}

/* With the lock. */
static void put_answer(struct cap_target_force *force, uint64_t ticket, json_t *answer)
{
	const uint64_t one = 1;
	unsigned at = (force->first_answer + force->answer_count) % CAP_TARGET_JOBS;

	force->answers[at] = (struct answer){ ticket, answer };
	force->answer_count++;
	if (write(force->event, &one, sizeof(one)) != sizeof(one))
		cap_warn("targets_answer", "targets: an answer may be late: %s", strerror(errno));
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* @return when there is something to do without being asked, by the monotonic clock */
static uint64_t next_duty(const struct cap_target_force *force)
{
	const uint64_t now = cap_monotonic_ns(), today = cap_realtime_ns();
	const uint64_t change = sooner(force->told.until, force->counted.until);
	uint64_t next = now + sooner(LONGEST_NS, change > today ? change - today : 0);

	if (force->retired_count)
		next = sooner(next, now + RETIRE_NS);
	return force->settle_at && !force->settling.set ? sooner(next, force->settle_at) : next;
}

/* @param busy more changes wait: what follows them has time, but not for ever */
static void do_duties(struct cap_target_force *force, bool busy)
{
	const uint64_t today = cap_realtime_ns();

	free_retired(force);
	/* Also where the clock was set back to before. */
	if (!lies_in(today, &force->told) || !lies_in(today, &force->counted))
		look_at_active(force, false, NULL);
	if (cap_target_settle_is_done(&force->settling))
		end_settling(force);
	if (force->settle_at && !force->settling.set &&
	    cap_monotonic_ns() >= force->settle_at + (busy ? SETTLE_LAG_NS : 0))
		begin_settling(force);
}

static void *thread_main(void *argument)
{
	struct cap_target_force *force = argument;

	pthread_mutex_lock(&force->lock);
	while (!force->stopping) {
		struct cap_target_job job;
		json_t *answer;

		if (!force->job_count) {
			const uint64_t next = next_duty(force);
			const struct timespec until = {
				.tv_sec = (time_t)(next / CAP_NS_PER_S),
				.tv_nsec = (long)(next % CAP_NS_PER_S),
			};

			pthread_cond_clockwait(&force->wake, &force->lock, CLOCK_MONOTONIC, &until);
			pthread_mutex_unlock(&force->lock);
			do_duties(force, false);
			pthread_mutex_lock(&force->lock);
			continue;
		}
		job = force->jobs[force->first_job];
		force->first_job = (force->first_job + 1) % CAP_TARGET_JOBS;
		force->job_count--;
		force->in_hand = 1;
		pthread_mutex_unlock(&force->lock);
		answer = do_job(force, &job);
		pthread_mutex_lock(&force->lock);
		force->in_hand = 0;
		put_answer(force, job.ticket, answer);
		pthread_mutex_unlock(&force->lock);
		do_duties(force, true);
		pthread_mutex_lock(&force->lock);
	}
	pthread_mutex_unlock(&force->lock);
	if (force->settling.set)
		end_settling(force);
	if (force->settle_at) {
		struct cap_error why;
		int rc = cap_target_store_write(&force->store, cap_target_set_walk(force->set),
						force->store.serial, &why);

		note_written(force, rc, &why);
	}
	return NULL;
}

/* @return 0 with the first set built from @p list */
static int begin(struct cap_target_force *force, const struct cap_target_list *list,
		 struct cap_error *err)
{
	struct cap_target_set *set;
	int rc;

	if (!make_room(force, list->count))
		return cap_fail(err, ENOMEM, "out of memory for %u targets", list->count);
	rc = cap_target_set_build(list->targets, list->count, &set, err);
	if (rc == 0)
		publish(force, set, NULL);
	return rc;
}

int cap_target_force_create(struct cap_target_force **out, const struct cap_targets_config *config,
			    struct cap_target_reader **readers, unsigned reader_count,
			    struct cap_error *err)
{
	struct cap_target_force *force = calloc(1, sizeof(*force));

	if (!force)
		return cap_fail(err, ENOMEM, "targets: out of memory");
	force->config = config;
	force->store = (struct cap_target_store){ .directory = -1, .lock = -1 };
	force->summary.changeable = config->directory;
	force->readers = readers;
	force->reader_count = reader_count;
	for (unsigned i = 0; i < reader_count; i++)
		readers[i]->current = &force->current;
	pthread_mutex_init(&force->active_lock, NULL);
	pthread_mutex_init(&force->lock, NULL);
	pthread_cond_init(&force->wake, NULL);
	force->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (force->event < 0) {
		int rc = cap_fail(err, errno, "targets: eventfd: %s", strerror(errno));

		cap_target_force_close(force);
		return rc;
	}
	*out = force;
	return 0;
}

int cap_target_force_load(struct cap_target_force *force, struct cap_error *err)
{
	struct cap_target_list list = { 0 };
	int rc;

	if (force->config->directory)
		rc = cap_target_store_open(&force->store, force->config->directory, &list, err);
	else
		rc = cap_target_file_load(force->config->file, &list, &force->store.serial, err);
	if (rc == 0)
		rc = begin(force, &list, err);
	cap_target_list_free(&list);
	return rc ? cap_fail_in(err, rc, "targets") : 0;
}

int cap_target_force_start(struct cap_target_force *force, cap_target_active_hook hook,
			   void *context, struct cap_error *err)
{
	int rc;

	force->hook = hook;
	force->context = context;
	look_at_active(force, true, NULL);
	rc = pthread_create(&force->thread, NULL, thread_main, force);
	if (rc)
		return cap_fail(err, rc, "targets: the thread cannot be started: %s", strerror(rc));
	pthread_setname_np(force->thread, "cap-targets");
	force->started = true;
	return 0;
}

int cap_target_force_ask(struct cap_target_force *force, const struct cap_target_job *job,
			 struct cap_error *err)
{
	unsigned waiting;
	int rc = 0;

	if (!force->config->directory)
		return cap_fail(
			err, EROFS,
			"the targets were read from a file once and cannot be changed: write targets.directory in place of targets.file");
	pthread_mutex_lock(&force->lock);
	waiting = force->job_count + force->in_hand + force->answer_count;
	if (force->stopping || waiting >= CAP_TARGET_JOBS) {
		rc = cap_fail(err, EAGAIN,
			      "%u changes wait already, or the engine stops: try again later",
			      waiting);
	} else {
		force->jobs[(force->first_job + force->job_count) % CAP_TARGET_JOBS] = *job;
		force->job_count++;
		pthread_cond_signal(&force->wake);
	}
	pthread_mutex_unlock(&force->lock);
	return rc;
}

int cap_target_force_fd(const struct cap_target_force *force)
{
	return force->event;
}

bool cap_target_force_answer(struct cap_target_force *force, uint64_t *ticket, json_t **answer)
{
	uint64_t count;
	bool found;

	pthread_mutex_lock(&force->lock);
	found = force->answer_count;
	if (found) {
		*ticket = force->answers[force->first_answer].ticket;
		*answer = force->answers[force->first_answer].answer;
		force->first_answer = (force->first_answer + 1) % CAP_TARGET_JOBS;
		force->answer_count--;
	} else if (read(force->event, &count, sizeof(count)) < 0) {
		found = false; /* nothing to reset */
	}
	pthread_mutex_unlock(&force->lock);
	return found;
}

void cap_target_force_summary(struct cap_target_force *force, struct cap_target_summary *summary)
{
	pthread_mutex_lock(&force->lock);
	*summary = force->summary;
	pthread_mutex_unlock(&force->lock);
}

void cap_target_force_stop(struct cap_target_force *force)
{
	if (!force || !force->started)
		return;
	pthread_mutex_lock(&force->lock);
	force->stopping = true;
	pthread_cond_signal(&force->wake);
	pthread_mutex_unlock(&force->lock);
	pthread_join(force->thread, NULL);
	force->started = false;
	while (force->job_count) {
		struct cap_target_job *job = &force->jobs[force->first_job];

		put_answer(force, job->ticket,
			   json_pack("{s:b, s:s}", "ok", 0, "error",
				     "the engine stops: nothing was changed"));
		end_job(job);
		force->first_job = (force->first_job + 1) % CAP_TARGET_JOBS;
		force->job_count--;
	}
}

void cap_target_force_close(struct cap_target_force *force)
{
	json_t *answer;
	uint64_t ticket;

	if (!force)
		return;
	cap_target_force_stop(force);
	while (cap_target_force_answer(force, &ticket, &answer))
		json_decref(answer);
	while (force->retired_count)
		cap_target_set_free(force->retired[--force->retired_count]);
	cap_target_set_free(force->set);
	cap_target_store_close(&force->store);
	if (force->event >= 0)
		close(force->event);
	pthread_mutex_destroy(&force->active_lock);
	pthread_mutex_destroy(&force->lock);
	pthread_cond_destroy(&force->wake);
	free(force->active);
	free(force);
}

int cap_target_change_directory(const char *directory, int fd, json_t **answer,
				struct cap_error *err)
{
	const struct cap_target_peer self = { .uid = getuid(), .pid = getpid() };
	struct cap_target_job job = { .fd = dup(fd) };
	struct cap_target_outcome outcome = { 0 };
	struct cap_target_change change = { 0 };
	struct cap_target_list list = { 0 }, afterwards = { 0 };
	struct cap_target_store store;
	int rc = cap_target_store_open(&store, directory, &list, err);

	if (rc == 0)
		rc = load_text(&job, err);
	if (rc == 0)
		rc = cap_target_change_read(job.text, job.len, CAP_CHANGE_ASKED, &change, err);
	if (rc == 0)
		rc = cap_target_change_apply(&change, cap_target_list_walk(&list), &outcome,
					     &afterwards, err);
	if (rc == 0 && !change.dry_run && !is_nothing(&outcome)) {
		rc = cap_target_store_commit(&store, &change, &outcome, &self, err);
		/* In force by its record; the next start writes the file, if it cannot be written now. */
		if (rc == 0 && cap_target_store_write(&store, cap_target_list_walk(&afterwards),
						      store.serial, err))
			cap_alert("targets_not_written", "%s; the change is safe in the log",
				  err->text);
	}
	if (rc == 0)
		rc = tell_outcome(&change, &outcome, store.serial, answer, err);
	end_job(&job);
	cap_target_outcome_free(&outcome);
	cap_target_change_free(&change);
	cap_target_list_free(&list);
	cap_target_list_free(&afterwards);
	cap_target_store_close(&store);
	return rc;
}
