// SPDX-License-Identifier: Apache-2.0
#include "replay_file.h"

#include "clock.h"
#include "compression.h"
#include "erf_file.h"
#include "filter.h"
#include "log.h"
#include "pcap_file.h"
#include "pcapng.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

struct cap_replay_file {
	const char *name, *path;
	struct cap_pcap_file *plain; /* or */
	pcap_t *pcap;		     /* or */
	struct cap_erf_file *erf;
	enum cap_erf_fcs fcs;
};

static int open_pcap(struct cap_replay_file *file, struct cap_error *err)
{
	const struct cap_compression *compression = cap_compression_of_file(file->path);
	char text[PCAP_ERRBUF_SIZE];

	if (compression)
		return cap_fail(
			err, EINVAL,
			"%s: replay: %s: is compressed by %s: decompress it first (%s %s > NEW), and give the new file",
			file->name, file->path, compression->name, compression->cat, file->path);
	file->pcap = pcap_open_offline_with_tstamp_precision(file->path, PCAP_TSTAMP_PRECISION_NANO,
							     text);
	if (!file->pcap)
		return cap_fail(
			err, EINVAL,
			"%s: replay: %s: %s: give a pcap, pcapng or ERF file; one whose name ends in .erf is read as ERF",
			file->name, file->path, text);
	file->plain = cap_pcap_file_open(file->path);
	if (file->plain) {
		pcap_close(file->pcap);
		file->pcap = NULL;
	}
	return 0;
}

/* A file that is ERF by its name alone must begin with a record, or be empty. */
static int open_erf(struct cap_replay_file *file, struct cap_error *err)
{
	struct cap_erf_record record;
	int rc = cap_erf_file_open(file->path, &file->erf, err);

	if (rc == 0)
		rc = cap_erf_file_peek(file->erf, file->fcs, &record, err);
	/* Damaged or cut within its first record, as reading it will tell; or something else of that name. */
	if (rc == -EAGAIN || rc == -EILSEQ)
		rc = !record.size || cap_erf_is_documented(record.type) ?
			     0 :
			     cap_fail(err, EBADMSG,
				      "it is no ERF file: it begins with a record of type %u",
				      record.type);
	if (rc < 0) {
		cap_fail_in(err, rc, "%s: replay: %s", file->name, file->path);
		return -EINVAL;
	}
	return 0;
}

int cap_replay_file_open(const char *name, const char *path, enum cap_erf_fcs fcs,
			 struct cap_replay_file **out, struct cap_error *err)
{
	struct cap_replay_file *file = calloc(1, sizeof(*file));
	int rc;

	if (!file)
		return cap_fail(err, ENOMEM, "%s: replay: out of memory", name);
	*file = (struct cap_replay_file){ .name = name, .path = path, .fcs = fcs };
	rc = cap_erf_is_file(path) ? open_erf(file, err) : open_pcap(file, err);
	if (rc)
		cap_replay_file_close(file);
	else
		*out = file;
	return rc;
}

const char *cap_replay_file_words(const struct cap_replay_file *file)
{
	return file->erf ? "from an ERF file" : "from file";
}

uint32_t cap_replay_file_link_type(const struct cap_replay_file *file)
{
	return file->pcap ? cap_link_type_of(pcap_datalink(file->pcap)) : CAP_LINKTYPE_ETHERNET;
}

uint32_t cap_replay_file_fcs_len(const struct cap_replay_file *file)
{
	return file->erf && file->fcs == CAP_ERF_FCS_KEEP ? CAP_ETHERNET_FCS : 0;
}

static int next_of_pcap(struct cap_replay_file *file, struct cap_packet *packet,
			struct cap_error *err)
{
	struct pcap_pkthdr *head;
	const u_char *bytes;
	int rc = pcap_next_ex(file->pcap, &head, &bytes);

	if (rc == PCAP_ERROR_BREAK)
		return 0;
	if (rc != 1)
		return cap_fail(err, EBADMSG, "%s", pcap_geterr(file->pcap));
	if (head->caplen > CAP_MAX_SNAPLEN)
		return cap_fail(err, EBADMSG, "a packet is longer than any reader takes");
	*packet = (struct cap_packet){
		.data = bytes,
		.len = head->caplen,
		.wire_len = head->len > head->caplen ? head->len : head->caplen,
		.timestamp_ns =
			(uint64_t)head->ts.tv_sec * CAP_NS_PER_S + (uint64_t)head->ts.tv_usec,
		.n_segments = 1,
	};
	return 1;
}

/* @return whether it is a packet to be handed out */
static bool account(const struct cap_replay_file *file, struct cap_erf_tally *tally,
		    const struct cap_erf_record *record, int rc, const struct cap_error *err)
{
	char room[CAP_ERF_NAME];
	bool first;

	if (rc == -EILSEQ) {
		if (!tally->damaged)
			cap_warn("damaged_record",
				 "%s: replay: %s: %s: such records are counted as invalid",
				 file->name, file->path, err->text);
		cap_erf_count_damaged(tally, record);
		return false;
	}
	first = cap_erf_count(tally, record);
	if (first && record->kind == CAP_ERF_OTHER_LINK)
		cap_warn(
			"other_link",
			"%s: replay: %s holds records of %s, which are no Ethernet frames: they are counted as other_link and not captured",
			file->name, file->path, cap_erf_type_name(record->type, room));
	return record->kind == CAP_ERF_FRAME;
}

static int next_of_erf(struct cap_replay_file *file, struct cap_packet *packet,
		       char note[CAP_ERF_NOTE], struct cap_erf_tally *tally, struct cap_error *err)
{
	struct cap_erf_record record;
	uint32_t lost = 0;
	int rc;

	do {
		rc = cap_erf_file_next(file->erf, file->fcs, &record, err);
		if (rc != 1 && rc != -EILSEQ)
			return rc;
		lost += record.lost;
	} while (!account(file, tally, &record, rc, err));
	*packet = (struct cap_packet){
		.data = record.frame,
		.len = record.captured,
		.wire_len = record.wire,
		.timestamp_ns = record.timestamp_ns,
		.n_segments = 1,
		.note = note,
		.note_len = cap_erf_note(&record, note),
		.lost_before = lost,
	};
	return 1;
}

int cap_replay_file_next(struct cap_replay_file *file, struct cap_packet *packet,
			 char note[CAP_ERF_NOTE], struct cap_erf_tally *tally,
			 struct cap_error *err)
{
	return file->erf ? next_of_erf(file, packet, note, tally, err) :
			   next_of_pcap(file, packet, err);
}

bool cap_replay_file_has_bursts(const struct cap_replay_file *file)
{
	return file->plain;
}

int cap_replay_file_burst(struct cap_replay_file *file, struct cap_packet *packets, unsigned max,
			  struct cap_error *err)
{
	return cap_pcap_file_burst(file->plain, packets, max, err);
}

void cap_replay_file_close(struct cap_replay_file *file)
{
	if (!file)
		return;
	cap_pcap_file_close(file->plain);
	if (file->pcap)
		pcap_close(file->pcap);
	cap_erf_file_close(file->erf);
	free(file);
}
