// SPDX-License-Identifier: Apache-2.0
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "number.h"

#define NS_PER_SECOND 1000000000u
#define FIRST_WORD_NS (2u * (uint64_t)NS_PER_SECOND)
#define TERMINAL_NS (NS_PER_SECOND / 5)
#define PLAIN_NS (5u * (uint64_t)NS_PER_SECOND)
#define CLEAR_LINE "\r\033[K"

void progress_start(struct progress *progress, const char *verb, uint64_t total, uint64_t now_ns)
{
	*progress = (struct progress){
		.verb = verb,
		.total = total,
		.started_ns = now_ns,
		.next_ns = now_ns + FIRST_WORD_NS,
		.terminal = isatty(STDERR_FILENO) == 1,
	};
}

void progress_tell(struct progress *progress, uint64_t frames, uint64_t now_ns)
{
	char count[NUMBER_TEXT], rate[NUMBER_TEXT], share[16] = "";
	double seconds = (double)(now_ns - progress->started_ns) / NS_PER_SECOND;

	if (now_ns < progress->next_ns)
		return;
	progress->next_ns = now_ns + (progress->terminal ? TERMINAL_NS : PLAIN_NS);
	progress->spoke = true;
	if (progress->total)
		snprintf(share, sizeof(share), " (%.0f %%)",
			 100.0 * (double)frames / (double)progress->total);
	fprintf(stderr, "%s%s %s frames%s in %.0f s, %s a second%s",
		progress->terminal ? CLEAR_LINE : "", progress->verb, number_group(frames, count),
		share, seconds, number_group((uint64_t)((double)frames / seconds), rate),
		progress->terminal ? "" : "\n");
	fflush(stderr);
}

void progress_end(const struct progress *progress)
{
	if (progress->terminal && progress->spoke)
		fputs(CLEAR_LINE, stderr);
}
