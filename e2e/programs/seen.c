// Does what an observer of system calls must get right.
//
//   seen MANNER
//
// What each manner does stands at its function. It exits with 0 when it could do it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 100
#define FORKS 200
// No operation of keyctl, which RuntimeDefault denies and the kernel refuses.
#define NO_OPERATION 4242
// The number of a file that is handed on.
#define SHARED 100

static long refused(void) { return syscall(SYS_keyctl, NO_OPERATION, 0, 0, 0, 0); }

static void *refused_once(void *unused) {
	refused();
	return unused;
}

// A hundred threads make a call each.
static int threads(void) {
	pthread_t made[THREADS];
	for (int at = 0; at < THREADS; at++)
		if (pthread_create(&made[at], NULL, refused_once, NULL))
			return 1;
	for (int at = 0; at < THREADS; at++)
		pthread_join(made[at], NULL);
	return 0;
}

// Two hundred processes make a call each.
static int forks(void) {
	for (int at = 0; at < FORKS; at++) {
		pid_t child = fork();
		if (child < 0)
			return 1;
		if (child == 0) {
			refused();
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	return 0;
}

// Calls through the door of 32 bits, of 64 bits, and of x32.
static int doors(void) {
	int result;
	__asm__ volatile("int $0x80" : "=a"(result) : "0"(288), "b"(NO_OPERATION) : "memory");
	refused();
	syscall(SYS_keyctl | 0x40000000, NO_OPERATION, 0, 0, 0, 0);
	return 0;
}

// Makes a process in a user namespace, by a call whose flags lie in memory.
static int clone3(void) {
	struct clone_args arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	long child = syscall(SYS_clone3, &arguments, sizeof(arguments));
	if (child == 0)
		_exit(0);
	return child < 0 || waitpid(child, NULL, 0) < 0;
}

// What every program does: nothing of it counts. And a call that does, so that there is something to find.
static int usual(void) {
	struct clone_args arguments = {.exit_signal = SIGCHLD};
	long child = syscall(SYS_clone3, &arguments, sizeof(arguments));
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	child = fork();
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	// Refused by the kernel, and no filter would deny it.
	if (socket(AF_INET, SOCK_STREAM, 4242) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) < 0)
		return 1;
	refused();
	return 0;
}

static int filter_out(int number) {
	struct sock_filter instructions[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(instructions) / sizeof(*instructions), instructions};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

// A filter denies three calls, with arguments that count.
static int filtered(void) {
	if (filter_out(SYS_unshare))
		return 1;
	for (int at = 0; at < 3; at++)
		if (unshare(CLONE_NEWUSER) == 0 || errno != EPERM)
			return 1;
	return 0;
}

// A debugger keeps a call from going in, of a thread that has a filter.
static int traced(void) {
	pid_t child = fork();
	if (child == 0) {
		if (filter_out(SYS_unshare) || ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(1);
		raise(SIGSTOP);
		unshare(CLONE_NEWUSER);
		_exit(0);
	}
	int status;
	waitpid(child, &status, 0);
	while (ptrace(PTRACE_SYSCALL, child, 0, 0) == 0 && waitpid(child, &status, 0) > 0 && WIFSTOPPED(status))
		;
	return !WIFEXITED(status) || WEXITSTATUS(status);
}

// A call goes in and does not come back.
static int blocked(void) {
	struct io_uring_params parameters = {0};
	int ring = syscall(SYS_io_uring_setup, 1, &parameters);
	if (ring < 0)
		return 1;
	syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	return 1;
}

static int execute(int file, char *manner) {
	char *arguments[] = {"seen", manner, NULL}, *environment[] = {NULL};
	return execveat(file, "", arguments, environment, AT_EMPTY_PATH);
}

// This program, in memory, under its own name.
static int in_memory(void) {
	int own = open("/proc/self/exe", O_RDONLY), copy = memfd_create(program_invocation_short_name, 0);
	while (sendfile(copy, own, NULL, 1 << 20) > 0)
		;
	return copy;
}

// Makes a call, executes itself from memory, and makes another one.
static int memory(void) {
	refused();
	return execute(in_memory(), "refused");
}

// Makes a call, executes itself from a mount that is mounted nowhere, and makes another one.
static int detached(void) {
	refused();
	return execute(syscall(SYS_open_tree, AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), "refused");
}

// Executes one and the same file in memory here, and from a mount namespace of its own.
static int shared(void) {
	char path[4096] = {0};
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0 || dup2(in_memory(), SHARED) != SHARED)
		return 1;
	for (int away = 0; away < 2; away++) {
		pid_t child = fork();
		if (child == 0 && away && !unshare(CLONE_NEWNS))
			execl(path, program_invocation_short_name, "given", NULL);
		if (child == 0)
			_exit(away || execute(SHARED, "refused"));
		int status;
		if (waitpid(child, &status, 0) != child || status)
			return 1;
	}
	return 0;
}

// Makes a call, and executes the file that it was given.
static int given(void) {
	refused();
	return execute(SHARED, "refused");
}

// Leaves its mount namespace, which nobody else is in, and makes a call.
static int leaves(void) {
	if (unshare(CLONE_NEWNS))
		return 1;
	refused();
	return 0;
}

// Executes itself from a mount namespace of its own, and then makes a call.
static int nested(void) {
	char path[4096] = {0};
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0 || unshare(CLONE_NEWNS))
		return 1;
	execl(path, "seen", "refused", NULL);
	return 1;
}

// Makes ever different calls, as many as an argument tells apart.
static int storm(void) {
	for (uint64_t family = 100; family < 60100; family++)
		syscall(SYS_socket, family, 0, 0);
	return 0;
}

static int refused_and_done(void) {
	refused();
	return 0;
}

int main(int count, char **arguments) {
	static const struct {
		const char *name;
		int (*function)(void);
	} manners[] = {
	    {"blocked", blocked},
	    {"clone3", clone3},
	    {"detached", detached},
	    {"doors", doors},
	    {"filtered", filtered},
	    {"forks", forks},
	    {"given", given},
	    {"leaves", leaves},
	    {"memory", memory},
	    {"nested", nested},
	    {"refused", refused_and_done},
	    {"shared", shared},
	    {"storm", storm},
	    {"threads", threads},
	    {"traced", traced},
	    {"usual", usual},
	};
	for (unsigned at = 0; count == 2 && at < sizeof(manners) / sizeof(*manners); at++)
		if (!strcmp(arguments[1], manners[at].name))
			return manners[at].function();
	fprintf(stderr, "seen MANNER\n");
	return 2;
}
