/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file A plain pcap file of Ethernet frames, read in long pieces and handed out in bursts, where it lies. Of
 * a short packet libpcap's reading alone, a call and two copies each, costs several times what the rest of the
 * engine does with it; for all other kinds of files it is the better reader, since it mends what they need.
 */
#ifndef CAPSTAN_PCAP_FILE_H
#define CAPSTAN_PCAP_FILE_H

#include "driver.h"

struct cap_pcap_file;

/**
 * Open @p path if it is a regular file that begins with pcap's header, version 2.4, in either byte order, of
 * micro- or nanoseconds, and Ethernet.
 *
 * @return the file, behind its header, or NULL: it is something else, or cannot be read
 */
struct cap_pcap_file *cap_pcap_file_open(const char *path);

/**
 * Hand out the next packets, whose bytes are valid until the next call.
 *
 * @return how many, 0 at the end, or negative errno with the reason in @p err: those before were handed out
 */
int cap_pcap_file_burst(struct cap_pcap_file *file, struct cap_packet *packets, unsigned max,
			struct cap_error *err);

void cap_pcap_file_close(struct cap_pcap_file *file);

#endif
