/* SPDX-License-Identifier: Apache-2.0 */
/** @file A capture file that is replayed: plain pcap of Ethernet, other pcap and pcapng by libpcap, or ERF. */
#ifndef CAPSTAN_REPLAY_FILE_H
#define CAPSTAN_REPLAY_FILE_H

#include "driver.h"
#include "erf_tally.h"

struct cap_replay_file;

/**
 * Open the file at @p path; which format it is says its content, and its name where that does not.
 *
 * @param name of the port, for sentences
 * @param fcs what ERF records have of the frame check sequence, and what becomes of it
 * @return 0 with *file to be closed, or -EINVAL with a sentence
 */
int cap_replay_file_open(const char *name, const char *path, enum cap_erf_fcs fcs,
			 struct cap_replay_file **file, struct cap_error *err);

/** Where the packets are from, for people: "from file". */
const char *cap_replay_file_words(const struct cap_replay_file *file);

/** LINKTYPE_ value of the packets, and bytes of frame check sequence that end each of them. */
uint32_t cap_replay_file_link_type(const struct cap_replay_file *file);
uint32_t cap_replay_file_fcs_len(const struct cap_replay_file *file);

/**
 * Read the next packet, whose bytes are valid until the next call.
 *
 * @param note room for the packet's note, if it has one
 * @param tally where records of ERF are counted
 * @return 1, 0 at the end, or -EBADMSG with the reason in @p err: the file is damaged or cut short
 */
int cap_replay_file_next(struct cap_replay_file *file, struct cap_packet *packet,
			 char note[CAP_ERF_NOTE], struct cap_erf_tally *tally,
			 struct cap_error *err);

/** Can packets be read in bursts, by cap_replay_file_burst in place of cap_replay_file_next? */
bool cap_replay_file_has_bursts(const struct cap_replay_file *file);

/** See cap_pcap_file_burst. */
int cap_replay_file_burst(struct cap_replay_file *file, struct cap_packet *packets, unsigned max,
			  struct cap_error *err);

void cap_replay_file_close(struct cap_replay_file *file);

#endif
