// SPDX-License-Identifier: Apache-2.0
#include "target_settle.h"

static void *settle(void *argument)
{
	struct cap_target_settling *settling = argument;
	struct cap_error err;

	if (!cap_target_set_is_merged(settling->set))
		settling->merge_error =
			cap_target_set_merge(settling->set, &settling->merged, &err);
	settling->write_error = cap_target_store_write(settling->store,
						       cap_target_set_walk(settling->set),
						       settling->serial, &settling->why);
	__atomic_store_n(&settling->done, true, __ATOMIC_RELEASE);
	settling->tell(settling->context);
	return NULL;
}

int cap_target_settle_begin(struct cap_target_settling *settling, const struct cap_target_set *set,
			    const struct cap_target_store *store, uint64_t serial,
			    void (*tell)(void *context), void *context)
{
	int rc;

	*settling = (struct cap_target_settling){
		.set = set, .store = store, .serial = serial, .tell = tell, .context = context
	};
	rc = pthread_create(&settling->thread, NULL, settle, settling);
	if (rc)
		settling->set = NULL;
	else
		pthread_setname_np(settling->thread, "cap-settle");
	return -rc;
}

bool cap_target_settle_is_done(const struct cap_target_settling *settling)
{
	return settling->set && __atomic_load_n(&settling->done, __ATOMIC_ACQUIRE);
}

void cap_target_settle_end(struct cap_target_settling *settling)
{
	pthread_join(settling->thread, NULL);
	settling->set = NULL;
}
