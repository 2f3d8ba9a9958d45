// Sees the system calls of containers: which calls that RuntimeDefault may deny went into the kernel and what came of
// them, and which came back without having gone in, because a filter denied them.
//
// Almost every call is one that no RuntimeDefault denies. Such a call costs a look into a set of bits. What is left is
// told apart by the arguments that rules compare, and counted here; user space takes the counts away once a second.
//
// Whose a call is, is told by the program that makes it: by the mount namespace from which its file was executed. So the
// runtime, which prepares a container from the inside, is the host's until it executes the container's own program, and
// what runs in namespaces that a container's program made is the container's. Mount namespaces have numbers that no
// other one ever gets while the kernel runs. A file in none of them, as one in memory, belongs to who executed it.
#include "kernel.h"

// Numbers from here on have no bit, and are always kept.
#define NUMBERS 1024
#define WORDS (NUMBERS / 64)
#define RULES 128
#define TESTS 4
#define KEPT 2
// Control groups of a program, from its own one upwards, and bytes of a name: crio-<64 digits>.scope has 75.
#define GROUPS 8
#define GROUP_NAME 80
// Parts of a program's path, from its file upwards, and bytes of each.
#define PARTS 8
#define PART 48

// The ABIs, as user space counts them.
#define NATIVE 0
#define COMPAT 1
#define X32 2
#define ABIS 3

enum rule_kind { KEEP, EXECUTE };
enum test_kind { MASKED, SMALL };

// Arguments that are certainly let through.
struct test {
	u64 mask;
	// MASKED: what argument & mask is then. SMALL: which numbers below 64.
	u64 value;
	u8 argument;
	u8 kind;
	u8 unused[6];
};

// What is kept of the calls of a number.
struct rule {
	u8 kind;
	// The first argument is the address of a structure that begins with the flags (clone3).
	u8 flags_in_memory;
	u8 kept;
	u8 tests;
	u8 kept_at[KEPT];
	u8 unused[2];
	u64 kept_mask[KEPT];
	struct test test[TESTS];
};

// Written by user space before the programs are loaded. Of ABIs there is a fourth, so that a number of two bits is
// certainly one of them.
struct tables {
	// Numbers that are let through on every ABI, and on each.
	u64 everywhere[WORDS];
	u64 allowed[4][WORDS];
	u8 rule_of[4][NUMBERS];
	struct rule rules[RULES];
};
const volatile struct tables tables SECTION(".rodata");
// When the observer began, in nanoseconds since boot: older threads may be in the middle of a call.
const volatile u64 began SECTION(".rodata");

struct space {
	u64 seen;
	u64 begun;
	u64 lost;
	u32 filters;
	u32 has_begun;
	u32 ignored;
	u32 blind;
	char groups[GROUPS][GROUP_NAME];
};

struct program {
	char parts[PARTS][PART];
};

struct program_key {
	u64 space;
	u64 inode;
};

// A call that is in the kernel.
struct pending {
	u64 started;
	u64 at;
	u64 space;
	u64 inode;
	u64 kept[KEPT];
	u32 number;
	u8 abi;
	// Its arguments are let through, so that only its return is waited for.
	u8 passes;
	u8 unread;
	u8 unused;
};

enum fate { RETURNED, DENIED };

// Calls that are counted as one.
struct tally_key {
	u64 space;
	u64 inode;
	u64 kept[KEPT];
	u32 number;
	s32 result;
	u8 abi;
	u8 fate;
	u8 ambiguous;
	u8 unread;
	u32 filters;
};

struct tally {
	u64 count;
	u64 first;
	u64 last;
};

struct thread {
	u64 started;
	u32 id;
	u32 unused;
};

// LOST: of nobody knows which space. CHANGED: grows with whatever there is to be read anew.
enum total { LOST, CHANGED, TOTALS };

struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 4096);
	TYPE(key, u64);
	TYPE(value, struct space);
} spaces SECTION(".maps");

struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 2048);
	TYPE(key, struct program_key);
	TYPE(value, struct program);
} programs SECTION(".maps");

struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 16384);
	TYPE(key, u32);
	TYPE(value, struct pending);
} pendings SECTION(".maps");

struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 16384);
	TYPE(key, struct tally_key);
	TYPE(value, struct tally);
} tallies SECTION(".maps");

// The space of the program that executes another one, by process.
struct {
	// While nobody sees calls return, what is here stays: what is oldest makes room.
	NUMBER(type, MAP_LEAST_RECENT);
	NUMBER(max_entries, 4096);
	TYPE(key, u32);
	TYPE(value, u64);
} executings SECTION(".maps");

// In which space a mount is that programs were executed from. When the last process leaves a mount namespace, its
// mounts belong to none any more, and who has left it runs a program from one of them.
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 16384);
	TYPE(key, u64);
	TYPE(value, u64);
} homes SECTION(".maps");

// Where a file that lies in no namespace is in memory: nothing else is there while a program runs from it.
struct orphan {
	u64 mount;
	u64 inode;
};

// From which space such a file was executed. Its numbers tell it from an earlier one at the same place.
struct adopted {
	// 0 where it was executed from more than one.
	u64 space;
	u64 mount;
	u64 inode;
};

struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 4096);
	TYPE(key, struct orphan);
	TYPE(value, struct adopted);
} adoptions SECTION(".maps");

// Threads older than the observer of which a call has come back.
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 16384);
	TYPE(key, struct thread);
	TYPE(value, u8);
} returned SECTION(".maps");

struct {
	NUMBER(type, MAP_ARRAY);
	NUMBER(max_entries, TOTALS);
	TYPE(key, u32);
	TYPE(value, u64);
} totals SECTION(".maps");

// Says that a container may be about to start.
struct {
	NUMBER(type, MAP_RING);
	NUMBER(max_entries, 4096);
} news SECTION(".maps");

// Where values are put together that are too large for the stack; each belongs to the CPU that runs the program, which
// is not taken from it meanwhile.
struct scratch {
	struct space space;
	struct program program;
};
struct {
	NUMBER(type, MAP_PERCPU_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct scratch);
} scratches SECTION(".maps");

ALWAYS_INLINE void add(u32 total)
{
	u64 *sum = map_lookup(&totals, &total);
	if (sum)
		__sync_fetch_and_add(sum, 1);
}

ALWAYS_INLINE void lose(struct space *space)
{
	__sync_fetch_and_add(&space->lost, 1);
	add(CHANGED);
}

ALWAYS_INLINE u32 is_compat(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return READ_TASK(task, thread_info.status) & 2; // TS_COMPAT
#else
	return (READ_TASK(task, thread_info.flags) >> 22) & 1; // TIF_32BIT
#endif
}

ALWAYS_INLINE u64 argument(struct pt_regs *registers, u8 abi, u32 at)
{
#if defined(__TARGET_ARCH_x86)
	if (abi == COMPAT) {
		switch (at) {
		case 0:
			return (u32)registers->bx;
		case 1:
			return (u32)registers->cx;
		case 2:
			return (u32)registers->dx;
		case 3:
			return (u32)registers->si;
		case 4:
			return (u32)registers->di;
		default:
			return (u32)registers->bp;
		}
	}
	switch (at) {
	case 0:
		return registers->di;
	case 1:
		return registers->si;
	case 2:
		return registers->dx;
	case 3:
		return registers->r10;
	case 4:
		return registers->r8;
	default:
		return registers->r9;
	}
#else
	u64 value;
	switch (at) {
	case 0:
		value = registers->orig_x0;
		break;
	case 1:
		value = registers->regs[1];
		break;
	case 2:
		value = registers->regs[2];
		break;
	case 3:
		value = registers->regs[3];
		break;
	case 4:
		value = registers->regs[4];
		break;
	default:
		value = registers->regs[5];
	}
	return abi == COMPAT ? (u32)value : value;
#endif
}

ALWAYS_INLINE u32 is_set(const volatile u64 *words, u32 number)
{
	u32 word = number / 64;
	KNOWN_BELOW(word, WORDS);
	return (words[word] >> (number % 64)) & 1;
}

// Whether calls of the number are let through on every ABI, as most are: what goes on here most of the time.
ALWAYS_INLINE u32 is_allowed_everywhere(u64 id)
{
	u32 plain = (u32)id;
	return plain < NUMBERS && is_set(tables.everywhere, plain);
}

// Whether calls of the number are let through whatever their arguments are; else how it was called and its number.
ALWAYS_INLINE u32 is_allowed(struct task_struct *task, u64 id, u8 *abi, u32 *number)
{
	u32 plain = (u32)id;
	*number = plain;
	if (plain == (u32)-1)
		return 0;
	*abi = NATIVE;
	if (is_compat(task)) {
		*abi = COMPAT;
	}
#if defined(__TARGET_ARCH_x86)
	else if (plain & 0x40000000) {
		*abi = X32;
		plain &= ~0x40000000;
	}
#endif
	*number = plain;
	u32 kind = *abi;
	KNOWN_BELOW(kind, 4);
	return plain < NUMBERS && is_set(tables.allowed[kind], plain);
}

// The number of a mount namespace.
ALWAYS_INLINE u64 space_number(struct mnt_namespace *space)
{
	if (HAS(struct ns_common___numbered, ns_id)) {
		void *common = (void *)space + OFFSET(struct mnt_namespace, ns);
		return READ((struct ns_common___numbered *)common, ns_id);
	}
	return READ((struct mnt_namespace___sequenced *)space, seq);
}

ALWAYS_INLINE struct mount *mount_of(struct vfsmount *inner)
{
	return (void *)inner - OFFSET(struct mount, mnt);
}

// The number of a mount. Older kernels give it again once the mount is gone.
ALWAYS_INLINE u64 mount_number(struct mount *mount)
{
	if (HAS(struct mount___numbered, mnt_id_unique))
		return READ((struct mount___numbered *)mount, mnt_id_unique);
	return READ(mount, mnt_id);
}

// Where a task's program was executed from.
struct origin {
	struct vfsmount *mount;
	struct dentry *dentry;
	u64 mount_number;
	u64 inode;
	struct orphan orphan;
	// 0 where it is not known.
	u64 space;
	// Whether the file lies in it.
	u32 is_at_home;
};

// As far as its file's mount says.
ALWAYS_INLINE void find_file(struct task_struct *task, struct origin *origin)
{
	struct mm_struct *mm = READ_TASK(task, mm);
	struct file *file = READ(mm, exe_file);
	origin->mount = READ(file, f_path.mnt);
	origin->dentry = READ(file, f_path.dentry);
	if (!origin->mount)
		return;
	struct mount *mount = mount_of(origin->mount);
	struct inode *inode = READ(origin->dentry, d_inode);
	origin->mount_number = mount_number(mount);
	origin->inode = READ(inode, i_ino);
	origin->orphan.mount = (u64)mount;
	origin->orphan.inode = (u64)inode;
	struct mnt_namespace *space = READ(mount, mnt_ns);
	// An error in place of a pointer: the kernel's own mounts.
	if (space && (u64)space < (u64)-4095)
		origin->space = space_number(space);
	origin->is_at_home = origin->space != 0;
}

ALWAYS_INLINE u32 is_of(struct origin *origin, struct adopted *adopted)
{
	return adopted->mount == origin->mount_number && adopted->inode == origin->inode;
}

ALWAYS_INLINE void find_origin(struct task_struct *task, struct origin *origin)
{
	find_file(task, origin);
	if (origin->is_at_home || !origin->mount)
		return;
	struct adopted *adopted = map_lookup(&adoptions, &origin->orphan);
	if (adopted && is_of(origin, adopted)) {
		origin->space = adopted->space;
		return;
	}
	u64 *home = map_lookup(&homes, &origin->mount_number);
	if (home)
		origin->space = *home;
}

ALWAYS_INLINE struct cgroup *group_of(struct task_struct *task)
{
	struct css_set *set = READ(task, cgroups);
	struct cgroup *group = READ(set, dfl_cgrp);
	if (READ(group, level) > 0)
		return group;
	// Of version 1 there is a tree for each controller; containers are in those of all.
	u32 controllers[] = {
	    __builtin_preserve_enum_value(*(enum cgroup_subsys_id *)pids_cgrp_id, 1),
	    __builtin_preserve_enum_value(*(enum cgroup_subsys_id *)memory_cgrp_id, 1),
	};
	for (u32 at = 0; at < 2; at++) {
		struct cgroup_subsys_state *state = 0;
		read_kernel(&state, sizeof(state),
		            (void *)__builtin_preserve_access_index(&set->subsys) + controllers[at] * sizeof(state));
		struct cgroup *other = READ(state, cgroup);
		if (READ(other, level) > 0)
			return other;
	}
	return group;
}

ALWAYS_INLINE struct space *learn(struct task_struct *task, u64 number)
{
	u32 zero = 0;
	struct scratch *scratch = map_lookup(&scratches, &zero);
	if (!scratch)
		return 0;
	struct space *space = &scratch->space;
	__builtin_memset(space, 0, sizeof(*space));
	space->seen = nanoseconds_since_boot();
	struct kernfs_node *node = READ(group_of(task), kn);
	for (u32 at = 0; at < GROUPS && node; at++) {
		read_kernel_text(space->groups[at], GROUP_NAME, READ(node, name));
		if (HAS(struct kernfs_node___guarded, __parent))
			node = READ((struct kernfs_node___guarded *)node, __parent);
		else
			node = READ(node, parent);
	}
	map_update(&spaces, &number, space, NEW_ONLY);
	add(CHANGED);
	return map_lookup(&spaces, &number);
}

// What is known of a space, which is made known if it is not. Null where there is no place for it.
ALWAYS_INLINE struct space *space_at(struct task_struct *task, u64 number)
{
	struct space *space = map_lookup(&spaces, &number);
	if (!space)
		space = learn(task, number);
	if (!space)
		add(LOST);
	return space;
}

// Remembers the mount of a program that is watched.
ALWAYS_INLINE void remember_home(struct origin *origin)
{
	if (!origin->is_at_home)
		return;
	u64 *home = map_lookup(&homes, &origin->mount_number);
	if (home && *home == origin->space)
		return;
	if (map_update(&homes, &origin->mount_number, &origin->space, 0))
		add(LOST);
}

ALWAYS_INLINE void name_program(struct origin *program)
{
	struct program_key key = {.space = program->space, .inode = program->inode};
	if (map_lookup(&programs, &key))
		return;
	u32 zero = 0;
	struct scratch *scratch = map_lookup(&scratches, &zero);
	if (!scratch)
		return;
	struct program *name = &scratch->program;
	__builtin_memset(name, 0, sizeof(*name));
	struct mount *mount = mount_of(program->mount);
	struct dentry *dentry = program->dentry;
	u32 part = 0;
	// A file in memory has a name and no folder.
	if (dentry == READ(dentry, d_parent))
		read_kernel_text(name->parts[part++], PART, READ(dentry, d_name.name));
	// A step is a part of the path, or from a mount to where it is mounted.
	for (u32 step = 0; step < PARTS + 4 && part < PARTS; step++) {
		struct dentry *root = READ(mount, mnt.mnt_root);
		struct dentry *parent = READ(dentry, d_parent);
		if (dentry == root || dentry == parent) {
			struct mount *outer = READ(mount, mnt_parent);
			if (!outer || outer == mount)
				break;
			dentry = READ(mount, mnt_mountpoint);
			mount = outer;
			continue;
		}
		read_kernel_text(name->parts[part & (PARTS - 1)], PART, READ(dentry, d_name.name));
		part++;
		dentry = parent;
	}
	map_update(&programs, &key, name, NEW_ONLY);
}

ALWAYS_INLINE void count(struct tally_key *key, struct space *space)
{
	u64 now = nanoseconds_since_boot();
	struct tally *known = map_lookup(&tallies, key);
	if (!known) {
		struct tally fresh = {.count = 0, .first = now, .last = now};
		map_update(&tallies, key, &fresh, NEW_ONLY);
		known = map_lookup(&tallies, key);
		if (!known) {
			lose(space);
			return;
		}
	}
	known->last = now;
	__sync_fetch_and_add(&known->count, 1);
	add(CHANGED);
}

// What is kept of a call's arguments, and whether they are certainly let through.
struct kept {
	u64 value[KEPT];
	u8 unread;
	u8 passes;
};

ALWAYS_INLINE void keep(const volatile struct rule *rule, struct pt_regs *registers, u8 abi, struct kept *kept)
{
	u64 flags = 0;
	for (u32 at = 0; at < KEPT; at++) {
		kept->value[at] = 0;
		if (at < rule->kept) {
			u64 value = argument(registers, abi, rule->kept_at[at]);
			if (at == 0 && rule->flags_in_memory) {
				u64 address = value;
				if (read_user(&value, sizeof(value), (void *)address)) {
					value = 0;
					kept->unread = 1;
				}
				flags = value;
			}
			kept->value[at] = value & rule->kept_mask[at];
		}
	}
	if (kept->unread)
		return;
	for (u32 at = 0; at < TESTS; at++) {
		if (at >= rule->tests || kept->passes)
			break;
		const volatile struct test *test = &rule->test[at];
		u64 value;
		if (rule->flags_in_memory)
			value = flags;
		else
			value = argument(registers, abi, test->argument);
		if (test->kind == MASKED)
			kept->passes = (value & test->mask) == test->value;
		else
			kept->passes = value < 64 && ((test->value >> value) & 1);
	}
}

ALWAYS_INLINE u32 rule_of(u8 abi, u32 number)
{
	if (number >= NUMBERS || abi >= ABIS)
		return 0;
	u32 kind = abi;
	KNOWN_BELOW(kind, 4);
	KNOWN_BELOW(number, NUMBERS);
	return tables.rule_of[kind][number] & (RULES - 1);
}

// A namespace is about to be made by a program of the host: perhaps that of a container.
ALWAYS_INLINE void tell_of_namespaces(u64 flags)
{
	if (flags & 0x00020000) { // CLONE_NEWNS
		u8 mark = 1;
		ring_output(&news, &mark, sizeof(mark), 0);
	}
}

SECTION("tp_btf/sys_enter")
int enter(struct call_entered *context)
{
	if (is_allowed_everywhere(context->id))
		return 0;
	struct task_struct *task = current_task();
	u8 abi = NATIVE;
	u32 number = 0;
	if (is_allowed(task, context->id, &abi, &number))
		return 0;
	const volatile struct rule *rule = &tables.rules[rule_of(abi, number)];
	struct origin origin = {};
	find_origin(task, &origin);
	u64 ids = process_and_thread();
	if (rule->kind == EXECUTE) {
		u32 process = ids >> 32;
		if (map_update(&executings, &process, &origin.space, 0))
			add(LOST);
		return 0;
	}
	struct pt_regs *registers = context->registers;
	struct kept kept = {};
	keep(rule, registers, abi, &kept);
	if (!origin.space)
		return 0;
	struct space *space = space_at(task, origin.space);
	if (!space)
		return 0;
	if (space->ignored) {
		tell_of_namespaces(kept.value[0]);
		return 0;
	}
	remember_home(&origin);
	struct pending pending = {
	    .started = READ_TASK(task, start_boottime),
	    .at = nanoseconds_since_boot(),
	    .space = origin.space,
	    .inode = origin.inode,
	    .kept = {kept.value[0], kept.value[1]},
	    .number = number,
	    .abi = abi,
	    .passes = kept.passes,
	    .unread = kept.unread,
	};
	u32 thread = (u32)ids;
	if (map_update(&pendings, &thread, &pending, 0))
		lose(space);
	if (!kept.passes)
		name_program(&origin);
	return 0;
}

// What its programs do is not told from what others do any more.
ALWAYS_INLINE void make_blind(u64 number)
{
	struct space *space = map_lookup(&spaces, &number);
	if (space) {
		space->blind = 1;
		add(CHANGED);
	}
}

// Gives a file that lies in no namespace to the space from which it was executed.
ALWAYS_INLINE void adopt(struct task_struct *task, struct origin *origin, u64 from)
{
	struct adopted *known = map_lookup(&adoptions, &origin->orphan);
	if (known && is_of(origin, known)) {
		if (known->space == from) {
			origin->space = from;
			return;
		}
		make_blind(known->space);
		make_blind(from);
		known->space = 0;
		return;
	}
	if (known)
		map_delete(&adoptions, &origin->orphan);
	if (!from)
		return;
	struct space *space = space_at(task, from);
	if (!space || space->ignored)
		return;
	struct adopted adopted = {.space = from, .mount = origin->mount_number, .inode = origin->inode};
	if (map_update(&adoptions, &origin->orphan, &adopted, 0))
		make_blind(from);
	else
		origin->space = from;
}

// A program has executed another one.
ALWAYS_INLINE void executed(struct task_struct *task, u32 process)
{
	u64 *before = map_lookup(&executings, &process);
	u64 from = before ? *before : 0;
	struct origin origin = {};
	find_file(task, &origin);
	if (!origin.is_at_home && origin.mount)
		adopt(task, &origin, from);
	if (!origin.space)
		return;
	struct space *space = space_at(task, origin.space);
	if (!space || space->ignored)
		return;
	remember_home(&origin);
	if (!space->has_begun) {
		space->filters = READ_TASK(task, seccomp.filter_count.counter);
		space->begun = nanoseconds_since_boot();
		space->has_begun = 1;
		add(CHANGED);
	}
}

SECTION("tp_btf/sys_exit")
int leave(struct call_left *context)
{
	struct pt_regs *registers = context->registers;
#if defined(__TARGET_ARCH_x86)
	u64 id = registers->orig_ax;
#else
	u64 id = (u32)registers->syscallno;
#endif
	if (is_allowed_everywhere(id))
		return 0;
	struct task_struct *task = current_task();
	s64 result = context->result;
	u8 abi = NATIVE;
	u32 number = 0;
	if (is_allowed(task, id, &abi, &number))
		return 0;
	// A debugger has taken the call back.
	if (number == (u32)-1)
		return 0;
	const volatile struct rule *rule = &tables.rules[rule_of(abi, number)];
	u64 ids = process_and_thread();
	if (rule->kind == EXECUTE) {
		u32 process = ids >> 32;
		if (result == 0)
			executed(task, process);
		map_delete(&executings, &process);
		return 0;
	}
	u32 thread = (u32)ids;
	u64 started = READ_TASK(task, start_boottime);
	struct pending *pending = map_lookup(&pendings, &thread);
	if (pending && pending->started == started && pending->number == number && pending->abi == abi) {
		struct tally_key key = {
		    .space = pending->space,
		    .inode = pending->inode,
		    .kept = {pending->kept[0], pending->kept[1]},
		    .number = number,
		    .abi = abi,
		    .unread = pending->unread,
		};
		u8 passes = pending->passes;
		map_delete(&pendings, &thread);
		if (passes)
			return 0;
		if (result < 0 && result >= -4095)
			key.result = -result;
		struct space *space = map_lookup(&spaces, &key.space);
		if (space && !space->ignored)
			count(&key, space);
		return 0;
	}
	// Only errors: a process that was just made comes back with 0 from the call that made it.
	u32 filters = READ_TASK(task, seccomp.filter_count.counter);
	if (!filters || result >= 0 || result < -4095)
		return 0;
	struct origin origin = {};
	find_origin(task, &origin);
	if (!origin.space)
		return 0;
	struct space *space = space_at(task, origin.space);
	if (!space || space->ignored)
		return 0;
	struct kept kept = {};
	keep(rule, registers, abi, &kept);
	struct tally_key key = {
	    .space = origin.space,
	    .inode = origin.inode,
	    .kept = {kept.value[0], kept.value[1]},
	    .number = number,
	    .result = -result,
	    .abi = abi,
	    .fate = DENIED,
	    .unread = kept.unread,
	    .filters = filters,
	};
	// A debugger can keep a call from going in, and so can its own program (syscall user dispatch).
	key.ambiguous = READ_TASK(task, ptrace) != 0;
	if (HAS(struct task_struct, syscall_dispatch))
		key.ambiguous |= READ(task, syscall_dispatch.selector) != 0;
	if (started < began) {
		// It may have gone in before the observer came; that can be once only.
		struct thread old = {.started = started, .id = thread};
		if (!map_lookup(&returned, &old)) {
			u8 mark = 1;
			map_update(&returned, &old, &mark, 0);
			key.ambiguous = 1;
		}
	}
	name_program(&origin);
	count(&key, space);
	return 0;
}

// Those of the kernel's functions that these programs call are for free programs only.
const char licence[] SECTION("license") = "Dual BSD/GPL";
