/* SPDX-License-Identifier: Apache-2.0 */
/** @file A port's settings for the method dag. */
#ifndef CAPSTAN_DAG_OPTIONS_H
#define CAPSTAN_DAG_OPTIONS_H

#include "driver.h"

/** Streams are numbered from 0; the even ones receive, the odd ones transmit. */
#define CAP_DAG_STREAMS 256

/** What a worker does while its stream is empty. */
enum cap_dag_idle {
	CAP_DAG_IDLE_SLEEP, /**< sleep for microseconds, a millisecond at most */
	CAP_DAG_IDLE_POLL,  /**< ask again at once: burns its core */
};

/** No attribute of that number is asked for. */
#define CAP_DAG_NO_CODE (-1)

/** What the vendor calls the counter of a stream's drops. */
#define CAP_DAG_DROP_NAME "stream_drop_count"

struct cap_dag_options {
	char *library;	       /**< absolute path of libdag, or NULL: where the linker finds it */
	unsigned stream_count; /**< 0: those that the card has, in their order */
	int streams[CAP_MAX_QUEUES];
	int fcs;  /**< enum cap_erf_fcs */
	int idle; /**< enum cap_dag_idle */
	char *drop_name; /**< of the attribute that counts a stream's drops, or NULL: by its number alone */
	int64_t drop_code; /**< its number in the vendor's header, tried first, or CAP_DAG_NO_CODE */
	bool drop_asked;   /**< the settings name it */
};

extern const char *const cap_dag_idle_words[];

int cap_dag_parse_options(json_t *object, void **out, struct cap_error *err);
void cap_dag_free_options(void *options);

#endif
