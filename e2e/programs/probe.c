// Probe makes the system calls that it is told, and says what becomes of each.
//
//   probe FILE
//
// A line of the file is a call: the ABI (x86_64, x32 or x86), its number and six arguments, in
// hexadecimal. A line of the output is that line and what came of it: the result in decimal, errors
// negative; "blocked" when the call has not returned after a while; "ended" when the process that
// made it exited; "signal N" when it was killed. "done" is the last line.
//
// Each call is made by a child of its own, so that none can disturb the next one. The arguments are
// expected to be such that no call does harm where it is allowed: null and wild pointers, no valid
// descriptors, magic numbers that are wrong.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// How long a child has to have slept without interruption for its call to be one that waits.
#define BLOCKED_MILLISECONDS 400
// A child that only waits for a processor is given this long: the machine may be very busy.
#define MOST_MILLISECONDS 30000
#define X32_BIT 0x40000000
// Many times what there is to call.
#define MOST_CALLS 65536

enum abi { X86_64, X32, X86, ABIS };
static const char *const abi_names[ABIS] = {"x86_64", "x32", "x86"};

struct call {
	enum abi abi;
	uint64_t number;
	uint64_t arguments[6];
};

// Shared by a child and its parent. Each call has its own: what a call leaves, such as the child of
// fork, may still write after the next one has begun.
struct report {
	volatile int begun;
	volatile int returned;
	volatile int64_t result;
};

// Everything is inlined: after vfork two processes use this frame one after the other, and none of
// them may return from it before the other has read it.
static inline __attribute__((always_inline)) int64_t make_wide(uint64_t number, const uint64_t *a) {
	int64_t result;
	register uint64_t r10 __asm__("r10") = a[3];
	register uint64_t r8 __asm__("r8") = a[4];
	register uint64_t r9 __asm__("r9") = a[5];
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "0"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return result;
}

// The sixth argument is in the frame pointer, which the compiler needs for itself.
static inline __attribute__((always_inline)) int64_t make_narrow(uint64_t number, const uint64_t *a) {
	int64_t result;
	__asm__ volatile("pushq %%rbp\n\t"
	                 "movq %[sixth], %%rbp\n\t"
	                 "int $0x80\n\t"
	                 "popq %%rbp"
	                 : "=a"(result)
	                 : "0"(number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4]), [sixth] "r"(a[5])
	                 : "r8", "r9", "r10", "r11", "memory");
	return (int32_t)result;
}

static void __attribute__((noreturn)) make(const struct call *call, struct report *report) {
	int64_t result;
	report->begun = 1;
	switch (call->abi) {
	case X86:
		result = make_narrow(call->number, call->arguments);
		break;
	case X32:
		result = make_wide(call->number | X32_BIT, call->arguments);
		break;
	default:
		result = make_wide(call->number, call->arguments);
	}
	report->result = result;
	report->returned = 1;
	for (;;)
		make_wide(SYS_exit_group, (const uint64_t[6]){0});
}

static int64_t milliseconds(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void fail(const char *what) {
	fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
	exit(1);
}

// Whether a child sleeps in the kernel, rather than runs or waits for a processor.
static int sleeps(pid_t child) {
	char path[32], stat[256];
	snprintf(path, sizeof path, "/proc/%d/stat", child);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return 1;
	ssize_t length = read(file, stat, sizeof stat - 1);
	close(file);
	stat[length > 0 ? length : 0] = 0;
	// The state follows the name, which is in parentheses and may have some itself.
	const char *name_end = strrchr(stat, ')');
	return !name_end || !name_end[1] || name_end[2] != 'R';
}

// Says what came of the call, in the words of the first comment.
static void try_call(const struct call *call, struct report *report, char *outcome, size_t size) {
	pid_t child = fork();
	if (child < 0)
		fail("failed to start a process");
	if (child == 0)
		make(call, report);
	int status = 0, ended = 0;
	int64_t awake = milliseconds(), last = awake + MOST_MILLISECONDS;
	for (int64_t now = awake; !ended && now < last && now < awake + BLOCKED_MILLISECONDS;) {
		ended = waitpid(child, &status, WNOHANG) == child;
		if (!ended)
			usleep(200);
		now = milliseconds();
		if (!ended && (!report->begun || !sleeps(child)))
			awake = now;
	}
	if (!ended) {
		kill(child, SIGKILL);
		// Stopped by itself, or traced by nobody: it is reaped all the same.
		waitpid(child, &status, __WALL);
	}
	if (report->returned)
		snprintf(outcome, size, "%lld", (long long)report->result);
	else if (!ended)
		snprintf(outcome, size, "blocked");
	else if (WIFSIGNALED(status))
		snprintf(outcome, size, "signal %d", WTERMSIG(status));
	else
		snprintf(outcome, size, "ended");
	// What the call left, such as children of the child's.
	while (waitpid(-1, &status, WNOHANG | __WALL) > 0)
		;
}

static int read_call(char *line, struct call *call) {
	char *rest = line, *word = strsep(&rest, " ");
	for (call->abi = 0; call->abi < ABIS && strcmp(word, abi_names[call->abi]) != 0; call->abi++)
		;
	if (call->abi == ABIS)
		return 0;
	uint64_t *numbers[7] = {&call->number};
	for (int i = 0; i < 6; i++)
		numbers[i + 1] = &call->arguments[i];
	for (int i = 0; i < 7; i++) {
		char *end;
		if (!rest || !(word = strsep(&rest, " ")) || !*word)
			return 0;
		*numbers[i] = strtoull(word, &end, 16);
		if (*end)
			return 0;
	}
	return !rest;
}

int main(int count, char **arguments) {
	if (count != 2) {
		fprintf(stderr, "usage: probe FILE\n");
		return 2;
	}
	FILE *calls = fopen(arguments[1], "re");
	if (!calls)
		fail(arguments[1]);
	struct report *report =
	    mmap(NULL, MOST_CALLS * sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		fail("failed to share memory");
	// Calls that write to descriptor 0 find a pipe's end here, not the terminal.
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0)
		fail("/dev/null");
	char line[256], copy[256], outcome[64];
	for (int made = 0; fgets(line, sizeof line, calls); made++) {
		line[strcspn(line, "\n")] = 0;
		struct call call;
		strcpy(copy, line);
		if (made == MOST_CALLS || !read_call(copy, &call)) {
			fprintf(stderr, "probe: not a call: %s\n", line);
			return 2;
		}
		fflush(stdout);
		try_call(&call, &report[made], outcome, sizeof outcome);
		printf("%s %s\n", line, outcome);
	}
	puts("done");
	return 0;
}
