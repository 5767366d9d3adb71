// SPDX-License-Identifier: Apache-2.0
#include "kernel_select.h"

#include "bpf/targets.h"
#include "driver.h"
#include "kernel_targets.h"

/* Generated; its conversions are not ours to mend. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "select.skel.h"
#pragma GCC diagnostic pop

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(CAP_MAX_QUEUES <= CAPSTAN_QUEUES, "each queue is counted apart");

struct cap_kernel_select {
	struct capstan_select *program;
	struct cap_kernel_targets *targets;
	int entry_map; /* of one program: the one that judges */
	unsigned queues;
	int entries[CAP_MAX_QUEUES]; /* the programs at the sockets */
};

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* Say which queue it is, and go on to the program that judges. Without one everything passes. */
static int load_entry(int programs, unsigned queue)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = (int32_t)queue },
		{ .code = BPF_STX | BPF_MEM | BPF_W,
		  .dst_reg = 1,
		  .src_reg = 2,
		  .off = offsetof(struct __sk_buff, cb) },
		{ .code = BPF_LD | BPF_DW | BPF_IMM,
		  .dst_reg = 2,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = programs },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tail_call },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = CAP_MAX_SNAPLEN },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "capstan_queue", "Dual BSD/GPL", code,
			     sizeof(code) / sizeof(code[0]), NULL);
}

static int load_entries(struct cap_kernel_select *made)
{
	const uint32_t zero = 0;
	int judge = bpf_program__fd(made->program->progs.capstan_select);

	made->entry_map = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "capstan_select",
					 sizeof(uint32_t), sizeof(uint32_t), 1, NULL);
	if (made->entry_map < 0)
		return -errno;
	for (unsigned i = 0; i < made->queues; i++) {
		made->entries[i] = load_entry(made->entry_map, i);
		if (made->entries[i] < 0)
			return -errno;
	}
	return bpf_map_update_elem(made->entry_map, &zero, &judge, BPF_ANY) ? -errno : 0;
}

static int load(struct cap_kernel_select *made, struct cap_error *err)
{
	struct cap_kernel_target_maps maps;
	int rc;

	/* Refusals come back as return values, and are told in one sentence. */
	libbpf_set_print(quiet);
	made->program = capstan_select__open_and_load();
	rc = made->program ? load_entries(made) : -errno;
	if (rc)
		return cap_fail(err, -rc, "the kernel refuses the program for targets: %s%s",
				strerror(-rc),
				rc == -EPERM ? ": it needs CAP_BPF" : ": it needs Linux 5.18");
	maps = (struct cap_kernel_target_maps){
		.hosts = bpf_map__fd(made->program->maps.capstan_hosts),
		.prefixes = bpf_map__fd(made->program->maps.capstan_prefixes),
		.plans = bpf_map__fd(made->program->maps.capstan_plans),
		.current = bpf_map__fd(made->program->maps.capstan_current),
	};
	return cap_kernel_targets_open(&maps, &made->targets, err);
}

int cap_kernel_select_load(unsigned queues, struct cap_kernel_select **loaded,
			   struct cap_error *err)
{
	struct cap_kernel_select *made = calloc(1, sizeof(*made));
	int rc;

	if (!made)
		return cap_fail(err, ENOMEM, "out of memory");
	made->entry_map = -1;
	made->queues = queues;
	for (unsigned i = 0; i < CAP_MAX_QUEUES; i++)
		made->entries[i] = -1;
	rc = load(made, err);
	if (rc)
		cap_kernel_select_free(made);
	else
		*loaded = made;
	return rc;
}

void cap_kernel_select_free(struct cap_kernel_select *loaded)
{
	if (!loaded)
		return;
	for (unsigned i = 0; i < loaded->queues; i++)
		if (loaded->entries[i] >= 0)
			close(loaded->entries[i]);
	if (loaded->entry_map >= 0)
		close(loaded->entry_map);
	cap_kernel_targets_close(loaded->targets);
	capstan_select__destroy(loaded->program);
	free(loaded);
}

int cap_kernel_select_set(struct cap_kernel_select *loaded, const struct cap_active_targets *active,
			  uint32_t tunnels, struct cap_error *err)
{
	return cap_kernel_targets_set(loaded->targets, active, tunnels, err);
}

int cap_kernel_select_chain(struct cap_kernel_select *loaded, unsigned queue,
			    const struct cap_kernel_filter *filter)
{
	int program = cap_kernel_filter_fd(filter);

	return bpf_map_update_elem(bpf_map__fd(loaded->program->maps.capstan_filters), &queue,
				   &program, BPF_ANY) ?
		       -errno :
		       0;
}

int cap_kernel_select_fd(const struct cap_kernel_select *loaded, unsigned queue)
{
	return loaded->entries[queue];
}

int cap_kernel_select_attach(const struct cap_kernel_select *loaded, unsigned queue, int fd)
{
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &loaded->entries[queue], sizeof(int)) ?
		       -errno :
		       0;
}

void cap_kernel_select_counters(const struct cap_kernel_select *loaded, unsigned queue,
				struct cap_kernel_selected *out)
{
	const unsigned long long *given = loaded->program->bss->capstan_counted[queue].given;

	out->rejected = __atomic_load_n(&given[CAPSTAN_NOBODYS], __ATOMIC_RELAXED);
	out->unjudged = __atomic_load_n(&given[CAPSTAN_UNJUDGED], __ATOMIC_RELAXED);
	out->seen = out->rejected + out->unjudged +
		    __atomic_load_n(&given[CAPSTAN_MATCHED], __ATOMIC_RELAXED);
}
