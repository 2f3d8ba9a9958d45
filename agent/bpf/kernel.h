// What the observer's programs use of the kernel: helpers by number, and of its structures the fields
// that are read. Where these lie is looked up when the programs are loaded, on the kernel that runs (CO-RE), so no
// header of any kernel is needed. A type whose name ends in ___ and a word is an older or newer shape of the type
// before it.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

#define SECTION(name) __attribute__((section(name), used))
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define SHAPE __attribute__((preserve_access_index))

// Numbers of `enum bpf_func_id` in include/uapi/linux/bpf.h, which are the same for ever.
static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const map_delete)(void *map, const void *key) = (void *)3;
static u64 (*const process_and_thread)(void) = (void *)14;
static struct task_struct *(*const current_task_address)(void) = (void *)35;
static long (*const read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*const read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const read_kernel_text)(void *to, u32 size, const void *from) = (void *)115;
static u64 (*const nanoseconds_since_boot)(void) = (void *)125;
static long (*const ring_output)(void *ring, const void *data, u64 size, u64 flags) = (void *)130;
static struct task_struct *(*const current_task_typed)(void) = (void *)158;

// A helper that not every kernel has, but those from 5.11 on.
enum bpf_func_id {
	BPF_FUNC_get_current_task_btf = 158,
};
#define HAS_HELPER(name) __builtin_preserve_enum_value(*(enum bpf_func_id *)BPF_FUNC_##name, 0)

// `enum bpf_map_type`
#define MAP_HASH 1
#define MAP_ARRAY 2
#define MAP_PERCPU_ARRAY 6
#define MAP_LEAST_RECENT 9
#define MAP_RING 27
// Flags of map_update: only a key that is not there.
#define NEW_ONLY 1

// The fields of a map's definition are types, as BTF keeps them.
#define NUMBER(name, value) int(*name)[value]
#define TYPE(name, of) of *name

// READ(object, field) is the field of a kernel's object at a pointer; zero where the pointer leads nowhere.
#define READ(object, field)                                                                                            \
	({                                                                                                                 \
		__typeof__(object) object_ = (object);                                                                         \
		__typeof__(object_->field) value_ = 0;                                                                         \
		read_kernel(&value_, sizeof(value_), __builtin_preserve_access_index(&object_->field));                        \
		value_;                                                                                                        \
	})
// The field of the task that runs. Of a typed pointer it is a load, which costs nothing beside the call of a helper; what
// the kernel that runs has no use for is left out of the program when it is loaded.
#define READ_TASK(task, field) (HAS_HELPER(get_current_task_btf) ? (task)->field : READ(task, field))
// Whether the kernel that runs has the field, and where it lies in its type, in bytes.
#define HAS(type, field) __builtin_preserve_field_info(((type *)0)->field, 2)
#define OFFSET(type, field) __builtin_preserve_field_info(((type *)0)->field, 0)

// What the raw tracepoints say, with the types that the kernel knows of it: the registers with which the task went into
// the kernel can be read as they are.
struct call_entered {
	struct pt_regs *registers;
	u64 id;
};

struct call_left {
	struct pt_regs *registers;
	s64 result;
};

struct seccomp {
	struct {
		int counter;
	} filter_count;
} SHAPE;

struct thread_info {
	u64 flags;
	u32 status;
} SHAPE;

struct ns_common {
	u32 inum;
} SHAPE;

// From 6.18 on.
struct ns_common___numbered {
	u64 ns_id;
} SHAPE;

struct mnt_namespace {
	struct ns_common ns;
} SHAPE;

// Until 6.17.
struct mnt_namespace___sequenced {
	u64 seq;
} SHAPE;

struct qstr {
	const u8 *name;
} SHAPE;

struct inode {
	unsigned long i_ino;
} SHAPE;

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
} SHAPE;

struct vfsmount {
	struct dentry *mnt_root;
} SHAPE;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
	int mnt_id;
} SHAPE;

// From 6.8 on: a number that no other mount ever gets.
struct mount___numbered {
	u64 mnt_id_unique;
} SHAPE;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} SHAPE;

struct file {
	struct path f_path;
} SHAPE;

struct mm_struct {
	struct file *exe_file;
} SHAPE;

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
} SHAPE;

// From 6.15 on.
struct kernfs_node___guarded {
	struct kernfs_node *__parent;
} SHAPE;

struct cgroup {
	struct kernfs_node *kn;
	int level;
} SHAPE;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
} SHAPE;

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
} SHAPE;

enum cgroup_subsys_id {
	memory_cgrp_id = 4,
	pids_cgrp_id = 11,
};

struct syscall_user_dispatch {
	char *selector;
} SHAPE;

struct task_struct {
	struct thread_info thread_info;
	u32 ptrace;
	struct mm_struct *mm;
	u64 start_boottime;
	struct seccomp seccomp;
	struct syscall_user_dispatch syscall_dispatch;
	struct css_set *cgroups;
} SHAPE;

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long bp, bx, r10, r9, r8, cx, dx, si, di, orig_ax;
} SHAPE;
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	u64 regs[31];
	u64 orig_x0;
	s32 syscallno;
} SHAPE;
#else
#error "the observer's programs know the registers of x86 and arm64 only"
#endif

// The compiler leaves out what it knows already, and the verifier does not know it: so it is said once more, where the
// compiler cannot see why. The bound is a power of two.
#define KNOWN_BELOW(number, bound)                                                                                     \
	do {                                                                                                               \
		__asm__ volatile("" : "+r"(number));                                                                           \
		(number) &= (bound)-1;                                                                                         \
	} while (0)

ALWAYS_INLINE struct task_struct *current_task(void)
{
	return HAS_HELPER(get_current_task_btf) ? current_task_typed() : current_task_address();
}
