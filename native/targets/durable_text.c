// SPDX-License-Identifier: Apache-2.0
#include "durable_text.h"

#include <errno.h>
#include <unistd.h>

#define PIECE 65536

int cap_durable_text_begin(int fd, FILE **out)
{
	const int own = dup(fd);
	int rc;

	*out = own >= 0 ? fdopen(own, "a") : NULL;
	if (!*out) {
		rc = -errno;
		if (own >= 0)
			close(own);
		return rc;
	}
	(void)setvbuf(*out, NULL, _IOFBF, PIECE); /* else smaller ones */
	errno = 0;
	return 0;
}

int cap_durable_text_end(FILE *out)
{
	/* What went wrong before is not always remembered by errno. */
	int rc = fflush(out) || ferror(out) ? -(errno ? errno : EIO) : 0;

	if (rc == 0 && fsync(fileno(out)))
		rc = -errno;
	if (fclose(out) && rc == 0)
		rc = -errno;
	return rc;
}
