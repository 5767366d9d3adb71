// SPDX-License-Identifier: Apache-2.0
/*
 * The driver dag as the engine calls it, over the stand-in for the vendor's library, whose path is in
 * CAPSTAN_TEST_DAG; its cards write what files hold.
 */
#include "drivers/dag/dag.h"
#include "loadable.h"
#include "sentence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern const struct cap_source cap_source;

#define RECORDS 3000U
#define HOSTILE_FILES 40U

static char folder[] = "/tmp/capstan-test-XXXXXX";

static int parse(const char *text, struct cap_dag_options **options, struct cap_error *err)
{
	json_t *object = json_loads(text, 0, NULL);
	void *opaque = NULL;
	int rc;

	HOLDS(object);
	rc = cap_dag_parse_options(object, &opaque, err);
	*options = opaque;
	json_decref(object);
	return rc;
}

static void options_are_read_strictly(void)
{
	static const char *const wrong[] = {
		"{\"streams\": [3]}",	      "{\"streams\": [-2]}",	 "{\"streams\": 0}",
		"{\"streams\": [2, 2]}",      "{\"library\": \"x.so\"}", "{\"fcs\": 4}",
		"{\"drop_attribute\": true}", "{\"snaplen\": 4}",
	};
	struct cap_dag_options *options;
	struct cap_error err;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		HOLDS(parse(wrong[i], &options, &err) == -EINVAL &&
		      !strncmp(err.text, "options", 7));
	HOLDS(parse("{\"streams\": [4, 0], \"fcs\": \"none\", \"drop_attribute\": 12}", &options,
		    &err) == 0);
	HOLDS(options->stream_count == 2 && options->streams[0] == 4 && options->streams[1] == 0);
	HOLDS(options->fcs == CAP_ERF_FCS_NONE && options->drop_asked);
	HOLDS(options->drop_code == 12 && !options->drop_name);
	cap_dag_free_options(options);
	HOLDS(parse("{}", &options, &err) == 0);
	HOLDS(!options->stream_count && !options->library && !options->drop_asked);
	HOLDS(!strcmp(options->drop_name, "stream_drop_count"));
	cap_dag_free_options(options);
	HOLDS(parse("{\"drop_attribute\": \"drops\"}", &options, &err) == 0);
	HOLDS(options->drop_code == CAP_DAG_NO_CODE && !strcmp(options->drop_name, "drops"));
	cap_dag_free_options(options);
}

/* A card "card" whose streams bring these bytes, and the port of one stream of it. */
struct bench {
	struct cap_port_config config;
	struct cap_port *port;
	struct cap_port_facts facts;
	struct cap_queue *queue;
};

static void put(const char *name, const void *bytes, size_t len)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	HOLDS(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

static void begin_on(struct bench *bench, const char *words, const void *bytes, size_t len)
{
	char card[128], text[512];
	struct cap_dag_options *options;
	struct cap_error err;

	put("feed", bytes, len);
	snprintf(card, sizeof(card), "feed erf %s/feed\nhole 65536\n%s", folder, words);
	put("card", card, strlen(card));
	snprintf(text, sizeof(text),
		 "{\"library\": \"%s\", \"fcs\": \"none\", \"drop_attribute\": 4711}",
		 getenv("CAPSTAN_TEST_DAG"));
	HOLDS(parse(text, &options, &err) == 0);
	*bench = (struct bench){ .config = { .interface = "card",
					     .driver = cap_source.driver,
					     .queues = 1,
					     .snaplen = CAP_MAX_SNAPLEN,
					     .options = options } };
	HOLDS(cap_source.driver->open(&bench->config, &bench->port, &bench->facts, &err) == 0);
	HOLDS(cap_source.driver->arm(bench->port, &err) == 0);
	bench->queue = cap_source.driver->queue(bench->port, 0);
}

static void begin(struct bench *bench, const void *bytes, size_t len)
{
	begin_on(bench, "", bytes, len);
}

static void end(struct bench *bench)
{
	cap_source.driver->disarm(bench->port);
	cap_source.driver->close(bench->port);
	cap_dag_free_options(bench->config.options);
}

static size_t put_record(uint8_t *at, uint8_t type, uint32_t number)
{
	const uint32_t len = 60 + number % 1400, size = (18 + len + 7) & ~7U;

	memset(at, 0, size);
	at[8] = type;
	at[10] = (uint8_t)(size >> 8);
	at[11] = (uint8_t)size;
	at[14] = (uint8_t)(len >> 8);
	at[15] = (uint8_t)len;
	memset(at + 18, (int)(number % 251), len);
	memcpy(at + 18, &number, sizeof(number));
	return size;
}

/* @return what rx_burst returned, waiting for a second at most until it is not 0 */
static int burst(struct bench *bench, struct cap_packet *packets)
{
	for (unsigned tries = 0; tries < 1000; tries++) {
		const struct timespec pause = { .tv_nsec = 1000000 };
		int n = cap_source.driver->rx_burst(bench->queue, packets, CAP_BURST);

		if (n)
			return n;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static void records_are_read_in_place_round_and_round_the_memory(void)
{
	uint8_t *bytes = malloc((size_t)RECORDS * 1500);
	struct cap_source_counters counted;
	struct cap_packet packets[CAP_BURST];
	struct bench bench;
	uint32_t seen = 0;
	size_t len = 0;

	for (uint32_t i = 0; i < RECORDS; i++) {
		len += put_record(bytes + len, i % 2 ? 11 : 2, i);
		if (i % 7 == 0)
			len += put_record(bytes + len, CAP_ERF_PAD, i);
		if (i % 11 == 0)
			len += put_record(bytes + len, CAP_ERF_HDLC_POS, i);
	}
	begin(&bench, bytes, len);
	HOLDS(strstr(bench.facts.effective_mode, "stream 0") && !bench.facts.degraded_count);
	while (seen < RECORDS) {
		int n = burst(&bench, packets);

		HOLDS(n > 0);
		for (int i = 0; i < n; i++, seen++) {
			uint32_t number;

			memcpy(&number, packets[i].data, sizeof(number));
			HOLDS(number == seen && packets[i].len == 60 + seen % 1400);
			HOLDS(packets[i].wire_len == packets[i].len && packets[i].n_segments == 1);
			for (uint32_t k = 4; k < packets[i].len; k++)
				HOLDS(packets[i].data[k] == seen % 251);
			HOLDS((packets[i].note_len > 0) == (seen % 2 == 1));
		}
		cap_source.driver->release(bench.queue);
	}
	cap_source.driver->counters(bench.queue, &counted);
	HOLDS(counted.other_link == (RECORDS + 10) / 11 && counted.ring_full == 0);
	HOLDS(counted.wire == RECORDS + counted.other_link);
	end(&bench);
	free(bytes);
}

static void after_disarm_no_more_is_taken_than_there_was(void)
{
	uint8_t bytes[4096];
	struct cap_packet packets[CAP_BURST];
	struct cap_source_counters counted;
	struct bench bench;
	size_t len = 0;

	for (uint32_t i = 0; i < 10; i++)
		len += put_record(bytes + len, 2, i);
	begin(&bench, bytes, len);
	HOLDS(burst(&bench, packets) == 10);
	cap_source.driver->disarm(bench.port);
	HOLDS(cap_source.driver->rx_burst(bench.queue, packets, CAP_BURST) == 0);
	HOLDS(cap_source.driver->rx_burst(bench.queue, packets, CAP_BURST) == 0);
	cap_source.driver->counters(bench.queue, &counted);
	HOLDS(counted.wire == 10);
	end(&bench);
}

/* Of a card that writes blocks of 4096 bytes. */
static void a_quiet_stream_gives_up_what_fills_no_block(void)
{
	struct cap_packet packets[CAP_BURST];
	struct bench bench;
	uint8_t bytes[4096];
	size_t len = 0;

	for (uint32_t i = 0; i < 10; i++)
		len += put_record(bytes + len, 2, i);
	begin_on(&bench, "block 4096\n", bytes, len);
	HOLDS(burst(&bench, packets) == 10);
	end(&bench);
}

static void what_fills_no_block_is_taken_at_disarm(void)
{
	const struct timespec until_fed = { .tv_nsec = 110000000 };
	struct cap_packet packets[CAP_BURST];
	struct cap_source_counters counted;
	uint8_t bytes[64 * 200];
	unsigned taken = 0;

	for (unsigned records = 10; records <= 60; records += 50) {
		struct bench bench;
		size_t len = 0;
		int n;

		for (uint32_t i = 0; i < records; i++)
			len += put_record(bytes + len, 2, i);
		begin_on(&bench, "block 4096\n", bytes, len);
		nanosleep(&until_fed, NULL);
		cap_source.driver->disarm(bench.port);
		for (taken = 0; (n = cap_source.driver->rx_burst(bench.queue, packets, CAP_BURST));)
			taken += (unsigned)n;
		HOLDS(taken == records);
		cap_source.driver->counters(bench.queue, &counted);
		HOLDS(counted.wire == records);
		end(&bench);
	}
}

static uint64_t random_from(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

static void a_hostile_stream_is_left_in_a_sentence_and_never_read_beyond(void)
{
	const struct timespec wait = { .tv_nsec = 110000000 };
	uint64_t state = 42;
	unsigned failed = 0;

	for (unsigned file = 0; file < HOSTILE_FILES; file++) {
		size_t len = 0, begins[64], records = 0;
		struct bench bench;
		uint8_t bytes[8192];

		while (records < 64 && len < sizeof(bytes) - 1600) {
			begins[records++] = len;
			len += put_record(bytes + len, 2, (uint32_t)(random_from(&state) % 900));
		}
		/* In the headers, where it hurts: types, flags, lengths; nothing as often as anything. */
		for (unsigned flips = 0; flips < 6; flips++)
			bytes[begins[random_from(&state) % records] + 8 + random_from(&state) % 8] =
				(uint8_t)(flips % 2 ? random_from(&state) : 0);
		begin(&bench, bytes, len);
		nanosleep(&wait, NULL);
		for (unsigned tries = 0; tries < 50; tries++) {
			struct cap_packet packets[CAP_BURST];
			int n = cap_source.driver->rx_burst(bench.queue, packets, CAP_BURST);
			uint8_t sum = 0;

			HOLDS(n >= 0 || n == -EBADMSG);
			for (int i = 0; i < n; i++)
				for (uint32_t k = 0; k < packets[i].len; k++)
					sum ^= packets[i].data[k];
			__asm__ volatile("" : : "r"(sum));
			failed += n < 0;
			if (n < 0)
				break;
		}
		end(&bench);
	}
	HOLDS(failed > 0);
}

/* A card whose library refuses a stream with the error that stands here; 0: it gives it. */
static int refusals[CAP_DAG_STREAMS];
static int receive_streams, last_asked;

static int stub_attach(int fd, int stream, uint32_t flags, uint64_t extra_window)
{
	(void)fd;
	(void)flags;
	(void)extra_window;
	last_asked = stream;
	errno = stream < 2 * receive_streams ? refusals[stream] : EINVAL;
	return errno ? -1 : 0;
}

static int stub_set_poll(int fd, int stream, uint64_t bytes, struct timeval *most,
			 struct timeval *look)
{
	(void)fd;
	(void)stream;
	(void)bytes;
	(void)most;
	(void)look;
	return 0;
}

static int stub_receive_streams(int fd)
{
	(void)fd;
	return receive_streams;
}

/* A port over that library, to be freed. */
static struct cap_port *stub_port(const struct cap_dag_options *options, unsigned queues)
{
	static const struct cap_port_config config = { .interface = "card" };
	const size_t size = sizeof(struct cap_port) + queues * sizeof(struct cap_queue);
	struct cap_port *port = aligned_alloc(64, (size + 63) & ~(size_t)63);

	HOLDS(port);
	memset(port, 0, size);
	port->config = &config;
	port->options = options;
	port->queue_count = queues;
	port->library = (struct cap_dag_library){ .attach64 = stub_attach,
						  .set_poll64 = stub_set_poll,
						  .receive_streams = stub_receive_streams };
	for (unsigned q = 0; q < queues; q++)
		port->queues[q].port = port;
	return port;
}

/* Of the card's three streams the second is refused, and @p queues are to be had. @return as attaching does */
static int attach_without_second(int refusal, const struct cap_dag_options *options,
				 unsigned queues, struct cap_error *err)
{
	struct cap_port *port = stub_port(options, queues);
	struct cap_port_facts facts = { 0 };
	int rc;

	receive_streams = 3;
	refusals[2] = refusal;
	rc = cap_dag_attach_streams(port, &facts, err);
	refusals[2] = 0;
	HOLDS(rc || (port->queues[0].stream == 0 && port->queues[1].stream == 4));
	free(port);
	return rc;
}

static void a_stream_without_memory_is_passed_over_and_told_where_it_was_asked_for(void)
{
	const struct cap_dag_options found = { 0 };
	const struct cap_dag_options given = { .stream_count = 1, .streams = { 2 } };
	struct cap_error err;

	HOLDS(attach_without_second(ENOMEM, &found, 2, &err) == 0);
	HOLDS(attach_without_second(EINVAL, &found, 2, &err) == 0);
	HOLDS(attach_without_second(ENOMEM, &found, 3, &err) == -EINVAL);
	HOLDS(strstr(err.text, "2 receive streams with memory for 3 queues"));
	HOLDS(attach_without_second(ENOMEM, &given, 1, &err) == -EINVAL);
	HOLDS(strstr(err.text, "stream 2 has no memory") && strstr(err.text, "dagconfig"));
	HOLDS(attach_without_second(EINVAL, &given, 1, &err) == -EINVAL);
	HOLDS(strstr(err.text, "no receive stream 2"));
}

static void a_stream_of_another_process_is_told_alike_by_both_generations_of_the_library(void)
{
	const struct cap_dag_options found = { 0 };
	const struct cap_dag_options given = { .stream_count = 1, .streams = { 2 } };
	struct cap_error newer, older;

	HOLDS(attach_without_second(EBUSY, &given, 1, &newer) == -EBUSY);
	HOLDS(attach_without_second(EACCES, &given, 1, &older) == -EBUSY);
	HOLDS(!strcmp(newer.text, older.text) && strstr(older.text, "attached by another process"));
	HOLDS(attach_without_second(EBUSY, &found, 2, &newer) == 0);
	HOLDS(attach_without_second(EACCES, &found, 2, &older) == 0);
	HOLDS(attach_without_second(EBUSY, &found, 3, &newer) == -EBUSY);
	HOLDS(attach_without_second(EACCES, &found, 3, &older) == -EBUSY);
	HOLDS(!strcmp(newer.text, older.text) && strstr(older.text, "1 more are attached"));
	HOLDS(attach_without_second(EPERM, &given, 1, &older) == -EACCES);
}

static void no_stream_is_asked_for_behind_those_that_the_card_has(void)
{
	const struct cap_dag_options found = { 0 };
	struct cap_error err;

	HOLDS(attach_without_second(ENOMEM, &found, 3, &err) == -EINVAL);
	HOLDS(last_asked == 4);
}

static bool counter_fails;
static uint32_t counter;

static int stub_read_u32(cap_dag_card card, cap_dag_attribute attribute, uint32_t *value)
{
	(void)card;
	(void)attribute;
	if (counter_fails)
		return EINVAL;
	*value = counter;
	return 0;
}

static void drops_are_counted_from_the_first_time_that_the_cards_counter_can_be_read(void)
{
	const struct cap_dag_options options = { 0 };
	struct cap_port *port = stub_port(&options, 1);
	struct cap_queue *queue = &port->queues[0];

	port->library.read_u32 = stub_read_u32;
	port->drops_from = CAP_DAG_DROPS_CARD;
	pthread_mutex_init(&port->card_lock, NULL);
	counter = UINT32_MAX - 4;
	counter_fails = true;
	cap_dag_drops_begin(port);
	cap_dag_drops_renew(queue);
	HOLDS(queue->drops == 0);
	counter_fails = false;
	cap_dag_drops_renew(queue);
	HOLDS(queue->drops == 0);
	counter += 10;
	cap_dag_drops_renew(queue);
	HOLDS(queue->drops == 10);
	counter_fails = true;
	counter += 3;
	cap_dag_drops_renew(queue);
	HOLDS(queue->drops == 10);
	counter_fails = false;
	cap_dag_drops_renew(queue);
	HOLDS(queue->drops == 13);
	cap_dag_drops_begin(port);
	cap_dag_drops_renew(queue);
	HOLDS(queue->drops == 0);
	pthread_mutex_destroy(&port->card_lock);
	free(port);
}

static int counters;

static cap_dag_card stub_config_open(const char *device)
{
	return (cap_dag_card)(uintptr_t)device;
}

static void stub_config_close(cap_dag_card card)
{
	(void)card;
}

static cap_dag_attribute stub_attribute_by_name(cap_dag_card card, const char *name, int index)
{
	(void)card;
	HOLDS(!strcmp(name, CAP_DAG_DROP_NAME));
	return index < counters ? (cap_dag_attribute)index + 1 : 0;
}

/* @return which of the card's counters, from 0, is stream 4's, of a card of so many receive streams */
static unsigned counter_of_stream_4(int streams)
{
	char name[] = CAP_DAG_DROP_NAME;
	const struct cap_dag_options options = { .drop_code = CAP_DAG_NO_CODE, .drop_name = name };
	struct cap_port *port = stub_port(&options, 1);
	struct cap_port_facts facts = { 0 };
	cap_dag_attribute found;

	port->card_streams = streams;
	port->queues[0].stream = 4;
	port->library.config_open = stub_config_open;
	port->library.config_close = stub_config_close;
	port->library.attribute_by_name = stub_attribute_by_name;
	port->library.read_u32 = stub_read_u32;
	counter_fails = false;
	cap_dag_drops_open(port, &facts);
	HOLDS(port->drops_from == CAP_DAG_DROPS_CARD && !facts.degraded_count);
	found = port->queues[0].attribute;
	cap_dag_drops_close(port);
	free(port);
	return (unsigned)found - 1;
}

static void a_streams_counter_is_found_whether_a_card_counts_all_streams_or_those_that_receive(void)
{
	for (int streams = 3; streams < 20; streams++) {
		counters = streams;
		HOLDS(counter_of_stream_4(streams) == 2);
		counters = 2 * streams;
		HOLDS(counter_of_stream_4(streams) == 4);
		counters = 2 * streams - 1;
		HOLDS(counter_of_stream_4(streams) == 4);
	}
}

int main(void)
{
	static const struct sentence sentences[] = {
		{ "options are read strictly", options_are_read_strictly },
		{ "records are read in place, round and round the memory",
		  records_are_read_in_place_round_and_round_the_memory },
		{ "after disarm no more is taken than there was",
		  after_disarm_no_more_is_taken_than_there_was },
		{ "a quiet stream gives up what fills no block",
		  a_quiet_stream_gives_up_what_fills_no_block },
		{ "what fills no block is taken at disarm",
		  what_fills_no_block_is_taken_at_disarm },
		{ "a hostile stream is left in a sentence, and never read beyond",
		  a_hostile_stream_is_left_in_a_sentence_and_never_read_beyond },
		{ "a stream without memory is passed over, and told where it was asked for",
		  a_stream_without_memory_is_passed_over_and_told_where_it_was_asked_for },
		{ "a stream of another process is told alike by both generations of the library",
		  a_stream_of_another_process_is_told_alike_by_both_generations_of_the_library },
		{ "no stream is asked for behind those that the card has",
		  no_stream_is_asked_for_behind_those_that_the_card_has },
		{ "drops are counted from the first time that the card's counter can be read",
		  drops_are_counted_from_the_first_time_that_the_cards_counter_can_be_read },
		{ "a stream's counter is found whether a card counts all streams, or those that receive",
		  a_streams_counter_is_found_whether_a_card_counts_all_streams_or_those_that_receive },
	};
	char command[64];
	int rc;

	HOLDS(mkdtemp(folder) && getenv("CAPSTAN_TEST_DAG"));
	setenv("CAPSTAN_STANDIN_DAG", folder, 1);
	rc = HOLD_ALL(sentences);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	HOLDS(system(command) == 0);
	return rc;
}
