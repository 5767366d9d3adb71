// SPDX-License-Identifier: Apache-2.0
/*
 * Classic BPF, as libpcap compiles it, translated to an eBPF socket filter that counts.
 *
 * The classic program reads the frame as it was on the wire. In a socket filter the outer VLAN tag is
 * not in the frame but beside it, so a load at offset k becomes, when there is such a tag:
 *
 *     k + size <= 12      the same offset
 *     12 <= k < 16        a piece of the tag
 *     k >= 16             offset k - 4
 *
 * A load that would straddle these cannot be translated; one whose offset is only known at run time
 * and that falls on the tag lets the packet through, for the engine to judge.
 *
 * A counter for what the socket saw and one for what it accepted make the rejects countable, which the
 * kernel itself counts nowhere.
 */
#include "kernel_filter.h"

#include "driver.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define REG_RESULT BPF_REG_0
#define REG_SCRATCH BPF_REG_1
#define REG_SCRATCH2 BPF_REG_2
#define REG_CONTEXT BPF_REG_6 /* where the legacy loads expect it */
#define REG_X BPF_REG_7
#define REG_A BPF_REG_8
#define REG_TAGGED BPF_REG_9
#define REG_FRAME BPF_REG_10

#define TAG_OFFSET 12
#define TAG_SIZE 4
#define TAG_END (TAG_OFFSET + TAG_SIZE)

/* Enough for libpcap's largest programs; jumps reach 32 767 instructions. */
#define MOST_INSNS 32000

struct counters {
	uint64_t seen, accepted;
};

struct cap_kernel_filter {
	int program_fd, map_fd;
	struct counters *counters;
};

enum target { TO_CLASSIC, TO_ACCEPT, TO_REJECT };

struct fixup {
	unsigned at;
	enum target target;
	unsigned classic;
};

struct translation {
	struct bpf_insn *out;
	unsigned used;
	struct fixup *fixups;
	unsigned fixup_count;
	unsigned *starts; /* eBPF index of each classic instruction */
	bool full;
};

static unsigned emit(struct translation *t, struct bpf_insn insn)
{
	if (t->used >= MOST_INSNS) {
		t->full = true;
		return 0;
	}
	t->out[t->used] = insn;
	return t->used++;
}

static struct bpf_insn alu_imm(uint8_t op, uint8_t dst, int32_t imm)
{
	return (struct bpf_insn){ .code = (uint8_t)(BPF_ALU | op | BPF_K),
				  .dst_reg = (dst & 0xfU),
				  .imm = imm };
}

static struct bpf_insn alu_reg(uint8_t op, uint8_t dst, uint8_t src)
{
	return (struct bpf_insn){ .code = (uint8_t)(BPF_ALU | op | BPF_X),
				  .dst_reg = (dst & 0xfU),
				  .src_reg = (src & 0xfU) };
}

static struct bpf_insn mov_imm(uint8_t dst, int32_t imm)
{
	return alu_imm(BPF_MOV, dst, imm);
}

static struct bpf_insn mov_reg(uint8_t dst, uint8_t src)
{
	return alu_reg(BPF_MOV, dst, src);
}

static struct bpf_insn context_load(uint8_t dst, size_t offset)
{
	return (struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W,
				  .dst_reg = (dst & 0xfU),
				  .src_reg = REG_CONTEXT,
				  .off = (int16_t)offset };
}

/* A 32-bit comparison with a constant whose target is filled in by land(). */
static unsigned jump_imm(struct translation *t, uint8_t op, uint8_t dst, int32_t imm)
{
	return emit(t, (struct bpf_insn){ .code = (uint8_t)(BPF_JMP32 | op | BPF_K),
					  .dst_reg = (dst & 0xfU),
					  .imm = imm });
}

static unsigned jump_always(struct translation *t)
{
	return emit(t, (struct bpf_insn){ .code = BPF_JMP | BPF_JA });
}

/* Let the jump at @from arrive at the next instruction. */
static void land(struct translation *t, unsigned from)
{
	t->out[from].off = (int16_t)(t->used - from - 1);
}

static void jump_later(struct translation *t, struct bpf_insn insn, enum target target,
		       unsigned classic)
{
	unsigned at = emit(t, insn);

	if (!t->full)
		t->fixups[t->fixup_count++] = (struct fixup){ at, target, classic };
}

static void go(struct translation *t, enum target target, unsigned classic)
{
	jump_later(t, (struct bpf_insn){ .code = BPF_JMP | BPF_JA }, target, classic);
}

static uint32_t load_size(uint16_t code)
{
	return BPF_SIZE(code) == BPF_W ? 4 : BPF_SIZE(code) == BPF_H ? 2 : 1;
}

static void load_absolute(struct translation *t, uint16_t code, uint32_t offset)
{
	emit(t, (struct bpf_insn){ .code = (uint8_t)(BPF_LD | BPF_ABS | BPF_SIZE(code)),
				   .imm = (int32_t)offset });
}

/* The tag as four bytes of the frame, of which the load takes some. */
static void load_from_tag(struct translation *t, uint32_t offset, uint32_t size)
{
	uint32_t shift = 8 * (TAG_END - offset - size);

	emit(t, context_load(REG_RESULT, offsetof(struct __sk_buff, vlan_proto)));
	emit(t, (struct bpf_insn){
			.code = BPF_ALU | BPF_END | BPF_TO_BE, .dst_reg = REG_RESULT, .imm = 16 });
	emit(t, alu_imm(BPF_LSH, REG_RESULT, 16));
	emit(t, context_load(REG_SCRATCH, offsetof(struct __sk_buff, vlan_tci)));
	emit(t, alu_reg(BPF_OR, REG_RESULT, REG_SCRATCH));
	if (shift)
		emit(t, alu_imm(BPF_RSH, REG_RESULT, (int32_t)shift));
	if (size < 4)
		emit(t, alu_imm(BPF_AND, REG_RESULT, size == 2 ? 0xffff : 0xff));
}

/* Load from a constant offset of the wire's view into REG_RESULT. */
static int load_constant(struct translation *t, uint16_t code, uint32_t offset)
{
	uint32_t size = load_size(code);
	unsigned untagged, done;

	if (offset > INT32_MAX - size)
		return -ENOTSUP;
	if (offset + size <= TAG_OFFSET) {
		load_absolute(t, code, offset);
		return 0;
	}
	if (offset < TAG_OFFSET || (offset < TAG_END && offset + size > TAG_END))
		return -ENOTSUP;
	untagged = jump_imm(t, BPF_JEQ, REG_TAGGED, 0);
	if (offset < TAG_END)
		load_from_tag(t, offset, size);
	else
		load_absolute(t, code, offset - TAG_SIZE);
	done = jump_always(t);
	land(t, untagged);
	load_absolute(t, code, offset);
	land(t, done);
	return 0;
}

/* Load from X + offset of the wire's view into REG_RESULT. */
static int load_indirect(struct translation *t, uint16_t code, uint32_t offset)
{
	const struct bpf_insn load = { .code = (uint8_t)(BPF_LD | BPF_IND | BPF_SIZE(code)),
				       .src_reg = REG_SCRATCH2 };
	unsigned untagged, before;

	if (offset > INT32_MAX - 4)
		return -ENOTSUP;
	emit(t, mov_reg(REG_SCRATCH2, REG_X));
	emit(t, alu_imm(BPF_ADD, REG_SCRATCH2, (int32_t)offset));
	untagged = jump_imm(t, BPF_JEQ, REG_TAGGED, 0);
	before = jump_imm(t, BPF_JLE, REG_SCRATCH2, (int32_t)(TAG_OFFSET - load_size(code)));
	jump_later(t,
		   (struct bpf_insn){ .code = BPF_JMP32 | BPF_JLT | BPF_K,
				      .dst_reg = REG_SCRATCH2,
				      .imm = TAG_END },
		   TO_ACCEPT, 0);
	emit(t, alu_imm(BPF_SUB, REG_SCRATCH2, TAG_SIZE));
	land(t, untagged);
	land(t, before);
	emit(t, load);
	return 0;
}

static int16_t memory_slot(uint32_t index)
{
	return (int16_t)(-4 * (int)(index + 1));
}

/* LD and LDX: into A, or into X. */
static int load(struct translation *t, const struct sock_filter *in)
{
	uint8_t into = BPF_CLASS(in->code) == BPF_LD ? REG_A : REG_X;
	unsigned untagged;
	int rc = 0;

	switch (BPF_MODE(in->code)) {
	case BPF_IMM:
		emit(t, mov_imm(into, (int32_t)in->k));
		return 0;
	case BPF_MEM:
		emit(t, (struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W,
					   .dst_reg = (into & 0xfU),
					   .src_reg = REG_FRAME,
					   .off = memory_slot(in->k) });
		return 0;
	case BPF_LEN:
		emit(t, context_load(into, offsetof(struct __sk_buff, len)));
		untagged = jump_imm(t, BPF_JEQ, REG_TAGGED, 0);
		emit(t, alu_imm(BPF_ADD, into, TAG_SIZE));
		land(t, untagged);
		return 0;
	case BPF_ABS:
		rc = load_constant(t, in->code, in->k);
		break;
	case BPF_IND:
		rc = load_indirect(t, in->code, in->k);
		break;
	case BPF_MSH:
		rc = load_constant(t, BPF_LD | BPF_ABS | BPF_B, in->k);
		emit(t, alu_imm(BPF_AND, REG_RESULT, 0xf));
		emit(t, alu_imm(BPF_LSH, REG_RESULT, 2));
		break;
	default:
		return -ENOTSUP;
	}
	emit(t, mov_reg(into, REG_RESULT));
	return rc;
}

static int arithmetic(struct translation *t, const struct sock_filter *in)
{
	uint8_t op = (uint8_t)BPF_OP(in->code);

	if (op == BPF_NEG) {
		emit(t, (struct bpf_insn){ .code = BPF_ALU | BPF_NEG, .dst_reg = REG_A });
		return 0;
	}
	if (BPF_SRC(in->code) == BPF_K) {
		if ((op == BPF_DIV || op == BPF_MOD) && !in->k)
			return -ENOTSUP;
		if ((op == BPF_LSH || op == BPF_RSH) && in->k > 31)
			return -ENOTSUP;
		emit(t, alu_imm(op, REG_A, (int32_t)in->k));
		return 0;
	}
	/* libpcap shifts everything out; eBPF would look at the lowest five bits of X alone. */
	if (op == BPF_LSH || op == BPF_RSH) {
		unsigned within = jump_imm(t, BPF_JLT, REG_X, 32), done;

		emit(t, mov_imm(REG_A, 0));
		done = jump_always(t);
		land(t, within);
		emit(t, alu_reg(op, REG_A, REG_X));
		land(t, done);
		return 0;
	}
	/* Classic BPF rejects the packet on a division by zero; eBPF would go on with 0. */
	if (op == BPF_DIV || op == BPF_MOD)
		jump_later(t,
			   (struct bpf_insn){ .code = BPF_JMP32 | BPF_JEQ | BPF_K,
					      .dst_reg = REG_X },
			   TO_REJECT, 0);
	emit(t, alu_reg(op, REG_A, REG_X));
	return 0;
}

static void branch(struct translation *t, const struct sock_filter *in, unsigned index)
{
	if (BPF_OP(in->code) == BPF_JA) {
		go(t, TO_CLASSIC, index + 1 + in->k);
		return;
	}
	jump_later(t,
		   (struct bpf_insn){
			   .code = (uint8_t)(BPF_JMP32 | BPF_OP(in->code) | BPF_SRC(in->code)),
			   .dst_reg = REG_A,
			   .src_reg = BPF_SRC(in->code) == BPF_X ? REG_X : 0,
			   .imm = BPF_SRC(in->code) == BPF_K ? (int32_t)in->k : 0 },
		   TO_CLASSIC, index + 1 + in->jt);
	go(t, TO_CLASSIC, index + 1 + in->jf);
}

static int translate_one(struct translation *t, const struct sock_filter *in, unsigned index)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
	case BPF_LDX:
		return load(t, in);
	case BPF_ST:
	case BPF_STX:
		emit(t, (struct bpf_insn){ .code = BPF_STX | BPF_MEM | BPF_W,
					   .dst_reg = REG_FRAME,
					   .src_reg = BPF_CLASS(in->code) == BPF_ST ? REG_A : REG_X,
					   .off = memory_slot(in->k) });
		return 0;
	case BPF_ALU:
		return arithmetic(t, in);
	case BPF_JMP:
		branch(t, in, index);
		return 0;
	case BPF_RET:
		if (BPF_RVAL(in->code) == BPF_A)
			jump_later(t,
				   (struct bpf_insn){ .code = BPF_JMP32 | BPF_JEQ | BPF_K,
						      .dst_reg = REG_A },
				   TO_REJECT, 0);
		go(t, BPF_RVAL(in->code) == BPF_A || in->k ? TO_ACCEPT : TO_REJECT, 0);
		return 0;
	default: /* BPF_MISC */
		if (BPF_MISCOP(in->code) == BPF_TAX)
			emit(t, mov_reg(REG_X, REG_A));
		else
			emit(t, mov_reg(REG_A, REG_X));
		return 0;
	}
}

static void count(struct translation *t, int map_fd, size_t counter)
{
	emit(t, (struct bpf_insn){ .code = BPF_LD | BPF_DW | BPF_IMM,
				   .dst_reg = REG_SCRATCH,
				   .src_reg = BPF_PSEUDO_MAP_VALUE,
				   .imm = map_fd });
	emit(t, (struct bpf_insn){ .imm = (int32_t)counter });
	emit(t, mov_imm(REG_SCRATCH2, 1));
	emit(t, (struct bpf_insn){ .code = BPF_STX | BPF_ATOMIC | BPF_DW,
				   .dst_reg = REG_SCRATCH,
				   .src_reg = REG_SCRATCH2,
				   .imm = BPF_ADD });
}

static void begin(struct translation *t, int map_fd)
{
	emit(t, (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X,
				   .dst_reg = REG_CONTEXT,
				   .src_reg = REG_SCRATCH });
	/* What this host sends is neither seen nor accepted: it did not arrive. */
	emit(t, context_load(REG_RESULT, offsetof(struct __sk_buff, pkt_type)));
	jump_later(t,
		   (struct bpf_insn){ .code = BPF_JMP32 | BPF_JEQ | BPF_K,
				      .dst_reg = REG_RESULT,
				      .imm = PACKET_OUTGOING },
		   TO_REJECT, 0);
	count(t, map_fd, offsetof(struct counters, seen));
	emit(t, context_load(REG_TAGGED, offsetof(struct __sk_buff, vlan_present)));
	emit(t, mov_imm(REG_A, 0));
	emit(t, mov_imm(REG_X, 0));
	for (uint32_t slot = 0; slot < BPF_MEMWORDS; slot++)
		emit(t, (struct bpf_insn){ .code = BPF_STX | BPF_MEM | BPF_W,
					   .dst_reg = REG_FRAME,
					   .src_reg = REG_A,
					   .off = memory_slot(slot) });
}

static void finish(struct translation *t, int map_fd)
{
	unsigned targets[3];

	targets[TO_REJECT] = t->used;
	emit(t, mov_imm(REG_RESULT, 0));
	emit(t, (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT });
	targets[TO_ACCEPT] = t->used;
	count(t, map_fd, offsetof(struct counters, accepted));
	emit(t, mov_imm(REG_RESULT, CAP_MAX_SNAPLEN));
	emit(t, (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT });

	for (unsigned i = 0; i < t->fixup_count && !t->full; i++) {
		const struct fixup *fix = &t->fixups[i];
		unsigned to = fix->target == TO_CLASSIC ? t->starts[fix->classic] :
							  targets[fix->target];

		t->out[fix->at].off = (int16_t)(to - fix->at - 1);
	}
}

static int translate(const struct sock_filter *code, unsigned n, int map_fd, struct translation *t)
{
	begin(t, map_fd);
	for (unsigned i = 0; i < n; i++) {
		int rc;

		t->starts[i] = t->used;
		rc = translate_one(t, &code[i], i);
		if (rc)
			return rc;
	}
	finish(t, map_fd);
	return t->full ? -E2BIG : 0;
}

static int load_program(const struct translation *t, struct cap_error *err)
{
	static char log[16384];
	LIBBPF_OPTS(bpf_prog_load_opts, options, .log_buf = log, .log_size = sizeof(log),
		    .log_level = 0);
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "capstan_filter", "Dual BSD/GPL",
			       t->out, t->used, &options);

	if (fd < 0)
		return cap_fail(err, -fd, "the kernel refuses the filter program: %s%s%.200s",
				strerror(-fd), *log ? ": " : "", log);
	return fd;
}

static int map_counters(struct cap_kernel_filter *made, struct cap_error *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	void *memory;

	made->map_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "capstan_filter", sizeof(uint32_t),
				      sizeof(struct counters), 1, &options);
	if (made->map_fd < 0)
		return cap_fail(err, -made->map_fd, "the kernel refuses a BPF map: %s",
				strerror(-made->map_fd));
	memory = mmap(NULL, sizeof(struct counters), PROT_READ, MAP_SHARED, made->map_fd, 0);
	if (memory == MAP_FAILED)
		return cap_fail(err, errno, "cannot map the filter's counters: %s",
				strerror(errno));
	made->counters = memory;
	return 0;
}

int cap_kernel_filter_load(const struct sock_filter *code, unsigned count,
			   struct cap_kernel_filter **loaded, struct cap_error *err)
{
	struct translation t = { 0 };
	struct cap_kernel_filter *made = malloc(sizeof(*made));
	int rc;

	if (!made)
		return cap_fail(err, ENOMEM, "out of memory");
	*made = (struct cap_kernel_filter){ .program_fd = -1, .map_fd = -1 };
	t.out = calloc(MOST_INSNS, sizeof(*t.out));
	t.fixups = calloc(MOST_INSNS, sizeof(*t.fixups));
	t.starts = calloc(count, sizeof(*t.starts));
	if (!t.out || !t.fixups || !t.starts)
		rc = cap_fail(err, ENOMEM, "out of memory");
	else
		rc = map_counters(made, err);
	if (rc == 0) {
		rc = translate(code, count, made->map_fd, &t);
		if (rc)
			cap_fail(err, -rc,
				 rc == -E2BIG ? "the filter is too long for the kernel" :
						"the filter reads what the kernel cannot show it");
	}
	if (rc == 0) {
		made->program_fd = load_program(&t, err);
		rc = made->program_fd < 0 ? made->program_fd : 0;
	}
	free(t.out);
	free(t.fixups);
	free(t.starts);
	if (rc)
		cap_kernel_filter_free(made);
	else
		*loaded = made;
	return rc;
}

void cap_kernel_filter_free(struct cap_kernel_filter *loaded)
{
	if (!loaded)
		return;
	if (loaded->counters)
		munmap(loaded->counters, sizeof(*loaded->counters));
	if (loaded->program_fd >= 0)
		close(loaded->program_fd);
	if (loaded->map_fd >= 0)
		close(loaded->map_fd);
	free(loaded);
}

int cap_kernel_filter_fd(const struct cap_kernel_filter *loaded)
{
	return loaded->program_fd;
}

int cap_kernel_filter_attach(const struct cap_kernel_filter *loaded, int fd)
{
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &loaded->program_fd,
			  sizeof(loaded->program_fd)) ?
		       -errno :
		       0;
}

void cap_kernel_filter_counters(const struct cap_kernel_filter *loaded, uint64_t *seen,
				uint64_t *accepted)
{
	*seen = __atomic_load_n(&loaded->counters->seen, __ATOMIC_RELAXED);
	*accepted = __atomic_load_n(&loaded->counters->accepted, __ATOMIC_RELAXED);
}
